import DDRP
import PeerCore
import PeerCrypto
import TestSupport
import Testing

/// What the codec makes of good and bad input; clock, version and phase are judged here as the specification says.
@Suite struct CheckVectorTests {
    @Test(arguments: [("checks", Dialect.reference), ("pip_checks", Dialect.text)])
    func `input is judged as the vectors expect, whole and octet by octet`(group: String, dialect: Dialect) throws {
        for vector in try Vector.cases("ddrp", group) {
            let receiver = try Receiver(vector, dialect)
            let input = try vector.octets("input")
            let verdict = try receiver.verdict(on: input)
            #expect(try allowed(vector).contains(verdict), "\(vector): \(verdict)")
            // A verdict does not change with what follows, and shorter parts are waited for or refused, never accepted.
            for count in 0..<input.count {
                let early = try receiver.verdict(on: input.slice(0..<count))
                #expect(early == .wait || early == verdict, "\(vector): \(early) after \(count) octets")
            }
        }
    }

    @Test func `an envelope takes as many octets as the reference consumes`() throws {
        var compared = 0
        for vector in try Vector.cases("ddrp", "checks") {
            let reference = try vector.value("reference")
            guard try reference.text("result") == "accept", try vector.text("expect") == "accept" else { continue }
            let input = try vector.octets("input")
            let found = try Envelope.next(in: input, dialect: .reference, bodyLimit: Envelope.maximumBodyBytes)
            let (envelope, octets) = try #require(found, "\(vector)")
            #expect(octets == (try reference.number("consumed")), "\(vector)")
            #expect(Int(envelope.code) == (try reference.number("decoded_type")), "\(vector)")
            if reference.has("peer_count") {
                let message = try Message(decoding: envelope.body, code: envelope.code, dialect: .reference)
                guard case .peerRes(let answer) = message else {
                    Issue.record("\(vector): \(message.name)")
                    continue
                }
                #expect(answer.peers.count == (try reference.number("peer_count")), "\(vector)")
            }
            compared += 1
        }
        #expect(compared > 0)
    }

    private func allowed(_ vector: Vector) throws -> Set<Verdict> {
        let text = try vector.text("expect")
        if text == "accept-or-close" { return [.accept, .close] }
        return [try #require(Verdict(rawValue: text), "\(vector): \(text)")]
    }
}

/// What happens to a connection.
private enum Verdict: String {
    case accept, ignore, wait, close
    case acceptSwitchDialect = "accept-switch-dialect"
}

/// The receiving side of a connection: the codec, and the rules of DDRP section 8 that a check needs around it.
private struct Receiver {
    let dialect: Dialect
    let now: Int
    /// The peer of an open connection; nil while the first Hello is awaited.
    let peer: Bytes32?

    /// Seconds that a timestamp may differ from our clock (PIP-2).
    private static let window = 30
    /// Octets of a body while the peer is not authenticated (DDRP section 13).
    private static let handshakeLimit = 4096

    init(_ vector: Vector, _ dialect: Dialect) throws {
        self.dialect = dialect
        now = try vector.number("now")
        switch try vector.text("phase") {
        case "established": peer = try vector.octets32("expected_peer_id")
        case "incoming-hello": peer = nil
        case let phase: throw VectorError("\(vector): unknown phase \(phase)")
        }
    }

    func verdict(on input: Bytes) throws -> Verdict {
        let spoken = peer == nil ? sniffDialect(input) ?? dialect : dialect
        var buffer = ReceiveBuffer()
        buffer.append(input)
        var verdict = Verdict.wait
        do {
            while buffer.count > 0 {
                let limit = peer == nil ? Self.handshakeLimit : Envelope.maximumBodyBytes
                guard let (envelope, octets) = try Envelope.next(in: buffer.waiting, dialect: spoken, bodyLimit: limit)
                else { return isLate(Envelope.timestamp(in: buffer.waiting, dialect: spoken)) ? .close : verdict }
                buffer.consume(octets)
                verdict = try self.verdict(on: envelope, spoken)
                if verdict == .close { return .close }
            }
        } catch is DecodeError {
            return .close
        }
        return verdict == .accept && spoken != dialect ? .acceptSwitchDialect : verdict
    }

    private func isLate(_ timestamp: UInt32?) -> Bool {
        timestamp.map { abs(Int($0) - now) > Self.window } ?? false
    }

    private func verdict(on envelope: Envelope, _ dialect: Dialect) throws -> Verdict {
        if isLate(envelope.timestamp) { return .close }
        guard let peer else { return try firstVerdict(on: envelope, dialect) }
        guard let key = envelope.signer(in: dialect), blake2b256(key) == peer else { return .close }
        let message = try Message(decoding: envelope.body, code: envelope.code, dialect: dialect)
        if case .unknown = message { return .ignore }
        return .accept
    }

    private func firstVerdict(on envelope: Envelope, _ dialect: Dialect) throws -> Verdict {
        let message = try Message(decoding: envelope.body, code: envelope.code, dialect: dialect)
        guard case .hello(let hello) = message, envelope.signer(in: dialect) == hello.publicKey else { return .close }
        let versions: ClosedRange<UInt32> = dialect == .reference ? 0...1 : 1...2
        return versions.contains(hello.protocolVersion) ? .accept : .close
    }
}
