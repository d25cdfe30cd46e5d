internal import PeerCore

// The words that scenarios are written in.

func c(_ number: UInt64) -> ConnectionID { ConnectionID(number) }
func r(_ number: UInt64) -> RequestID { RequestID(number) }
func k(_ number: UInt64) -> CommandID { CommandID(number) }

/// The listener that port `number` stands for.
func listener(_ number: UInt16) -> ListenerID { ListenerID("\(number)") }

/// A port on loopback; 0 is one of the system's choice.
func port(_ number: UInt16, _ ip: IPAddress = .loopback) -> SocketAddress { SocketAddress(ip, number) }

/// A port that nobody listens on.
let nobody = port(99)

let files = FolderID("files")
let other = FolderID("other")

func path(_ text: String) -> RelativePath {
    guard let path = RelativePath(text, allowHidden: true) else { preconditionFailure("no path: \(text)") }
    return path
}

func file(_ text: String, in folder: FolderID = files) -> FileName { FileName(folder, path(text)) }

func text(_ text: String) -> Bytes { Bytes(utf8: text) }

func zeros(_ count: Int) -> Bytes { Bytes([UInt8](repeating: 0, count: count)) }

func hex(_ digits: String) -> Bytes {
    guard let bytes = Bytes(hex: digits) else { preconditionFailure("no hexadecimal digits: \(digits)") }
    return bytes
}

func traffic(received: UInt64 = 0, sent: UInt64 = 0) -> Traffic { Traffic(received: received, sent: sent) }

func give(_ name: PuppetName, _ effects: Effect...) -> Step { .give(name, effects) }

func hear(_ name: PuppetName, _ inputs: Input...) -> Step { .hear(name, inputs) }

/// `name` listens for connections on the port.
func listen(_ name: PuppetName, _ number: UInt16, _ kind: Effect.ListenerKind = .stream) -> [Step] {
    [
        give(name, .listen(listener(number), on: .ip(port(number)), kind)),
        hear(name, .listening(listener(number), .ip(port(number)))),
    ]
}

func dial(_ connection: ConnectionID, _ address: SocketAddress, from local: IPAddress? = nil) -> Effect {
    .connect(connection, to: .address(address), from: local, timeout: .seconds(10))
}

/// A has dialled B: connection 1001 of A is connection 1 of B.
let connected: [Step] =
    listen(.b, 1) + [
        give(.a, dial(c(1001), port(1))),
        hear(.a, .connected(c(1001), local: port(0), remote: port(1))),
        hear(.b, .accepted(c(1), on: listener(1), local: port(1), remote: port(0))),
    ]

/// Both end connection 1001 of A and 1 of B in order, A first.
func goodbye(_ a: Traffic = Traffic(), _ b: Traffic = Traffic()) -> [Step] {
    [
        give(.a, .finish(c(1001))), hear(.b, .ended(c(1))),
        give(.b, .finish(c(1))), hear(.b, .closed(c(1), .finished, b)), hear(.a, .closed(c(1001), .finished, a)),
    ]
}

/// Each operation of A on files with its answer, one after the other.
func stored(_ operations: (StoreOperation, StoreResult)...) -> [Step] {
    operations.enumerated().flatMap { index, pair in
        [
            give(.a, .store(r(UInt64(index) + 1), pair.0)),
            hear(.a, .stored(r(UInt64(index) + 1), pair.1)),
        ]
    }
}

func entry(_ text: String, size: UInt64, modified: Int64 = 0) -> FileEntry {
    FileEntry(path: path(text), isFolder: false, size: size, modified: WallClock(seconds: modified))
}

func folder(_ text: String) -> FileEntry {
    FileEntry(path: path(text), isFolder: true, size: 0, modified: WallClock(milliseconds: 0))
}

extension Scenario {
    /// Every effect and every input that can be had on loopback.
    public static let all =
        life + listeners + streams + endings + datagrams + http + storage + transfers + rows + questions
}
