internal import Admin
public import PeerCore
public import PeerCrypto
internal import PeerJSON
public import PeerRuntime
public import UV

/// A node: configuration → cores → hosts; start, reload, stop.
public final class Node {
    /// The version of the program, as `version`, the log and the user agent show it.
    public static let version = "0.1.0"

    /// What the hosts share.
    public let runtime: Runtime
    /// Who the node is.
    public let identity: Identity
    /// Told when the manager of services should know: `READY=1` and the like.
    public var notify: (String) -> Void = { _ in }
    /// Told when an address to listen on could not be had.
    public var listenerRefused: (ListenerID, ListenAddress, SystemError) -> Void = { _, _, _ in }

    /// The settings in force.
    private(set) var configuration: EffectiveConfiguration
    /// What was in the file at the start: of settings that need a restart, these are in force.
    private let started: EffectiveConfiguration
    let startedAt: Instant
    private(set) var sections: [Section] = []
    private var commands: NodeCommands?
    private let descriptors: Int
    private var heartbeat: Heartbeat?
    private var banSweep: Timer?
    private var stopTimer: Timer?
    private var onStopped: (() -> Void)?
    /// Addresses that could not be had while the node starts; they are told when the cores have said so.
    private var refusals: [(ListenerID, ListenAddress, SystemError)]? = []

    /// A running part of the node: a section of the configuration and the host of its core.
    struct Section {
        /// The key of the section, with a number behind it when there are several.
        let title: String
        /// The key of the section.
        let name: String
        let category: String
        let hasPeers: Bool
        let host: Host
        let reconfigure: (Record) -> [RestartNeeded]
    }

    /// How long peers get to hear goodbye (program.md section 6: at most 10 s).
    private static let goodbyeLimit: Duration = .seconds(2)
    /// How often bans that have ended are taken out.
    private static let banSweepInterval: Duration = .seconds(60)

    /// A node in an opened data directory. It does nothing before `start()`.
    public init(
        loop: Loop, configuration: EffectiveConfiguration, directory: DataDirectory, identity: Identity, log: Log,
        descriptors: Int
    ) throws(RowStoreError) {
        self.configuration = configuration
        self.identity = identity
        self.descriptors = descriptors
        self.startedAt = loop.instant
        started = configuration
        let rows = try RowStore(loop: loop, path: directory.path(of: "peernode.sqlite")) { notice in
            log.write(notice.record, category: "node", at: loop.wallClock)
        }
        let limits = Limits(Limits.Values(configuration.node.limits, descriptors: descriptors))
        runtime = Runtime(loop: loop, log: log, rows: rows, limits: limits)
        commands = NodeCommands(self)
        runtime.nodeCommand = { [unowned self] id, command, host in commands?.handle(id, command, from: host) }
        runtime.listenerRefused = { [unowned self] listener, address, error in
            if refusals == nil {
                listenerRefused(listener, address, error)
            } else {
                refusals?.append((listener, address, error))
            }
        }
    }

    /// Writes a line of category `node`.
    public func log(_ level: LogLevel, _ event: String, _ fields: Record = [:], _ message: String = "") {
        runtime.log.write(
            LogRecord(level, event, fields, message), category: "node", at: runtime.loop.wallClock)
    }

    // MARK: Start

    /// Opens everything that the configuration names.
    public func start() {
        log(
            .info, "started",
            [
                "version": .string(Self.version), "peer": .text(identity.peerID),
                "config": .string(configuration.file), "data": .string(configuration.node.dataDirectory),
                "pid": .count(processIdentifier()),
            ])
        recallBans()
        startAdmin()
        for entry in Protocols.entries {
            let records = configuration.sections(of: entry.section)
            for (index, record) in records.enumerated() {
                let title = records.count == 1 ? entry.section.name : "\(entry.section.name)/\(index)"
                sections.append(entry.start(title, record, self))
            }
        }
        for section in sections { section.host.start() }
        let refused = refusals ?? []
        refusals = nil
        for (listener, address, error) in refused { listenerRefused(listener, address, error) }
        // Whoever was told may have stopped the node.
        guard onStopped == nil else { return }
        heartbeat = Heartbeat(self, every: configuration.node.log.heartbeat)
        banSweep = Timer(runtime.loop)
        banSweep?.unreference()
        banSweep?.start(every: Self.banSweepInterval) { [unowned self] in sweepBans() }
        notify("READY=1\nSTATUS=\(summary)")
    }

    private func startAdmin() {
        let core = AdminServer(AdminServer.Configuration(socket: configuration.node.adminSocket))
        let host = Host(core, name: "admin", runtime: runtime)
        sections.append(
            Section(title: "admin", name: "admin", category: "admin", hasPeers: false, host: host) { _ in [] })
    }

    /// A line about the node for the manager of services.
    var summary: String {
        let counts = sections.filter(\.hasPeers).map { "\($0.title): \($0.host.counters.connections) connections" }
        return counts.isEmpty ? "no protocol is configured" : counts.joined(separator: ", ")
    }

    // MARK: Bans

    private func recallBans() {
        runtime.rows?.recall("bans", after: nil, limit: 100_000) { [weak self] rows, _ in
            guard let self else { return }
            for row in rows {
                guard let prefix = IPPrefix(row.key), let until = row.record.int("until") else { continue }
                let reason = row.record.string("reason") ?? ""
                let ban = Ban(until: WallClock(milliseconds: until), reason: reason)
                runtime.bans[prefix] = ban
                tellProtocols(of: prefix, ban)
            }
        }
        runtime.banChanged = { [unowned self] prefix, ban in banChanged(prefix, ban) }
    }

