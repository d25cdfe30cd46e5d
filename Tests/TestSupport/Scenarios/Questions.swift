internal import PeerCore

private func row(_ key: String, _ value: Int64) -> Row { Row(key: key, record: ["value": .int(value)]) }

private func remember(_ key: String, _ value: Int64) -> Effect {
    .remember(table: "numbers", key: key, ["value": .int(value)])
}

private func recall(after: String? = nil, limit: Int = 100) -> Effect {
    .recall(table: "numbers", after: after, limit: limit)
}

private func recalled(_ rows: Row..., more: Bool = false) -> Input {
    .recalled(table: "numbers", rows, more: more)
}

extension Scenario {
    static let rows = [
        Scenario(
            "rows come back in the order of their keys, and a later one takes the place of an earlier one",
            [
                give(.a, remember("b", 1), remember("a", 2), remember("c", 3), remember("b", 4)), give(.a, recall()),
                hear(.a, recalled(row("a", 2), row("b", 4), row("c", 3))),
            ]),

        Scenario(
            "recall goes on after a key, and tells when the limit cut the list",
            [
                give(.a, remember("a", 1), remember("b", 2), remember("c", 3)), give(.a, recall(limit: 2)),
                hear(.a, recalled(row("a", 1), row("b", 2), more: true)), give(.a, recall(after: "b", limit: 2)),
                hear(.a, recalled(row("c", 3))),
            ]),

        Scenario(
            "what is forgotten does not come back",
            [
                give(.a, remember("a", 1), remember("b", 2), .forget(table: "numbers", key: "a")),
                give(.a, .forget(table: "numbers", key: "none"), recall()), hear(.a, recalled(row("b", 2))),
            ]),

        Scenario("a table that nobody wrote is empty", [give(.a, recall()), hear(.a, recalled())]),

        Scenario(
            "a row holds texts, numbers and truth values; a truth value comes back as 0 or 1",
            [
                give(
                    .a,
                    .remember(
                        table: "kinds", key: "k", ["text": "ä", "whole": -1, "part": 1.5, "yes": true, "no": false])),
                give(.a, .recall(table: "kinds", after: nil, limit: 1)),
                hear(
                    .a,
                    .recalled(
                        table: "kinds",
                        [Row(key: "k", record: ["text": "ä", "whole": -1, "part": 1.5, "yes": 1, "no": 0])],
                        more: false)),
            ]),

        Scenario(
            "rows outlive the node",
            [
                give(.a, remember("a", 1)), give(.a, recall()), hear(.a, recalled(row("a", 1))), .restart,
                give(.a, recall()), hear(.a, recalled(row("a", 1))),
            ]),
    ]

    private static let guest = IPAddress(127, 0, 0, 2)
    private static let later = WallClock(seconds: 4_102_444_800)

    static let bans = [
        Scenario(
            "a banned address is reset before the core hears of it",
            listen(.b, 1) + [
                give(.b, .ban(IPPrefix(guest), until: later, reason: "test")),
                give(.a, dial(c(1001), port(1), from: guest)),
                .hearAtLast(.a, .closed(c(1001), .reset, Traffic())),
            ]),

        Scenario(
            "a banned address is not dialled, by any core of the node",
            listen(.b, 1) + [
                give(.b, .ban(IPPrefix(guest, length: 24), until: later, reason: "test")),
                give(.a, dial(c(1001), port(1))), hear(.a, .closed(c(1001), .banned, Traffic())),
            ]),

        Scenario(
            "datagrams from and to a banned address are dropped",
            listen(.a, 1, .datagram) + listen(.b, 2, .datagram) + [
                give(.b, .ban(IPPrefix(.loopback), until: later, reason: "test")),
                give(.a, .sendDatagram(text("lost"), from: listener(1), to: port(2))),
                give(.b, .sendDatagram(text("lost"), from: listener(2), to: port(1))),
            ]),

        Scenario(
            "a ban that is over, or lifted, keeps nobody away",
            listen(.b, 1) + [
                give(
                    .b, .ban(IPPrefix(.loopback), until: WallClock(seconds: 1), reason: "test"),
                    .ban(IPPrefix(.loopback, length: 8), until: later, reason: "test"),
                    .unban(IPPrefix(.loopback, length: 8))),
                give(.a, dial(c(1001), port(1))),
                hear(.a, .connected(c(1001), local: port(0), remote: port(1))),
                hear(.b, .accepted(c(1), on: listener(1), local: port(1), remote: port(0))),
            ]),
    ]

    static let questions =
        bans + [
            Scenario(
                "a command gets as many answers as the core likes, the last one says so",
                [
                    .ask(.a, Command("peers", ["all": true])),
                    hear(.a, .command(k(1), Command("peers", ["all": true]))),
                    give(.a, .reply(k(1), Reply([["peer": "x"]], .more))), .answers([Reply([["peer": "x"]], .more)]),
                    give(.a, .reply(k(1), Reply([["peer": "y"]]))), give(.a, .reply(k(1), Reply([["peer": "z"]]))),
                    .answers([Reply([["peer": "x"]], .more), Reply([["peer": "y"]])]),
                ]),

            Scenario(
                "a command that the operator does not wait for any more is cancelled",
                [
                    .ask(.a, Command("watch")), hear(.a, .command(k(1), Command("watch"))), .cancel,
                    hear(.a, .cancelled(k(1))), give(.a, .reply(k(1), Reply([]))), .answers([]),
                ]),

            Scenario(
                "a core asks another one, which answers",
                [
                    give(.a, .ask(k(1001), of: "b", Command("peers"))), hear(.b, .command(k(1), Command("peers"))),
                    give(.b, .reply(k(1), Reply([["peer": "x"]], .more))),
                    hear(.a, .answered(k(1001), Reply([["peer": "x"]], .more))),
                    give(.b, .reply(k(1), Reply([], .refused("no more")))),
                    hear(.a, .answered(k(1001), Reply([], .refused("no more")))),
                ]),

            Scenario(
                "a core that withdraws its question gets no answer",
                [
                    give(.a, .ask(k(1001), of: "b", Command("watch"))), hear(.b, .command(k(1), Command("watch"))),
                    give(.a, .withdraw(k(1001))), hear(.b, .cancelled(k(1))), give(.b, .reply(k(1), Reply([]))),
                ]),

            Scenario(
                "a core that does not run cannot be asked",
                [
                    give(.a, .ask(k(1001), of: "nobody", Command("peers"))),
                    hear(.a, .answered(k(1001), Reply([], .refused("")))),
                ]),
        ]
}
