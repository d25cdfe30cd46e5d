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
        node.notify("STATUS=\(node.summary)")
    }
}

extension Node {
    /// Uptime, peers by protocol, age of the last message, lateness of the loop, descriptors, memory, octets.
    var vitalSigns: Record {
        let now = runtime.loop.instant
        let lag = runtime.lag.take()
        var record: Record = ["uptime": .count((now - startedAt).nanoseconds / 1_000_000_000)]
        var traffic = Traffic()
        var lastReceived: Instant?
        for section in sections {
            let counters = section.host.counters
            traffic.received += counters.traffic.received
            traffic.sent += counters.traffic.sent
            lastReceived = [lastReceived, counters.lastReceived].compactMap(\.self).max()
            for status in section.host.status() where section.hasPeers {
                record["\(section.name)_in"] = status["in"]
                record["\(section.name)_out"] = status["out"]
                record["\(section.name)_book"] = status["book"]
            }
        }
        record["last_message_seconds"] = lastReceived.map { .seconds(now - $0) } ?? .null
        record["lag_p50_ms"] = .double(lag.median.fractionalSeconds * 1000)
        record["lag_max_ms"] = .double(lag.maximum.fractionalSeconds * 1000)
        record["descriptors"] = .count(openDescriptors())
        record["rss_bytes"] = .count(residentMemory())
        record["buffered_bytes"] = .count(runtime.limits.bufferedBytes)
        record["received_bytes"] = .count(traffic.received)
        record["sent_bytes"] = .count(traffic.sent)
        return record
    }
}
