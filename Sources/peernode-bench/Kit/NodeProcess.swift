internal import Foundation
internal import PeerCore
internal import UV

/// A node under test: `peernode run` with a folder and a configuration of its own.
final class NodeProcess {
    /// Where its log goes.
    enum Output {
        /// A file in its folder: nobody need read while load is made.
        case file
        /// A descriptor, to be read as lines come.
        case descriptor(Int32)
    }

    let child: Child
    /// Configuration, log and state.
    let folder: URL

    /// No job takes longer; a node that outlives this was forgotten.
    private static let lifetimeSeconds: UInt32 = 240
    /// Longest time from start to `listening`.
    private static let startLimit = 10.0

    /// Starts a node with these sections of the configuration beside the standard ones.
    init(_ bench: Bench, _ name: String, _ sections: Record, output: Output = .file, folder: URL? = nil) throws {
        self.folder = try folder ?? bench.folder(name)
        var configuration: Record = ["dataDirectory": .string(self.folder.appendingPathComponent("data").path)]
        configuration = configuration.appending(sections)
        let file = self.folder.appendingPathComponent("peernode.json")
        try Data(configuration.json.utf8).write(to: file)
        guard FileManager.default.isExecutableFile(atPath: bench.options.node) else {
            throw BenchFailure("\(bench.options.node) is no program: build it, or name it with --node")
        }
        let words = [bench.options.node, "run", "-c", file.path]
        switch output {
        case .file:
            let descriptor = open(self.folder.appendingPathComponent("log").path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
            defer { close(descriptor) }
            child = try Child(words, output: descriptor, seconds: Self.lifetimeSeconds)
        case .descriptor(let descriptor):
            child = try Child(words, output: descriptor, seconds: Self.lifetimeSeconds)
        }
    }

    /// What it has logged so far, when that goes to a file.
    var log: String { Machine.text(of: folder.appendingPathComponent("log").path) }

    /// Waits until `count` listeners of a category are open.
    func waitUntilListening(_ category: String, _ count: Int = 1) throws {
        let line = "\"cat\":\"\(category)\",\"event\":\"listening\""
        let end = Date().addingTimeInterval(Self.startLimit)
        while log.components(separatedBy: line).count - 1 < count {
            guard Date() < end else { throw BenchFailure("the node does not listen: \(log.suffix(500))") }
            usleep(2_000)
        }
    }

    /// What the node says of itself: one of its admin socket's answers, as text.
    func status() throws -> String {
        let socket = folder.appendingPathComponent("data/admin.sock").path
        let loop = Loop()
        let pipe = try Pipe(loop)
        var answer: [UInt8] = []
        var failure: UVError?
        pipe.connect(path: socket) { error in
            failure = error
            guard error == nil else { return pipe.close() }
            _ = try? pipe.write([Bytes(utf8: "{\"command\":\"status\",\"arguments\":{}}\n")])
            pipe.startReading { event in
                guard case .received(let bytes) = event else { return pipe.close() }
                answer += bytes
                if String(decoding: answer, as: UTF8.self).contains("\"done\":true") { pipe.close() }
            }
        }
        loop.run()
        loop.close()
        if let failure { throw BenchFailure("\(socket): \(failure.name)") }
        return String(decoding: answer, as: UTF8.self)
    }

    /// Waits until the node says that `field` has a value of `count` or more; gives the seconds that it took.
    func waitUntil(_ field: String, is count: Int, limit seconds: Double) throws {
        let end = Date().addingTimeInterval(seconds)
        while true {
            let text = try status()
            let values = text.components(separatedBy: "\"\(field)\":").dropFirst().map {
                Int($0.prefix { $0.isNumber }) ?? 0
            }
            if values.contains(where: { $0 >= count }) { return }
            guard Date() < end else { throw BenchFailure("the node has \(field) \(values), not \(count)") }
            usleep(20_000)
        }
    }

    /// Ends it.
    func stop() {
        child.end()
    }
}

extension Record {
    /// Limits raised out of the way of a load, for the sections `limits` and `ddrp`, and how the output names them.
    static var unlimited: Record {
        ["maxConnections": 19_900, "acceptsPerSecond": 0, "dialsPerSecond": 0]
    }
}
