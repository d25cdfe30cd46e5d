public import Foundation
public import PeerCore
internal import PeerJSON

/// One line that a program wrote on standard output.
public struct LogLine: Sendable {
    /// Counted from 0.
    public let number: Int
    /// As it came, without the line feed.
    public let text: String
    /// What the JSON object says, its fields sorted by name; empty when the line is none.
    public let record: Record

    /// The line that reads `text`.
    public init(number: Int, text: String) {
        self.number = number
        self.text = text
        if case .record(let record)? = try? JSON.parse(Bytes(utf8: text), limit: 1 << 20) {
            self.record = record
        } else {
            record = [:]
        }
    }

    /// The name of what happened.
    public var event: String { record.string("event") ?? "" }

    /// When the program wrote it, by its own word.
    public var time: Date {
        let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
        return record.string("ts").flatMap { try? style.parse($0) } ?? .distantPast
    }

    /// The text of a field; empty when there is none.
    public subscript(name: String) -> String { record[name]?.plain ?? "" }

    /// Whether the fields with these names have these values.
    public func has(_ fields: [String: String]) -> Bool {
        fields.allSatisfy { record[$0.key]?.plain == $0.value }
    }
}

extension Sequence<LogLine> {
    /// The lines that tell this event.
    public func of(_ event: String) -> [LogLine] { filter { $0.event == event } }

    /// The peers that are connected after these lines, by their IDs.
    public var peersUp: Set<String> {
        reduce(into: []) { peers, line in
            switch line.event {
            case "peer_up": peers.insert(line["peer"])
            case "peer_down": peers.remove(line["peer"])
            default: break
            }
        }
    }
}
