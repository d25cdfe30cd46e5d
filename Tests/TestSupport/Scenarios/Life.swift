internal import PeerCore

extension Scenario {
    static let life = [
        Scenario("a core hears start, then the machine's addresses", []),

        Scenario(
            "deadline comes when nextDeadline has come, and once",
            [.wake(.a, after: .milliseconds(50)), hear(.a, .deadline)]),

        Scenario(
            "a node that stops tells every core first",
            [.stop, hear(.a, .stop), hear(.b, .stop)]),

        Scenario(
            "a line of the log has level, event, fields and message",
            [
                give(
                    .a, .log(LogRecord(.info, "first", ["count": 1], "One.")),
                    .log(LogRecord(.error, "second", ["name": "x"]))),
                .logged(
                    .a,
                    [LogRecord(.info, "first", ["count": 1], "One."), LogRecord(.error, "second", ["name": "x"])]),
            ]),

        Scenario(
            "resolve gives the addresses of a name",
            [give(.a, .resolve(r(1001), name: "localhost")), hear(.a, .resolved(r(1001), [.loopback]))]),

        Scenario(
            "resolve gives an empty list for a name without addresses",
            [give(.a, .resolve(r(1001), name: "nobody.invalid")), hear(.a, .resolved(r(1001), []))]),
    ]

    static let listeners = [
        Scenario("listen on port 0 lets the system choose the port", listen(.a, 1)),

        Scenario(
            "listen on an address that another listener has is refused",
            listen(.a, 1) + [
                give(.b, .listen(listener(2), on: .ip(port(1)), .stream)),
                hear(.b, .refused(listener(2), .addressInUse)),
            ]),

        Scenario(
            "listen for datagrams on an address that another listener has is refused",
            listen(.a, 1, .datagram) + [
                give(.b, .listen(listener(2), on: .ip(port(1)), .datagram)),
                hear(.b, .refused(listener(2), .addressInUse)),
            ]),

        Scenario(
            "listen on an address of another machine is refused",
            [
                // 192.0.2.0/24 is nobody's (RFC 5737).
                give(.a, .listen(listener(1), on: .ip(port(1, IPAddress(192, 0, 2, 1))), .stream)),
                hear(.a, .refused(listener(1), .addressNotAvailable)),
            ]),

        Scenario(
            "the address of a closed listener is free again",
            listen(.a, 1) + [
                give(.a, .unlisten(listener(1))), give(.b, .listen(listener(1), on: .ip(port(1)), .stream)),
                hear(.b, .listening(listener(1), .ip(port(1)))),
            ]),

        Scenario(
            "after unlisten dials are refused, and what was accepted lives on",
            connected + [
                give(.b, .unlisten(listener(1))), give(.a, dial(c(1002), port(1))),
                hear(.a, .closed(c(1002), .refused, Traffic())),
                give(.a, .send(text("still here"), on: c(1001))), hear(.b, .received(text("still here"), on: c(1))),
            ] + goodbye(traffic(sent: 10), traffic(received: 10))),

        Scenario(
            "a listener on all addresses takes connections to each of them",
            [
                give(.b, .listen(listener(1), on: .ip(port(1, .anyV4)), .stream)),
                hear(.b, .listening(listener(1), .ip(port(1, .anyV4)))),
                give(.a, dial(c(1001), port(1, IPAddress(127, 0, 0, 3)))),
                hear(.a, .connected(c(1001), local: port(0), remote: port(1, IPAddress(127, 0, 0, 3)))),
                hear(
                    .b,
                    .accepted(c(1), on: listener(1), local: port(1, IPAddress(127, 0, 0, 3)), remote: port(0))),
            ]),

        Scenario(
            "a Unix socket listens at a path, and its ends have no address",
            [
                give(.a, .listen(ListenerID("admin"), on: .unix(path: "admin.sock"), .stream)),
                hear(.a, .listening(ListenerID("admin"), .unix(path: "admin.sock"))),
                .open(to: .unix(path: "admin.sock"), reading: true),
                hear(.a, .accepted(c(1), on: ListenerID("admin"), local: .none, remote: .none)),
                .write(text("status\n")), hear(.a, .received(text("status\n"), on: c(1))),
                give(.a, .send(text("all is well\n"), on: c(1))), .hasRead(text("all is well\n")),
                .shut, hear(.a, .ended(c(1))), give(.a, .finish(c(1))), .hasEnded,
                hear(.a, .closed(c(1), .finished, traffic(received: 7, sent: 12))),
            ]),

        Scenario(
            "a path that another listener has is refused",
            [
                give(.a, .listen(ListenerID("admin"), on: .unix(path: "admin.sock"), .stream)),
                hear(.a, .listening(ListenerID("admin"), .unix(path: "admin.sock"))),
                // A host may knock to see whether somebody is there; who is there hears that.
                .ignore(.a), give(.b, .listen(ListenerID("admin"), on: .unix(path: "admin.sock"), .stream)),
                hear(.b, .refused(ListenerID("admin"), .addressInUse)),
            ]),
    ]
}
