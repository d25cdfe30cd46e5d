import PeerCore
import PeerCrypto
import Testing

/// secp256k1 at the edges of its ranges; SEC 2 gives the order n and the point of the key 1.
@Suite struct Secp256k1VectorTests {
    private static let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
    private static let orderLess1 = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140"
    private static let zero = String(repeating: "0", count: 64)
    private static let one = String(repeating: "0", count: 63) + "1"
    private static let generator = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"

    @Test func `a private key is between 1 and the order less 1`() throws {
        let table = [
            (Self.zero, nil), (Self.one, "02" + Self.generator), (Self.orderLess1, "03" + Self.generator),
            (Self.order, nil), (String(repeating: "f", count: 64), nil),
        ]
        for (secret, publicKey) in table {
            let octets = try octets32(secret)
            #expect(Secp256k1.PrivateKey(octets)?.publicKey.hex == publicKey, "\(secret)")
        }
    }

    @Test func `nonces are those of RFC 6979, and S is in the lower half`() throws {
        // The usual example for secp256k1 with SHA-256: key 1, "Satoshi Nakamoto".
        let key = try #require(Secp256k1.PrivateKey(try octets32(Self.one)))
        let message = Bytes32(digest(Bytes(utf8: "Satoshi Nakamoto"), .sha256))
        let signature = key.sign(message)
        #expect(
            signature.dropping(1).hex == """
                934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8\
                2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5
                """)
        #expect(Secp256k1.recover(signature: signature, digest: message) == key.publicKey)
    }

    @Test func `a public key is 02 or 03 and the X of a point`() throws {
        let table = [
            ("02" + Self.generator, true), ("03" + Self.generator, true), ("04" + Self.generator, false),
            ("00" + Self.generator, false), (Self.generator, false), ("02" + Self.generator + "00", false), ("", false),
            // No point has X = 0 or X = 5, and X must be below the prime of the field.
            ("02" + Self.zero, false), ("02" + String(repeating: "0", count: 63) + "5", false),
            ("02" + String(repeating: "f", count: 64), false), ("02" + Self.one, true),
        ]
        for (octets, isKey) in table {
            #expect(Secp256k1.isPublicKey(try #require(Bytes(hex: octets))) == isKey, "\(octets)")
        }
    }

    @Test func `the first octet of a signature is 27 to 34, of which 31 to 34 say the same`() throws {
        let (key, message, signature) = try signed()
        let recovery = signature[0] - 27
        for first in UInt8.min...UInt8.max {
            let found = Secp256k1.recover(signature: Bytes([first]) + signature.dropping(1), digest: message)
            switch first {
            case 27 + recovery, 31 + recovery: #expect(found == key.publicKey, "\(first)")
            case 27 + (recovery ^ 1), 31 + (recovery ^ 1): #expect(found != nil && found != key.publicKey, "\(first)")
            // r + n is no X of a point, as nearly always.
            default: #expect(found == nil, "\(first)")
            }
        }
    }

    @Test func `r and s are between 1 and the order less 1`() throws {
        let (key, message, signature) = try signed()
        let (head, r, s) = (signature.slice(0..<1).hex, signature.slice(1..<33).hex, signature.slice(33..<65).hex)
        for bad in [Self.zero, Self.order, String(repeating: "f", count: 64)] {
            for octets in [head + bad + s, head + r + bad, head + bad + bad] {
                let changed = try #require(Bytes(hex: octets))
                #expect(Secp256k1.recover(signature: changed, digest: message) == nil, "\(octets)")
            }
        }
        for good in [Self.one, Self.orderLess1] {
            let changed = try #require(Bytes(hex: head + r + good))
            let found = Secp256k1.recover(signature: changed, digest: message)
            #expect(found != nil && found != key.publicKey, "\(good)")
        }
    }

    @Test func `a signature has 65 octets`() throws {
        let (key, message, signature) = try signed()
        #expect(signature.count == Secp256k1.signatureBytes)
        let longer = Bytes([0xaa]) + signature + [0xbb]
        #expect(Secp256k1.recover(signature: longer.slice(1..<66), digest: message) == key.publicKey)
        for range in [1..<65, 1..<67, 0..<67, 0..<0] {
            #expect(Secp256k1.recover(signature: longer.slice(range), digest: message) == nil, "\(range)")
        }
        #expect(Secp256k1.recover(signature: signature, digest: .zero) != key.publicKey)
    }

    private func signed() throws -> (key: Secp256k1.PrivateKey, digest: Bytes32, signature: Bytes) {
        let key = try #require(Secp256k1.PrivateKey(Bytes32([UInt8](repeating: 0x11, count: 32))))
        let digest = blake2b256(Bytes(utf8: "edges"))
        return (key, digest, key.sign(digest))
    }
}

private func + (a: Bytes, b: some Collection<UInt8>) -> Bytes {
    Bytes(a.array + Array(b))
}
