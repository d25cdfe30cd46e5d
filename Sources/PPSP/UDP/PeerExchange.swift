internal import PeerCore

// Who else is in a swarm, asked and told in datagrams (RFC 7574 digest, section 4).

extension PPSP {
    /// Peers that are told with one answer, and from one answer to the next.
    private static let (mostTold, tellPause) = (10, Duration.seconds(30))
    /// From one question to the next: longer than the others' pause.
    static let askPeersPause = Duration.seconds(60)

    /// Other peers by datagrams, heard within a minute, never such as only the asker's own network has.
    mutating func tellPeers(_ number: UInt32, at now: Moment) {
        guard let channel = channels[number],
            channel.toldPeersAt.map({ now.instant - $0 >= Self.tellPause }) ?? true
        else { return }
        channels[number]?.toldPeersAt = now.instant
        let others = channels.table.values.filter { other in
            other.swarm == channel.swarm && other.theirs != nil && other.remote != channel.remote
                && now.instant - other.heardAt <= Self.freshness && canReach(other.remote, channel.remote)
        }
        let peers = Set(others.map(\.remote)).sorted().prefix(Self.mostTold)
        channels.say(peers.map { .peer($0) }, on: number)
    }

    /// When somebody who is reached by datagrams alone is to be asked whom else it knows; nil: not at all.
    func asksPeers(_ channel: Channel) -> Instant? {
        guard channel.isOurs, channel.theirs != nil, channel.signalling == nil, let swarm = swarms[channel.swarm],
            swarm.phase == .fetching, swarm.peers.count < configuration.maxPeers
        else { return nil }
        return channel.askedPeersAt.map { $0 + Self.askPeersPause } ?? channel.saidAt
    }

    mutating func askPeers(_ number: UInt32, at now: Moment) {
        channels[number]?.askedPeersAt = now.instant
        channels[number]?.peersLeft = Self.mostOfList
        channels.say([.peerExchangeRequest], on: number)
    }

    /// A peer that was asked names another one: it is called, too.
    mutating func heardOf(_ address: SocketAddress, _ number: UInt32, at now: Moment) {
        guard let channel = channels[number], channel.peersLeft > 0 else { return }
        channels[number]?.peersLeft -= 1
        guard address.port > 0, canReach(address, channel.remote), address != configuration.udpAddress else { return }
        addCallee(address, channel.swarm, isGiven: false, at: now)
    }

    /// Whether an address may mean to one peer what it means to the other: private ones do among themselves only.
    private func canReach(_ address: SocketAddress, _ other: SocketAddress) -> Bool {
        let isInside = other.ip.isPrivate || other.ip.isLoopback
        return !address.ip.isReserved && (isInside || !(address.ip.isPrivate || address.ip.isLoopback))
    }
}
