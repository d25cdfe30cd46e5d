internal import PeerCore

extension Scenario {
    static let streams = [
        Scenario("connected and accepted tell both ends' addresses", connected + goodbye()),

        Scenario(
            "connect leaves from the address that the core asks for",
            listen(.b, 1) + [
                give(.a, dial(c(1001), port(1), from: IPAddress(127, 0, 0, 2))),
                hear(.a, .connected(c(1001), local: port(0, IPAddress(127, 0, 0, 2)), remote: port(1))),
                hear(
                    .b,
                    .accepted(c(1), on: listener(1), local: port(1), remote: port(0, IPAddress(127, 0, 0, 2)))),
            ]),

        Scenario(
            "connect from an address of another machine fails",
            [
                give(.a, dial(c(1001), nobody, from: IPAddress(192, 0, 2, 1))),
                hear(.a, .closed(c(1001), .unreachable, Traffic())),
            ]),

        Scenario(
            "connect to where nobody listens is refused",
            [give(.a, dial(c(1001), nobody)), hear(.a, .closed(c(1001), .refused, Traffic()))]),

        Scenario(
            "connect takes a name, and resolves it",
            listen(.b, 1) + [
                give(
                    .a,
                    .connect(c(1001), to: .name("localhost", port: 1), from: .loopback, timeout: .seconds(10))),
                hear(.a, .connected(c(1001), local: port(0), remote: port(1))),
                hear(.b, .accepted(c(1), on: listener(1), local: port(1), remote: port(0))),
            ]),

        Scenario(
            "connect to a name without addresses fails as unresolved",
            [
                give(
                    .a,
                    .connect(c(1001), to: .name("nobody.invalid", port: 1), from: nil, timeout: .seconds(10))),
                hear(.a, .closed(c(1001), .unresolved, Traffic())),
            ]),

        Scenario(
            "octets arrive whole and in order, both ways",
            connected + [
                give(.a, .send(text("one "), on: c(1001)), .send(text("two "), on: c(1001))),
                give(.a, .send(text("three"), on: c(1001))), hear(.b, .received(text("one two three"), on: c(1))),
                give(.b, .send(text("four"), on: c(1))), hear(.a, .received(text("four"), on: c(1001))),
            ] + goodbye(traffic(received: 4, sent: 13), traffic(received: 13, sent: 4))),

        Scenario(
            "half a megabyte arrives whole",
            connected + [
                give(.a, .send(zeros(1 << 19), on: c(1001))), hear(.b, .received(zeros(1 << 19), on: c(1))),
            ] + goodbye(traffic(sent: 1 << 19), traffic(received: 1 << 19))),

        Scenario(
            "what is sent before finish arrives before ended",
            connected + [
                give(.a, .send(text("last words"), on: c(1001)), .finish(c(1001))),
                hear(.b, .received(text("last words"), on: c(1)), .ended(c(1))),
                give(.b, .finish(c(1))), hear(.b, .closed(c(1), .finished, traffic(received: 10))),
                hear(.a, .closed(c(1001), .finished, traffic(sent: 10))),
            ]),

        Scenario(
            "drained comes when more than the high mark waited and less than the low mark is left",
            listen(.a, 1) + [
                .open(to: .ip(port(1)), reading: true),
                hear(.a, .accepted(c(1), on: listener(1), local: port(1), remote: port(0))),
                give(.a, .send(zeros(3 << 20), on: c(1))), hear(.a, .drained(c(1))), .hasReadOctets(3 << 20),
            ]),

        Scenario(
            "a connection that is held is not read, and its other end hears stalled until it is released",
            connected + [
                give(.b, .hold(c(1))), give(.a, .send(zeros((4 << 20) - 1), on: c(1001))),
                hear(.a, .stalled(c(1001))), give(.b, .release(c(1))),
                hear(.a, .drained(c(1001))), hear(.b, .received(zeros((4 << 20) - 1), on: c(1))),
            ]),

        Scenario(
            "measure tells the octets both ways so far, those of files included",
            [.change(path: "whole", text("0123456789"))] + connected + [
                give(.a, .measure(c(1001))), hear(.a, .measured(c(1001), Traffic())),
                give(.a, .send(text("one"), on: c(1001)), .sendFile(file("whole"), offset: 3, count: 7, on: c(1001))),
                hear(.a, .transferred(c(1001), file("whole"), .sent(octets: 7))),
                hear(.b, .received(text("one3456789"), on: c(1))), give(.b, .send(text("two!"), on: c(1))),
                hear(.a, .received(text("two!"), on: c(1001))), give(.a, .measure(c(1001))),
                hear(.a, .measured(c(1001), traffic(received: 4, sent: 10))),
                give(.b, .measure(c(1))), hear(.b, .measured(c(1), traffic(received: 10, sent: 4))),
            ] + goodbye(traffic(received: 4, sent: 10), traffic(received: 10, sent: 4))),

        Scenario(
            "a listener that is paused accepts nobody; who dials waits, and is accepted when it is resumed",
            listen(.b, 1) + [
                give(.b, .pause(listener(1))), give(.a, dial(c(1001), port(1))),
                hear(.a, .connected(c(1001), local: port(0), remote: port(1))),
                give(.a, .send(text("hello"), on: c(1001))),
                give(.b, .store(r(1), .freeSpace(files))), hear(.b, .stored(r(1), .space(1))),
                give(.b, .resume(listener(1))),
                hear(
                    .b, .accepted(c(1), on: listener(1), local: port(1), remote: port(0)),
                    .received(text("hello"), on: c(1))),
            ] + goodbye(traffic(sent: 5), traffic(received: 5))),

        Scenario(
            "a peer that does not read is closed as too slow above the hard mark",
            listen(.a, 1) + [
                .open(to: .ip(port(1)), reading: false),
                hear(.a, .accepted(c(1), on: listener(1), local: port(1), remote: port(0))),
            ] + Array(repeating: give(.a, .send(zeros(2 << 20), on: c(1))), count: 10) + [
                .hearAtLast(.a, .closed(c(1), .tooSlow, Input.anyTraffic))
            ]),

        Scenario(
            "more than the hard mark at once closes the connection too",
            connected + [
                give(.a, .send(zeros((4 << 20) + 1), on: c(1001))),
                hear(.a, .closed(c(1001), .tooSlow, Traffic())), hear(.b, .closed(c(1), .reset, Traffic())),
            ]),
    ]

