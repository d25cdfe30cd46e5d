internal import Foundation

/// What the machine is, and how much of it others used meanwhile.
enum Machine {
    /// Cores, kernel, congestion control: what makes figures of two machines differ.
    static var line: String {
        let cores = ProcessInfo.processInfo.processorCount
        let kernel = text(of: "/proc/sys/kernel/osrelease")
        let control = text(of: "/proc/sys/net/ipv4/tcp_congestion_control")
        let allowed = text(of: "/proc/sys/net/ipv4/tcp_allowed_congestion_control").split(separator: " ")
        let model = text(of: "/proc/cpuinfo").split(separator: "\n").first { $0.hasPrefix("model name") }
        let name = model?.split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) } ?? "unknown"
        return "machine cores=\(cores) processor=\"\(name)\" kernel=\(kernel) congestion=\(control)"
            + " allowed=\(allowed.joined(separator: ","))"
    }

    /// The content of a small file of the system, without white space around it; empty when there is none.
    static func text(of path: String) -> String {
        let data = FileManager.default.contents(atPath: path) ?? Data()
        return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// How busy the machine was since the value was made.
    struct Load {
        private let start = Load.counters

        /// Share of all cores that were busy, and the share that processes other than ours had.
        var line: String {
            let now = Load.counters
            let total = max(1e-9, now.total - start.total)
            let busy = (now.busy - start.busy) / total
            let others = max(0, busy - (now.own - start.own) / total)
            return "busy=\(shown(busy * 100))% others=\(shown(others * 100))%"
        }

        /// Seconds of all cores: busy, in all, used by this process and its ended children.
        private static var counters: (busy: Double, total: Double, own: Double) {
            let first = text(of: "/proc/stat").split(separator: "\n").first ?? ""
            let ticks = first.split(separator: " ").dropFirst().prefix(8).compactMap { Double($0) }
            guard ticks.count == 8 else { return (0, 0, 0) }
            let total = ticks.reduce(0, +)
            var times = tms()
            Glibc.times(&times)
            let own = Double(times.tms_utime + times.tms_stime + times.tms_cutime + times.tms_cstime)
            let perSecond = Double(sysconf(Int32(_SC_CLK_TCK)))
            // The fourth and fifth are idle and waiting for a disk.
            return ((total - ticks[3] - ticks[4]) / perSecond, total / perSecond, own / perSecond)
        }
    }
}
