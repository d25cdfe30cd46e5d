import PeerCore
import Testing

@testable import PPSP

/// A node that has a content, as somebody sees it who speaks RFC 7574 by hand (RFC 7574 digest, sections 1 to 5).
struct ChannelTests {
    private static let caller = SocketAddress(IPAddress(10, 9, 9, 9), 999)
    private let rules = ChunkRules(.datagram, .chunks32, .sha1, chunkSize: 1024)
    private let content = Lab.octets(7162)

    /// A node with a content of seven chunks, taken out of its network.
    private func node(_ change: (inout PPSP.Configuration) -> Void = { _ in }) throws -> Dialogue {
        let lab = Lab()
        let number = lab.node {
            $0.udpAddress = $0.listen
            change(&$0)
        }
        let swarm = try lab.add(content, at: number, hash: "sha1")
        return Dialogue(try #require(lab.core(number)), try #require(SwarmID(hex: swarm)), content)
    }

    private func opening(_ swarm: SwarmID, _ channel: UInt32, size: UInt32? = nil) -> Handshake {
        var handshake = Handshake(channel: channel)
        (handshake.version, handshake.lowestVersion, handshake.swarmID) = (1, 1, swarm)
        (handshake.integrityMethod, handshake.hashFunction, handshake.addressing) = (1, 0, 2)
        handshake.chunkSize = size
        return handshake
    }

    /// The number of the node in its answer.
    private func open(_ node: inout Dialogue, _ channel: UInt32, from remote: SocketAddress = caller) throws -> UInt32 {
        let answers = node.hear(
            Datagram(channel: 0, [.handshake(opening(node.swarm, channel))]).bytes(rules), from: remote)
        let answer = try #require(answers.first)
        guard case .datagram(let datagram) = DatagramReading(answer.octets, .opening),
            case .handshake(let handshake)? = datagram.messages.first
        else { throw Dialogue.Unexpected() }
        #expect(answers.count == 1 && answer.to == remote && datagram.channel == channel)
        return handshake.channel
    }

    private func kinds(_ answers: [Dialogue.Sent]) -> [ChunkMessage.Code] {
        answers.flatMap { answer -> [ChunkMessage.Code] in
            guard case .datagram(let datagram) = DatagramReading(answer.octets, rules) else { return [] }
            return datagram.messages.map(\.code)
        }
    }

    @Test func `a handshake has a short answer without option 9 for who has not told it, and leaves nothing`() throws {
        var node = try node()
        let question = Datagram(channel: 0, [.handshake(opening(node.swarm, 77)), .request(ChunkRange(0, 6))])
        let answers = node.hear(question.bytes(rules), from: Self.caller)
        guard case .datagram(let answer) = DatagramReading(try #require(answers.first).octets, .opening),
            case .handshake(let handshake)? = answer.messages.first
        else { throw Dialogue.Unexpected() }
        #expect(answers.count == 1 && answer.channel == 77 && handshake.channel != 0)
        #expect(handshake.hashFunction == 0 && handshake.addressing == 2 && handshake.chunkSize == nil)
        #expect(answer.messages.dropFirst() == [.have(ChunkRange(0, 6))])
        #expect(answers[0].octets.count < 3 * question.bytes(rules).count)
        #expect(node.core.channels.count == 0 && node.core.links.isEmpty && node.core.partners.isEmpty)
        #expect(node.wait(.seconds(30)).isEmpty, "nothing follows to a source that does not go on")
    }

    @Test func `who goes on gets peaks, uncles and chunk, also for what the first datagram has asked for`() throws {
        var node = try node()
        let number = try open(&node, 77)
        let answers = node.hear(
            Datagram(channel: number, [.request(ChunkRange(0))]).bytes(rules), from: Self.caller)
        #expect(
            kinds(answers) == [.have, .integrity, .integrity, .integrity, .integrity, .integrity, .data])
        let question = Datagram(channel: 0, [.handshake(opening(node.swarm, 78)), .request(ChunkRange(6))])
        guard
            case .datagram(let answer) = DatagramReading(
                try #require(node.hear(question.bytes(rules), from: Self.caller).first).octets, .opening),
            case .handshake(let handshake)? = answer.messages.first
        else { throw Dialogue.Unexpected() }
        let more = node.hear(Datagram(channel: handshake.channel).bytes(rules), from: Self.caller)
        #expect(kinds(more).contains(.data))
        #expect(node.core.channels.count == 1, "the new channel takes the place of the old one")
    }

    @Test func `the same handshake has the same answer, and another number at another place`() throws {
        var node = try node()
        let number = try open(&node, 77)
        #expect(try open(&node, 77) == number)
        #expect(try open(&node, 78) != number)
        let other = SocketAddress(IPAddress(10, 9, 9, 10), 999)
        #expect(try open(&node, 77, from: other) != number)
    }

    @Test func `a number that somebody else uses is nobody's`() throws {
        var node = try node()
        let number = try open(&node, 77)
        let request = Datagram(channel: number, [.request(ChunkRange(0))]).bytes(rules)
        for other in [SocketAddress(IPAddress(10, 9, 9, 10), 999), SocketAddress(Self.caller.ip, 1000)] {
            #expect(node.hear(request, from: other).isEmpty)
        }
        #expect(node.core.channels.count == 0)
        #expect(!node.hear(request, from: Self.caller).isEmpty)
        for message in [ChunkMessage.handshake(.close), .choke] {
            let forged = Datagram(channel: number, [message]).bytes(rules)
            #expect(node.hear(forged, from: SocketAddress(Self.caller.ip, 1000)).isEmpty)
        }
        #expect(node.core.channels.count == 1)
        for guess in 1...300 as ClosedRange<UInt32> where guess != number {
            #expect(node.hear(Datagram(channel: guess, [.choke]).bytes(rules), from: Self.caller).isEmpty)
        }
    }

    @Test func `a flood of handshakes from anywhere takes the room of some thousand, and who is real is served`() throws
    {
        var node = try node()
        let number = try open(&node, 77)
        #expect(!node.hear(Datagram(channel: number).bytes(rules), from: Self.caller).isEmpty)
        for source in 0..<20_000 as Range<UInt32> {
            let address = SocketAddress(IPAddress(v4: 0x0b00_0000 + source), 999)
            let datagram = Datagram(channel: 0, [.handshake(opening(node.swarm, source + 1))])
            #expect(node.hear(datagram.bytes(rules), from: address).count == 1)
        }
        #expect(node.core.channels.count == 1 && node.core.links.count == 1)
        #expect(node.core.channels.waitingCount <= 4096)
        let request = Datagram(channel: number, [.request(ChunkRange(3))]).bytes(rules)
        #expect(kinds(node.hear(request, from: Self.caller)).contains(.data))
        let late = try open(&node, 79)
        let again = Datagram(channel: late, [.request(ChunkRange(3))]).bytes(rules)
        #expect(kinds(node.hear(again, from: Self.caller)).contains(.data))
    }

    @Test func `after a close nothing comes, and the number is unknown`() throws {
        var node = try node()
        let number = try open(&node, 77)
        let request = Datagram(channel: number, [.request(ChunkRange(0, 6))]).bytes(rules)
        _ = node.hear(request, from: Self.caller)
        #expect(node.hear(Datagram(channel: number, [.handshake(.close)]).bytes(rules), from: Self.caller).isEmpty)
        #expect(node.core.channels.count == 0 && node.core.partners.isEmpty && node.core.links.isEmpty)
        #expect(node.hear(request, from: Self.caller).isEmpty && node.wait(.seconds(100)).isEmpty)
    }

    @Test func `what cannot be read ends the channel, and a swarm that is not here is met with silence`() throws {
        var node = try node()
        let number = try open(&node, 77)
        _ = node.hear(Datagram(channel: number).bytes(rules), from: Self.caller)
        let broken = Bytes(Datagram(channel: number).bytes(rules).array + [200])
        #expect(kinds(node.hear(broken, from: Self.caller)) == [.handshake])
        #expect(node.core.channels.count == 0)
        let stranger = try #require(SwarmID(Bytes([UInt8](repeating: 9, count: 20))))
        let question = Datagram(channel: 0, [.handshake(opening(stranger, 5))]).bytes(rules)
        #expect(node.hear(question, from: Self.caller).isEmpty)
        var other = opening(node.swarm, 6)
        other.chunkSize = 2048
        let refusal = node.hear(Datagram(channel: 0, [.handshake(other)]).bytes(rules), from: Self.caller)
        #expect(refusal.map(\.octets) == [Datagram(channel: 6, [.handshake(.close)]).bytes(rules)])
    }

    @Test func `a chunk that is not acknowledged comes again with all its hashes, ever later, and not for ever`() throws
    {
        var node = try node()
        let number = try open(&node, 77)
        _ = node.hear(Datagram(channel: number).bytes(rules), from: Self.caller)
        let first = node.hear(Datagram(channel: number, [.request(ChunkRange(0))]).bytes(rules), from: Self.caller)
        let again = node.wait(.milliseconds(1001))
        #expect(kinds(again) == kinds(first) && again.count == 1)
        let later = node.wait(.seconds(300)).filter { $0.octets.count > 100 }
        #expect((1...8).contains(later.count), "\(later.count)")
    }

    @Test func `an acknowledged chunk does not come again, and its hashes are not told twice`() throws {
        var node = try node()
        let number = try open(&node, 77)
        _ = node.hear(Datagram(channel: number, [.request(ChunkRange(0))]).bytes(rules), from: Self.caller)
        let next = node.hear(
            Datagram(channel: number, [.ack(ChunkRange(0), delay: 500), .request(ChunkRange(1))]).bytes(rules),
            from: Self.caller)
        #expect(kinds(next) == [.data])
        _ = node.hear(Datagram(channel: number, [.ack(ChunkRange(0, 1), delay: 500)]).bytes(rules), from: Self.caller)
        #expect(node.wait(.seconds(50)).isEmpty)
    }

    @Test func `a word is said after a minute of silence, and three minutes without an answer are the end`() throws {
        var node = try node()
        let number = try open(&node, 77)
        _ = node.hear(Datagram(channel: number).bytes(rules), from: Self.caller)
        let words = node.wait(.seconds(130))
        #expect(words.map(\.octets) == [Bytes](repeating: Datagram(channel: 77).bytes(rules), count: 2))
        _ = node.wait(.seconds(60))
        #expect(node.core.channels.count == 0)
    }
}

/// A core that is spoken to by datagrams, and whose file is read by hand.
struct Dialogue {
    struct Unexpected: Error {}

    /// A datagram that it sends.
    struct Sent {
        let octets: Bytes
        let to: SocketAddress
    }

    var core: PPSP
    let swarm: SwarmID
    private let content: Bytes
    private var effects = Effects()
    private var now: Moment

    init(_ core: PPSP, _ swarm: SwarmID, _ content: Bytes) {
        (self.core, self.swarm, self.content) = (core, swarm, content)
        now = core.clock
    }

    mutating func hear(_ datagram: Bytes, from remote: SocketAddress) -> [Sent] {
        core.handle(.datagram(datagram, on: PPSP.datagrams, from: remote), at: now, into: &effects)
        return carryOut()
    }

    mutating func wait(_ duration: Duration) -> [Sent] {
        let end = now.instant + duration
        var sent: [Sent] = []
        while let due = core.nextDeadline, due <= end {
            move(to: max(due, now.instant))
            core.handle(.deadline, at: now, into: &effects)
            sent += carryOut()
        }
        move(to: end)
        return sent
    }

    private mutating func move(to instant: Instant) {
        now = Moment(instant: instant, wallClock: now.wallClock + (instant - now.instant))
    }

    /// What it sends, when its file was read for it.
    private mutating func carryOut() -> [Sent] {
        var sent: [Sent] = []
        for effect in effects.take() {
            switch effect {
            case .sendDatagram(let octets, _, let remote): sent.append(Sent(octets: octets, to: remote))
            case .sendDatagrams(let list, _, let remote):
                sent += list.map { Sent(octets: Bytes($0.head.array + $0.payload), to: remote) }
            case .store(let request, .readAt(_, let offset, let count)):
                let part = content.slice(Int(offset)..<min(content.count, Int(offset) + count))
                core.handle(.stored(request, .bytes(part)), at: now, into: &effects)
                sent += carryOut()
            default: break
            }
        }
        return sent
    }
}
