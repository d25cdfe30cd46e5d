internal import PeerCore

// The life of entries.
extension BootstrapServer {
    /// Seconds after which a newcomer is probed: most echo their ID at once, and then there is no need.
    static var probeDelay: Int { 1 }

    /// The wheel brings `id`, at its time or before.
    mutating func lookAt(_ id: UInt16, at now: ServerClock.Reading, into effects: inout Effects) {
        let isDue = now.second >= Int(table[id].due)
        switch table[id].state {
        case .free: return
        case .resting where isDue:
            table.makeFree(id)
            return
        case .echoed where isDue:
            counters.expired += 1
            release(id, "expired", at: now, into: &effects)
        case .provisional where isDue, .claimed where isDue:
            counters.lapsed += 1
            release(id, "lapsed", at: now, into: &effects)
            table.makeFree(id)
            return
        case .provisional where table[id].probes == 0, .claimed where table[id].probes == 0:
            if probe(id, at: now, into: &effects) { table[id].probes = 1 }
        case .probed where isDue:
            if probe(id, at: now, into: &effects) {
                table[id].due = now.second(after: configuration.probeIntervalSeconds)
            }
        default: break
        }
        let isUnprobed = table[id].state.isProvisional && table[id].probes == 0
        wheel.add(id, at: isUnprobed ? now.second + 1 : Int(table[id].due))
    }

    /// Takes an ID from its endpoint. One that others were told of rests for the quarantine, any other until the wheel
    /// brings it.
    mutating func release(
        _ id: UInt16, _ change: String, at now: ServerClock.Reading, into effects: inout Effects
    ) {
        note(change, id, into: &effects)
        let rest = table[id].state.isListed ? configuration.quarantineSeconds : 0
        table.release(id)
        table[id].due = now.second(after: rest)
    }

    func note(_ change: String, _ id: UInt16, into effects: inout Effects) {
        effects.log(
            .debug, "bootstrap_entry",
            ["change": .string(change), "id": .count(id), "address": .text(table[id].address)])
    }
}

// Probes.
extension BootstrapServer {
    /// Tries a TCP connection to the endpoint of `id`. Gives false when that must wait.
    private mutating func probe(_ id: UInt16, at now: ServerClock.Reading, into effects: inout Effects) -> Bool {
        let address = table[id].address
        guard prober.mayBegin(address, isListed: table[id].state.isListed, at: now.instant) else { return false }
        // A server on one loopback address is that address, for its peers' sake and for tests.
        let own = configuration.listen.ip
        let connection = effects.connect(
            to: .address(address), from: own.isLoopback ? own : nil, timeout: configuration.probeTimeout)
        prober.begin(connection, Prober.Probe(id: id, address: address))
        return true
    }

    mutating func connected(_ connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        effects.append(.finish(connection))
        let reading = clock.reading(now)
        guard let probe = prober.end(connection, isOpen: true, at: reading.instant), isCurrent(probe) else { return }
        effects.log(.debug, "bootstrap_probe", ["id": .count(probe.id), "address": .text(probe.address)])
        if table[probe.id].state.isListed {
            table[probe.id].probes = 0
        } else {
            table.list(probe.id, .probed)
            table[probe.id].due = reading.second(after: configuration.probeIntervalSeconds)
            counters.validatedByProbe += 1
            note("validated", probe.id, into: &effects)
        }
    }

    mutating func closed(
        _ connection: ConnectionID, _ reason: CloseReason, at now: Moment, into effects: inout Effects
    ) {
        let reading = clock.reading(now)
        guard let probe = prober.end(connection, isOpen: false, at: reading.instant), isCurrent(probe) else { return }
        effects.log(
            .debug, "bootstrap_probe",
            ["id": .count(probe.id), "address": .text(probe.address), "reason": .string(reason.rawValue)])
        guard table[probe.id].state == .probed else { return }
        table[probe.id].probes += 1
        guard Int(table[probe.id].probes) >= configuration.maximumProbeFailures else { return }
        counters.expired += 1
        release(probe.id, "expired", at: reading, into: &effects)
    }

    /// Whether the ID still belongs to the endpoint that was probed.
    private func isCurrent(_ probe: Prober.Probe) -> Bool {
        let state = table[probe.id].state
        return (state.isListed || state.isProvisional) && table[probe.id].address == probe.address
    }
}
