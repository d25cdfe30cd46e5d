public import PeerCore

/// Things that happened, for the operator.
struct Counters {
    var bytesReceived: UInt64 = 0
    var bytesStored: UInt64 = 0
    /// Chunks that came a second time.
    var bytesTwice: UInt64 = 0
    var bytesSent: UInt64 = 0
    var chunksRefused = 0
    /// Messages and connections that were refused, by reason.
    var rejected: [String: Int] = [:]

    var record: Record {
        var rejects = Record()
        for (reason, count) in rejected.sorted(by: { $0.key < $1.key }) { rejects[reason] = .count(count) }
        return [
            "bytesReceived": .count(bytesReceived), "bytesStored": .count(bytesStored),
            "bytesTwice": .count(bytesTwice), "bytesSent": .count(bytesSent), "chunksRefused": .count(chunksRefused),
            "rejected": .record(rejects),
        ]
    }
}

extension PPSP {
    /// The port of the protocol (PPSP section 1).
    public static let standardPort: UInt16 = 6778

    /// One record of the protocol, then one for each content.
    public func status() -> [Record] {
        let all: Record = [
            "listen": configuration.listen.map { .text($0) } ?? .null,
            "listening": .bool(isListening), "http": configuration.httpAddress.map { .text($0) } ?? .null,
            "peer": .string(peerID.hex),
            "contents": .count(swarms.count), "complete": .count(swarms.values.count { $0.phase == .complete }),
            "connections": .count(links.count), "peers": .count(Set(partners.values.map(\.peerID)).count),
            "udpListen": configuration.udpAddress.map { .text($0) } ?? .null, "channels": .count(channels.count),
            "slots": .count(partners.values.count { $0.give?.hasSlot ?? false }),
            "expectsPeers": .bool(swarms.values.contains { $0.phase == .fetching }),
            "counts": .record(counters.record),
        ]
        return [all] + swarms.keys.sorted().compactMap { swarms[$0].map { row(of: $0) } }
    }

    /// Whether all listeners are open.
    private var isListening: Bool {
        (configuration.listen == nil || life.isListening)
            && (configuration.httpAddress == nil || life.webPort != nil)
    }

    /// The line of a content.
    func row(of swarm: Swarm) -> Record {
        let state =
            switch swarm.phase {
            case .opening: "opening"
            case .fetching: "fetching"
            case .complete: "complete"
            case .broken: "stopped"
            }
        var row: Record = [
            "swarm": .text(swarm.id), "state": .string(state), "path": .string("\(swarm.place)/\(swarm.name)"),
            "bytes": .count(swarm.phase == .complete ? swarm.length ?? 0 : swarm.haveOctets),
            "peers": .count(swarm.peers.count),
        ]
        if let total = swarm.totalOctets { row["ofBytes"] = .count(total) }
        if let count = swarm.chunkCount {
            row["chunks"] = .count(swarm.have.count)
            row["ofChunks"] = .count(count)
        }
        if swarm.chunkSize > 0 { row["chunkBytes"] = .count(swarm.chunkSize) }
        if let function = swarm.metadata.hashFunction { row["hash"] = .string("\(function)") }
        if case .broken(let why) = swarm.phase { row["why"] = .string(why) }
        guard swarm.phase == .fetching else { return row }
        row["part"] = .string("\(swarm.place)/\(swarm.part.path)")
        row["prefixBytes"] = .count(swarm.prefix)
        if let rate = swarm.meter.rate {
            row["bytesPerSecond"] = .count(UInt64(max(0, rate)))
            if let total = swarm.totalOctets, rate > 0 {
                row["secondsLeft"] = .count(UInt64(Double(total - min(total, swarm.haveOctets)) / rate))
            }
        }
        row["map"] = .string(Self.bar(swarm))
        return row
    }

    /// Which parts of a content are here, in 64 signs: `#` all of a part, `+` some, `.` nothing.
    private static func bar(_ swarm: Swarm) -> String {
        guard let count = swarm.chunkCount else { return "" }
        let signs = min(64, count)
        return String(
            (0..<signs).map { sign -> Character in
                let first = count * sign / signs
                let part = ChunkRange(first, max(first, count * (sign + 1) / signs - 1))
                return swarm.have.contains(part) ? "#" : swarm.have.intersects(part) ? "+" : "."
            })
    }

    /// What is different for a channel of datagrams.
    private func tell(_ channel: Channel, in row: inout Record) {
        row["transport"] = "udp"
        if links[channel.connection]?.peerID == nil { row["peer"] = .text(channel.remote) }
        row["address"] = .text(channel.remote)
        row["direction"] = channel.isOurs ? "out" : "in"
        row["windowBytes"] = .count(UInt64(channel.out.ledbat.window))
        if let queueing = channel.out.ledbat.queueing { row["queueMs"] = .count(UInt64(min(queueing / 1000, 1e9))) }
        if let mean = channel.out.roundTrip.mean { row["roundTripMs"] = .count(UInt64(min(mean * 1000, 1e9))) }
    }

    func peerRows(_ number: Int, at now: Instant) -> [Record] {
        ties(of: number).compactMap { tie in
            guard let partner = partners[tie], let link = links[tie.connection] else { return nil }
            var row: Record = [
                "peer": .string(partner.peerID.hex), "address": .text(link.listens ?? link.remote),
                "protocol": "content", "swarm": .string(name(of: number)),
                "direction": link.dialled == nil ? "in" : "out", "chunks": .count(partner.has.count),
                "lastSeenSeconds": .seconds(now - link.heardAt), "proved": .bool(link.isProved),
            ]
            if partner.take?.web != nil { row["transport"] = "http" }
            if let channel = channels.number(of: tie.connection).flatMap({ channels[$0] }) { tell(channel, in: &row) }
            if let take = partner.take {
                row["receivedBytes"] = .count(take.octets)
                row["asked"] = .count(take.asked.count)
                row["choked"] = .bool(take.isChoked)
            }
            if let give = partner.give {
                row["sentBytes"] = .count(give.octets)
                row["slot"] = .bool(give.hasSlot)
            }
            return row
        }
    }
}
