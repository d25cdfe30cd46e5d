internal import PeerCore
internal import PeerCrypto

// MARK: - What both roles check (DDRP section 8)

extension DDRP {
    /// Longest body before the peer has proved who it is, in octets; an honest Hello has some 400 (DDRP section 13).
    static let maximumHandshakeBodyBytes = 4096

    /// The envelope that `waiting` begins with; nil: wait for more. Magic, length and time are judged as soon as they
    /// are there (decision 12).
    func nextEnvelope(
        in waiting: Bytes, _ dialect: Dialect, bodyLimit: Int, at now: Moment
    ) throws(Fault) -> (envelope: Envelope, octets: Int)? {
        do throws(DecodeError) {
            if let next = try Envelope.next(in: waiting, dialect: dialect, bodyLimit: bodyLimit) { return next }
        } catch {
            throw Fault(error)
        }
        if let timestamp = Envelope.timestamp(in: waiting, dialect: dialect) { try checkClock(timestamp, at: now) }
        return nil
    }

    func nextHandshakeEnvelope(
        in waiting: Bytes, _ dialect: Dialect, at now: Moment
    ) throws(Fault) -> (envelope: Envelope, octets: Int)? {
        try nextEnvelope(in: waiting, dialect, bodyLimit: Self.maximumHandshakeBodyBytes, at: now)
    }

    /// The Hello in `envelope`: its type, its time, its signature by the key inside, its version, in this order.
    func checkedHello(_ envelope: Envelope, _ dialect: Dialect, at now: Moment) throws(Fault) -> Hello {
        guard case .hello(let hello) = try message(of: envelope, expecting: "Hello", dialect, at: now) else {
            throw Fault(.protocolViolation, "a message that is no Hello")
        }
        guard envelope.signer(in: dialect) == hello.publicKey else {
            throw Fault(.badSignature, "the Hello is not signed by its key")
        }
        guard Self.acceptedVersions(in: dialect).contains(hello.protocolVersion) else {
            throw Fault(.version, "protocol version \(hello.protocolVersion)")
        }
        return hello
    }

    /// The HelloAck in `envelope`: its type, its time, its signature by `peer`, our nonce, in this order.
    func check(ack envelope: Envelope, of peer: Bytes32, nonce: Bytes32, _ dialect: Dialect, at now: Moment)
        throws(Fault)
    {
        guard case .helloAck(let ack) = try message(of: envelope, expecting: "HelloAck", dialect, at: now) else {
            throw Fault(.protocolViolation, "a message that is no HelloAck")
        }
        guard let key = envelope.signer(in: dialect), peerID(of: key) == peer else {
            throw Fault(.badSignature, "the HelloAck is not signed by the Hello's key")
        }
        guard ack.nonce == nonce else { throw Fault(.protocolViolation, "the HelloAck does not carry our nonce") }
    }

    /// The message, of which the name must be right before the time, and the time before the body is read.
    private func message(
        of envelope: Envelope, expecting name: String, _ dialect: Dialect, at now: Moment
    ) throws(Fault) -> Message {
        let code: UInt16 = name == "Hello" ? 0 : 1
        guard envelope.code == code else {
            throw Fault(.protocolViolation, "message type \(envelope.code) in place of \(name)")
        }
        try checkClock(envelope.timestamp, at: now)
        do throws(DecodeError) {
            return try Message(decoding: envelope.body, code: envelope.code, dialect: dialect)
        } catch {
            throw Fault(error)
        }
    }

    /// Whole seconds are compared, and the limit itself is still good.
    func checkClock(_ timestamp: UInt32, at now: Moment) throws(Fault) {
        let offset = Int64(timestamp) - now.wallClock.seconds
        let skew = Int64(configuration.maxClockSkewSeconds)
        guard offset <= skew, offset >= -skew - lateness.allowance(at: now.instant) else {
            throw Fault(.clock, "its clock differs from ours by \(offset) s", clockOffset: offset)
        }
    }

    /// Versions that the dialect accepts: the reference refuses those above its own 1; PIP-2 says both 1 and 2.
    private static func acceptedVersions(in dialect: Dialect) -> ClosedRange<UInt32> {
        switch dialect {
        case .reference: 0...1
        case .text: 1...2
        }
    }

    /// BLAKE2b-256 of the compressed key (DDRP section 5).
    func peerID(of publicKey: Bytes) -> Bytes32 { blake2b256(publicKey) }

    /// An envelope of ours.
    mutating func seal(_ message: Message, in dialect: Dialect, at now: Moment) -> Bytes {
        sealer.seal(message, timestamp: UInt32(clamping: now.wallClock.seconds), in: dialect)
    }

    /// One line for each handshake that we refuse.
    func logRefusal(
        level: LogLevel = .info, role: String, step: String, _ fault: Fault, address: SocketAddress?,
        dialect: Dialect?, peer: Bytes32? = nil, into effects: inout Effects
    ) {
        guard level >= effects.logLevel else { return }
        var fields: Record = ["role": .string(role), "step": .string(step)]
        fields = fields.appending(fault.fields)
        if let peer { fields["peer"] = .text(peer) }
        if let address { fields["address"] = .text(address) }
        if let dialect { fields["dialect"] = .string(dialect.rawValue) }
        effects.log(level, "handshake_refused", fields, fault.detail)
    }
}
