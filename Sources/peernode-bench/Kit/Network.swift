internal import Foundation
internal import Glibc
internal import PeerCore
internal import UV

/// Many nodes on one machine that know nothing but one bootstrap server, watched by their logs as these are written.
final class Network {
    /// One node: its process, and whom it has told to be up.
    final class Member {
        let process: NodeProcess
        fileprivate(set) var identity = ""
        fileprivate(set) var peers: Set<String> = []
        fileprivate var poll: Poll?
        fileprivate var lines = LineBuffer(maximumLineBytes: 1 << 20)
        fileprivate let descriptor: Int32

        fileprivate init(_ process: NodeProcess, _ descriptor: Int32) {
            self.process = process
            self.descriptor = descriptor
        }
    }

    /// A line that tells of a peer.
    struct Event {
        let member: Int
        let name: String
        let peer: String
        let instant: Instant
    }

    /// The port of all of them: each has an address of its own, so the standard one serves.
    private static let port: UInt16 = 9097
    private static let bootstrapPort: UInt16 = 9099

    let loop = Loop()
    private(set) var members: [Member] = []
    /// Whether the bootstrap server can be asked.
    private var isServing = false
    /// When the first process was started.
    let started: Instant
    /// Told each event.
    var onEvent: (Event) -> Void = { _ in }

    /// Starts `count` nodes. The first one is the bootstrap server too; the others start when it listens, since a
    /// question that nobody hears is repeated after a second.
    init(_ bench: Bench, count: Int) throws {
        started = loop.instant
        try add(bench, 0)
        guard run(.seconds(10), until: { isServing }) else {
            throw BenchFailure("the bootstrap server does not listen")
        }
        for number in 1..<count { try add(bench, number) }
    }

    /// 127.20.0.1 and so on.
    private static func address(_ number: Int) -> IPAddress {
        IPAddress(127, 20, UInt8(number / 250), UInt8(1 + number % 250))
    }

    private static func sections(_ number: Int) -> Record {
        let bootstrap = SocketAddress(address(0), bootstrapPort)
        var sections: Record = [
            "log": .record(["heartbeatSeconds": 3600]),
            "ddrp": .record([
                "listen": .text(SocketAddress(address(number), port)), "bootstrapServers": .list([.text(bootstrap)]),
            ]),
        ]
        if number == 0 { sections["bootstrapServer"] = .record(["listen": .text(bootstrap)]) }
        return sections
    }

    private func add(_ bench: Bench, _ number: Int) throws {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw BenchFailure("no pipe: error \(errno)") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let process = try NodeProcess(bench, "node\(number)", Self.sections(number), output: .descriptor(ends[1]))
        Glibc.close(ends[1])
        let member = Member(process, ends[0])
        members.append(member)
        _ = fcntl(ends[0], F_SETFL, O_NONBLOCK)
        let poll = try Poll(loop, descriptor: ends[0])
        member.poll = poll
        poll.start(.readable) { [unowned self] _ in read(number) }
    }

    // MARK: Reading logs

    private func read(_ number: Int) {
        let member = members[number]
        var octets = [UInt8](repeating: 0, count: 65_536)
        let count = Glibc.read(member.descriptor, &octets, octets.count)
        guard count > 0 else {
            if count == 0 || errno != EAGAIN { member.poll?.stop() }
            return
        }
        let now = loop.instant
        member.lines.append(Bytes(octets[..<count]))
        while let line = try? member.lines.next() {
            if let text = line.text { take(text, of: number, at: now) }
        }
    }

    private func take(_ line: String, of number: Int, at now: Instant) {
        if Self.value("event", in: line) == "listening", Self.value("cat", in: line) == "bootstrap" { isServing = true }
        guard let name = Self.value("event", in: line), let peer = Self.value("peer", in: line) else { return }
        switch name {
        case "started": members[number].identity = peer
        case "peer_up": members[number].peers.insert(peer)
        case "peer_down": members[number].peers.remove(peer)
        default: return
        }
        onEvent(Event(member: number, name: name, peer: peer, instant: now))
    }

    /// The text of a field of a line; no value that is looked for here holds a quotation mark.
    private static func value(_ field: String, in line: String) -> String? {
        guard let start = line.utf8.firstRange(of: Array("\"\(field)\":\"".utf8)) else { return nil }
        return String(line[start.upperBound...].prefix { $0 != "\"" })
    }

    // MARK: Time

    /// Runs until something holds; gives whether it does within `limit`.
    func run(_ limit: Duration, until holds: () -> Bool) -> Bool {
        let end = loop.instant + limit
        let timer = Timer(loop)
        timer.start(every: .milliseconds(20)) {}
        defer { timer.close() }
        while !holds() {
            guard loop.instant < end else { return false }
            loop.runOnce()
        }
        return true
    }

    /// Runs until every node has so many peers; gives the time since the first process was started.
    func runUntilAllHave(_ peers: Int, limit: Duration) throws -> Duration {
        guard run(limit, until: { members.allSatisfy { $0.peers.count >= peers } }) else {
            let counts = members.map { $0.peers.count }.sorted()
            throw BenchFailure("after \(limit) the nodes have \(counts) peers, not \(peers) each")
        }
        return loop.instant - started
    }

    /// Lets time go by.
    func rest(_ time: Duration) {
        _ = run(time) { false }
    }

    /// Whether all nodes hang together.
    var isConnected: Bool {
        let numbers = Dictionary(members.enumerated().map { ($1.identity, $0) }) { first, _ in first }
        var reached: Set<Int> = [0]
        var next = [0]
        while let number = next.popLast() {
            for peer in members[number].peers {
                guard let other = numbers[peer], reached.insert(other).inserted else { continue }
                next.append(other)
            }
        }
        return reached.count == members.count
    }

    func close() {
        for member in members { member.process.child.send(SIGKILL) }
        for member in members {
            member.process.stop()
            member.poll?.close()
            Glibc.close(member.descriptor)
        }
        loop.run()
        loop.close()
    }
}
