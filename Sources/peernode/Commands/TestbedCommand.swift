internal import Glibc
internal import PeerCore
internal import PeerNode
internal import PeerRuntime
internal import UV

let testbedCommand = Subcommand(
    name: "testbed", synopsis: "--nodes N [--keep]", summary: "runs a whole network on this machine, in one process",
    options: [
        Option("nodes", "n", "N", "nodes beside the bootstrap server, 1 to \(Testbed.maximumNodes); default 12"),
        Option("keep", nil, nil, "leave the nodes' data folders behind"),
        Option("seconds", "s", "N", "end by itself after so many seconds; else when interrupted"),
        Option("port", "p", "N", "the port of all nodes, and the next two; default 9197"),
        Option("json", nil, nil, "JSON lines on a terminal too"),
    ]
) { options in
    func number(_ name: String, _ standard: Int, _ range: ClosedRange<Int>) throws(Failure) -> Int {
        guard let text = options.value(name) else { return standard }
        guard let value = Int(text), range.contains(value) else {
            throw Failure(.usage, "testbed: --\(name) takes a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }
    let nodes = try number("nodes", 12, 1...Testbed.maximumNodes)
    let port = try number("port", 9197, 1...65_533)
    let seconds = try number("seconds", 0, 0...86_400)
    let folder = (Terminal.environment("TMPDIR") ?? "/tmp") + "/peernode-testbed-\(getpid())"
    let isText = Terminal.isTerminal && !options.has("json")
    let plan = Testbed.Plan(
        nodes: nodes, port: UInt16(port), folder: folder, keepsFolder: options.has("keep"), isText: isText,
        isColoured: Terminal.isColoured)
    return try runTestbed(plan, seconds: seconds)
}

private func runTestbed(_ plan: Testbed.Plan, seconds: Int) throws -> ExitCode {
    let loop = Loop()
    let testbed = Testbed(plan, loop: loop)
    let end = Timer(loop)
    var signals: [Signal] = []
    var failure: Failure?
    func stop(_ reason: String) {
        testbed.stop(reason: reason) {
            end.close()
            for signal in signals { signal.close() }
        }
    }
    for (number, name) in [(SIGTERM, "SIGTERM"), (SIGINT, "SIGINT")] {
        signals.append(try Signal(loop, number) { stop(name) })
    }
    testbed.listenerRefused = { what in
        failure = failure ?? Failure(.unavailable, "\(what). Is another testbed running? Try another --port.")
        stop("cannot_listen")
    }
    if seconds > 0 { end.start(at: loop.instant + .seconds(seconds)) { stop("done") } }
    try testbed.start()
    loop.run()
    loop.close()
    if let failure { throw failure }
    return .done
}
