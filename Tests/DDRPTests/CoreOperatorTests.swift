import AddressBook
import PeerCore
import PeerCrypto
import Testing

@testable import DDRP

/// program.md sections 1 and 3: commands and saved state.
@Suite struct CoreOperatorTests {
    @Test func `peers has a row for each, which begins with the peer`() {
        var stage = CoreStage.ready()
        var guest = Guest(2, .text, agent: "guest/\u{1b}[31m")
        let (connection, _) = stage.open(inbound: &guest)
        stage.wait(.seconds(7))
        let (id, effects) = stage.command("peers")
        guard let row = effects.answer(to: id)?.records.first else { return #expect(Bool(false), "no row") }
        #expect(row.json.hasPrefix("{\"peer\":\"\(guest.peer)\",\"address\":\"127.1.0.2:40000\""))
        #expect(row.string("dialect") == "text" && row.double("seconds") == 7)
        #expect(row.double("lastEnvelopeSeconds") == 7 && row.double("handshakeSeconds") == 0)
        #expect(!row.json.contains("\u{1b}") && stage.core.links[connection] != nil)
    }

    @Test func `peers all has the rest of the book too`() {
        var stage = CoreStage.ready()
        var guest = Guest(2)
        let (connection, _) = stage.open(inbound: &guest)
        stage(.closed(connection, .closedByPeer, Traffic()))
        for dial in stage.history.dials { stage(.closed(dial.connection, .refused, Traffic())) }
        let (id, effects) = stage.command("peers", ["all": true])
        #expect(effects.answer(to: id)?.records.map { $0.string("address") } == ["127.1.0.2:9097"])
    }

    @Test func `ping and disconnect take a peer ID, a part of it, or an address`() {
        var stage = CoreStage.ready()
        var guest = Guest(2)
        let (connection, _) = stage.open(inbound: &guest)
        for name in [guest.peer.hex, String(guest.peer.hex.prefix(4)), "127.1.0.2:40000", "127.1.0.2"] {
            let (id, effects) = stage.command("ping", ["peer": .string(name)])
            #expect(effects.answer(to: id)?.records.first?.string("peer") == guest.peer.hex)
        }
        for name in ["", "abc", "zzzz", "192.0.2.1"] {
            let (id, effects) = stage.command("disconnect", ["peer": .string(name)])
            guard case .refused? = effects.answer(to: id)?.outcome else { return #expect(Bool(false), "\(name)") }
        }
        let (_, effects) = stage.command("disconnect", ["peer": .text(guest.peer)])
        #expect(effects.finishes(connection) && effects.lines("peer_down").first?.string("reason") == "operator")
        #expect(stage.wait(.seconds(300)).dials.isEmpty, "what the operator ended is not dialled soon")
    }

    @Test func `connect answers when the handshake has ended`() {
        var stage = CoreStage.ready()
        let (first, effects) = stage.command("connect", ["address": "127.1.0.2"])
        #expect(effects.answer(to: first) == nil)
        let (second, more) = stage.command("connect", ["address": "127.1.0.2:9097"])
        #expect(more.dials.isEmpty, "one dial for both")
        let (third, _) = stage.command("connect", ["address": "127.1.0.2:9097"])
        stage(.cancelled(third))
        guard let dial = effects.dials.first else { return #expect(Bool(false), "no dial") }
        var guest = Guest(2)
        let list = stage.answer(dial.connection, as: &guest)
        for id in [first, second] { #expect(list.answer(to: id)?.records.first?.string("peer") == guest.peer.hex) }
        #expect(list.answer(to: third) == nil)
    }

    @Test func `connect says why it failed`() {
        let cases: [(String, String)] = [
            ("nonsense@x", "\"nonsense@x\" is no address: expected HOST, HOST:PORT or ID@HOST:PORT"),
            ("127.0.0.1:9097", "127.0.0.1:9097 is this node itself"),
        ]
        for (text, reason) in cases {
            var stage = CoreStage.ready()
            let (id, effects) = stage.command("connect", ["address": .string(text)])
            #expect(effects.answer(to: id)?.outcome == .refused(reason))
        }
        var stage = CoreStage.ready()
        let (id, effects) = stage.command("connect", ["address": "example.org"])
        #expect(effects.dials.first?.destination == .name("example.org", port: 9097))
        guard let dial = effects.dials.first else { return }
        let list = stage(.closed(dial.connection, .unresolved, Traffic()))
        #expect(list.answer(to: id)?.outcome == .refused("no connection with example.org:9097: unresolved"))
        let line = list.lines("dial_failed").first
        #expect(line == ["address": "example.org:9097", "reason": "unresolved"])
    }

    @Test func `drop closes what is inside a block and leaves it alone until readmit`() {
        var stage = CoreStage.ready()
        var near = Guest(2)
        var far = Guest(3, at: SocketAddress(IPAddress(127, 2, 0, 3), 9097))
        let (first, _) = stage.open(inbound: &near)
        let (second, _) = stage.open(inbound: &far)
        let (id, effects) = stage.command("drop", ["prefix": "127.1.0.0/16"])
        #expect(effects.answer(to: id)?.records.count == 1 && effects.abortion(of: first) == .banned)
        #expect(effects.lines("peer_down").first?.string("reason") == "banned")
        #expect(stage.core.links.keys.sorted() == [second] && effects.dials.isEmpty)
        #expect(stage.wait(.seconds(10)).dials.isEmpty)
        #expect(stage.command("readmit", ["prefix": "127.1.0.0/16"]).effects.dials.count == 1)
    }

    @Test func `drop takes any number of seconds`() {
        var stage = CoreStage.ready()
        for seconds in [1e300, -1e300, .infinity, .nan, 0.5, -1] {
            let (id, effects) = stage.command("drop", ["prefix": "127.1.0.0/16", "seconds": .double(seconds)])
            #expect(effects.answer(to: id)?.outcome == .done, "\(seconds)")
        }
    }

    @Test func `what changes together is saved together and said in one line`() {
        var stage = CoreStage.ready { $0.targetOutbound = 0 }
        for key in 2...6 {
            var guest = Guest(UInt64(key))
            stage.open(inbound: &guest)
        }
        let effects = stage.wait(.milliseconds(300))
        let rows = effects.count { if case .remember("ddrp_book", _, _) = $0 { true } else { false } }
        #expect(rows == 5 && effects.lines("book_saved") == [["rows": 5, "forgotten": 0, "known": 5]])
        #expect(effects.last.map { if case .log = $0 { true } else { false } } == true, "the line follows its rows")
        var lines = 0
        for _ in 0..<600 {
            lines += stage.wait(.seconds(1)).lines("book_saved").count
            for connection in stage.core.links.keys.sorted() {
                guard let peer = stage.core.links[connection]?.peer,
                    let key = (2...6).first(where: { identity(UInt64($0)).peerID == peer })
                else { continue }
                var guest = Guest(UInt64(key))
                stage(.received(guest.seal(.ping, at: stage.timestamp), on: connection))
            }
        }
        #expect(lines == 0, "signs of life cost no rows")
    }

    @Test func `a restarted node dials the peers that it remembers`() {
        var stage = CoreStage.ready()
        var guest = Guest(2)
        stage.open(outbound: &guest)
        let saved = stage.wait(.seconds(1)).compactMap { effect -> Row? in
            if case .remember("ddrp_book", let key, let record) = effect { Row(key: key, record: record) } else { nil }
        }
        let again = CoreStage.ready(rows: saved)
        #expect(again.history.dials.map(\.destination) == [.address(guest.address)])
    }

    @Test func `every setting has a default that its own check accepts`() {
        let configuration = DDRP.Configuration(listen: CoreStage.ownAddress)
        #expect(configuration.targetOutbound == 8 && configuration.maxInbound == 117)
        #expect(configuration.allowPrivateAddresses && configuration.bindOutbound)
        let public4 = DDRP.Configuration(listen: SocketAddress(IPAddress.anyV4, 9097))
        #expect(!public4.allowPrivateAddresses && !public4.bindOutbound && public4.dialect == nil)
        #expect(Set(DDRP.Configuration.settings.map(\.key)).count == DDRP.Configuration.settings.count)
    }

    @Test func `settings that need a restart are named, the others apply`() {
        var stage = CoreStage.ready()
        var new = stage.core.configuration
        new.listen.port = 1
        new.targetOutbound = 3
        new.seeds = [PeerLocator("127.1.0.2", standardPort: 9097)].compactMap { $0 }
        var effects = Effects()
        let needed = stage.core.reconfigure(new, at: stage.now, into: &effects)
        #expect(needed == [RestartNeeded("listen")] && stage.core.configuration.targetOutbound == 3)
        #expect(effects.take().dials.count == 1)
    }

    @Test func `seeds and operators name peers in these forms`() {
        let id = identity(2).peerID
        let cases: [(String, String?, Bytes32?)] = [
            ("192.0.2.1", "192.0.2.1:9097", nil), ("192.0.2.1:1", "192.0.2.1:1", nil),
            ("\(id)@192.0.2.1", "192.0.2.1:9097", id), ("\(id)@192.0.2.1:5", "192.0.2.1:5", id),
            ("2001:db8::1", "[2001:db8::1]:9097", nil), ("[2001:db8::1]:7", "[2001:db8::1]:7", nil),
            ("[::1]", "[::1]:9097", nil), ("host.example", "host.example:9097", nil),
            ("abc@192.0.2.1", nil, nil), ("", nil, nil), ("192.0.2.1:99999", nil, nil),
        ]
        for (text, place, identity) in cases {
            let locator = PeerLocator(text, standardPort: 9097)
            #expect(locator?.destination.description == place && locator?.identity == identity, "\(text)")
        }
        #expect(PeerLocator.problemOfSeed("host.example") != nil && PeerLocator.problemOfSeed("::1") == nil)
    }
}
