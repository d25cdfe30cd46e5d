internal import Glibc
internal import PeerCore
internal import PeerNode
internal import PeerRuntime
internal import UV

/// Gossip from the shell: clients of the node's module API.
let gossipCommands: [Subcommand] = [publishCommand, subscribeCommand]

private let apiOption = Option(
    "api", nil, "HOST:PORT", "the module API of the node; else gossip.apiAddress of the configuration")

let publishCommand = Subcommand(
    name: "publish", synopsis: "TYPE [--ttl N] [--lines] [DATA or -]", summary: "spreads an item by Gossip",
    // TYPE and DATA.
    mostArguments: 2,
    options: [
        Option("ttl", nil, "N", "hops to spread, 1 to 255; 0, the default, is without limit"),
        Option("lines", nil, nil, "each line of standard input is an item, sent as it comes"),
        apiOption,
    ]
) { try Publication($0).run() }

let subscribeCommand = Subcommand(
    name: "subscribe", synopsis: "TYPE… [--validate COMMAND]", summary: "prints the items that come by Gossip",
    mostArguments: .max,
    options: [
        Option("validate", nil, "COMMAND", "sh judges each item with it, from standard input: exit 0 is valid"),
        Option("count", nil, "N", "end after so many valid items"),
        Option("json", nil, nil, "a JSON object for each item"),
        Option("quiet", "q", nil, "say nothing but the items: no notes, no word on those that are not valid"),
        apiOption,
    ]
) { try Subscription($0).run() }

/// A number of the command line; `wanted` tells what it may be.
private func number(_ text: String, _ range: ClosedRange<Int>, wanted: String) throws(Failure) -> Int {
    guard let value = Int(text), range.contains(value) else { throw Failure(.usage, "\(wanted), not \(text)") }
    return value
}

/// The data types of the command line, of which there must be one.
private func dataTypes(_ words: some Sequence<String>) throws(Failure) -> [UInt16] {
    var types: [UInt16] = []
    let wanted = "TYPE is a number from 0 to 65535"
    for word in words { types.append(UInt16(try number(word, 0...65_535, wanted: wanted))) }
    guard !types.isEmpty else { throw Failure(.usage, "a TYPE is missing; \(wanted)") }
    return types
}

/// Where the node's module API is.
private func apiDestination(_ options: Options) throws(Failure) -> Destination {
    if let text = options.value("api") {
        guard let destination = Destination(text) else {
            throw Failure(.usage, "\(text) is no address; write --api HOST:PORT, such as 127.0.0.1:7001")
        }
        return destination
    }
    let configuration = try loadConfiguration(options)
    let section = configuration.values.record("gossip") ?? ["enabled": false]
    if section.bool("enabled") != false, let destination = section.string("apiAddress").flatMap({ Destination($0) }) {
        return destination
    }
    throw Failure(
        .configuration,
        "\(configuration.file) has no section gossip that is on and has an apiAddress, so its node has no module API."
            + " Change that, or name another node's: --api HOST:PORT")
}

/// A connection to the module API, from the dial to its orderly end.
private final class ModuleConnection {
    /// How long the dial may take, as long as the first answer of the admin socket.
    private static let patience: Duration = .seconds(20)
    /// How long the node may take to end its side once we have ended ours: it only has to read what was sent.
    private static let farewell: Duration = .seconds(1)

    /// Called when the connection is there.
    var onReady: () -> Void = {}
    /// Called with what the node sends.
    var onOctets: (Bytes) -> Void = { _ in }
    /// Called when all that was sent is with the system, after some of it was not.
    var onRoom: () -> Void = {}
    /// Called once, at the end, with what went wrong.
    var onEnd: (Failure?) -> Void = { _ in }

    private enum Phase { case dialling, open, finishing, ended }

    /// Where the API is.
    let destination: Destination
    private let timer: Timer
    private var tcp: TCP?
    private var phase = Phase.dialling
    /// What the system has not taken yet.
    private var unsent = ReceiveBuffer()
    /// Whether the system has no room now.
    private(set) var isFull = false

