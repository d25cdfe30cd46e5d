internal import FoundationEssentials
internal import PeerCore

/// What the toolchain's decoder refused, and where.
struct DecodingFailure: Error {
    let pointer: JSONPointer
    let reason: String

    init(_ path: [any CodingKey], _ reason: String) {
        pointer = JSONPointer(path.map { key in key.intValue.map(String.init) ?? key.stringValue })
        self.reason = reason
    }
}

/// The value that `text`, whose grammar was checked, describes.
func decode(_ text: Bytes) throws(DecodingFailure) -> Record.Value {
    do {
        return try JSONDecoder().decode(Decoded.self, from: Data(text)).value
    } catch let failure as DecodingFailure {
        throw failure
    } catch {
        throw DecodingFailure([], "the decoder refuses it: \(error)")
    }
}

/// Any value, found by trying what it can be decoded as: the usual first, since a failed try costs microseconds.
private struct Decoded: Decodable {
    let value: Record.Value

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            value = .null
        } else if let whole = try? container.decode(Int64.self) {
            value = .int(whole)
        } else if let text = try Self.text(container) {
            value = .string(text)
        } else if let truth = try? container.decode(Bool.self) {
            value = .bool(truth)
        } else if let values = try Self.list(decoder) {
            value = .list(values)
        } else if let record = try Self.record(decoder) {
            value = .record(record)
        } else if let number = try? container.decode(Double.self) {
            // The decoder itself stops to do so at 2^53 when the number is written with a fraction.
            value = Int64(exactly: number).map(Record.Value.int) ?? .double(number)
        } else {
            throw DecodingFailure(container.codingPath, "a number of this size cannot be kept")
        }
    }

    private static func text(_ container: any SingleValueDecodingContainer) throws -> String? {
        do {
            return try container.decode(String.self)
        } catch DecodingError.typeMismatch {
            return nil
        } catch {
            throw DecodingFailure(container.codingPath, "half a surrogate pair is no character")
        }
    }

    private static func list(_ decoder: any Decoder) throws -> [Record.Value]? {
        guard var container = try? decoder.unkeyedContainer() else { return nil }
        var values: [Record.Value] = []
        while !container.isAtEnd { values.append(try container.decode(Decoded.self).value) }
        return values
    }

    private static func record(_ decoder: any Decoder) throws -> Record? {
        guard let container = try? decoder.container(keyedBy: Key.self) else { return nil }
        let keys = container.allKeys.sorted { $0.stringValue < $1.stringValue }
        return Record(try keys.map { ($0.stringValue, try container.decode(Decoded.self, forKey: $0).value) })
    }
}

/// Any key.
private struct Key: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(stringValue: String) {
        self.stringValue = stringValue
    }

    init?(intValue: Int) { nil }
}
