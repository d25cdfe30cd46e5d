import PeerCore
import TestSupport
import Testing

@testable import BePeer

typealias Configuration = BePeer.Configuration

/// The cases of one kind, which are an error when there are none.
func vectors(_ kind: String) throws -> [Vector] {
    let found = try Vector.cases("bepeer", "vectors").filter { try $0.text("kind") == kind }
    guard !found.isEmpty else { throw VectorError("no vectors of kind \(kind)") }
    return found
}

/// The case of that name.
func scenario(_ name: String) throws -> Vector {
    let found = try vectors("scenario").filter { try $0.text("name") == name }
    return try #require(found.first, "no scenario \(name)")
}

extension Vector {
    /// Octets: a text, `{"hex": …}`, or built by a rule: texts with `+` between them, some of them so many times.
    func bytes(_ key: String) throws -> Bytes {
        guard has(key) else { return try built("\(key)_rule") }
        let input = try value(key)
        return input.has("hex") ? try input.octets("hex") : Bytes(utf8: try input.text())
    }

    private func built(_ key: String) throws -> Bytes {
        var octets: [UInt8] = []
        for part in try text(key).split(separator: " + ") {
            let match = try #require(part.wholeMatch(of: #/(?:(\d+) times )?'(.*)'/#), "\(description): \(part)")
            let piece = match.2.replacing("\\n", with: "\n")
            for _ in 0..<(match.1.flatMap { Int($0) } ?? 1) { octets += piece.utf8 }
        }
        return Bytes(octets)
    }

    /// A message as vectors tell it.
    func message() throws -> Message {
        let name = try text("name")
        let type = try text("type")
        guard type != "BePeerRequest" else { return .request(folder: name) }
        let kind = try #require(FileList.Kind(rawValue: type))
        let refused = has("refused") ? try elements("refused").map { PathRefusal(rawValue: try $0.text()) } : []
        return .list(
            FileList(
                kind, folder: name, port: UInt16(try number("port")),
                protocolName: has("protocol") ? try text("protocol") : "HTTP",
                names: try elements("files").map { try Path(try $0.text()) }, refused: refused.compactMap(\.self)))
    }

    /// Counters by node; names of nodes in vectors are single letters.
    func version(_ key: String) throws -> VersionVector {
        VersionVector(
            try value(key).values().map { node, count in
                (node: UInt64(node.utf8.first ?? 0), count: UInt64(try count.number()))
            })
    }
}
