internal import PeerCore
internal import PeerCrypto
internal import PeerRuntime
internal import UV

/// What the operator asks of the node itself rather than of one protocol.
final class NodeCommands {
    private unowned let node: Node
    private var followers: [Key: Int] = [:]
    private var lastFollower = 0
    /// Levels that go back by themselves, by category: when, and to which.
    private var returns: [String: (timer: Timer, level: LogLevel)] = [:]

    /// A command of a certain host: IDs are counted by each host for itself.
    private struct Key: Hashable {
        let host: ObjectIdentifier
        let id: CommandID
    }

    init(_ node: Node) {
        self.node = node
    }

    func handle(_ id: CommandID, _ command: Command, from host: Host) {
        let answer = { (reply: Reply) in host.deliver(.answered(id, reply)) }
        switch command.name {
        case "status": answer(Reply([status]))
        case "version": answer(Reply([["version": .string(Node.version)]]))
        case "bans": answer(Reply(bans))
        case "ban": ban(command.arguments, answer)
        case "unban": answer(unban(command.arguments))
        case "events": events(command.arguments, Key(host: ObjectIdentifier(host), id: id), answer)
        case "log-level": answer(setLevel(command.arguments))
        case "withdraw":
            withdraw(Key(host: ObjectIdentifier(host), id: id))
            // A client that sends the word by itself is not left waiting; who withdrew listens no more.
            answer(Reply([]))
        default: answer(Reply([], .refused("the node has no command \(command.name)")))
        }
    }

    // MARK: Status

    private var status: Record {
        var record: Record = [
            "peer": .text(node.identity.peerID), "version": .string(Node.version),
            "pid": .count(processIdentifier()), "config": .string(node.configuration.file),
        ]
        record = record.appending(node.vitalSigns)
        let now = node.runtime.loop.wallClock
        record["bans"] = .count(node.runtime.bans.all.count { $0.ban.until > now })
        let reasons = notReady
        record["ready"] = .bool(reasons.isEmpty)
        record["notReady"] = .list(reasons.map { .string($0) })
        record["sections"] = .list(
            node.sections.map { section in
                var row: Record = ["section": .string(section.title)]
                let records = section.host.status()
                if let first = records.first { row = row.appending(first) }
                if records.count > 1 { row["parts"] = .list(records.dropFirst().map { .record($0) }) }
                return .record(row)
            })
        return record
    }

    /// Why the node is not ready to serve: empty when it is.
    private var notReady: [String] {
        let isYoung = node.runtime.loop.instant - node.startedAt < Self.grace
        return node.sections.flatMap { section in
            guard let status = section.host.status().first else { return [String]() }
            var reasons: [String] = []
            if status.bool("listening") == false { reasons.append("it does not listen") }
            if status.bool("bookRecalled") == false { reasons.append("its address book is not loaded yet") }
            let expectsPeers = section.hasPeers && status.bool("expectsPeers") ?? true
            if expectsPeers, !isYoung, status.int("peers") == 0 { reasons.append("it has no peers") }
            return reasons.map { "\(section.title): \($0)" }
        }
    }

    /// A node may look for its first peers this long before that counts against it.
    private static let grace: Duration = .seconds(60)

    // MARK: Bans

    private var bans: [Record] {
        let now = node.runtime.loop.wallClock
        return node.runtime.bans.all.filter { $0.ban.until > now }.map {
            [
                "prefix": .text($0.prefix), "until": .time($0.ban.until),
                "seconds": .seconds($0.ban.until - now), "reason": .string($0.ban.reason),
            ]
        }
    }

    private func ban(_ arguments: Record, _ answer: @escaping (Reply) -> Void) {
        guard let target = arguments.string("peer") else {
            return answer(Reply([], .refused("ban needs a peer ID, an address or a block such as 192.0.2.0/24")))
        }
        let seconds = arguments["seconds"] == nil ? 24 * 3600 : arguments.int("seconds") ?? 0
        guard (1...Self.longestBan).contains(seconds) else {
            return answer(Reply([], .refused("a ban lasts 1 second to 10 years")))
        }
        let ban = Ban(
            until: node.runtime.loop.wallClock + .seconds(seconds),
            reason: arguments.string("reason") ?? "operator")
        if let prefix = IPPrefix(target) ?? SocketAddress(target).map({ IPPrefix($0.ip) }) {
            node.runtime.ban(prefix, ban)
            return answer(Reply([["prefix": .text(prefix), "until": .time(ban.until)]]))
        }
        locate(target) { [node] prefixes in
            guard !prefixes.isEmpty else {
                return answer(
                    Reply(
                        [],
                        .refused("\(target) is no address, and not the beginning of one known peer's ID")))
            }
            for prefix in prefixes { node.runtime.ban(prefix, ban) }
            answer(Reply(prefixes.map { ["prefix": .text($0), "until": .time(ban.until)] }))
        }
    }