    private func banChanged(_ prefix: IPPrefix, _ ban: Ban?) {
        let address: Record = ["prefix": .text(prefix)]
        guard let ban else {
            runtime.rows?.forget("bans", prefix.description)
            tellProtocols(of: prefix, nil)
            return logWhenSaved("unbanned", address)
        }
        runtime.rows?.remember(
            "bans", prefix.description, ["until": .int(ban.until.milliseconds), "reason": .string(ban.reason)])
        logWhenSaved("banned", address.appending(["until": .time(ban.until), "reason": .string(ban.reason)]))
        tellProtocols(of: prefix, ban)
    }

    /// What is banned is neither dialled nor told to others; what is no longer, is.
    private func tellProtocols(of prefix: IPPrefix, _ ban: Ban?) {
        var arguments: Record = ["prefix": .text(prefix)]
        if let ban { arguments["seconds"] = .seconds(ban.until - runtime.loop.wallClock) }
        let command = Command(ban == nil ? "readmit" : "drop", arguments)
        for section in sections where section.hasPeers { _ = section.host.command(command) { _ in } }
    }

    /// Writes a line when the rows before it are on the disk, or cannot be.
    private func logWhenSaved(_ event: String, _ fields: Record) {
        guard let rows = runtime.rows else { return log(.info, event, fields) }
        rows.whenCommitted { [weak self] _ in self?.log(.info, event, fields) }
    }

    private func sweepBans() {
        for prefix in runtime.bans.removeEnded(at: runtime.loop.wallClock) {
            runtime.rows?.forget("bans", prefix.description)
            tellProtocols(of: prefix, nil)
            log(.info, "ban_ended", ["prefix": .text(prefix)])
        }
    }

    // MARK: Reload

    /// Takes over new settings, already checked as a whole; says for each changed key what became of it.
    public func reload(_ new: EffectiveConfiguration) {
        notify("RELOADING=1\nMONOTONIC_USEC=\(runtime.loop.instant.nanoseconds / 1000)")
        let changes = configuration.changes(to: new)
        // What was changed and changed back is in force, whatever lay between.
        var needRestart = Set(started.changes(to: new).filter { !$0.isLive }.map(\.pointer.description))
        for section in Protocols.all {
            let running = sections.filter { $0.name == section.name }
            for (record, section) in zip(new.sections(of: section), running) {
                for needed in section.reconfigure(record) { needRestart.insert("/\(section.title)/\(needed.key)") }
            }
        }
        runtime.limits.values = Limits.Values(new.node.limits, descriptors: descriptors)
        heartbeat?.restart(every: new.node.log.heartbeat)
        // Said before the levels change, which may silence it.
        for change in changes {
            let pointer = change.pointer.description
            let isApplied = !needRestart.contains(pointer)
            log(
                isApplied ? .info : .warn, "setting_changed",
                ["setting": .string(pointer), "result": .string(isApplied ? "applied" : "needs restart")])
        }
        log(
            .info, "config_reloaded",
            ["changed": .count(changes.count), "needRestart": .list(needRestart.sorted().map { .string($0) })])
        commands?.forgetReturns()
        runtime.log.apply(new.node.log)
        for section in sections { section.host.logLevel = runtime.log.level(section.category) }
        configuration = new
        notify("READY=1\nSTATUS=\(summary)")
    }

    /// Says that a reload was refused; nothing has changed.
    public func refuseReload(_ problems: [String]) {
        log(
            .error, "config_refused", ["problems": .list(problems.map { .string($0) })],
            "the node goes on with the settings that it has")
    }

    // MARK: Stop

    /// Says goodbye where the protocol has one, commits rows, closes everything; `done` is called last.
    /// A second call ends it at once.
    public func stop(reason: String, done: @escaping () -> Void) {
        if onStopped != nil { return closeHosts(reason) }
        onStopped = done
        log(.info, "stopping", ["reason": .string(reason)])
        notify("STOPPING=1")
        heartbeat?.close()
        banSweep?.close()
        for section in sections { section.host.deliver(.stop) }
        stopTimer = Timer(runtime.loop)
        let deadline = runtime.loop.instant + Self.goodbyeLimit
        waitForGoodbyes(until: deadline, reason)
    }

    private func waitForGoodbyes(until deadline: Instant, _ reason: String) {
        let isBusy = sections.contains { $0.host.isBusy }
        let now = runtime.loop.instant
        guard isBusy, now < deadline else { return closeHosts(reason) }
        stopTimer?.start(at: now + .milliseconds(10)) { [unowned self] in waitForGoodbyes(until: deadline, reason) }
    }

    private func closeHosts(_ reason: String) {
        guard let done = onStopped, stopTimer != nil else { return }
        stopTimer?.close()
        stopTimer = nil
        for section in sections { section.host.close() }
        sections = []
        runtime.rows?.close { [self] in
            runtime.close()
            log(
                .info, "stopped",
                ["reason": .string(reason), "seconds": .seconds(runtime.loop.instant - startedAt)])
            commands?.close()
            done()
        }
    }
}

extension RowStore.Notice {
    var record: LogRecord {
        switch self {
        case .failed(let error):
            LogRecord(
                .error, "state_not_saved", ["reason": .text(error)],
                "the node goes on from memory and tries again every 10 s")
        case .recovered: LogRecord(.info, "state_saved", [:], "what waited is on the disk")
        case .setAside(let name):
            LogRecord(
                .warn, "state_set_aside", ["file": .string(name)],
                "the state file was damaged; it was renamed and a new one begun")
        }
    }
}
