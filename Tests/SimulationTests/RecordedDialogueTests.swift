import AddressBook
import Bootstrap
import DDRP
import PeerCore
import PeerCrypto
import PeerRuntime
import PeerSimulator
import Testing
import UV

/// The simulator and the executable run the same core type with the same cryptography: what one of them recorded, a
/// fresh core does again.
@Suite struct RecordedDialogueTests {
    private let seed = blake2b256(Bytes(utf8: "recorded dialogue"))

    private func core(at host: UInt8, knowing other: UInt8, in network: UInt8 = 127, port: UInt16) throws -> DDRP {
        var configuration = DDRP.Configuration(listen: SocketAddress(IPAddress(network, 77, 0, host), port))
        configuration.standardPort = port
        configuration.seeds = [PeerLocator("\(network).77.0.\(other)", standardPort: port)].compactMap(\.self)
        configuration.pingInterval = .milliseconds(100)
        let identity = try #require(Identity(secret: blake2b256(Bytes([host]))))
        return DDRP(configuration, identity: identity, agent: "peernode/test", seed: seed)
    }

    private func messages(_ recording: Recording<DDRP>) -> Int {
        recording.entries.count { if case .input(.received) = $0.cause { true } else { false } }
    }

    @Test func `a dialogue recorded on real sockets is the same in a fresh core`() throws {
        let loop = Loop()
        let runtime = Runtime(loop: loop, log: Log(descriptor: -1), rows: nil, limits: Limits())
        let recordings = [Recording<DDRP>(), Recording<DDRP>()]
        let hosts = try [(UInt8(1), UInt8(2)), (2, 1)].enumerated().map { index, pair in
            let core = try core(at: pair.0, knowing: pair.1, port: 19_777)
            return Host(Recorder(core, into: recordings[index]), name: "ddrp\(index)", runtime: runtime)
        }
        let limit = Timer(loop)
        var isOver = false
        limit.start(at: loop.instant + .seconds(20)) { isOver = true }
        for host in hosts { host.start() }
        while !isOver, recordings.contains(where: { messages($0) < 8 }) { loop.runOnce() }
        for host in hosts { host.deliver(.stop) }
        for host in hosts { host.close() }
        limit.close()
        runtime.close()
        loop.run()
        #expect(loop.close())
        for (index, pair) in [(UInt8(1), UInt8(2)), (2, 1)].enumerated() {
            #expect(messages(recordings[index]) >= 8)
            let fresh = try core(at: pair.0, knowing: pair.1, port: 19_777)
            #expect(recordings[index].replay(into: fresh) == nil)
        }
    }

    @Test func `a dialogue recorded in the simulator is the same in a fresh core, and one octet more is not`() throws {
        let simulator = Simulator(seed: 3)
        let recording = Recording<DDRP>()
        let first = try core(at: 1, knowing: 2, in: 10, port: 9097)
        let second = try core(at: 2, knowing: 1, in: 10, port: 9097)
        simulator.addNode("first", at: IPAddress(10, 77, 0, 1), "ddrp") { _ in Recorder(first, into: recording) }
        simulator.addNode("second", at: IPAddress(10, 77, 0, 2), "ddrp") { _ in second }
        try simulator.run(for: .seconds(10))
        #expect(messages(recording) > 50)
        #expect(recording.replay(into: try core(at: 1, knowing: 2, in: 10, port: 9097)) == nil)
        #expect(recording.replay(into: try core(at: 1, knowing: 3, in: 10, port: 9097)) != nil)
    }
}
