internal import Gossip
internal import Glibc
internal import PeerCore
internal import PeerRuntime
internal import UV

/// What `subscribe` does.
final class Subscription {
    /// An item that waits for its verdict, or for that of one before it.
    private final class Item {
        let notification: Notification
        var isValid: Bool?

        init(_ notification: Notification) { self.notification = notification }
    }

    /// Commands that run at once: enough for those that wait, without crowding out the machine's other work.
    private static let maximumCommands = 8
    /// Items that wait; at their largest they take 64 MiB.
    private static let maximumItems = 1024
    /// How long a command may take: the node's patience is 5 s (gossip, section 3), and the verdict has its way to go.
    private static let patience: Duration = .seconds(4)
    /// Characters of an item that is not valid in a message: about two lines of a terminal.
    private static let shownCharacters = 160

    private let types: [UInt16]
    /// Judges the items; nil: all are valid.
    private let command: String?
    /// Valid items after which it is over.
    private let count: Int?
    private let isJSON: Bool
    private let isQuiet: Bool
    private let loop = Loop()
    private let connection: ModuleConnection
    private let environment = environmentVariables()
    private var buffer = ReceiveBuffer()
    private var signals: [Signal] = []
    private var failure: Failure?
    private var isFinished = false
    private var warnings: Set<String> = []
    private var shown = 0
    /// In the order of arrival.
    private var items: [Item] = []
    /// Those of `items` whose command has not begun.
    private var waiting: [Item] = []
    /// Commands that run, by their process ID.
    private var running: [Int32: ChildProcess] = [:]

    init(_ options: Options) throws(Failure) {
        types = try dataTypes(options.arguments)
        command = options.value("validate")
        let wanted = "--count takes a number from 1 on"
        count = if let text = options.value("count") { try number(text, 1 ... .max, wanted: wanted) } else { nil }
        (isJSON, isQuiet) = (options.has("json"), options.has("quiet"))
        connection = ModuleConnection(loop, to: try apiDestination(options))
    }

    func run() throws -> ExitCode {
        signals = try [SIGINT, SIGTERM].map { try Signal(loop, $0) { [unowned self] in finish() } }
        connection.onEnd = { [unowned self] in finish($0) }
        connection.onOctets = { [unowned self] in take($0) }
        connection.onReady = { [unowned self] in
            for type in types { connection.send(Notify(dataType: type).bytes) }
            let words = types.map(String.init).joined(separator: ", ")
            if !isQuiet { complain("subscribed to \(words) at \(connection.destination); Ctrl-C ends it") }
        }
        connection.open()
        loop.run()
        loop.close()
        if let failure { throw failure }
        return .done
    }

    /// Stops judging and showing, and ends the connection in order. What happens after the first end is no failure.
    private func finish(_ reason: Failure? = nil) {
        guard !isFinished else { return }
        isFinished = true
        failure = reason
        (items, waiting) = ([], [])
        for signal in signals { signal.close() }
        for child in running.values { child.kill(SIGKILL) }
        connection.finish()
    }

    private func warnOnce(_ text: String) {
        if warnings.insert(text).inserted { complain(text) }
    }

    private func take(_ bytes: Bytes) {
        buffer.append(bytes)
        do throws(DecodeError) {
            while !isFinished, let notification = try nextNotification() { take(notification) }
        } catch {
            let what = "what \(connection.destination) sends is no NOTIFICATION (\(error))"
            finish(Failure(.inputOutput, what + ". Is it the module API of a node?"))
        }
    }

    /// The next complete question of the node, which sends nothing else.
    private func nextNotification() throws(DecodeError) -> Notification? {
        guard let (message, octets) = try APIMessage.next(in: buffer.waiting) else { return nil }
        guard case .notification(let notification) = message else { throw .invalid(field: "type") }
        buffer.consume(octets)
        return notification
    }

    private func take(_ notification: Notification) {
        guard command != nil else {
            answer(notification, isValid: true)
            return show(notification, isValid: true)
        }
        guard items.count < Self.maximumItems else {
            warnOnce("\(items.count) items wait for --validate: the node is told of any more that they are not valid")
            return answer(notification, isValid: false)
        }
        let item = Item(notification)
        items.append(item)
        waiting.append(item)
        runCommands()
    }

    private func answer(_ notification: Notification, isValid: Bool) {
        connection.send(Validation(messageID: notification.messageID, isValid: isValid).bytes)
    }
}

// Verdicts.
extension Subscription {
    /// Begins as many commands as may run.
    private func runCommands() {
        while !isFinished, running.count < Self.maximumCommands, !waiting.isEmpty, let command {
            let item = waiting.removeFirst()
            do throws(UVError) {
                try run(command, item)
            } catch {
                warnOnce("/bin/sh cannot be run (\(error.systemError)): what --validate does not judge is not valid")
                judge(item, isValid: false)
            }
        }
    }

    private func run(_ command: String, _ item: Item) throws(UVError) {
        var environment = environment
        environment["PEERNODE_TYPE"] = String(item.notification.dataType)
        var timer: Timer?
        var identifier: Int32 = 0
        let child = try ChildProcess(
            loop, "/bin/sh", ["-c", command], environment: environment, input: item.notification.data, output: .ignored
        ) { [self] status, signal in
            timer?.close()
            running[identifier] = nil
            judge(item, isValid: status == 0 && signal == 0)
            runCommands()
        }
        identifier = child.identifier
        running[identifier] = child
        timer = Timer(loop)
        timer?.start(at: loop.instant + Self.patience) { [self] in
            child.kill(SIGKILL)
            judge(item, isValid: false)
        }
    }

    /// Takes the first verdict on an item, and shows all items that have theirs and wait for none before them.
    private func judge(_ item: Item, isValid: Bool) {
        guard !isFinished, item.isValid == nil else { return }
        item.isValid = isValid
        answer(item.notification, isValid: isValid)
        while let first = items.first, let isValid = first.isValid {
            items.removeFirst()
            show(first.notification, isValid: isValid)
        }
    }
}

// What is shown.
extension Subscription {
    private func show(_ notification: Notification, isValid: Bool) {
        // A NUL is valid UTF-8, and no text has one.
        let (data, type) = (notification.data, notification.dataType)
        let text = data.contains(0) ? nil : data.text
        let plain = text?.escapedForTerminal ?? data.hex
        let item: Record = [
            "type": .count(type), "bytes": .count(data.count),
            text == nil ? "hex" : "text": .string(text ?? data.hex), "valid": .bool(isValid),
        ]
        if isValid {
            print(isJSON ? item.json : plain)
        } else if isJSON, !isQuiet {
            writeAll(Array((item.json + "\n").utf8), to: STDERR_FILENO)
        } else if !isQuiet {
            let cut = plain.count > Self.shownCharacters ? plain.prefix(Self.shownCharacters) + "…" : plain[...]
            complain("not valid: type \(type), \(data.count) octets: \(cut)")
        }
    }

    /// Writes a line. It is over when nobody reads any more, and after the last item; commands are not left behind.
    private func print(_ line: String) {
        if let error = writeAll(Array((line + "\n").utf8), to: STDOUT_FILENO) {
            return finish(error == .disconnected ? nil : Failure(.inputOutput, "standard output: \(error)"))
        }
        shown += 1
        if shown == count { finish() }
    }
}
