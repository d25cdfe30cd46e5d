internal import Glibc

/// What the system knows of a TCP connection that a C library reads and writes.
struct SocketProgress {
    /// Octets that have come.
    var received: UInt64 = 0
    /// Octets that the other side has taken.
    var acknowledged: UInt64 = 0
    /// Octets that were sent, taken or not.
    var sent: UInt64 = 0
    /// Whether both sides may still send.
    var isEstablished = false

    /// Nothing has happened.
    init() {}

    /// How far the connection is now; nil for what is no TCP socket.
    init?(of descriptor: Int32) {
        var octets = [UInt8](repeating: 0, count: Self.size)
        var size = socklen_t(octets.count)
        guard unsafe getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_INFO, &octets, &size) == 0, size >= Self.size
        else { return nil }
        isEstablished = octets[0] == Self.established
        acknowledged = unsafe octets.withUnsafeBytes { unsafe $0.loadUnaligned(fromByteOffset: 120, as: UInt64.self) }
        sent = unsafe octets.withUnsafeBytes { unsafe $0.loadUnaligned(fromByteOffset: 200, as: UInt64.self) }
        received = unsafe octets.withUnsafeBytes { unsafe $0.loadUnaligned(fromByteOffset: 128, as: UInt64.self) }
    }

    /// Up to `tcpi_bytes_sent` of `struct tcp_info` (Linux 4.19; the structure only grows). It starts with the state,
    /// has `tcpi_bytes_acked` at 120, `tcpi_bytes_received` at 128, and that at 200.
    private static let size = 208
    /// `TCP_ESTABLISHED` (Linux).
    private static let established: UInt8 = 1
}

/// Ends a TCP connection with a reset, now, without closing its descriptor: whoever owns that reads an error next.
func resetSocket(_ descriptor: Int32) {
    // To connect to nobody disconnects (connect(2)).
    _ = unsafe withUnspecifiedAddress { unsafe connect(descriptor, $0, $1) }
}

/// The address of nobody (`AF_UNSPEC`).
func withUnspecifiedAddress<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
    let octets = [UInt8](repeating: 0, count: MemoryLayout<sockaddr>.size)
    return unsafe octets.withUnsafeBytes {
        unsafe body($0.assumingMemoryBound(to: sockaddr.self).baseAddress!, socklen_t($0.count))
    }
}

/// Lets the system send at most `octets` a second over a TCP connection.
func limitRate(of descriptor: Int32, to octets: UInt32) {
    var octets = octets
    unsafe setsockopt(descriptor, SOL_SOCKET, SO_MAX_PACING_RATE, &octets, socklen_t(MemoryLayout<UInt32>.size))
}
