internal import DDRP
internal import PeerCore
internal import PeerCrypto
internal import UV

/// An identity of the load, with its signatures made beforehand: the load must not be what is measured.
struct Persona {
    let key: Secp256k1.PrivateKey
    /// A Hello of the second `signed`.
    let hello: Bytes
    private(set) var sealer: Sealer
    /// The second in which everything is signed; a receiver takes it for as long as its window allows.
    let signed: UInt32

    init?(_ number: Int, _ kind: String, signed: UInt32) {
        guard let key = Secp256k1.PrivateKey(blake2b256(Bytes(utf8: "\(kind) \(number)"))) else { return nil }
        self.key = key
        self.signed = signed
        var sealer = Sealer(key: key)
        let nonce = blake2b256(Bytes(utf8: "nonce \(number)"))
        let hello = Hello(
            localNonce: nonce, remoteNonce: .zero, publicKey: key.publicKey, external: nil,
            userAgent: Bytes(utf8: "peernode-bench"))
        self.hello = sealer.seal(.hello(hello), timestamp: signed, in: .reference)
        // In this dialect the signature does not depend on the nonce, so this one serves for every HelloAck.
        _ = sealer.seal(.helloAck(HelloAck(nonce: nonce)), timestamp: signed, in: .reference)
        self.sealer = sealer
    }

    mutating func seal(_ message: Message) -> Bytes {
        sealer.seal(message, timestamp: signed, in: .reference)
    }

    /// Identities `numbers` of a kind.
    static func make(_ kind: String, _ numbers: Range<Int>, signed: UInt32) -> [Persona] {
        numbers.compactMap { Persona($0, kind, signed: signed) }
    }
}

/// Many peers that dial one node, each with an identity and a loopback address of its own.
final class PeerLoad {
    let loop = Loop()
    private(set) var peers: [LoadPeer] = []
    private let server: SocketAddress
    private var personas: [Persona]
    private var next = 0
    private var handshaking = 0
    private(set) var shaken = 0
    private(set) var failures: [String] = []
    private var window = 1
    private var timer: Timer?

    init(server: SocketAddress, _ personas: [Persona]) {
        self.server = server
        self.personas = personas
        peers.reserveCapacity(personas.count)
    }

    /// Source addresses from 127.64.0.1 on; 0 and 255 stay free in the last octet.
    static func address(_ number: Int) -> IPAddress {
        IPAddress(127, UInt8(64 + number / 64_000), UInt8(number / 250 % 256), UInt8(1 + number % 250))
    }

    /// Shakes hands for all of them, `window` at a time.
    func connectAll(window: Int, limit: Duration) throws {
        self.window = window
        fill()
        try run("the handshakes", limit: limit) { self.shaken == self.personas.count }
    }

    /// Runs the loop until something holds.
    func run(_ what: String, limit: Duration, until holds: () -> Bool) throws {
        let end = loop.instant + limit
        let timer = Timer(loop)
        // It wakes the loop, so that the end is noticed in silence too.
        timer.start(every: .milliseconds(20)) {}
        defer { timer.close() }
        while !holds() {
            guard failures.isEmpty else { throw BenchFailure("\(what): \(failures[0])") }
            guard loop.instant < end else { throw BenchFailure("\(what) did not end in \(limit)") }
            loop.runOnce()
        }
    }

    /// Lets the loop turn for some time, so that what the node sends is read.
    func idle(_ time: Duration) {
        let end = loop.instant + time
        try? run("nothing", limit: time + .seconds(1)) { self.loop.instant >= end }
    }

    private func fill() {
        while next < personas.count, handshaking < window, failures.isEmpty {
            let number = next
            next += 1
            handshaking += 1
            do throws(UVError) {
                let peer = try LoadPeer(loop, personas[number].hello) { [unowned self] in event($0, number) }
                peers.append(peer)
                try peer.dial(server, from: Self.address(number))
            } catch {
                failures.append("\(Self.address(number)): \(error.name)")
            }
        }
    }

    private func event(_ event: LoadPeer.Event, _ number: Int) {
        switch event {
        case .greeted(let nonce):
            peers[number].send(personas[number].seal(.helloAck(HelloAck(nonce: nonce))))
            shaken += 1
            handshaking -= 1
            fill()
        case .failed(let what):
            failures.append("\(Self.address(number)): \(what)")
        }
    }

    /// An envelope of a peer.
    func seal(_ message: Message, for number: Int) -> Bytes {
        personas[number].seal(message)
    }

    /// Ends all connections with a reset.
    func close() {
        for peer in peers { peer.reset() }
        loop.run()
        loop.close()
    }
}

/// One connection of the load.
final class LoadPeer {
    enum Event {
        /// The node's Hello came, with this nonce.
        case greeted(Bytes32)
        case failed(String)
    }

    private let socket: TCP
    private let hello: Bytes
    private let onEvent: (Event) -> Void
    private var buffer = ReceiveBuffer()
    private var isGreeted = false
    private var unsent: [Bytes] = []
    /// Answers with addresses that came.
    private(set) var peerResponses = 0

    init(_ loop: Loop, _ hello: Bytes, _ onEvent: @escaping (Event) -> Void) throws(UVError) {
        socket = try TCP(loop)
        self.hello = hello
        self.onEvent = onEvent
    }

    func dial(_ server: SocketAddress, from source: IPAddress) throws(UVError) {
        try socket.bind(SocketAddress(source, 0))
        try socket.connect(to: server) { [unowned self] error in
            if let error { return onEvent(.failed("dial: \(error.name)")) }
            send(hello)
            socket.startReading { [unowned self] in happened($0) }
        }
    }

    /// Sends octets; what the system does not take at once is kept and goes first.
    func send(_ bytes: Bytes) {
        unsent.append(bytes)
        if unsent.count == 1 { flush() }
    }

    private func flush() {
        do throws(UVError) {
            while let first = unsent.first {
                let written = try socket.write([first])
                guard written < first.count else {
                    unsent.removeFirst()
                    continue
                }
                unsent[0] = first.dropping(written)
                return try socket.whenWritable { [unowned self] in flush() }
            }
        } catch {
            onEvent(.failed("write: \(error.name)"))
        }
    }

    private func happened(_ event: StreamEvent) {
        switch event {
        case .received(let bytes): received(bytes)
        case .ended: onEvent(.failed("the node ended the connection"))
        case .failed(let error): onEvent(.failed("read: \(error.name)"))
        }
    }

    private func received(_ bytes: Bytes) {
        buffer.append(bytes)
        do {
            while let next = try Envelope.next(in: buffer.waiting, dialect: .reference, bodyLimit: 262_144) {
                buffer.consume(next.octets)
                try take(next.envelope)
            }
        } catch {
            onEvent(.failed("\(error)"))
        }
    }

    private func take(_ envelope: Envelope) throws {
        if isGreeted {
            if envelope.code == Message.peerRes(PeerRes(peers: [])).code(in: .reference) { peerResponses += 1 }
            return
        }
        let message = try Message(decoding: envelope.body, code: envelope.code, dialect: .reference)
        guard case .hello(let hello) = message else { throw BenchFailure("the first message is no Hello") }
        isGreeted = true
        onEvent(.greeted(hello.localNonce))
    }

    func reset() {
        socket.reset()
    }
}
