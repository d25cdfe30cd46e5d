internal import AddressBook
internal import Bootstrap
internal import PeerCore

/// The names whose addresses are seeds.
struct NameSeeds {
    /// Names are looked up again, below the target, when the last time is so long ago.
    static let pause: Duration = .seconds(60)

    var requests: Set<RequestID> = []
    var lastLookUp: Instant?
}

// MARK: - Where addresses come from, besides peers

extension DDRP {
    /// The seeds of the configuration are always in the book.
    mutating func addSeeds(at now: Moment) {
        for seed in configuration.seeds {
            guard let address = seed.address else { continue }
            _ = book.add(address, identity: seed.identity, from: .seed, at: now)
        }
        life.needsSettling = true
    }

    mutating func resolveNames(at now: Moment, into effects: inout Effects) {
        guard !configuration.dnsSeeds.isEmpty else { return }
        names.lastLookUp = now.instant
        names.requests = Set(configuration.dnsSeeds.map { effects.resolve($0) })
    }

    mutating func resolveNamesAgain(at now: Moment, into effects: inout Effects) {
        guard let last = names.lastLookUp, now.instant - last >= NameSeeds.pause else { return }
        resolveNames(at: now, into: &effects)
    }

    mutating func resolved(
        _ request: RequestID, _ addresses: [IPAddress], at now: Moment, into effects: inout Effects
    ) {
        if names.requests.remove(request) == nil {
            _ = bootstrap?.resolved(request, addresses, at: now, into: &effects)
            return
        }
        for ip in addresses {
            let address = SocketAddress(ip, configuration.standardPort)
            _ = book.add(address, identity: nil, from: .seed, at: now)
        }
        life.needsSettling = true
    }

    /// A datagram on our port: only a bootstrap server has something to say there.
    mutating func receivedDatagram(
        _ bytes: Bytes, from source: SocketAddress, at now: Moment, into effects: inout Effects
    ) {
        guard let told = bootstrap?.datagram(bytes, from: source, at: now, into: &effects) else { return }
        for peer in told { _ = book.add(peer.address, identity: nil, from: .bootstrap, at: now) }
        life.needsSettling = true
    }
}
