internal import CUV
public import PeerCore

/// A TCP socket: a listener, a dial, a connection.
public final class TCP: Stream {
    private var tcp: UnsafeMutablePointer<uv_tcp_t> { raw.assumingMemoryBound(to: uv_tcp_t.self) }

    /// A socket that is not bound.
    public init(_ loop: Loop) throws(UVError) {
        try super.init(loop, UV_TCP) { uv_tcp_init(loop.pointer, $0.assumingMemoryBound(to: uv_tcp_t.self)) }
    }

    /// A socket for addresses of the family of `ip`, which is there at once: options can be set before it dials.
    public init(_ loop: Loop, for ip: IPAddress) throws(UVError) {
        let family = UInt32(ip.v4 == nil ? AF_INET6 : AF_INET)
        try super.init(loop, UV_TCP) {
            uv_tcp_init_ex(loop.pointer, $0.assumingMemoryBound(to: uv_tcp_t.self), family)
        }
    }

    /// The next connection of a listener, with Nagle's delay off.
    public func accept() throws(UVError) -> TCP {
        let client = try TCP(loop)
        do throws(UVError) {
            try take(into: client)
        } catch {
            client.close()
            throw error
        }
        uv_tcp_nodelay(client.tcp, 1)
        return client
    }

    /// Binds to an address. `v6Only` keeps IPv4 away from an IPv6 listener.
    public func bind(_ address: SocketAddress, v6Only: Bool = false) throws(UVError) {
        let flags = v6Only && address.ip.v4 == nil ? UInt32(UV_TCP_IPV6ONLY.rawValue) : 0
        try check(address.withSockaddr { uv_tcp_bind(tcp, $0, flags) })
    }

    /// Dials; `handler` is called once, unless the socket is closed before.
    public func connect(to address: SocketAddress, _ handler: @escaping (UVError?) -> Void) throws(UVError) {
        let request = UnsafeMutablePointer<uv_connect_t>.allocate(capacity: 1)
        request.pointee.data = Unmanaged.passRetained(Callback(handler)).toOpaque()
        let status = address.withSockaddr {
            uv_tcp_connect(request, tcp, $0) { request, status in
                let callback = Unmanaged<Callback>.fromOpaque(request!.pointee.data!).takeRetainedValue()
                request!.deallocate()
                // libuv reports a cancelled dial when the socket is closed: nobody waits for that.
                guard uv_errno_t(status) != UV_ECANCELED else { return }
                callback.handler(status == 0 ? nil : UVError(status))
            }
        }
        guard status == 0 else {
            Unmanaged<Callback>.fromOpaque(request.pointee.data!).release()
            request.deallocate()
            throw UVError(status)
        }
        uv_tcp_nodelay(tcp, 1)
    }

    /// Our end.
    public var localAddress: SocketAddress? { address { uv_tcp_getsockname(tcp, $0, $1) } }

    /// The other end.
    public var remoteAddress: SocketAddress? { address { uv_tcp_getpeername(tcp, $0, $1) } }

    /// Ends the connection with a reset.
    public func reset() {
        close { done in uv_tcp_close_reset(tcp, done) }
    }

    /// Ends the handle and gives its socket, which stays open and is the caller's from now on.
    public func release() -> Int32? {
        let copy = copyDescriptor(descriptor)
        close()
        return copy
    }

    private final class Callback {
        let handler: (UVError?) -> Void

        init(_ handler: @escaping (UVError?) -> Void) {
            self.handler = handler
        }
    }
}

/// A second descriptor of the same file or socket, not for child processes; nil when there is none left.
public func copyDescriptor(_ descriptor: Int32) -> Int32? {
    let copy = peernode_copy_descriptor(descriptor)
    return copy < 0 ? nil : copy
}

/// Chooses the congestion control of a TCP socket; gives whether the system allowed it.
public func setCongestionControl(_ name: String, of descriptor: Int32) -> Bool {
    let octets = Array(name.utf8)
    return setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_CONGESTION, octets, socklen_t(octets.count)) == 0
}

/// The congestion control of a TCP socket, by its name; nil when the system does not tell.
public func congestionControl(of descriptor: Int32) -> String? {
    // TCP_CA_NAME_MAX.
    var octets = [UInt8](repeating: 0, count: 16)
    var count = socklen_t(octets.count)
    guard getsockopt(descriptor, Int32(IPPROTO_TCP), TCP_CONGESTION, &octets, &count) == 0 else { return nil }
    return String(decoding: octets.prefix { $0 != 0 }, as: UTF8.self)
}

/// A Unix socket: a listener, a dial, a connection.
public final class Pipe: Stream {
    private var pipe: UnsafeMutablePointer<uv_pipe_t> { raw.assumingMemoryBound(to: uv_pipe_t.self) }

    /// A socket that is not bound.
    public init(_ loop: Loop) throws(UVError) {
        try super.init(loop, UV_NAMED_PIPE) {
            uv_pipe_init(loop.pointer, $0.assumingMemoryBound(to: uv_pipe_t.self), 0)
        }
    }

    /// The next connection of a listener.
    public func accept() throws(UVError) -> Pipe {
        let client = try Pipe(loop)
        do throws(UVError) {
            try take(into: client)
        } catch {
            client.close()
            throw error
        }
        return client
    }

    /// Binds to a path of at most 107 octets; the socket is readable and writable by its owner only.
    public func bind(path: String) throws(UVError) {
        guard path.utf8.count <= 107 else { throw UVError(UV_ENAMETOOLONG.rawValue) }
        let mask = umask(0o177)
        defer { umask(mask) }
        try check(uv_pipe_bind(pipe, path))
    }

    /// Dials; `handler` is called once, unless the socket is closed before.
    public func connect(path: String, _ handler: @escaping (UVError?) -> Void) {
        let request = UnsafeMutablePointer<uv_connect_t>.allocate(capacity: 1)
        request.pointee.data = Unmanaged.passRetained(Box(handler)).toOpaque()
        uv_pipe_connect(request, pipe, path) { request, status in
            let box = Unmanaged<Box>.fromOpaque(request!.pointee.data!).takeRetainedValue()
            request!.deallocate()
            guard uv_errno_t(status) != UV_ECANCELED else { return }
            box.handler(status == 0 ? nil : UVError(status))
        }
    }

    private final class Box {
        let handler: (UVError?) -> Void

        init(_ handler: @escaping (UVError?) -> Void) {
            self.handler = handler
        }
    }
}