    init(_ loop: Loop, to destination: Destination) {
        self.destination = destination
        timer = Timer(loop)
    }

    /// Dials.
    func open() {
        timer.start(at: timer.loop.instant + Self.patience) { [unowned self] in
            fail(.unavailable, "the node does not answer at \(destination); its process may be stopped or too busy")
        }
        switch destination {
        case .address(let address): dial([address])
        case .name(let name, let port):
            timer.loop.resolve(name) { [self] addresses in
                guard addresses.isEmpty else { return dial(addresses.map { SocketAddress($0, port) }) }
                fail(.unavailable, "no address is known for \(destination). Give it in numbers.")
            }
        }
    }

    /// Dials the first of the addresses, then the others.
    private func dial(_ addresses: [SocketAddress]) {
        guard phase == .dialling, let address = addresses.first else { return }
        func failed(_ error: UVError) {
            tcp?.close()
            if addresses.count > 1 { return dial(Array(addresses.dropFirst())) }
            let what = "no node is listening at \(destination) (\(error.systemError))"
            fail(.unavailable, what + ". Is it running, and is this its configuration?")
        }
        do throws(UVError) {
            let tcp = try TCP(timer.loop)
            self.tcp = tcp
            try tcp.connect(to: address) { [self] error in
                if let error { return failed(error) }
                timer.stop()
                phase = .open
                read()
                onReady()
            }
        } catch {
            failed(error)
        }
    }

    private func read() {
        tcp?.startReading { [unowned self] event in
            switch event {
            case .received(let bytes):
                if phase == .open { onOctets(bytes) }
            case .ended: if phase == .finishing, !isFull { end(nil) } else { lost("") }
            case .failed(let error): lost(" (\(error.name))")
            }
        }
    }

    private func lost(_ how: String) {
        let what = "the node at \(destination) closed the connection\(how): it was stopped, or refused a message"
        fail(.inputOutput, what + ". Look at its log and at peernode status, then try again.")
    }

    /// Sends a message in one call where the system has room for it. While it has none, nothing is read either.
    func send(_ message: Bytes) {
        guard phase == .open else { return }
        unsent.append(message)
        if !isFull { flush() }
    }

    private func flush() {
        let wasFull = isFull
        isFull = false
        do throws(UVError) {
            while let tcp, unsent.count > 0 {
                let written = try tcp.write([unsent.waiting])
                unsent.consume(written)
                guard written == 0 else { continue }
                isFull = true
                tcp.stopReading()
                return try tcp.whenWritable { [unowned self] in flush() }
            }
        } catch {
            return lost(" (\(error.name))")
        }
        guard wasFull else { return }
        read()
        if phase == .finishing { sayGoodbye() } else { onRoom() }
    }

    /// Ends the connection once all is sent, in order: the node reads it all before it hears the end.
    func finish() {
        if phase == .dialling { return end(nil) }
        guard phase == .open else { return }
        phase = .finishing
        if !isFull { sayGoodbye() }
    }

    private func sayGoodbye() {
        tcp?.shutdown()
        timer.start(at: timer.loop.instant + Self.farewell) { [unowned self] in end(nil) }
    }

    private func fail(_ code: ExitCode, _ message: String) {
        end(Failure(code, message))
    }

    /// Ends it at once.
    private func end(_ failure: Failure?) {
        guard phase != .ended else { return }
        phase = .ended
        tcp?.close()
        timer.close()
        let onEnd = onEnd
        (onReady, onRoom, onOctets, self.onEnd) = ({}, {}, { _ in }, { _ in })
        onEnd(failure)
    }
}

/// What `publish` does.
private final class Publication {
    private let dataType: UInt16
    private let ttl: UInt8
    /// The item; nil: standard input holds it.
    private let data: Bytes?
    /// Whether each line of standard input is an item.
    private let isLines: Bool
    private let loop = Loop()
    private let connection: ModuleConnection
    private let input: StandardInput
    private var failure: Failure?
    /// Of an item that comes in pieces.
    private var octets: [UInt8] = []
    private var lines = LineBuffer(maximumLineBytes: ModuleClient.maximumDataBytes)
    private var linesSent = 0

