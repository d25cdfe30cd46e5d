internal import Foundation

/// What all jobs share: the options, the report, a scratch folder.
final class Bench {
    let options: Options
    let report: Report
    /// A folder in memory where that is possible, so that no disk is measured.
    let scratch: URL
    private var folders = 0

    init(_ options: Options) throws {
        self.options = options
        report = try Report(json: options.json)
        let memory = URL(fileURLWithPath: "/dev/shm")
        let base =
            FileManager.default.isWritableFile(atPath: memory.path) ? memory : FileManager.default.temporaryDirectory
        scratch = base.appendingPathComponent("peernode-bench.\(ProcessInfo.processInfo.processIdentifier)")
        try FileManager.default.createDirectory(at: scratch, withIntermediateDirectories: true)
    }

    /// A fresh folder.
    func folder(_ name: String) throws -> URL {
        folders += 1
        let folder = scratch.appendingPathComponent("\(folders)-\(name)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }

    /// Runs each case once a round; the order turns from round to round.
    func rounds(atMost most: Int = .max, _ cases: (() throws -> Void)...) throws {
        for round in 0..<min(most, options.rounds) {
            for index in cases.indices { try cases[(index + round) % cases.count]() }
        }
    }

    /// `full`, or what a quick run does in its place.
    func size(_ full: Int, quick: Int) -> Int { options.isQuick ? quick : full }

    func close() {
        if options.keepsScratch { return report.say("scratch \(scratch.path)") }
        try? FileManager.default.removeItem(at: scratch)
    }
}
