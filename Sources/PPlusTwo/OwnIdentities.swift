internal import PeerCore

/// The set "me": identities under which we would meet ourselves (P+2 section 2.1).
struct OwnIdentities {
    /// What the operator wants to be told of us.
    var announce: PeerIdentity?
    /// Our port `p`; nil when we do not listen.
    var port: UInt16?
    /// Where we listen, when that is one address.
    var listener: IPAddress?
    var interfaces: Set<IPAddress> = []
    /// Where we have met ourselves.
    private(set) var aliases: Set<PeerIdentity> = []

    /// Aliases that are remembered.
    private static let mostAliases = 256

    func contains(_ identity: PeerIdentity) -> Bool {
        if identity == announce || aliases.contains(identity) { return true }
        guard identity.port == port else { return false }
        return identity.ip.isLoopback || identity.ip == listener || interfaces.contains(identity.ip)
    }

    /// A dial of `identity` led to ourselves (P+2 section 4.6).
    mutating func met(_ identity: PeerIdentity) {
        if aliases.count < Self.mostAliases { aliases.insert(identity) }
    }

    /// What a peer is told that sees us at `local`; nil: nothing, since nobody could reach us.
    func told(at local: IPAddress) -> PeerIdentity? {
        announce ?? port.flatMap { PeerIdentity(local, $0) }
    }
}
