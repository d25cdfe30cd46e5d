public import PeerCore

extension AddressBook {
    /// Who named an address.
    public enum Source: Hashable, Sendable {
        /// The configuration.
        case seed
        /// A bootstrap server.
        case bootstrap
        /// The peer with this ID.
        case peer(Bytes32)
        /// The peer itself, by dialling us.
        case inbound
        /// The operator, by a command.
        case operatorRequest

        /// Whether it speaks for the operator of this node.
        public var isTrusted: Bool { self == .seed || self == .operatorRequest }

        /// Unverified entries that this source may have in a book of `capacity` entries. One peer may fill a twentieth
        /// (1,000 of 20,000: four full answers of 255), so that it takes twenty of them to own the unverified part.
        func quota(of capacity: Int) -> Int {
            switch self {
            case .seed, .operatorRequest: .max
            case .bootstrap, .inbound: max(1, capacity / 4)
            case .peer: max(1, capacity / 20)
            }
        }
    }

    /// Why an address is not taken.
    public enum Refusal: String, CaseIterable, Hashable, Sendable {
        /// Unspecified, multicast or broadcast, or port 0: nobody can be there.
        case unusable
        /// It is this node.
        case own
        /// The operator keeps it out.
        case denied
        /// Loopback or a private range, which strangers may not name.
        case privateRange = "private"
        /// No host on the Internet has it (RFC 6890).
        case reserved
        /// Not the standard port.
        case port
        /// The book is full of better entries.
        case full
    }

    /// What became of an address that was to be added.
    public enum Addition: Hashable, Sendable {
        /// It is new.
        case added
        /// It was there.
        case known
        /// It is not taken.
        case refused(Refusal)
    }
}

extension AddressBook.Source: CustomStringConvertible {
    /// The word in rows and listings: `seed`, `bootstrap`, `peer:` and the peer ID, `inbound`, `operator`.
    public var description: String {
        switch self {
        case .seed: "seed"
        case .bootstrap: "bootstrap"
        case .peer(let id): "peer:\(id.hex)"
        case .inbound: "inbound"
        case .operatorRequest: "operator"
        }
    }

    /// The source of that description, or nil.
    public init?(_ text: String) {
        switch text {
        case "seed": self = .seed
        case "bootstrap": self = .bootstrap
        case "inbound": self = .inbound
        case "operator": self = .operatorRequest
        default:
            guard text.hasPrefix("peer:"), let id = Bytes32(hex: String(text.dropFirst(5))) else { return nil }
            self = .peer(id)
        }
    }
}
