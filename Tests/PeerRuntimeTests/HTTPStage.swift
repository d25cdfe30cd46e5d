import Foundation
import PeerCore
import PeerRuntime
import TestSupport
import Testing
import UV

/// A core that answers requests by a closure, and does what a test tells it.
struct HTTPCore: PeerProtocol {
    /// What a test holds of it.
    final class Strings {
        var heard: [Input] = []
        /// The answer to a request; nil: none yet.
        var answer: (HTTPRequest) -> HTTPResponse? = { _ in HTTPResponse(200) }
        fileprivate var effects: [Effect] = []

        var requests: [HTTPRequest] {
            heard.compactMap { if case .requested(_, let it, _, _) = $0 { it } else { nil } }
        }
        var exchanges: [ExchangeID] {
            heard.compactMap { if case .requested(let it, _, _, _) = $0 { it } else { nil } }
        }
        var ends: [Input] { heard.filter { if case .requestClosed = $0 { true } else { false } } }
        var results: [Result<HTTPAnswer, HTTPFailure>] {
            heard.compactMap { if case .fetched(_, let it) = $0 { it } else { nil } }
        }
    }

    struct Configuration: Sendable {}

    let strings: Strings
    var nextDeadline: Instant? { nil }

    mutating func reconfigure(_ new: Configuration, at now: Moment, into effects: inout Effects) -> [RestartNeeded] {
        []
    }

    mutating func handle(_ input: Input, at now: Moment, into effects: inout Effects) {
        if case .command(let id, _) = input {
            for effect in strings.effects { effects.append(effect) }
            strings.effects = []
            return effects.reply(id, [])
        }
        strings.heard.append(input)
        if case .requested(let id, let request, _, _) = input, let response = strings.answer(request) {
            effects.append(.respond(id, response))
        }
    }

    func status() -> [Record] { [] }

    static func give(_ strings: Strings, _ host: PeerRuntime.Host, _ effects: [Effect]) {
        strings.effects += effects
        _ = host.command(Command("do")) { _ in }
    }
}

/// A host with such a core, a folder, and raw sockets around it.
final class HTTPStage {
    let loop = Loop()
    let core = HTTPCore.Strings()
    let host: PeerRuntime.Host
    let runtime: Runtime
    let folder = NSTemporaryDirectory() + "peernode-http-\(UInt32.random(in: 0 ... .max))"
    private let limit: UV.Timer
    private let descriptors = openDescriptors()

    static let door = ListenerID("door")

    init(_ limits: Limits.Values = Limits.Values()) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        runtime = Runtime(loop: loop, log: Log(level: .error, descriptor: -1), rows: nil, limits: Limits(limits))
        host = PeerRuntime.Host(
            HTTPCore(strings: core), name: "http", runtime: runtime,
            folders: Folders([FolderID("files"): folder]))
        limit = UV.Timer(loop)
        host.start()
    }

    deinit {
        limit.close()
        host.close()
        runtime.close()
        loop.run()
        #expect(loop.close(), "handles are left over")
        #expect(host.counters.connections == 0)
        try? FileManager.default.removeItem(atPath: folder)
    }

    func give(_ effects: Effect...) { HTTPCore.give(core, host, effects) }

    /// Opens the listener; its address.
    func listen(_ change: (inout HTTPLimits) -> Void = { _ in }) throws -> SocketAddress {
        var limits = HTTPLimits()
        change(&limits)
        give(.listen(Self.door, on: .ip(SocketAddress(.loopback, 0)), .http(limits)))
        let addresses = core.heard.compactMap { input -> SocketAddress? in
            if case .listening(_, .ip(let address)) = input { address } else { nil }
        }
        return try #require(addresses.last)
    }

    func file(_ path: String) -> FileName { FileName(FolderID("files"), RelativePath(path)!) }

    func write(_ path: String, _ octets: some Collection<UInt8>) throws {
        try Data(octets).write(to: URL(fileURLWithPath: folder + "/" + path))
    }

    func octets(_ path: String) -> [UInt8]? {
        FileManager.default.contents(atPath: folder + "/" + path).map { Array($0) }
    }

    /// Lets the loop run until something holds, for 20 s at most.
    @discardableResult
    func run(
        at place: SourceLocation = #_sourceLocation, until condition: () -> Bool
    ) throws -> Duration {
        let start = loop.instant
        var isOver = false
        limit.start(at: start + .seconds(20)) { isOver = true }
        while !isOver, !condition() { loop.runOnce() }
        limit.stop()
        try #require(!isOver, "waited in vain", sourceLocation: place)
        return loop.instant - start
    }

    /// Fetches and gives the result.
    func fetch(_ fetch: HTTPFetch) throws -> Result<HTTPAnswer, HTTPFailure>? {
        let before = core.results.count
        lastRequest += 1
        give(.fetch(RequestID(lastRequest), fetch))
        try run { core.results.count > before }
        return core.results.last
    }

    private var lastRequest: UInt64 = 1000
}

/// A bare TCP connection on the loop of a test.
final class RawPeer {
    private(set) var received: [UInt8] = []
    private(set) var hasEnded = false
    private(set) var wasReset = false
    private let socket: TCP

    /// It ended. libuv tells a reset as an end when it comes with the rest of what was sent.
    var isOver: Bool { hasEnded || wasReset }

    var text: String { String(decoding: received, as: UTF8.self) }

    init(_ socket: TCP) {
        self.socket = socket
        read()
    }

    /// Dials.
    init(_ stage: HTTPStage, _ address: SocketAddress, from local: IPAddress? = nil) throws {
        socket = try TCP(stage.loop)
        if let local { try socket.bind(SocketAddress(local, 0)) }
        var isConnected = false
        var failure: UVError?
        try socket.connect(to: address) { error in
            failure = error
            isConnected = true
        }
        try stage.run { isConnected }
        wasReset = failure != nil
        read()
    }

    deinit { socket.close() }

    func read() {
        socket.startReading { [weak self] event in
            switch event {
            case .received(let bytes): self?.received += bytes
            case .ended: self?.hasEnded = true
            case .failed(let error): self?.wasReset = error.closeReason == .reset
            }
        }
    }

    func stopReading() { socket.stopReading() }

    func send(_ text: String) { _ = try? socket.write([Bytes(utf8: text)]) }

    func finish() { socket.shutdown() }

    func close() { socket.close() }

    func reset() { socket.reset() }

    /// The status lines that came.
    var statuses: [Int] {
        text.components(separatedBy: "HTTP/1.1 ").dropFirst().compactMap { Int($0.prefix(3)) }
    }

    /// The content behind the last head.
    var content: String { text.components(separatedBy: "\r\n\r\n").last ?? "" }
}