    static let endings = [
        Scenario(
            "finish at both ends at once closes both in order",
            connected + [
                give(.a, .finish(c(1001))), give(.b, .finish(c(1))),
                .hearAtLast(.a, .closed(c(1001), .finished, Traffic())),
                .hearAtLast(.b, .closed(c(1), .finished, Traffic())),
            ]),

        Scenario(
            "after finish the core hears closed and nothing else",
            listen(.a, 1) + [
                .open(to: .ip(port(1)), reading: true),
                hear(.a, .accepted(c(1), on: listener(1), local: port(1), remote: port(0))),
                give(.a, .finish(c(1))), .hasEnded, .write(text("too late")), .shut,
                hear(.a, .closed(c(1), .finished, traffic(received: 8))),
            ]),

        Scenario(
            "a peer that has ended still gets what is sent to it",
            listen(.a, 1) + [
                .open(to: .ip(port(1)), reading: true),
                hear(.a, .accepted(c(1), on: listener(1), local: port(1), remote: port(0))),
                .write(text("question")), .shut, hear(.a, .received(text("question"), on: c(1)), .ended(c(1))),
                give(.a, .send(text("answer"), on: c(1)), .finish(c(1))), .hasRead(text("answer")), .hasEnded,
                hear(.a, .closed(c(1), .finished, traffic(received: 8, sent: 6))),
            ]),

        Scenario(
            "a peer that never ends is waited for only a short time",
            listen(.a, 1) + [
                .open(to: .ip(port(1)), reading: true),
                hear(.a, .accepted(c(1), on: listener(1), local: port(1), remote: port(0))),
                give(.a, .finish(c(1))), .hasEnded, hear(.a, .closed(c(1), .finished, Traffic())),
            ]),

        Scenario(
            "abort closes at once with the core's reason, and resets the other side",
            connected + [
                give(.a, .abort(c(1001), .malformed)), hear(.a, .closed(c(1001), .malformed, Traffic())),
                hear(.b, .closed(c(1), .reset, Traffic())),
            ]),

        Scenario(
            "abort ends a dial",
            listen(.b, 1) + [
                give(.b, .unlisten(listener(1))),
                give(.a, dial(c(1001), port(1)), .abort(c(1001), .operatorRequest)),
                hear(.a, .closed(c(1001), .operatorRequest, Traffic())),
            ]),

        Scenario(
            "a reset of the other side closes the connection",
            listen(.a, 1) + [
                .open(to: .ip(port(1)), reading: true),
                hear(.a, .accepted(c(1), on: listener(1), local: port(1), remote: port(0))),
                .reset, hear(.a, .closed(c(1), .reset, Traffic())),
            ]),

        Scenario(
            "effects on a connection that is closed do nothing",
            connected + [
                give(.a, .abort(c(1001), .duplicate)), hear(.a, .closed(c(1001), .duplicate, Traffic())),
                hear(.b, .closed(c(1), .reset, Traffic())),
                give(.a, .send(text("x"), on: c(1001)), .finish(c(1001)), .abort(c(1001), .limit)),
            ]),
    ]

