import Foundation
import PeerCore
import PeerRuntime
import TestSupport
import UV

/// Plays scenarios on libuv: real sockets on loopback, real files in a temporary folder, rows in SQLite.
final class HostedNode: ScenarioRunner {
    private let loop = Loop()
    private let folder = NSTemporaryDirectory() + "peernode-host-\(UInt32.random(in: 0 ... .max))"
    private var runtime: Runtime?
    private var hosts: [PuppetName: PeerRuntime.Host] = [:]
    private var lines: [(category: String, record: Record)] = []
    private let limit: UV.Timer

    init() throws {
        for name in ["files", "other", "run"] {
            try FileManager.default.createDirectory(atPath: folder + "/" + name, withIntermediateDirectories: true)
        }
        limit = UV.Timer(loop)
    }

    /// Ends everything; gives whether no handle was left over.
    func end() -> Bool {
        kill()
        limit.close()
        loop.run()
        try? FileManager.default.removeItem(atPath: folder)
        return loop.close()
    }

    func start(_ puppets: [PuppetName: Puppet]) {
        kill()
        let log = Log(level: .trace, descriptor: -1)
        log.followers[0] = { [unowned self] line in
            lines.append((line.record.string("cat") ?? "", line.record))
        }
        guard let rows = try? RowStore(loop: loop, path: folder + "/rows.sqlite", notify: { _ in }) else {
            preconditionFailure("no rows in \(folder)")
        }
        let runtime = Runtime(loop: loop, log: log, rows: rows, limits: Limits())
        self.runtime = runtime
        let folders = Folders([FolderID("files"): folder + "/files", FolderID("other"): folder + "/other"])
        for name in PuppetName.allCases {
            guard let puppet = puppets[name] else { continue }
            let host = PeerRuntime.Host(puppet, name: name.rawValue, runtime: runtime, folders: folders)
            hosts[name] = host
            host.start()
        }
    }

    /// What `kill -9` leaves: rows that were committed, and files.
    private func kill() {
        guard let runtime else { return }
        for host in hosts.values { host.close() }
        hosts = [:]
        var isClosed = false
        runtime.rows?.close { isClosed = true }
        while !isClosed { loop.runOnce() }
        runtime.close()
        self.runtime = nil
        loop.runReady()
    }

    func stop() {
        for host in hosts.values { host.deliver(.stop) }
    }

    func ask(_ name: PuppetName, _ command: Command) -> any ScenarioQuestion {
        guard let host = hosts[name] else { preconditionFailure("\(name) is not started") }
        let question = HostedQuestion(host)
        question.id = host.command(command) { question.replies.append($0) }
        return question
    }

    func openSocket(to address: ListenAddress, reading: Bool) -> any ScenarioSocket {
        HostedSocket(loop, to: address, reading: reading)
    }

    func change(_ path: String, _ bytes: Bytes?) {
        let file = folder + "/files/" + path
        if let bytes {
            let parent = (file as NSString).deletingLastPathComponent
            try? FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
            try? Data(bytes).write(to: URL(fileURLWithPath: file))
        } else {
            try? FileManager.default.removeItem(atPath: file)
        }
    }

    func link(_ path: String) {
        let parent = (folder + "/files/" + path as NSString).deletingLastPathComponent
        try? FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
        try? FileManager.default.createSymbolicLink(
            atPath: folder + "/files/" + path, withDestinationPath: "/etc/hostname")
    }

    func log(of name: PuppetName) -> [LogRecord] {
        lines.filter { $0.category == name.rawValue }.compactMap { _, record in
            guard let level = record.string("level").flatMap({ LogLevel(name: $0) }), let event = record.string("event")
            else { return nil }
            let own = record.fields.filter { !["ts", "level", "cat", "event", "msg"].contains($0.name) }
            return LogRecord(level, event, Record(own.map { ($0.name, $0.value) }), record.string("msg") ?? "")
        }
    }

    func unixPath(_ name: String) -> String { folder + "/run/" + name }

    func run(atMost duration: Duration, until condition: () -> Bool) {
        var isOver = false
        limit.start(at: loop.instant + duration) { isOver = true }
        while !isOver, !condition() { loop.runOnce() }
        limit.stop()
    }
}

private final class HostedQuestion: ScenarioQuestion {
    var replies: [Reply] = []
    var id: CommandID?
    private let host: PeerRuntime.Host

    init(_ host: PeerRuntime.Host) {
        self.host = host
    }

    func cancel() {
        if let id { host.cancel(id) }
    }
}

/// A stream socket of libuv without a host.
private final class HostedSocket: ScenarioSocket {
    private(set) var received: [UInt8] = []
    private(set) var hasEnded = false
    private(set) var wasReset = false
    private var stream: UV.Stream?
    private var waiting: [Bytes] = []
    private var isConnected = false
    private var finishes = false

    init(_ loop: Loop, to address: ListenAddress, reading: Bool) {
        do {
            switch address {
            case .ip(let address):
                let tcp = try TCP(loop)
                stream = tcp
                try tcp.connect(to: address) { [weak self] in self?.connected($0, reading) }
            case .unix(let path):
                let pipe = try Pipe(loop)
                stream = pipe
                pipe.connect(path: path) { [weak self] in self?.connected($0, reading) }
            }
        } catch {
            wasReset = true
        }
    }

    deinit { stream?.close() }

    private func connected(_ error: UVError?, _ reading: Bool) {
        guard error == nil else { return wasReset = true }
        isConnected = true
        pump()
        guard reading else { return }
        stream?.startReading { [weak self] event in
            switch event {
            case .received(let bytes): self?.received += bytes
            case .ended: self?.hasEnded = true
            case .failed(let error): self?.wasReset = error.closeReason == .reset
            }
        }
    }

    func send(_ bytes: Bytes) {
        waiting.append(bytes)
        pump()
    }

    private func pump() {
        while isConnected, let first = waiting.first {
            guard let written = try? stream?.write([first]) else { return }
            if written == first.count {
                waiting.removeFirst()
            } else {
                waiting[0] = first.dropping(written)
                try? stream?.whenWritable { [weak self] in self?.pump() }
                return
            }
        }
        if isConnected, finishes { stream?.shutdown() }
    }

    func finish() {
        finishes = true
        pump()
    }

    func reset() {
        if let tcp = stream as? TCP { tcp.reset() } else { stream?.close() }
    }
}
