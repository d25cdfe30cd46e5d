internal import PeerCore

/// Whether an identity is believed, and to whom it may be told (P+2 section 4.5).
enum Belief: String {
    /// It is told to anybody at once.
    case share
    /// Told by a caller for somebody else: known, and told to this caller in this answer only until we have met it.
    case echo
    /// Told by somebody's answer: known, and told to others when we have met it.
    case candidate
    /// It is not believed.
    case refuse

    /// How an identity came to us.
    enum Way {
        /// A caller at this address has announced it as its own.
        case announced(from: IPAddress)
        /// A line in the answer of the peer at this address.
        case hearsay(from: IPAddress)

        var source: IPAddress {
            switch self {
            case .announced(let source), .hearsay(let source): source
            }
        }
    }

    /// Ports below are those of well-known services, which hearsay must not turn callers against.
    private static let firstFreePort = 1024

    /// The verdict on `identity`.
    init(_ identity: PeerIdentity, _ way: Way, _ access: Access) {
        let (source, ip) = (way.source, identity.ip)
        guard access.allows(ip) else {
            self = .refuse
            return
        }
        if ip.isLoopback, !source.isLoopback {
            self = .refuse
        } else if ip.isPrivate || ip.isLinkLocal, !source.isNear {
            self = .refuse
        } else {
            self = Self.verdict(identity, way)
        }
    }

    private static func verdict(_ identity: PeerIdentity, _ way: Way) -> Belief {
        switch way {
        case .announced(let source) where identity.ip == source: .share
        case .announced(let source):
            // A port of a third party: as good as hearsay.
            identity.port < firstFreePort ? .refuse : source.isNear ? .share : .echo
        case .hearsay(let source): identity.port < firstFreePort ? .refuse : source.isNear ? .share : .candidate
        }
    }
}

/// The blocks of addresses that the operator lets in or keeps out; deny wins.
struct Access: Hashable, Sendable {
    /// When not empty, only these.
    var allowed: [IPPrefix] = []
    var denied: [IPPrefix] = []

    func allows(_ ip: IPAddress) -> Bool {
        if denied.contains(where: { $0.contains(ip) }) { return false }
        return allowed.isEmpty || allowed.contains { $0.contains(ip) }
    }
}

extension IPAddress {
    /// Loopback, or a range of private networks: a test rig, or a machine behind the same router.
    var isNear: Bool { isLoopback || isPrivate || isLinkLocal }
}
