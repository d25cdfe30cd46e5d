import DDRP
import PeerCore

/// Octets are the same envelopes whole and in pieces, and what decodes is equal when it is encoded and decoded again.
func checkEnvelopes(_ input: Bytes) throws(Violation) {
    // Small enough that short inputs reach it.
    let bodyLimit = 1024
    for dialect in Dialect.allCases {
        let whole = read([input], dialect, bodyLimit: bodyLimit)
        let middle = input.count / 2
        let size = Int(input.first ?? 0) % 16 + 1
        let pieces = stride(from: 0, to: input.count, by: size).map { input.slice($0..<min($0 + size, input.count)) }
        let halves = [input.slice(0..<middle), input.dropping(middle)]
        for parts in [pieces, halves] {
            try require(read(parts, dialect, bodyLimit: bodyLimit) == whole, "\(dialect): pieces are read differently")
        }
        for envelope in whole.envelopes {
            _ = envelope.signer(in: dialect)
            try checkBody(envelope.body, code: envelope.code, dialect)
        }
        for code in UInt16(0)...13 { try checkBody(input, code: code, dialect) }
    }
}

/// What a stream held, and why it ended.
private struct Reading: Equatable {
    var envelopes: [Envelope] = []
    var error: DecodeError?
}

private func read(_ parts: [Bytes], _ dialect: Dialect, bodyLimit: Int) -> Reading {
    var reading = Reading()
    var buffer = ReceiveBuffer()
    for part in parts {
        buffer.append(part)
        do throws(DecodeError) {
            while let (envelope, octets) = try Envelope.next(in: buffer.waiting, dialect: dialect, bodyLimit: bodyLimit)
            {
                reading.envelopes.append(envelope)
                buffer.consume(octets)
            }
        } catch {
            reading.error = error
            return reading
        }
    }
    return reading
}

private func checkBody(_ body: Bytes, code: UInt16, _ dialect: Dialect) throws(Violation) {
    guard let message = try? Message(decoding: body, code: code, dialect: dialect) else { return }
    // The body of one that nobody knows is not kept.
    if case .unknown = message { return }
    guard let ownCode = message.code(in: dialect) else {
        throw Violation(description: "\(dialect): \(message.name) of code \(code) has no code")
    }
    let again = try? Message(decoding: message.body(in: dialect), code: ownCode, dialect: dialect)
    try require(again.map(withoutPorts) == withoutPorts(message), "\(dialect): \(message) becomes \(again as Any)")
}

/// Ports of peers are read in both dialects, and only T has them: without one it writes the standard port.
private func withoutPorts(_ message: Message) -> Message {
    guard case .peerRes(let response) = message else { return message }
    return .peerRes(PeerRes(peers: response.peers.map { PeerEntry(ip: $0.ip, peerID: $0.peerID) }))
}
