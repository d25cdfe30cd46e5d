import PeerCore
import PeerCrypto
import Testing

/// What follows from the secret of a node.
@Suite struct IdentityVectorTests {
    @Test func `an Ed25519 public key is that of RFC 8032`() throws {
        // RFC 8032, section 7.1, tests 1 to 3.
        let table = [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
            ),
            (
                "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
            ),
            (
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"
            ),
        ]
        for (seed, publicKey) in table {
            #expect(Ed25519.publicKey(seed: try octets32(seed)).hex == publicKey)
        }
    }

    @Test func `an Ed25519 signature is that of RFC 8032, and only of its message and key`() throws {
        // RFC 8032, section 7.1, tests 1 to 3.
        let table = [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "",
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
                    + "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
            ),
            (
                "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "72",
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                    + "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
            ),
            (
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "af82",
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
                    + "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
            ),
        ]
        for (seed, message, signature) in table {
            let (seed, message) = (try octets32(seed), try #require(Bytes(hex: message)))
            let made = Ed25519.sign(message, seed: seed)
            let publicKey = Ed25519.publicKey(seed: seed)
            #expect(made.hex == signature)
            #expect(Ed25519.isValid(signature: made, of: message, by: publicKey))
            #expect(!Ed25519.isValid(signature: made, of: Bytes(message.array + [0]), by: publicKey))
            #expect(!Ed25519.isValid(signature: made, of: message, by: .zero))
            #expect(!Ed25519.isValid(signature: made.dropping(1), of: message, by: publicKey))
            var changed = made.array
            changed[40] ^= 1
            #expect(!Ed25519.isValid(signature: Bytes(changed), of: message, by: publicKey))
        }
    }

    @Test func `peer ID, content key and node ID follow from the secret`() throws {
        // Peer IDs of the DDRP vectors; content seeds and keys by Python (hashlib, OpenSSL).
        let table = [
            (
                secret: "0000000000000000000000000000000000000000000000000000000000000001",
                peerID: "2975f1d28b92b6e84499b83b0797ef5235553eeb7edaa0cea243c1128c2fe737",
                contentSeed: "539d4938d975b9f3fc03c626778b7ae649ed29863fc5ecf574345777ca76d445",
                contentKey: "40a8843a8a4f95df47fc784813f8e923744987f9491c1444a228b2dc1cc265d9"
            ),
            (
                secret: "17348ad8a0f2cfac271a89e55330034d62c7d07f5377ad2b82cd57344098ee77",
                peerID: "c3546fc260ef2dfe372742c8bc4bed1a0ff5850ed8d483784371f2861a10d1f8",
                contentSeed: "a53153f4d54d0ac329e959430eebfa2a9bbe3db1d06adc7a557f180fb2bd0b26",
                contentKey: "cc8e0c8cf65fee98b2435d2fba964b13ea9d55f613761ebbe9409e5d06a80d96"
            ),
        ]
        for row in table {
            let identity = try #require(Identity(secret: try octets32(row.secret)))
            #expect(identity.peerID.hex == row.peerID)
            #expect(identity.contentSeed.hex == row.contentSeed)
            #expect(identity.contentKey.hex == row.contentKey)
            #expect(identity.bePeerID == row.peerID.prefix(16))
        }
    }

    @Test func `what is no secp256k1 key is no identity`() throws {
        let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
        #expect(Identity(secret: .zero) == nil)
        #expect(Identity(secret: try octets32(order)) == nil)
    }
}
