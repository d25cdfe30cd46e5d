import PeerCore
import PeerCrypto
import TestSupport
import Testing

@testable import PPSP

/// Who a peer is (PPSP section 10.2).
@Suite struct CertificateTests {
    @Test func `a certificate is the one of the vectors, and proves only what it says`() throws {
        for vector in try vectors("auth") {
            let seed = try vector.octets32("ed25519_seed")
            let (signer, verifier) = (try vector.octets32("peer_id"), try vector.octets32("verifier_peer_id"))
            let nonce = try vector.octets32("verifier_nonce")
            let swarmID = try #require(SwarmID(try vector.octets("swarm_id")))
            let certificate = Certificate(seed: seed, verifier: verifier, nonce: nonce, swarmID: swarmID)
            #expect(certificate.publicKey == (try vector.octets32("public_key")), "\(vector)")
            #expect(Certificate.peerID(of: certificate.publicKey) == signer, "\(vector)")
            #expect(
                Certificate.signedBytes(signer: signer, verifier: verifier, nonce: nonce, swarmID: swarmID)
                    == (try vector.octets("signed_bytes")), "\(vector)")
            #expect(certificate.bytes == (try vector.octets("certificate_value")), "\(vector)")

            let read = try Certificate(decoding: try vector.octets("certificate_value"))
            #expect(read == certificate, "\(vector)")
            #expect(read.proves(signer, to: verifier, nonce: nonce, swarmID: swarmID), "\(vector)")
            let other = try #require(SwarmID(Bytes([1])))
            #expect(!read.proves(verifier, to: verifier, nonce: nonce, swarmID: swarmID), "\(vector)")
            #expect(!read.proves(signer, to: signer, nonce: nonce, swarmID: swarmID), "\(vector)")
            #expect(!read.proves(signer, to: verifier, nonce: .zero, swarmID: swarmID), "\(vector)")
            #expect(!read.proves(signer, to: verifier, nonce: nonce, swarmID: other), "\(vector)")
        }
    }

    @Test func `a certificate that is cut, longer, changed or of another scheme proves nothing`() throws {
        let swarmID = try #require(SwarmID(Bytes([1])))
        let octets = Certificate(seed: .zero, verifier: .zero, nonce: .zero, swarmID: swarmID).bytes.array
        let signer = Certificate.peerID(of: Ed25519.publicKey(seed: .zero))
        #expect(octets.count == Certificate.octets)
        for count in octets.indices {
            #expect(throws: DecodeError.self) { try Certificate(decoding: Bytes(Array(octets[..<count]))) }
            var changed = octets
            changed[count] ^= 0x80
            let read = try? Certificate(decoding: Bytes(changed))
            #expect((read == nil) == (count == 0))
            #expect(read?.proves(signer, to: .zero, nonce: .zero, swarmID: swarmID) != true, "\(count)")
        }
        #expect(throws: DecodeError.trailing(count: 1)) { try Certificate(decoding: Bytes(octets + [0])) }
    }
}
