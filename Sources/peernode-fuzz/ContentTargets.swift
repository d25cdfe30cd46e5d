import PPSP
import PeerCore

// MARK: - Streams

/// A stream is the same whole and in pieces, nobody has more than the limit buffered, and what was read is read again
/// when it is written.
func checkContentStream(_ input: Bytes) throws(Violation) {
    let whole = try frames([input])
    for size in [1, Int(input.first ?? 0) % 64 + 1] {
        let pieces = stride(from: 0, to: input.count, by: size).map { input.slice($0..<min($0 + size, input.count)) }
        try require(try frames(pieces) == whole, "a stream in pieces is read differently")
    }
    for frame in whole {
        switch frame {
        case .message(let message): try checkMessage(message)
        case .transfer(let transfer): try checkTransfer(transfer)
        case .refused(let refusal):
            guard let answer = refusal.answer(from: .zero) else { continue }
            try require(try frames([answer.bytes]) == [.message(answer)], "\(answer) is not what it is written as")
        }
    }
}

/// Small enough that short inputs reach it.
private let contentLimit = 2048

private func frames(_ parts: [Bytes]) throws(Violation) -> [Frame] {
    var reader = FrameReader(contentLimit: contentLimit)
    var frames: [Frame] = []
    for part in parts {
        let before = reader.waitingBytes
        reader.append(part)
        while let frame = reader.next() { frames.append(frame) }
        try require(reader.waitingBytes <= before + part.count, "octets from nowhere")
        try require(reader.waitingBytes < contentLimit + 20, "\(reader.waitingBytes) octets wait")
    }
    return frames
}

private func checkMessage(_ message: Message) throws(Violation) {
    // What is told twice, or in another form, may be longer or shorter; a bitmap cannot grow.
    let again = FrameReader.single(message.bytes)
    try require(again == .message(message), "\(message) becomes \(again as Any)")
    if let availability = message.methods.availability { try checkMap(availability) }
    guard let swarmID = message.swarmID, let offer = message.methods.transport else { return }
    let transports = Transports([TransportEntry(TransportID.datagrams), TransportEntry(TransportID.http)])
    for function in HashFunction.allCases {
        let swarm = SwarmMetadata(swarmID, chunkSize: 16_384, hashFunction: function)
        _ = transports.choose(from: offer, to: .ask, about: SwarmMetadata(swarmID))
        guard case .transports(let answer) = transports.answer(to: offer, about: swarm) else { continue }
        if function.octets == swarmID.octets.count, function == .sha256 {
            let chosen = transports.choose(from: answer, to: offer, about: swarm)
            try require(chosen == nil || chosen?.swarm.chunkSize == 16_384, "another swarm was chosen")
        }
    }
}

/// A set takes a map in, and its own map makes the same set.
private func checkMap(_ availability: Availability) throws(Violation) {
    var strange = ChunkSet()
    strange.apply(availability)
    for limit: UInt64 in [1, 700, 100_000] {
        var set = ChunkSet(limit: limit)
        for chunk in stride(from: UInt64(0), to: limit, by: 3) where limit < 1000 { set.insert(chunk) }
        set.apply(availability)
        try require(set.count == set.ranges().reduce(0) { $0 + $1.count }, "\(set.count) chunks")
        let missing = set.missingRanges().reduce(0) { $0 + $1.count }
        try require(set.count + missing == limit, "\(missing) of \(limit) chunks are missing")
        var copy = ChunkSet(all: limit)
        for part in Availability.map(of: set, chunkSize: nil, maximumBytes: 60) { copy.apply(part) }
        try require(copy == set, "a map does not make the set that it is of")
    }
}

// MARK: - Transfers

/// How the fuzzer's transfers and channels may be read.
private func rules(_ choice: UInt8, _ carrier: ChunkRules.Carrier) -> ChunkRules {
    let functions = HashFunction.allCases
    let addressings: [ChunkAddressing] = carrier == .transfer ? [.chunks64, .chunks32] : ChunkAddressing.allCases
    var rules = ChunkRules(
        carrier, addressings[Int(choice) % addressings.count], functions[Int(choice >> 2) % functions.count])
    if choice & 0x40 != 0 { rules.signatureBytes = 64 }
    if choice & 0x80 != 0 { rules.chunkSize = 16 }
    return rules
}

private func checkTransfer(_ transfer: TransferFrame) throws(Violation) {
    for choice: UInt8 in 0..<12 {
        let rules = rules(choice, .transfer)
        guard let messages = try? transfer.messages(rules) else { continue }
        var reader = FrameReader()
        for part in TransferFrame.parts(messages, transferID: transfer.transferID, rules) { reader.append(part) }
        var again: [ChunkMessage] = []
        while case .transfer(let frame)? = reader.next() { again += (try? frame.messages(rules)) ?? [] }
        try require(again == messages, "\(messages) become \(again)")
    }
}

/// An octet of count and the chunk messages of a TRANSFER.
func checkContentTransfer(_ input: Bytes) throws(Violation) {
    guard let count = input.first else { return }
    var writer = ByteWriter()
    for octet in [1, 4, count, 0] { writer.write(octet) }
    writer.write(UInt32(input.count - 1))
    writer.write(UInt64(7))
    writer.write(UInt32(0))
    writer.write(input.dropping(1))
    try checkContentStream(writer.bytes)
}

// MARK: - Datagrams

/// An octet that chooses rules, and a datagram, which is what it is written as.
func checkContentDatagram(_ input: Bytes) throws(Violation) {
    guard let choice = input.first else { return }
    let rules = rules(choice, .datagram)
    let octets = input.dropping(1)
    switch DatagramReading(octets, rules) {
    case .datagram(let datagram), .broken(let datagram, _):
        try require(Datagram.channel(of: octets) == datagram.channel, "another channel")
        let again = DatagramReading(datagram.bytes(rules), rules)
        try require(again == .datagram(datagram), "\(datagram) becomes \(again)")
    case .oldDialect, .noise: break
    }
}

extension FrameReader {
    /// The frame that `octets` are.
    fileprivate static func single(_ octets: Bytes) -> Frame? {
        var reader = FrameReader()
        reader.append(octets)
        let frame = reader.next()
        return reader.isInside ? nil : frame
    }
}
