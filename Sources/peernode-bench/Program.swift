internal import Glibc

/// `peernode-bench`: measures the node beside the physical limits of the machine, one line for each figure.
enum Program {
    static let usage = """
        usage: peernode-bench [options] JOB…        (`all`: every job)

        jobs:
        \(jobs.map { "  \($0.name.padded(to: 12))\($0.summary)" }.joined(separator: "\n"))

        options:
          --node FILE      the program under test (default: peernode beside this program)
          --rounds N       rounds of each measurement (default 5)
          --nodes N,N      sizes of the network in join, idle, detect (default 8,32,128)
          --quick          one short round of everything: only that it runs
          --json FILE      the figures as JSON lines too
          --keep           leave the scratch folder with configurations and logs
        """

    static let jobs: [Job] = [
        frameJob, codecJob, handshakeJob, envelopeJob, bootstrapJob, joinJob, idleJob, detectJob, memoryJob, startJob,
        gossipJob, filesJob, replicationJob, contentJob,
    ]

    /// What this program starts of itself in processes of their own.
    private static let helpers: [String: @Sendable ([String]) throws -> Int32] = [
        "take-frames": takeFrames, "boot-server": bootServer, "gossip-relay": gossipRelay,
        "file-server": fileServer, "file-peers": filePeers, "star-client": ContentStar.client,
    ]

    /// Runs what the words ask for; gives the exit status: 0 all targets met, 1 one missed or a run failed, 64 usage.
    static func run(_ words: [String]) -> Int32 {
        do {
            if let helper = words.first.flatMap({ helpers[$0] }) { return try helper(Array(words.dropFirst())) }
            if words == ["--help"] {
                write(usage, to: 1)
                return 0
            }
            let options = try Options(words)
            guard !options.jobs.isEmpty else { throw Usage("no job is named") }
            return try measure(options)
        } catch let error as Usage {
            write("peernode-bench: \(error.problem)\n\(usage)", to: 2)
            return 64
        } catch {
            write("peernode-bench: \(error)", to: 2)
            return 1
        }
    }

    private static func measure(_ options: Options) throws -> Int32 {
        let bench = try Bench(options)
        defer { bench.close() }
        bench.report.say(Machine.line)
        for job in jobs where options.jobs.contains(job.name) || options.jobs.contains("all") {
            let load = Machine.Load()
            do {
                try job.run(bench)
            } catch {
                bench.report.failed(job.name, error)
            }
            bench.report.say("machine job=\(job.name) \(load.line)")
        }
        return bench.report.isGood || options.isQuick && !bench.report.hasFailures ? 0 : 1
    }
}

/// One thing that can be measured.
struct Job: Sendable {
    let name: String
    let summary: String
    let run: @Sendable (Bench) throws -> Void
}

/// The command line was not understood.
struct Usage: Error {
    let problem: String

    init(_ problem: String) {
        self.problem = problem
    }
}

/// A measurement could not be carried out.
struct BenchFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
