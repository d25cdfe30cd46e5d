internal import CLimits
internal import DDRP
internal import PeerCore
internal import UV

/// `envelopes`: received and verified envelopes from many peers, by the processor time of the node.
let envelopeJob = Job(
    name: "envelopes", summary: "envelopes received and verified per core from 128 peers, spaced and in a flood"
) { bench in
    let job = EnvelopeJob(bench)
    for isSpaced in [true, false] {
        var figure = Figure(
            isSpaced ? "envelopes.spaced" : "envelopes.flood", "per_core_per_s", limit: "target", .atLeast(1))
        figure.note =
            "\(EnvelopeJob.peers) peers, no signature twice; raised: ddrp/maxEnvelopesPerSecond, maxInbound;"
            + (isSpaced ? " \(EnvelopeJob.spacedPerSecond) a second" : " as fast as they are taken")
        // How fast the machine's own cryptography is today: nobody can verify faster.
        var bound = Figure(figure.job, "per_core_per_s", limit: "recover", .none)
        var rate = Figure(figure.job, "per_s", limit: "target", .none)
        var round = 0
        try bench.rounds {
            let result = try job.run(isSpaced: isSpaced, round)
            round += 1
            figure.add(node: 1e6 / result.cpu, limit: EnvelopeJob.target)
            let recover = limits_crypto_cost(UInt32(bench.size(1000, quick: 50)), 0).recover
            bound.add(node: 1e6 / result.cpu, limit: 1e9 / recover)
            rate.add(node: result.rate, limit: EnvelopeJob.target)
        }
        for figure in [figure, bound, rate] { bench.report.add(figure) }
    }
}

private struct EnvelopeJob {
    /// Envelopes a second and core (the Go reference does 2,050).
    static let target = 15_000.0
    /// More than the hundred of the target.
    static let peers = 128
    /// What the spaced load sends in a second: each comes alone, as in life, while the node keeps up.
    static let spacedPerSecond = 8_000
    /// Seconds by which signatures are apart from now at most; the node's window is 30.
    private static let spread = 25

    private let bench: Bench
    private let perPeer: Int

    init(_ bench: Bench) {
        self.bench = bench
        perPeer = bench.size(200, quick: 10)
    }

    func run(isSpaced: Bool, _ round: Int) throws -> (cpu: Double, rate: Double) {
        let server = SocketAddress(IPAddress(127, 10, 0, 2), 9097)
        let node = try NodeProcess(bench, "envelopes", .openNode(listen: server))
        defer { node.stop() }
        try node.waitUntilListening("ddrp")
        let clock = Loop()
        let now = UInt32(clamping: clock.wallClock.seconds)
        clock.close()
        let personas = Persona.make("envelopes", 0..<Self.peers, signed: now)
        let load = PeerLoad(server: server, personas)
        defer { load.close() }
        try load.connectAll(window: 32, limit: .seconds(10))
        try node.waitUntil("inbound", is: Self.peers, limit: 5)
        let prepared = personas.map { envelopes(of: $0, around: now) }
        Child.settle()
        let before = node.child.processorTime
        let start = load.loop.instant
        if isSpaced { try sendSpaced(prepared, load) } else { sendAll(prepared, load) }
        // A PeerReq is answered after everything that was sent before it.
        for number in 0..<Self.peers { load.peers[number].send(load.seal(.peerReq, for: number)) }
        try load.run("the envelopes", limit: .seconds(60)) { load.peers.allSatisfy { $0.peerResponses > 0 } }
        let time = (load.loop.instant - start).fractionalSeconds
        Child.settle()
        let total = Double(Self.peers * (perPeer + 1))
        return ((node.child.processorTime - before) / 1000 / total, total / time)
    }

    /// Envelopes of different types and seconds, so that no signature comes twice.
    private func envelopes(of persona: Persona, around now: UInt32) -> [Bytes] {
        guard let name = BlobName(Bytes(utf8: "a")) else { return [] }
        let kinds: [Message] = [
            .ping, .nilUpdate(NilUpdate(name: name)), .treeBaseReq(TreeBaseReq(name: name)),
            .sectorReq(SectorReq(name: name, sectorID: 0)),
        ]
        return (0..<perPeer).map { index in
            var sealer = Sealer(key: persona.key)
            let second = now - UInt32(Self.spread) + UInt32(index / kinds.count % (2 * Self.spread))
            return sealer.seal(kinds[index % kinds.count], timestamp: second, in: .reference)
        }
    }

    private func sendAll(_ envelopes: [[Bytes]], _ load: PeerLoad) {
        for index in 0..<perPeer {
            for number in 0..<Self.peers { load.peers[number].send(envelopes[number][index]) }
            load.loop.runReady()
        }
    }

    private func sendSpaced(_ envelopes: [[Bytes]], _ load: PeerLoad) throws {
        var sent = 0
        let total = Self.peers * perPeer
        let start = load.loop.instant
        try load.run("the sending", limit: .seconds(60)) {
            let due = min(total, Int((load.loop.instant - start).fractionalSeconds * Double(Self.spacedPerSecond)))
            while sent < due {
                load.peers[sent % Self.peers].send(envelopes[sent % Self.peers][sent / Self.peers])
                sent += 1
            }
            load.loop.runReady()
            return sent == total
        }
    }
}