    static let datagrams = [
        Scenario(
            "a datagram arrives as it was sent, and tells where from",
            listen(.a, 1, .datagram) + listen(.b, 2, .datagram) + [
                give(.a, .sendDatagram(text("ping"), from: listener(1), to: port(2))),
                hear(.b, .datagram(text("ping"), on: listener(2), from: port(1))),
                give(.b, .sendDatagram(text("pong"), from: listener(2), to: port(1))),
                hear(.a, .datagram(text("pong"), on: listener(1), from: port(2))),
            ]),

        Scenario(
            "datagrams of two parts arrive whole and in order, small ones and large ones",
            listen(.a, 1, .datagram) + listen(.b, 2, .datagram) + [
                give(
                    .a,
                    .sendDatagrams(
                        [
                            DatagramParts(text("head "), text("payload")), DatagramParts(text("head")),
                            DatagramParts(text("x"), zeros(20_000)),
                        ], from: listener(1), to: port(2))),
                hear(.b, .datagram(text("head payload"), on: listener(2), from: port(1))),
                hear(.b, .datagram(text("head"), on: listener(2), from: port(1))),
                hear(.b, .datagram(Bytes(text("x").array + zeros(20_000)), on: listener(2), from: port(1))),
            ]),

        Scenario(
            "a datagram may be empty, and may be as large as UDP allows",
            listen(.a, 1, .datagram) + listen(.b, 2, .datagram) + [
                give(.a, .sendDatagram(Bytes(), from: listener(1), to: port(2))),
                hear(.b, .datagram(Bytes(), on: listener(2), from: port(1))),
                give(.a, .sendDatagram(zeros(65_507), from: listener(1), to: port(2))),
                hear(.b, .datagram(zeros(65_507), on: listener(2), from: port(1))),
            ]),

        Scenario(
            "a datagram to where nobody listens, or above the limit, is lost without a word",
            listen(.a, 1, .datagram) + listen(.b, 2, .datagram) + [
                give(
                    .a, .sendDatagram(text("lost"), from: listener(1), to: nobody),
                    .sendDatagram(zeros(65_508), from: listener(1), to: port(2)),
                    .sendDatagram(text("found"), from: listener(1), to: port(2))),
                hear(.b, .datagram(text("found"), on: listener(2), from: port(1))),
            ]),

        Scenario(
            "after unlisten no datagram comes",
            listen(.a, 1, .datagram) + listen(.b, 2, .datagram) + [
                give(.b, .unlisten(listener(2))),
                give(.a, .sendDatagram(text("lost"), from: listener(1), to: port(2))),
            ]),
    ]
}
