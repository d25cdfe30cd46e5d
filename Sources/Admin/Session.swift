internal import PeerCore

/// One client's connection: its lines on the way in, the command that is being carried out, the answers on the way out.
struct Session {
    /// A command that is being carried out.
    struct Running {
        /// Under which name the core was asked.
        let command: CommandID
        /// What the client calls it.
        let id: Record.Value?
    }

    /// Commands of one client that wait for the one before them; a script seldom sends more in one piece.
    static let maximumWaiting = 256
    /// A client that leaves more than that untaken, while more comes, is too slow. One answer by itself may be larger.
    static let maximumUnsentSlices = 8

    private var lines = LineBuffer(maximumLineBytes: Request.maximumLineBytes)
    private var waiting: [Result<Request, RequestError>] = []
    private var unsent = Bytes()
    private var awaitsRoom = false
    /// Octets in one send.
    private let sliceBytes: Int
    /// Whether no more lines are read: the client ended its side, or sent what is no request.
    private var isClosing = false

    /// The command that is being carried out.
    var running: Running?
    /// Whether the client takes back the command that is being carried out.
    private(set) var isCancelled = false
    /// Whether the client left too much untaken before the last answer.
    private(set) var isTooSlow = false
    /// Whether no more lines are read, and all that were are answered.
    var isFinished: Bool { isClosing && running == nil && waiting.isEmpty && unsent.isEmpty }

    init(sliceBytes: Int) {
        self.sliceBytes = sliceBytes
    }
}

// On the way in.
extension Session {
    /// Takes what the client sent.
    mutating func received(_ bytes: Bytes) {
        guard !isClosing else { return }
        lines.append(bytes)
        do {
            while !isClosing, let line = try lines.next() { add(line) }
        } catch {
            end("a line is longer than \(Request.maximumLineBytes) octets")
        }
    }

    /// The client sends nothing more. A last line without its end counts.
    mutating func ended() {
        received([UInt8(ascii: "\n")])
        isClosing = true
    }

    private mutating func add(_ line: Bytes) {
        guard line.contains(where: { $0 > UInt8(ascii: " ") }) else { return }
        guard waiting.count < Self.maximumWaiting else {
            return end("more than \(Self.maximumWaiting) commands wait")
        }
        do {
            let request = try Request(line)
            if running != nil, request.target == "node", request.command.name == "cancel" {
                isCancelled = true
            } else {
                waiting.append(.success(request))
            }
        } catch {
            waiting.append(.failure(error))
            if error.endsConnection { isClosing = true }
        }
    }

    private mutating func end(_ message: String) {
        waiting.append(.failure(RequestError(message, endsConnection: true)))
        isClosing = true
    }

    /// The next line to be carried out, when nothing else is.
    mutating func next() -> Result<Request, RequestError>? {
        running == nil && !waiting.isEmpty ? waiting.removeFirst() : nil
    }

    /// Forgets what is not answered yet. What is unsent goes out, then the connection ends.
    mutating func close() {
        waiting = []
        running = nil
        isClosing = true
    }
}

// On the way out.
extension Session {
    /// Queues a line for each record. The last one of an answer carries `"done":true`.
    mutating func answer(_ records: [Record], isLast: Bool, id: Record.Value?) {
        isTooSlow = unsent.count > Self.maximumUnsentSlices * sliceBytes
        var text = unsent.array
        for (index, record) in records.enumerated() {
            var line = record
            if let id { line["id"] = id }
            // Nothing but the end of an answer may look like one.
            line["done"] = isLast && index == records.count - 1 ? true : nil
            line.write(to: &text)
            text.append(UInt8(ascii: "\n"))
        }
        unsent = Bytes(text)
    }

    /// Queues the line that says no.
    mutating func refuse(_ reason: String, id: Record.Value?) {
        answer([["error": .string(reason)]], isLast: true, id: id)
    }

    /// There is room for more.
    mutating func drained() {
        awaitsRoom = false
    }

    /// What is to be sent now.
    mutating func takeSlice() -> Bytes? {
        guard !awaitsRoom, !unsent.isEmpty else { return nil }
        let slice = unsent.slice(0..<min(unsent.count, sliceBytes))
        unsent = unsent.dropping(slice.count)
        awaitsRoom = slice.count == sliceBytes
        return slice
    }
}
