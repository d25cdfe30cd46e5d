internal import PeerCore
internal import PeerCrypto
internal import PeerJSON

/// The small answers of the extension (BePeer section 8).
enum Proof {
    /// Octets of such an answer.
    private static let limit = 4096

    /// `{"h":"<64 hex>"}`
    static func read(_ body: Bytes) -> Bytes32? {
        guard case .record(let record)? = try? JSON.parse(body, limit: limit) else { return nil }
        return record.string("h").flatMap { Bytes32(hex: $0) }
    }

    static func write(_ digest: Bytes) -> Bytes {
        let record: Record = ["h": .string(digest.hex)]
        return Bytes(utf8: record.json)
    }

    /// `{"ip":"…","messagePort":n}`
    static func readHandle(_ body: Bytes) -> SocketAddress? {
        guard case .record(let record)? = try? JSON.parse(body, limit: limit),
            let ip = record.string("ip").flatMap({ IPAddress($0) }),
            let port = record.int("messagePort").flatMap({ UInt16(exactly: $0) }), port > 0
        else { return nil }
        return SocketAddress(ip, port)
    }

    static func writeHandle(_ address: SocketAddress) -> Bytes {
        let record: Record = ["ip": .text(address.ip), "messagePort": .count(address.port)]
        return Bytes(utf8: record.json)
    }
}

/// Some blocks of a large file, chosen by the nonce, so that nobody can know them before (BePeer section 8.4).
///
/// A peer with the feature `sample` proves these only, by `proof/<path>?nonce=…&sample=n`. Block k of n is number
/// `(the first 8 octets of HMAC-SHA-256(nonce, k as 4 octets)) mod (blocks of the file)`; none is taken twice. The
/// answer is SHA-256 over the HMACs of the blocks, in their order in the file.
enum Sample {
    /// Octets of a block, as in section 8.4.
    static let block: UInt64 = 128 << 10
    /// Blocks that we ask for: who lacks one octet in twenty is found out in 99.8 % of all cases.
    static let count = 128
    /// Octets above which not all of a file need be proved: twice as much as a sample reads.
    static let leastOctets = UInt64(count) * 2 * block
    /// Blocks that a peer may ask for: 512 MiB of work.
    static let mostCount = 4096

    /// What is to be hashed.
    static func source(_ file: FileName, size: UInt64, nonce: Bytes32, count: Int) -> DigestSource {
        .pieces(file, at: offsets(size: size, nonce: nonce, count: count), count: block)
    }

    /// Where the blocks begin, ascending.
    static func offsets(size: UInt64, nonce: Bytes32, count: Int) -> [UInt64] {
        let blocks = size / block + (size.isMultiple(of: block) ? 0 : 1)
        guard blocks > 0 else { return [] }
        let key = Bytes(nonce.array)
        let chosen = (0..<UInt32(clamping: count)).map { number in
            var writer = ByteWriter()
            writer.write(number)
            let digest = PeerCrypto.digest(writer.bytes, .sha256, key: key)
            return digest.prefix(8).reduce(0) { $0 << 8 | UInt64($1) } % blocks
        }
        return Set(chosen).sorted().map { $0 * block }
    }

    /// What proves them.
    static func digest(_ digests: [Bytes]) -> Bytes {
        PeerCrypto.digest(Bytes(digests.flatMap { Array($0) }), .sha256)
    }
}
