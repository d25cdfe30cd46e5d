import PeerCore
import Testing

/// The 32 octets written in hexadecimal.
func octets32(_ hex: String) throws -> Bytes32 {
    try #require(Bytes32(hex: hex), "\(hex)")
}
