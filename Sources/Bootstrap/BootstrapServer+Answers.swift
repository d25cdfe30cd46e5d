internal import PeerCore

// What comes in by UDP.
extension BootstrapServer {
    mutating func received(
        _ bytes: Bytes, from source: SocketAddress, at now: ServerClock.Reading, into effects: inout Effects
    ) {
        do throws(DecodeError) {
            let ip = source.ip
            guard source.port != 0, !ip.isUnspecified, !ip.isMulticast, !ip.isBroadcast else {
                throw .invalid(field: "source address")
            }
            switch try BootstrapMessage(decoding: bytes) {
            case .initialization(let question): answer(question, from: source, at: now, into: &effects)
            case .disconnect(let goodbye): remove(goodbye.id, of: source, at: now, into: &effects)
            case .populate: throw .invalid(field: "direction")
            }
        } catch {
            counters.refused(.malformed, at: now.instant)
            effects.log(
                .debug, "bootstrap_malformed",
                ["address": .text(source), "octets": .count(bytes.count), "reason": .text(error)])
        }
    }

    private mutating func answer(
        _ question: Init, from source: SocketAddress, at now: ServerClock.Reading, into effects: inout Effects
    ) {
        var id = table.id(of: source)
        let isEcho = id != 0 && question.id == id
        let isProven = table[id].state.isListed || isEcho && table[id].state == .provisional
        counters.inits += 1
        if let refusal = admission.refusal(of: source.ip, isProven: isProven, at: now.instant) {
            counters.refused(refusal, at: now.instant)
            return
        }
        if isProven {
            if isEcho { renew(id, at: now, into: &effects) }
            id = table.id(of: source)
            let wanted = min(Int(question.degree), configuration.maximumEntries)
            send(table.populate(id, entries: wanted, using: &listing), to: source, into: &effects)
            return
        }
        if id == 0 { id = register(source, wishing: question.id, at: now, into: &effects) }
        let wanted = min(Int(question.degree), configuration.maximumUnvalidatedEntries)
        let entries = affordableEntries(wanted, at: now)
        send(table.populate(id, entries: entries, using: &listing), to: source, into: &effects)
    }

    private mutating func send(_ octets: [UInt8], to source: SocketAddress, into effects: inout Effects) {
        counters.answers += 1
        effects.append(.sendDatagram(Bytes(octets), from: Self.listener, to: source))
    }

    /// All wanted entries, or none when too many octets of entries went to unvalidated sources in the last second.
    private mutating func affordableEntries(_ wanted: Int, at now: ServerClock.Reading) -> Int {
        let octets = min(wanted, table.listedCount) * PeerAddress.octets
        return unvalidatedEntries.take(Double(octets), at: now.instant) ? wanted : 0
    }

    /// Gives an ID to a source that has none. 0: none can be given.
    private mutating func register(
        _ source: SocketAddress, wishing wish: UInt16, at now: ServerClock.Reading, into effects: inout Effects
    ) -> UInt16 {
        let counts = table.counts(of: source.ip)
        if counts.host >= configuration.maximumIDsPerAddress {
            counters.refused(.addressQuota, at: now.instant)
            return 0
        }
        if counts.site >= configuration.maximumIDsPerPrefix {
            counters.refused(.prefixQuota, at: now.instant)
            return 0
        }
        if table.provisionalCount >= configuration.maximumProvisional {
            release(table.oldestProvisional, "displaced", at: now, into: &effects)
        }
        guard table.freeCount > 0 else {
            counters.refused(.noID, at: now.instant)
            return 0
        }
        // An ID that the source names itself is no secret between it and us, so its echo will prove nothing.
        let isClaim =
            isPeerID(wish) && table[wish].state == .free && now.second < configuration.reclaimSeconds
        let id = isClaim ? wish : table.randomFreeID(using: &random)
        table.register(id, source, isClaim ? .claimed : .provisional)
        table[id].due = now.second(after: configuration.provisionalSeconds)
        wheel.add(id, at: now.second + Self.probeDelay)
        note("new", id, into: &effects)
        return id
    }

    /// The echo of the ID: the source is there. It is listed, and lives on.
    private mutating func renew(_ id: UInt16, at now: ServerClock.Reading, into effects: inout Effects) {
        if table[id].state.isListed {
            table[id].state = .echoed
        } else {
            table.list(id, .echoed)
            counters.validatedByEcho += 1
            note("validated", id, into: &effects)
        }
        table[id].due = now.second(after: configuration.entrySeconds)
    }

    private mutating func remove(
        _ id: UInt16, of source: SocketAddress, at now: ServerClock.Reading, into effects: inout Effects
    ) {
        guard id != 0, table.id(of: source) == id else { return }
        counters.disconnected += 1
        release(id, "disconnected", at: now, into: &effects)
    }
}