    /// Ten years, in seconds: longer is a slip of the keyboard.
    private static let longestBan: Int64 = 10 * 365 * 86_400

    /// The addresses of a peer that some protocol knows by its ID, or by its first digits when they fit only one.
    private func locate(_ peer: String, _ done: @escaping ([IPPrefix]) -> Void) {
        let hosts = node.sections.filter(\.hasPeers).map(\.host)
        var waiting = hosts.count
        var found: [String: Set<IPPrefix>] = [:]
        guard waiting > 0, peer.count >= Self.shortestPeerID else { return done([]) }
        for host in hosts {
            _ = host.command(Command("peers", ["all": true])) { reply in
                for record in reply.records where record.string("peer")?.hasPrefix(peer.lowercased()) == true {
                    guard let address = record.string("address").flatMap({ SocketAddress($0) }) else { continue }
                    found[record.string("peer") ?? "", default: []].insert(IPPrefix(address.ip))
                }
                guard reply.outcome != .more else { return }
                waiting -= 1
                guard waiting == 0 else { return }
                done(found.count == 1 ? found.values.flatMap { $0 }.sorted { $0.base < $1.base } : [])
            }
        }
    }

    /// Fewer digits of a peer ID than this are a slip.
    private static let shortestPeerID = 4

    private func unban(_ arguments: Record) -> Reply {
        guard let text = arguments.string("peer"),
            let prefix = IPPrefix(text) ?? SocketAddress(text).map({ IPPrefix($0.ip) })
        else {
            return Reply([], .refused("unban needs an address or a block, as `bans` lists it"))
        }
        guard node.runtime.bans[prefix] != nil else { return Reply([], .refused("\(prefix) is not banned")) }
        node.runtime.ban(prefix, nil)
        return Reply([["prefix": .text(prefix)]])
    }

    // MARK: Events

    private func events(_ arguments: Record, _ key: Key, _ answer: @escaping (Reply) -> Void) {
        let wanted = Set((arguments.list("events") ?? []).map(\.plain))
        let isWanted = { (line: Log.Line) in wanted.isEmpty || wanted.contains(line.record.string("event") ?? "") }
        let lines = node.runtime.log.recent.filter(isWanted).map(\.record)
        guard arguments.bool("follow") == true else { return answer(Reply(lines)) }
        answer(Reply(lines, .more))
        lastFollower += 1
        followers[key] = lastFollower
        node.runtime.log.followers[lastFollower] = { line in
            if isWanted(line) { answer(Reply([line.record], .more)) }
        }
    }

    private func withdraw(_ key: Key) {
        guard let follower = followers.removeValue(forKey: key) else { return }
        node.runtime.log.followers[follower] = nil
    }

    // MARK: Levels

    private func setLevel(_ arguments: Record) -> Reply {
        let categories = ["node", "admin"] + Protocols.all.map(\.category)
        guard let category = arguments.string("category"), categories.contains(category) else {
            return Reply([], .refused("categories are \(categories.joined(separator: ", "))"))
        }
        guard let level = arguments.string("level").flatMap({ LogLevel(name: $0) }) else {
            return Reply([], .refused("levels are error, warn, info, debug, trace"))
        }
        let seconds = arguments.int("seconds")
        guard arguments["seconds"] == nil || seconds ?? 0 > 0 else {
            return Reply([], .refused("a level holds for some seconds, or without `seconds` for good"))
        }
        let before = node.runtime.log.level(category)
        let earlier = returns.removeValue(forKey: category)
        earlier?.timer.close()
        apply(level, category)
        if let seconds {
            let lasting = earlier?.level ?? before
            let timer = Timer(node.runtime.loop)
            timer.unreference()
            timer.start(at: node.runtime.loop.instant + .seconds(seconds)) { [unowned self] in
                returns.removeValue(forKey: category)?.timer.close()
                apply(lasting, category)
            }
            returns[category] = (timer, lasting)
        }
        return Reply([["category": .string(category), "level": .string(level.name), "before": .string(before.name)]])
    }

    private func apply(_ level: LogLevel, _ category: String) {
        node.runtime.log.setLevel(level, for: category)
        for section in node.sections where section.category == category { section.host.logLevel = level }
        node.log(.info, "log_level", ["category": .string(category), "to": .string(level.name)])
    }

    /// Levels that were to go back by themselves stay: the file was read again and says what they are.
    func forgetReturns() {
        for (timer, _) in returns.values { timer.close() }
        returns = [:]
    }

    func close() {
        forgetReturns()
    }
}
