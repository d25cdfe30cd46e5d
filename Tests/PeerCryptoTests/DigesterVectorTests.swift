import PeerCore
import PeerCrypto
import Testing

/// Published digests, through one call and piece by piece.
@Suite struct DigesterVectorTests {
    private struct Case {
        let message: [UInt8]
        var key: [UInt8]?
        let digests: [DigestAlgorithm: String]
    }

    /// FIPS 180-4 examples for SHA-1 and SHA-256; BLAKE2b-256 of the same messages by two other implementations
    /// (Python's hashlib, the reference code of RFC 7693).
    private static let plain = [
        Case(
            message: [],
            digests: [
                .sha1: "da39a3ee5e6b4b0d3255bfef95601890afd80709",
                .sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                .blake2b256: "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8",
            ]),
        Case(
            message: Array("abc".utf8),
            digests: [
                .sha1: "a9993e364706816aba3e25717850c26c9cd0d89d",
                .sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                .blake2b256: "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319",
            ]),
        Case(
            message: Array("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8),
            digests: [
                .sha1: "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
                .sha256: "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
                .blake2b256: "5f7a93da9c5621583f22e49e8e91a40cbba37536622235a380f434b9f68e49c4",
            ]),
        Case(
            message: [UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000),
            digests: [
                .sha1: "34aa973cd4c4daa4f61eeb2bdbad27316534016f",
                .sha256: "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
                .blake2b256: "0741850f36cba4259628355d1073e24ddb9ca0e1bfac36fd39ae5dc2101e23a4",
            ]),
    ]

    /// RFC 4231 cases 1 to 4, 6 and 7 for HMAC-SHA-256; RFC 2202 cases 1 and 2 for HMAC-SHA-1.
    private static let hmac = [
        Case(
            message: Array("Hi There".utf8), key: [UInt8](repeating: 0x0b, count: 20),
            digests: [
                .sha1: "b617318655057264e28bc0b6fb378c8ef146be00",
                .sha256: "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ]),
        Case(
            message: Array("what do ya want for nothing?".utf8), key: Array("Jefe".utf8),
            digests: [
                .sha1: "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
                .sha256: "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ]),
        Case(
            message: [UInt8](repeating: 0xdd, count: 50), key: [UInt8](repeating: 0xaa, count: 20),
            digests: [.sha256: "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"]),
        Case(
            message: [UInt8](repeating: 0xcd, count: 50), key: Array(1...25),
            digests: [.sha256: "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"]),
        Case(
            message: Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
            key: [UInt8](repeating: 0xaa, count: 131),
            digests: [.sha256: "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"]),
        Case(
            message: Array(
                """
                This is a test using a larger than block-size key and a larger than block-size data. The key needs to \
                be hashed before being used by the HMAC algorithm.
                """.utf8), key: [UInt8](repeating: 0xaa, count: 131),
            digests: [.sha256: "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"]),
        Case(
            message: [], key: [],
            digests: [.sha256: "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"]),
    ]

    /// BLAKE2b's own keyed form, by Python's hashlib.
    private static let keyed = [
        Case(
            message: Array("abc".utf8), key: Array(0..<64),
            digests: [.blake2b256: "dff38c978666dff5631db35ca15535520d134f5c8060ea569c6a178ad393719f"]),
        Case(
            message: Array(0..<255), key: Array(0..<32),
            digests: [.blake2b256: "f60f5c4a575c43db6c93608515866ea998e04b35792f5a92b27aa5880cd6721e"]),
    ]

    @Test func `a digest is the published one, whole and in pieces`() {
        for example in Self.plain + Self.hmac + Self.keyed {
            let message = Bytes(example.message)
            let key = example.key.map { Bytes($0) }
            for (algorithm, expected) in example.digests {
                #expect(digest(message, algorithm, key: key).hex == expected, "\(algorithm) \(message.count)")
                for piece in [1, 63, 64, 65, 1000] where message.count < 100 * piece || piece >= 1000 {
                    let digester = Digester(algorithm, key: key)
                    for start in stride(from: 0, to: message.count, by: piece) {
                        digester.update(message.slice(start..<min(start + piece, message.count)))
                    }
                    #expect(digester.finish().hex == expected, "\(algorithm) \(message.count) by \(piece)")
                }
            }
        }
    }

    @Test func `a digest put in place is the published one, of two pieces too, also over them`() {
        for example in Self.plain where example.message.count < 100 {
            for (algorithm, expected) in example.digests {
                let size = algorithm.octets
                for cut in 0...example.message.count {
                    var octets = Array(example.message[cut...]) + Array(example.message[..<cut])
                    octets += [UInt8](repeating: 7, count: size + 1)
                    let first = example.message.count - cut..<example.message.count
                    let rest = 0..<example.message.count - cut
                    octets.setDigest(of: first, and: rest, algorithm, at: 0)
                    #expect(hexadecimal(octets[..<size]) == expected, "\(algorithm) \(cut)")
                    #expect(octets.last == 7)
                }
                var room = [UInt8](repeating: 7, count: size + 2)
                room.setDigest(of: Bytes([1] + example.message).dropping(1), algorithm, at: 1)
                #expect(hexadecimal(room[1...size]) == expected && room.first == 7 && room.last == 7)
            }
        }
    }

    @Test func `BLAKE2b in one call is the same digest, of a slice too`() {
        for example in Self.plain + Self.keyed {
            guard let expected = example.digests[.blake2b256] else { continue }
            let slice = Bytes([1, 2, 3] + example.message + [4]).slice(3..<3 + example.message.count)
            #expect(blake2b256(slice, key: Bytes(example.key ?? [])).hex == expected)
            #expect(digest(slice, .blake2b256, key: example.key.map { Bytes($0) }).hex == expected)
        }
        let halves = [0, 1].map { half in Bytes32((0..<32).map { UInt8($0 + 32 * half) }) }
        #expect(blake2b256(halves[0], halves[1]) == blake2b256(Bytes(Array(0..<64))))
    }
}
