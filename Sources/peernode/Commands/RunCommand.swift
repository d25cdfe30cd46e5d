internal import Glibc
internal import PeerCore
internal import PeerCrypto
internal import PeerNode
internal import PeerRuntime
internal import UV

let runCommand = Subcommand(
    name: "run", synopsis: "", summary: "runs the node in the foreground until SIGTERM or SIGINT"
) { options in
    let configuration = try loadConfiguration(options)
    let directory = try openDirectory(configuration)
    let lock = try state { () throws(StateError) in try directory.lock() }
    let run = try Run(options, configuration, directory)
    return try withExtendedLifetime(lock) { try run.untilStopped() }
}

/// The life of `peernode run`: the node, the signals, the manager of services.
private final class Run {
    private let options: Options
    private let loop = Loop()
    private let log: Log
    private let node: Node
    private let notifier = ServiceNotifier(socket: Terminal.environment("NOTIFY_SOCKET"))
    private var signals: [Signal] = []
    private var watchdog: Timer?
    private var failure: Failure?

    init(_ options: Options, _ configuration: EffectiveConfiguration, _ directory: DataDirectory) throws {
        self.options = options
        do throws(SystemError) {
            log = try Log(configuration.node.log, isTerminal: Terminal.isTerminal)
        } catch {
            throw Failure(.inputOutput, "log file \(configuration.node.log.file ?? ""): \(error)")
        }
        let hasFile = configuration.node.log.file != nil
        log.isColoured = Terminal.isColoured && !hasFile
        log.writesPriority = Terminal.isJournal && !hasFile
        let identity = try state { () throws(StateError) in try directory.identity() }
        do throws(RowStoreError) {
            node = try Node(
                loop: loop, configuration: configuration, directory: directory, identity: identity.identity, log: log,
                descriptors: raiseDescriptorLimit())
        } catch {
            throw Failure(.inputOutput, error.description)
        }
        if !directory.facts.isPrivate {
            node.log(
                .warn, "data_directory_exposed", ["data": .string(directory.path)],
                "others can look into the data directory: run chmod 700 on it")
        }
    }

    func untilStopped() throws -> ExitCode {
        try listenToSignals()
        startWatchdog()
        node.notify = { [notifier] in notifier.send($0) }
        node.listenerRefused = { [unowned self] listener, address, error in
            let advice =
                switch error {
                case .addressInUse: "Stop the program that has the address, or change the setting."
                case .addressNotAvailable: "This machine has no such address: change the setting."
                case .notPermitted: "Change the setting or the permissions; the folder of a socket must be there."
                default: "Change the setting."
                }
            failure = Failure(
                error == .notPermitted ? .noPermission : .unavailable,
                "cannot listen on \(address) for \(listener): \(error). \(advice)")
            stop("cannot_listen")
        }
        node.start()
        loop.run()
        let isClean = loop.close()
        precondition(isClean, "handles are left over after the end of the loop")
        if let failure { throw failure }
        return .done
    }

    private func listenToSignals() throws {
        for (number, name) in [(SIGTERM, "SIGTERM"), (SIGINT, "SIGINT")] {
            signals.append(try Signal(loop, number) { [unowned self] in stop(name) })
        }
        signals.append(try Signal(loop, SIGHUP) { [unowned self] in reload() })
        signals.append(try Signal(loop, SIGUSR1) { [unowned self] in reopenLog() })
    }

    private func stop(_ reason: String) {
        node.stop(reason: reason) { [unowned self] in
            for signal in signals { signal.close() }
            watchdog?.close()
        }
    }

    private func reload() {
        do throws(Failure) {
            node.reload(try loadConfiguration(options))
        } catch {
            node.refuseReload(error.message.split(separator: "\n").map(String.init))
        }
    }

    private func reopenLog() {
        do throws(SystemError) {
            try log.reopen()
            node.log(.info, "log_reopened")
        } catch {
            node.log(.error, "log_not_reopened", ["reason": .text(error)])
        }
    }

    /// `WATCHDOG=1` at half of the time that the manager allows.
    private func startWatchdog() {
        guard let microseconds = Terminal.environment("WATCHDOG_USEC").flatMap({ Int64($0) }), microseconds > 0
        else { return }
        let timer = Timer(loop)
        timer.unreference()
        timer.start(every: .microseconds(microseconds / 2)) { [notifier] in notifier.send("WATCHDOG=1") }
        watchdog = timer
    }
}
