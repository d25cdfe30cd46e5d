import Bootstrap
import PeerCore
import TestSupport
import Testing

/// A server and clients of ours in virtual time, every datagram 10 ms under way, and floods beside them.
struct Meeting {
    var server: ServerStage
    private(set) var clients: [SocketAddress: ClientStage] = [:]
    private var delivered: [SocketAddress: Int] = [:]
    /// What a client has last heard.
    private(set) var heard: [SocketAddress: [PeerAddress]] = [:]
    /// Octets that came to sources without a client, headers included.
    private(set) var strayOctets = 0

    init(_ settings: Record = [:]) {
        server = ServerStage(settings)
    }

    mutating func enter(_ address: SocketAddress, seed: UInt8) {
        var client = ClientStage(["127.0.0.1:6000"], degree: 20, seed: seed)
        client.advance(server.now - client.now)
        client.start()
        clients[address] = client
        delivered[address] = 0
    }

    mutating func want(_ address: SocketAddress, _ wanting: Bool) {
        clients[address]?.want(wanting)
    }

    mutating func leave(_ address: SocketAddress) {
        clients[address]?.stop()
        deliver()
        clients[address] = nil
    }

    private mutating func deliver() {
        for address in clients.keys.sorted() {
            guard let sent = clients[address]?.sent, let count = delivered[address] else { continue }
            for question in sent[count...] {
                guard let octets = question.message?.bytes else { continue }
                for answer in server.say(octets, from: address) {
                    heard[address] =
                        clients[answer.to]?.receive(answer.octets, from: SocketAddress(.loopback, 6000))
                        ?? heard[address]
                }
            }
            delivered[address] = sent.count
        }
    }

    /// One INIT from a source that does not listen.
    mutating func spoof(_ source: SocketAddress, id: UInt16 = 0) {
        for answer in server.say(Init(degree: 30, id: id).bytes, from: source) {
            strayOctets += answer.octets.count + 28
        }
    }

    /// Lets time pass in steps of 10 ms; `flood` is called in each.
    mutating func advance(_ duration: Duration, flood: (inout Meeting) -> Void = { _ in }) {
        let end = server.now + duration
        while server.now < end {
            server.advance(.milliseconds(10))
            for address in clients.keys.sorted() { clients[address]?.advance(.milliseconds(10)) }
            flood(&self)
            deliver()
        }
    }
}

/// Server and client together.
@Suite(.oneAtOnce) struct MeetingTests {
    @Test func `peers that come one after the other know each other within seconds, and stay listed`() throws {
        var meeting = Meeting()
        for number in 0..<20 {
            meeting.enter(peer(number), seed: UInt8(number))
            meeting.advance(.seconds(0.1))
        }
        meeting.advance(.seconds(9))
        #expect(meeting.server.count("listed") == 20)
        for number in 0..<20 {
            let heard = try #require(meeting.heard[peer(number)])
            #expect(Set(heard.map(\.address)) == Set((0..<20).filter { $0 != number }.map { peer($0) }))
            meeting.want(peer(number), false)
        }
        meeting.advance(.seconds(400))
        #expect(meeting.server.count("listed") == 20 && meeting.server.count("expired") == 0)
        meeting.leave(peer(3))
        #expect(meeting.server.count("listed") == 19)
    }

    /// 10,000 INITs in a second from spoofed sources for a minute: the whole of the public IPv4 space, a pool of 3,000
    /// addresses (each within its own limit), and one that claims IDs.
    @Test(arguments: ["everywhere", "a pool", "claims"])
    func `a spoofed flood fills nothing, is not amplified, and keeps no honest newcomer out`(kind: String) throws {
        var meeting = Meeting()
        for number in 0..<10 { meeting.enter(peer(number), seed: UInt8(number)) }
        meeting.advance(.seconds(2))
        for number in 0..<10 { meeting.want(peer(number), false) }
        var (state, spoofed) = (UInt64(99), 0)
        var newcomers: [(address: SocketAddress, at: Instant)] = []
        var slowest = Duration.zero
        let seconds = kind == "everywhere" ? 60 : 15
        for second in 0..<seconds {
            if second % 5 == 2 {
                newcomers.append((peer(30_000 + second), meeting.server.now))
                meeting.enter(peer(30_000 + second), seed: UInt8(second))
            }
            let before = meeting.strayOctets
            for _ in 0..<10 {
                meeting.advance(.milliseconds(100)) { meeting in
                    for _ in 0..<100 {
                        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                        let random = UInt32(truncatingIfNeeded: state >> 32)
                        let ip = kind == "a pool" ? 0x3000_0000 + (random % 3000) << 8 : 0x2000_0000 | random >> 2
                        meeting.spoof(
                            SocketAddress(IPAddress(v4: ip), UInt16(1 + spoofed % 60_000)),
                            id: kind == "claims" ? UInt16(truncatingIfNeeded: random) : 0)
                        spoofed += 1
                    }
                }
                newcomers.removeAll { newcomer in
                    guard let entries = meeting.heard[newcomer.address], entries.count > 3 else { return false }
                    slowest = max(slowest, meeting.server.now - newcomer.at)
                    return true
                }
            }
            #expect(meeting.strayOctets - before <= 100_000, "second \(second)")
        }
        #expect(meeting.server.count("provisional") <= 4096)
        #expect(
            newcomers.allSatisfy { meeting.server.now - $0.at < .seconds(5) } && slowest <= .seconds(5), "\(slowest)")
        #expect(meeting.server.count("listed") >= 10 + seconds / 5 - 1)
        #expect(Double(meeting.strayOctets) <= 3 * 36 * Double(spoofed), "amplified")
        #expect(meeting.server.probes.count <= 50 * (seconds + 3))
    }
}
