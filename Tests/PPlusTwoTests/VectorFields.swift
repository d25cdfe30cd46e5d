import PeerCore
import TestSupport
import Testing

@testable import PPlusTwo

/// The cases of one kind, which are an error when there are none.
func vectors(_ kind: String) throws -> [Vector] {
    let found = try Vector.cases("p-plus-2", "vectors").filter { try $0.text("kind") == kind }
    guard !found.isEmpty else { throw VectorError("no vectors of kind \(kind)") }
    return found
}

extension Vector {
    /// Octets: a text, or `{"hex": …}`.
    func bytes(_ key: String) throws -> Bytes { try value(key).bytes() }

    func bytes() throws -> Bytes {
        if has("hex") { return try octets("hex") }
        let text = try text()
        guard text == "(1048576 bytes 0x41)" else { return Bytes(utf8: text) }
        return Bytes([UInt8](repeating: 0x41, count: 1_048_576))
    }

    func identity(_ key: String) throws -> PeerIdentity { try #require(PeerIdentity(try text(key))) }

    func identities(_ key: String) throws -> [PeerIdentity] {
        try elements(key).map { try #require(PeerIdentity(try $0.text())) }
    }

    func ip(_ key: String) throws -> IPAddress { try #require(IPAddress(try text(key))) }
}
