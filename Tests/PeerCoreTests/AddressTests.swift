import PeerCore
import Testing

@Suite struct AddressTests {
    @Test func `addresses are read and written in the canonical form of RFC 5952`() {
        let cases: [(String, String?)] = [
            ("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"),
            ("::", "::"), ("::1", "::1"), ("2001:db8::1", "2001:db8::1"), ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
            ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"), ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
            ("fe80::", "fe80::"), ("::ffff:1.2.3.4", "1.2.3.4"), ("::ffff:102:304", "1.2.3.4"),
            ("64:ff9b::1.2.3.4", "64:ff9b::102:304"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
            ("", nil), ("1.2.3", nil), ("1.2.3.4.5", nil), ("01.2.3.4", nil), ("256.1.1.1", nil), ("1.2.3.+4", nil),
            (":::", nil), ("1::2::3", nil), ("1:2:3:4:5:6:7", nil), ("1:2:3:4:5:6:7:8:9", nil), ("::12345", nil),
            ("::g", nil), ("1:2:3:4:5:6:7::8", nil), ("fe80::1%eth0", nil), ("[::1]", nil), (" ::1", nil),
            ("::-1", nil),
        ]
        for (text, expected) in cases { #expect(IPAddress(text)?.description == expected, "\(text)") }
    }

    @Test func `the octets on the wire give the address back, v4 as v4`() {
        for text in ["192.0.2.1", "2001:db8::ff00:42:8329", "::"] {
            let address = IPAddress(text)!
            #expect(IPAddress(octets: address.octets) == address)
        }
        #expect(IPAddress("::ffff:192.0.2.1") == IPAddress(192, 0, 2, 1))
    }

    @Test func `ranges are told apart`() {
        let cases: [(String, loopback: Bool, local: Bool, reserved: Bool)] = [
            ("127.255.0.9", true, false, false), ("::1", true, false, false), ("10.1.2.3", false, true, false),
            ("172.16.0.1", false, true, false), ("172.32.0.1", false, false, false),
            ("192.168.9.9", false, true, false),
            ("100.64.0.1", false, true, false), ("100.128.0.1", false, false, false), ("fd00::1", false, true, false),
            ("0.0.0.0", false, false, true), ("0.1.2.3", false, false, true), ("224.0.0.1", false, false, true),
            ("255.255.255.255", false, false, true), ("240.0.0.1", false, false, true),
            ("169.254.1.1", false, false, true),
            ("192.0.2.7", false, false, true), ("198.51.100.7", false, false, true),
            ("203.0.113.7", false, false, true),
            ("198.18.0.1", false, false, true), ("198.20.0.1", false, false, false), ("fe80::1", false, false, true),
            ("ff02::1", false, false, true), ("2001:db8::1", false, false, true), ("::", false, false, true),
            ("2600::1", false, false, false), ("8.8.8.8", false, false, false),
        ]
        for (text, loopback, local, reserved) in cases {
            let address = IPAddress(text)!
            #expect(address.isLoopback == loopback, "\(text)")
            #expect(address.isPrivate == local, "\(text)")
            #expect(address.isReserved == reserved, "\(text)")
        }
    }

    @Test func `host and port are read strictly`() {
        let cases: [(String, String?)] = [
            ("127.0.0.1:80", "127.0.0.1:80"), ("[::1]:65535", "[::1]:65535"), ("1.2.3.4:0", "1.2.3.4:0"),
            ("::1:80", nil), ("[1.2.3.4]:80", nil), ("1.2.3.4", nil), ("1.2.3.4:", nil), ("1.2.3.4:65536", nil),
            ("1.2.3.4:+1", nil), ("1.2.3.4:000001", nil), ("host:80", nil), ("[::1]", nil), (":80", nil),
        ]
        for (text, expected) in cases { #expect(SocketAddress(text)?.description == expected, "\(text)") }
        #expect(Destination("seed.example.net:9097") == .name("seed.example.net", port: 9097))
        #expect(Destination("1.2.3.4:5") == .address(SocketAddress(IPAddress(1, 2, 3, 4), 5)))
        for text in ["300.1.1.1:5", "-:", "a..b:1", "a b:1", "x:y"] { #expect(Destination(text) == nil, "\(text)") }
    }

    @Test func `a block holds its addresses and no others`() {
        let cases: [(String, String, Bool)] = [
            ("10.0.0.0/8", "10.255.1.1", true), ("10.0.0.0/8", "11.0.0.0", false), ("1.2.3.4", "1.2.3.4", true),
            ("1.2.3.4", "1.2.3.5", false), ("0.0.0.0/0", "9.9.9.9", true), ("0.0.0.0/0", "2600::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true), ("2001:db8::/33", "2001:db8:ffff::1", false),
            ("::/0", "2600::1", true), ("192.168.1.77/24", "192.168.1.1", true),
        ]
        for (block, address, isInside) in cases {
            #expect(IPPrefix(block)!.contains(IPAddress(address)!) == isInside, "\(block) \(address)")
        }
        #expect(IPPrefix("192.168.1.77/24")?.description == "192.168.1.0/24")
        #expect(IPPrefix("2001:db8::1/64")?.description == "2001:db8::/64")
        for text in ["1.2.3.4/33", "::/129", "1.2.3.4/", "1.2.3.4/-1", "x", "", "/8"] {
            #expect(IPPrefix(text) == nil, "\(text)")
        }
    }
}
