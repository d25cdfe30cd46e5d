internal import PeerCore
internal import PeerRuntime
internal import UV

/// The line that says, every so often, that the node lives and how it is.
final class Heartbeat {
    private unowned let node: Node
    private let timer: Timer

    init(_ node: Node, every interval: Duration) {
        self.node = node
        timer = Timer(node.runtime.loop)
        timer.unreference()
        restart(every: interval)
    }

    func restart(every interval: Duration) {
        timer.stop()
        guard interval > .zero else { return }
        timer.start(every: interval) { [unowned self] in beat() }
    }

    func close() {
        timer.close()
    }

    private func beat() {
        node.log(.info, "heartbeat", node.vitalSigns)
        node.runtime.lag.forget()
        node.notify("STATUS=\(node.summary)")
    }
}

extension Node {
    /// Uptime, peers by protocol, age of the last message, lateness of the loop, descriptors, memory, octets.
    var vitalSigns: Record {
        let now = runtime.loop.instant
        let lag = runtime.lag.sinceHeartbeat
        var record: Record = ["uptimeSeconds": .count((now - startedAt).nanoseconds / 1_000_000_000)]
        var traffic = Traffic()
        var lastReceived: Instant?
        for section in sections {
            // What the operator asks is no traffic of the network, and no sign of it.
            guard section.name != "admin" else { continue }
            let counters = section.host.counters
            traffic.received += counters.traffic.received
            traffic.sent += counters.traffic.sent
            lastReceived = [lastReceived, counters.lastReceived].compactMap(\.self).max()
            guard section.hasPeers, let status = section.host.status().first else { continue }
            record["\(section.category)In"] = status["inbound"]
            record["\(section.category)Out"] = status["outbound"]
            record["\(section.category)Book"] = status["known"]
        }
        record["lastMessageSeconds"] = lastReceived.map { .seconds(now - $0) } ?? .null
        record["lagMedianSeconds"] = .seconds(lag.median)
        record["lagMaximumSeconds"] = .seconds(lag.maximum)
        record["descriptors"] = .count(openDescriptors())
        record["rssBytes"] = .count(residentMemory())
        record["bufferedBytes"] = .count(runtime.limits.bufferedBytes)
        record["receivedBytes"] = .count(traffic.received)
        record["sentBytes"] = .count(traffic.sent)
        return record
    }
}