    init(_ options: Options) throws(Failure) {
        dataType = try dataTypes(options.arguments.prefix(1))[0]
        ttl = UInt8(try number(options.value("ttl") ?? "0", 0...255, wanted: "--ttl takes a number from 0 to 255"))
        data = options.arguments.dropFirst().first { $0 != "-" }.map { Bytes(utf8: $0) }
        isLines = options.has("lines")
        guard data == nil || !isLines else {
            throw Failure(.usage, "publish: --lines reads standard input; leave DATA out, or --lines")
        }
        connection = ModuleConnection(loop, to: try apiDestination(options))
        input = StandardInput(loop)
    }

    func run() throws -> ExitCode {
        connection.onEnd = { [unowned self] failure in
            self.failure = self.failure ?? failure
            input.close()
        }
        connection.onReady = { [unowned self] in
            if let data { publish(data) } else { read() }
        }
        connection.onRoom = { [unowned self] in read() }
        connection.open()
        loop.run()
        loop.close()
        if let failure { throw failure }
        return .done
    }

    /// The one item.
    private func publish(_ data: Bytes) {
        guard data.count <= ModuleClient.maximumDataBytes else { return refuse("DATA has \(data.count) octets") }
        connection.send(ModuleClient.announce(ttl: ttl, dataType: dataType, data: data))
        connection.finish()
    }

    /// Reads while there is room for what comes of it.
    private func read() {
        input.start { [unowned self] event in
            switch event {
            case .received(let bytes) where isLines: take(lines: bytes)
            case .received(let bytes):
                octets += bytes
                if octets.count > ModuleClient.maximumDataBytes { refuse("standard input has more") }
            case .failed(let error): give(up: Failure(.inputOutput, "standard input: \(error.systemError)"))
            case .ended where !isLines: publish(Bytes(octets))
            case .ended:
                // The last line may lack its end.
                if lines.count > 0 { take(lines: [UInt8(ascii: "\n")]) }
                connection.finish()
            }
        }
    }

    private func take(lines bytes: Bytes) {
        lines.append(bytes)
        do throws(DecodeError) {
            while let line = try lines.next() {
                connection.send(ModuleClient.announce(ttl: ttl, dataType: dataType, data: line))
                linesSent += 1
            }
        } catch {
            return refuse("line \(linesSent + 1) has more; the lines before it were sent")
        }
        if connection.isFull { input.stop() }
    }

    private func refuse(_ what: String) {
        let most = "publish: an item has at most \(ModuleClient.maximumDataBytes) octets"
        give(up: Failure(.usage, "\(most), and \(what). Cut it into several."))
    }

    /// Ends with what was sent before.
    private func give(up reason: Failure) {
        failure = reason
        input.stop()
        connection.finish()
    }
}

/// What `subscribe` does.
private final class Subscription {
    /// An item that waits for its verdict, or for that of one before it.
    private final class Item {
        let notification: ModuleClient.Notification
        var isValid: Bool?

        init(_ notification: ModuleClient.Notification) { self.notification = notification }
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
    private var client = ModuleClient()
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
            for type in types { connection.send(ModuleClient.notify(dataType: type)) }
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
        client.append(bytes)
        do throws(DecodeError) {
            while !isFinished, let notification = try client.next() { take(notification) }
        } catch {
            let what = "what \(connection.destination) sends is no NOTIFICATION (\(error))"
            finish(Failure(.inputOutput, what + ". Is it the module API of a node?"))
        }
    }

    private func take(_ notification: ModuleClient.Notification) {
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

    private func answer(_ notification: ModuleClient.Notification, isValid: Bool) {
        connection.send(ModuleClient.validation(messageID: notification.messageID, isValid: isValid))
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
    private func show(_ notification: ModuleClient.Notification, isValid: Bool) {
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
