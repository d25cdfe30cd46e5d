internal import CLimits
internal import DDRP
internal import PeerCore
internal import PeerCrypto

/// `codec`: what a message costs beside its signature: the node's own code around libsecp256k1.
let codecJob = Job(name: "codec", summary: "recovering and sealing in Swift beside libsecp256k1 alone") { bench in
    let count = bench.size(2000, quick: 100)
    let material = Material(count: 64)
    var recover = Figure("codec.verify", "us_per_envelope", limit: "recover", .atMost(1.1))
    var sign = Figure("codec.seal", "us_per_envelope", limit: "sign", .atMost(1.2))
    var hello = Figure("codec.hello", "us_per_hello", limit: "recover+parse", .none)
    try bench.rounds {
        let bound = limits_crypto_cost(UInt32(count), 0)
        recover.add(node: try material.verify(count), limit: bound.recover / 1000)
        sign.add(node: material.seal(count), limit: bound.sign / 1000)
        hello.add(node: try material.hello(count), limit: (bound.recover + bound.parse) / 1000)
    }
    for figure in [recover, sign, hello] { bench.report.add(figure) }
}

/// Envelopes of several peers.
private struct Material {
    private let pings: [Bytes]
    private let hellos: [Bytes]
    private let peers: [Bytes32]
    private let keys: [Secp256k1.PrivateKey]

    init(count: Int) {
        keys = (0..<count).compactMap { Secp256k1.PrivateKey(blake2b256(Bytes(utf8: "codec \($0)"))) }
        peers = keys.map { blake2b256($0.publicKey) }
        let nonce = Bytes32.zero
        (pings, hellos) = keys.reduce(into: ([], [])) { result, key in
            var sealer = Sealer(key: key)
            let hello = Hello(
                localNonce: nonce, remoteNonce: nonce, publicKey: key.publicKey, external: nil,
                userAgent: Bytes(utf8: "peernode-bench"))
            result.0.append(sealer.seal(.ping, timestamp: 1_767_225_600, in: .reference))
            result.1.append(sealer.seal(.hello(hello), timestamp: 1_767_225_600, in: .reference))
        }
    }

    /// Microseconds for a received Ping: framing, recovery, peer ID, message.
    func verify(_ count: Int) throws -> Double {
        try median(of: count) { index in
            guard let next = try Envelope.next(in: pings[index], dialect: .reference, bodyLimit: 4096),
                let key = next.envelope.signer(in: .reference), blake2b256(key) == peers[index],
                case .ping = try Message(decoding: next.envelope.body, code: next.envelope.code, dialect: .reference)
            else { throw BenchFailure("a Ping was not understood") }
        }
    }

    /// Microseconds for a received Hello, with the check of its key.
    func hello(_ count: Int) throws -> Double {
        try median(of: count) { index in
            guard let next = try Envelope.next(in: hellos[index], dialect: .reference, bodyLimit: 4096),
                case .hello(let hello) = try Message(
                    decoding: next.envelope.body, code: next.envelope.code, dialect: .reference),
                next.envelope.signer(in: .reference) == hello.publicKey
            else { throw BenchFailure("a Hello was not understood") }
        }
    }

    /// Microseconds for a Ping to send whose second has not come before.
    func seal(_ count: Int) -> Double {
        var sealers = keys.map { Sealer(key: $0) }
        return median(of: count) { index in
            sealers[index] = Sealer(key: keys[index])
            _ = sealers[index].seal(.ping, timestamp: 1_767_225_601, in: .reference)
        }
    }

    private func median(of count: Int, _ body: (Int) throws -> Void) rethrows -> Double {
        var times: [Double] = []
        for index in 0..<count {
            let start = limits_own_cpu()
            try body(index % keys.count)
            times.append(Double(limits_own_cpu() - start) / 1000)
        }
        return Spread(times).median
    }
}
