internal import CLimits
internal import Foundation

/// A program that was started here. It ends with this process, after its lifetime, or when it is told to.
final class Child {
    let process: pid_t
    private var status: Int32?

    /// Starts `words`, path first, with output to a descriptor; it lives for `seconds` at most.
    init(_ words: [String], output: Int32, seconds: UInt32) throws {
        let octets: [UInt8] = words.flatMap { Array($0.utf8) + [0] }
        process = limits_spawn(octets, octets.count, output, seconds)
        guard process > 0 else { throw BenchFailure("\(words[0]) cannot be started: error \(-process)") }
    }

    deinit {
        end()
    }

    /// Sends a signal, and waits for the end.
    @discardableResult func end(_ signal: Int32 = SIGKILL) -> Int32 {
        if status == nil { kill(process, signal) }
        return wait()
    }

    /// Waits for the end; gives the exit status.
    func wait() -> Int32 {
        if let status { return status }
        let status = limits_wait(process)
        self.status = status
        return status
    }

    /// Sends a signal and does not wait.
    func send(_ signal: Int32) {
        guard status == nil else { return }
        kill(process, signal)
    }

    /// Nanoseconds that its threads have been on a processor. The kernel brings this up to date when a thread leaves
    /// the processor, so let it go idle before (`Child.settle`).
    var processorTime: Double {
        let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/task")) ?? []
        return tasks.reduce(0) { sum, task in
            let text = Machine.text(of: "/proc/\(process)/task/\(task)/schedstat")
            return sum + (text.split(separator: " ").first.flatMap { Double($0) } ?? 0)
        }
    }

    /// Lets programs go idle before their processor time is read.
    static func settle() {
        usleep(80_000)
    }

    /// Octets of memory that it occupies.
    var residentBytes: Double { kibibytes("VmRSS:", in: "status") * 1024 }

    /// The same with pages that it shares counted in part.
    var proportionalBytes: Double { kibibytes("Pss:", in: "smaps_rollup") * 1024 }

    private func kibibytes(_ field: String, in file: String) -> Double {
        let line = Machine.text(of: "/proc/\(process)/\(file)").split(separator: "\n").first { $0.hasPrefix(field) }
        return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Double($0) } ?? .nan
    }
}
