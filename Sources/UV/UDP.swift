internal import CUV
public import PeerCore

/// A UDP socket.
public final class UDP: Handle {
    /// Octets that may wait inside libuv when the system has no room; above that a datagram is dropped, as the network
    /// may do at any time.
    private static let maximumQueuedBytes = 1 << 20

    private var onDatagram: ((Bytes, SocketAddress) -> Void)?
    private var onError: ((UVError) -> Void)?
    private var batch: DatagramBatch?
    private var endOfTurn: Prepare?

    private var udp: UnsafeMutablePointer<uv_udp_t> { raw.assumingMemoryBound(to: uv_udp_t.self) }

    /// A socket bound to an address.
    public init(_ loop: Loop, bind address: SocketAddress) throws(UVError) {
        let flags = UInt32(AF_UNSPEC) | UInt32(UV_UDP_RECVMMSG.rawValue)
        try super.init(loop, UV_UDP) { uv_udp_init_ex(loop.pointer, $0.assumingMemoryBound(to: uv_udp_t.self), flags) }
        let status = address.withSockaddr { uv_udp_bind(udp, $0, 0) }
        guard status == 0 else {
            close()
            throw UVError(status)
        }
        // Room for a burst while a turn of the loop lasts; the system may give less.
        var octets: Int32 = 4 << 20
        uv_recv_buffer_size(handle, &octets)
    }

    /// Our end.
    public var localAddress: SocketAddress? { address { uv_udp_getsockname(udp, $0, $1) } }

    /// Receives until closed.
    public func startReceiving(
        _ onDatagram: @escaping (Bytes, SocketAddress) -> Void, onError: @escaping (UVError) -> Void
    ) {
        self.onDatagram = onDatagram
        self.onError = onError
        let status = uv_udp_recv_start(
            udp,
            { handle, _, buffer in
                let slab = Handle.object(handle!).loop.datagramBuffer
                let base = slab.baseAddress?.assumingMemoryBound(to: CChar.self)
                buffer!.pointee = uv_buf_init(base, UInt32(slab.count))
            }, didReceive)
        if status != 0 { onError(UVError(status)) }
    }

    /// Sends one datagram of these octets, one part after the other, at the end of the turn at the latest; one that the
    /// system refuses is lost.
    public func send(_ bytes: Bytes, _ more: Bytes = Bytes(), to address: SocketAddress) {
        guard !isClosed else { return }
        let batch = batch ?? makeBatch()
        guard !batch.add(bytes, more, to: address) else { return }
        flush()
        // What has no room in an empty batch either has none in a datagram.
        _ = batch.add(bytes, more, to: address)
    }

    /// All that a turn sends goes out with one call.
    private func makeBatch() -> DatagramBatch {
        let made = DatagramBatch()
        batch = made
        endOfTurn = Prepare(loop) { [unowned self] in flush() }
        return made
    }

    private func flush() {
        guard let batch, batch.count > 0 else { return }
        batch.send(on: descriptor) { [unowned self] in queue($0, to: $1) }
    }

    private var descriptor: Int32 {
        var descriptor: uv_os_fd_t = -1
        return uv_fileno(handle, &descriptor) == 0 ? descriptor : -1
    }

    private func queue(_ bytes: Bytes, to address: SocketAddress) {
        guard uv_udp_get_send_queue_size(udp) < Self.maximumQueuedBytes else { return }
        let header = MemoryLayout<uv_udp_send_t>.size
        let memory = UnsafeMutableRawPointer.allocate(byteCount: header + bytes.count, alignment: 16)
        let payload = UnsafeMutableRawBufferPointer(start: memory + header, count: bytes.count)
        payload.copyBytes(from: bytes)
        var buffer = uv_buf_init(payload.baseAddress?.assumingMemoryBound(to: CChar.self), UInt32(bytes.count))
        let request = memory.bindMemory(to: uv_udp_send_t.self, capacity: 1)
        let status = address.withSockaddr {
            uv_udp_send(request, udp, &buffer, 1, $0) { request, _ in UnsafeMutableRawPointer(request!).deallocate() }
        }
        if status != 0 { memory.deallocate() }
    }

    override func dropHandlers() {
        flush()
        endOfTurn?.close()
        endOfTurn = nil
        onDatagram = nil
        onError = nil
    }

    fileprivate func received(_ count: Int, _ buffer: uv_buf_t, _ address: UnsafePointer<sockaddr>?) {
        if count < 0 { return onError.map { $0(UVError(Int32(count))) } ?? () }
        // Without an address there is no datagram: nothing more to read, or the slab is free again.
        guard let address, let source = SocketAddress(address) else { return }
        let octets = UnsafeRawBufferPointer(start: buffer.base, count: count)
        onDatagram?(Bytes(Array(octets)), source)
    }
}

private let didReceive:
    @convention(c) (
        UnsafeMutablePointer<uv_udp_t>?, Int, UnsafePointer<uv_buf_t>?, UnsafePointer<sockaddr>?, UInt32
    ) -> Void = { udp, count, buffer, address, _ in
        UDP.object(udp!).received(count, buffer!.pointee, address)
    }
