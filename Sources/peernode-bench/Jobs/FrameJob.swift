internal import CLimits
internal import DDRP
internal import Foundation
internal import PeerCore
internal import PeerCrypto

/// `frame`: taking one Ping of 76 octets out of received bytes.
let frameJob = Job(
    name: "frame", summary: "Envelope.next of a Ping: nanoseconds, and instructions when valgrind is there"
) {
    bench in
    let frames = Frames()
    var figure = Figure("frame", "ns_per_envelope", limit: "target", .atMost(1))
    let count = bench.size(10_000_000, quick: 100_000)
    _ = try frames.take(count / 10)
    try bench.rounds {
        let start = limits_own_cpu()
        guard try frames.take(count) == count * Frames.octets else { throw BenchFailure("not every frame was found") }
        figure.add(node: Double(limits_own_cpu() - start) / Double(count), limit: Frames.targetNanoseconds)
    }
    bench.report.add(figure)
    try countInstructions(bench)
}

/// Pings of several peers, one after the other in one received buffer.
struct Frames {
    /// A Ping in the reference's dialect (DDRP section 3).
    static let octets = 76
    /// What an envelope may cost: a hundredth of its signature check is 300 ns, and framing must vanish beside that.
    static let targetNanoseconds = 5.0
    /// Envelopes in the buffer: what a read of 64 KiB would bring from a busy peer is more, what it brings from a quiet
    /// one is less.
    private static let envelopes = 64

    private let buffer: Bytes

    init() {
        var octets: [UInt8] = []
        for index in 0..<Self.envelopes {
            let secret = blake2b256(Bytes(utf8: "frame \(index)"))
            guard let key = Secp256k1.PrivateKey(secret) else { continue }
            var sealer = Sealer(key: key)
            octets += sealer.seal(.ping, timestamp: 1_767_225_600, in: .reference).array
        }
        buffer = Bytes(octets)
    }

    /// Takes so many envelopes; gives their octets, which keeps the compiler from leaving the work out.
    func take(_ count: Int) throws(DecodeError) -> Int {
        var position = 0
        var octets = 0
        for _ in 0..<count {
            if position == buffer.count { position = 0 }
            let next = try Envelope.next(
                in: buffer.dropping(position), dialect: .reference, bodyLimit: Envelope.maximumBodyBytes)
            guard let next else { return octets }
            position += next.octets
            octets += next.octets
        }
        return octets
    }
}

// MARK: - Instructions

/// Instructions for a frame: the difference of two runs under callgrind, so that the start of the program drops out.
private func countInstructions(_ bench: Bench) throws {
    let paths = ["/usr/bin/valgrind", "/usr/local/bin/valgrind"]
    guard let valgrind = paths.first(where: FileManager.default.isExecutableFile) else {
        return bench.report.say("absent valgrind: instructions per frame were not counted")
    }
    // Old versions of valgrind cannot read the compiler's debugging information.
    let program = try bench.folder("callgrind").appendingPathComponent("peernode-bench").path
    guard try run("/usr/bin/strip", ["--strip-debug", "-o", program, CommandLine.arguments[0]], bench).status == 0
    else {
        return bench.report.say("absent strip: instructions per frame were not counted")
    }
    let (few, many) = (10_000, 110_000)
    func instructions(_ count: Int) throws -> Double {
        let words = ["--tool=callgrind", "--callgrind-out-file=/dev/null", program, "take-frames", "\(count)"]
        let result = try run(valgrind, words, bench)
        guard result.status == 0 else { throw BenchFailure("valgrind failed: \(result.output.suffix(300))") }
        let line = result.output.split(separator: "\n").last { $0.contains("Collected :") }
        guard let count = line?.split(separator: " ").last.flatMap({ Double($0) }) else {
            throw BenchFailure("valgrind said nothing of instructions")
        }
        return count
    }
    let each = (try instructions(many) - instructions(few)) / Double(many - few)
    bench.report.say(
        "instructions job=frame per_envelope=\(shown(each)) counted by: valgrind --tool=callgrind \(program)"
            + " take-frames \(many), less the same with \(few), over \(many - few)")
}

/// Runs a program to its end.
private func run(_ program: String, _ words: [String], _ bench: Bench) throws -> (status: Int32, output: String) {
    guard FileManager.default.isExecutableFile(atPath: program) else { return (127, "") }
    let file = try bench.folder("run").appendingPathComponent("output")
    let output = open(file.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
    defer { close(output) }
    let child = try Child([program] + words, output: output, seconds: 120)
    return (child.wait(), Machine.text(of: file.path))
}

/// The program that callgrind counts.
func takeFrames(_ words: [String]) throws -> Int32 {
    guard let count = words.first.flatMap({ Int($0) }) else { throw Usage("take-frames needs a number") }
    return try Frames().take(count) > 0 ? 0 : 1
}
