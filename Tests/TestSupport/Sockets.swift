internal import Glibc

/// A socket of a test's own, closed with this object. Nothing here waits.
public final class RawSocket: Sendable {
    private let descriptor: Int32

    private init(_ domain: Int32, _ type: __socket_type) throws {
        descriptor = socket(domain, Int32(type.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw SpawnError(description: "socket: errno \(errno)") }
    }

    deinit {
        close(descriptor)
    }

    /// A TCP connection from `source` to `address`; loopback decides at once whether there is one.
    public static func connection(from source: String, to address: String, port: Int) throws -> RawSocket {
        let socket = try RawSocket(AF_INET, SOCK_STREAM)
        try socket.check(socket.with(source, 0) { bind(socket.descriptor, $0, $1) }, "bind to \(source)")
        try socket.check(socket.with(address, port) { connect(socket.descriptor, $0, $1) }, "connect to \(address)")
        return socket
    }

    /// A TCP socket that has taken an address.
    public static func listener(on address: String, port: Int) throws -> RawSocket {
        let socket = try RawSocket(AF_INET, SOCK_STREAM)
        try socket.check(socket.with(address, port) { bind(socket.descriptor, $0, $1) }, "bind to \(address)")
        try socket.check(listen(socket.descriptor, 1), "listen")
        return socket
    }

    /// A Unix datagram socket at `path`.
    public static func datagrams(at path: String) throws -> RawSocket {
        let socket = try RawSocket(AF_UNIX, SOCK_DGRAM)
        try socket.check(socket.with(path: path) { bind(socket.descriptor, $0, $1) }, "bind to \(path)")
        return socket
    }

    /// A connection to the Unix socket at `path`.
    public static func connection(to path: String) throws -> RawSocket {
        let socket = try RawSocket(AF_UNIX, SOCK_STREAM)
        try socket.check(socket.with(path: path) { connect(socket.descriptor, $0, $1) }, "connect to \(path)")
        return socket
    }

    /// Sends what the system takes at once; false: not all, or the connection is gone.
    @discardableResult
    public func send(_ octets: some Collection<UInt8>) -> Bool {
        let octets = Array(octets)
        return Glibc.send(descriptor, octets, octets.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
            == octets.count
    }

    /// What has come: octets of a connection, or one datagram; empty: the other side has ended; nil: nothing is there.
    public func receive() -> [UInt8]? {
        var octets = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &octets, octets.count, Int32(MSG_DONTWAIT))
        if count < 0, errno == EAGAIN || errno == EINTR { return nil }
        return Array(octets.prefix(max(0, count)))
    }

    /// All datagrams that have come, as texts.
    public func receiveTexts() -> [String] {
        var texts: [String] = []
        while let octets = receive() { texts.append(String(decoding: octets, as: UTF8.self)) }
        return texts
    }

    private func check(_ result: Int32, _ what: String) throws {
        guard result == 0 else { throw SpawnError(description: "\(what): \(String(cString: strerror(errno)))") }
    }

    private func with(path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
    }

    private func with(
        _ host: String, _ port: Int, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        inet_pton(AF_INET, host, &address.sin_addr)
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
    }
}

/// Lets this process open as many sockets as the system allows.
public func raiseDescriptorLimit() {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
}
