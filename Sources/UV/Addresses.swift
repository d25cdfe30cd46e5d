internal import CUV
internal import PeerCore

extension SocketAddress {
    /// The address in the C form, nil for families other than IPv4 and IPv6.
    init?(_ address: UnsafePointer<sockaddr>) {
        switch Int32(address.pointee.sa_family) {
        case AF_INET:
            self = address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                SocketAddress(
                    IPAddress(v4: UInt32(bigEndian: $0.pointee.sin_addr.s_addr)), UInt16(bigEndian: $0.pointee.sin_port)
                )
            }
        case AF_INET6:
            self = address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) {
                let octets = withUnsafeBytes(of: $0.pointee.sin6_addr) { Array($0) }
                return SocketAddress(IPAddress(octets: octets), UInt16(bigEndian: $0.pointee.sin6_port))
            }
        default:
            return nil
        }
    }

    /// Writes the address in its C form; gives how many octets it takes.
    @inline(__always)
    func write(to place: UnsafeMutablePointer<sockaddr_in6>) -> socklen_t {
        if let v4 = ip.v4 {
            let size = MemoryLayout<sockaddr_in>.size
            place.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                $0.pointee.sin_family = sa_family_t(AF_INET)
                $0.pointee.sin_port = port.bigEndian
                $0.pointee.sin_addr.s_addr = v4.bigEndian
            }
            return socklen_t(size)
        }
        place.pointee = sockaddr_in6()
        place.pointee.sin6_family = sa_family_t(AF_INET6)
        place.pointee.sin6_port = port.bigEndian
        withUnsafeMutableBytes(of: &place.pointee.sin6_addr) { $0.copyBytes(from: ip.octets) }
        return socklen_t(MemoryLayout<sockaddr_in6>.size)
    }

    /// Calls `body` with the address in its C form.
    func withSockaddr<Result>(_ body: (UnsafePointer<sockaddr>) -> Result) -> Result {
        if let v4 = ip.v4 {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            address.sin_addr.s_addr = v4.bigEndian
            return withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1, body)
            }
        }
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = port.bigEndian
        withUnsafeMutableBytes(of: &address.sin6_addr) { $0.copyBytes(from: ip.octets) }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1, body)
        }
    }
}

/// Asks `get` (`getsockname` or `getpeername` of a handle) for an address.
func address(_ get: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<Int32>) -> Int32) -> SocketAddress? {
    var storage = sockaddr_storage()
    var size = Int32(MemoryLayout<sockaddr_storage>.size)
    return withUnsafeMutablePointer(to: &storage) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            get($0, &size) == 0 ? SocketAddress($0) : nil
        }
    }
}
