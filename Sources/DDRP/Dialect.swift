public import PeerCore

/// Which bytes two peers exchange on a connection: those of the Go reference or those of the PIP texts
/// (DDRP section 7). It holds for the whole connection.
public enum Dialect: String, Hashable, Sendable, CaseIterable {
    /// R: what the Go reference puts on the wire. Type field of two octets; the body is not signed.
    case reference
    /// T: what the PIP texts say. Type field of one octet; the body is signed.
    case text
}

/// Octets of an initiator that tell the dialect: the magic, and the two after it (DDRP section 7).
private let sniffedOctets = 6

/// The dialect of an initiator's first octets, nil while there are fewer than six (DDRP section 7).
///
/// The octet after the magic is 0 in both: the type Hello. The next is the low octet of the type in R, again 0, and
/// the top octet of the clock in T, which is 0 only in 1970. The magic is not looked at; `Envelope.next` does that.
public func sniffDialect(_ first: Bytes) -> Dialect? {
    guard first.count >= sniffedOctets else { return nil }
    return first[sniffedOctets - 1] == 0 ? .reference : .text
}

/// What a message is, by the names of PIP-2, PIP-4 and PIP-5 (DDRP section 9).
///
/// | name        | R  | T    | body                     |
/// |-------------|----|------|--------------------------|
/// | Hello       | 0  | 0x00 | section 6                |
/// | HelloAck    | 1  | 0x01 | section 6                |
/// | Ping        | 2  | 0x03 | empty                    |
/// | Update      | 3  | 0x04 | section 17               |
/// | NilUpdate   | 4  | none | section 17               |
/// | TreeBaseReq | 5  | 0x05 | section 17               |
/// | TreeBaseRes | 6  | 0x06 | section 17               |
/// | SectorReq   | 7  | 0x07 | section 17               |
/// | SectorRes   | 8  | 0x08 | section 17               |
/// | PeerReq     | 9  | 0x09 | empty                    |
/// | PeerRes     | 10 | 0x0a | section 11               |
/// | UpdateReq   | 11 | 0x0b | section 17               |
/// | NameRes     | 12 | none | reserved, never defined  |
enum MessageType: String, CaseIterable {
    case hello = "Hello"
    case helloAck = "HelloAck"
    case ping = "Ping"
    case update = "Update"
    case nilUpdate = "NilUpdate"
    case treeBaseReq = "TreeBaseReq"
    case treeBaseRes = "TreeBaseRes"
    case sectorReq = "SectorReq"
    case sectorRes = "SectorRes"
    case peerReq = "PeerReq"
    case peerRes = "PeerRes"
    case updateReq = "UpdateReq"

    /// The types of R in the order of their numbers.
    private static let ofReference: [MessageType?] = [
        .hello, .helloAck, .ping, .update, .nilUpdate, .treeBaseReq, .treeBaseRes, .sectorReq, .sectorRes, .peerReq,
        .peerRes, .updateReq,
    ]

    /// The types of T in the order of their numbers; 2 is nobody's.
    private static let ofText: [MessageType?] = [
        .hello, .helloAck, nil, .ping, .update, .treeBaseReq, .treeBaseRes, .sectorReq, .sectorRes, .peerReq,
        .peerRes, .updateReq,
    ]

    private static func table(of dialect: Dialect) -> [MessageType?] {
        switch dialect {
        case .reference: ofReference
        case .text: ofText
        }
    }

    /// The type with number `code`, nil when the dialect has none.
    init?(code: UInt16, dialect: Dialect) {
        let table = Self.table(of: dialect)
        guard code < table.count, let type = table[Int(code)] else { return nil }
        self = type
    }

    /// The number of the type, nil when the dialect has none.
    func code(in dialect: Dialect) -> UInt16? {
        Self.table(of: dialect).firstIndex(of: self).map { UInt16($0) }
    }
}
