internal import CUV
internal import Glibc
public import PeerCore

/// What a stream has to say.
public enum StreamEvent {
    /// Octets came.
    case received(Bytes)
    /// The other side has sent all that it will send.
    case ended
    /// The connection broke.
    case failed(UVError)
}

/// A connection: TCP or a Unix socket. Writing never queues inside libuv: what the system does not take stays with the
/// caller, who is told when there is room.
public class Stream: Handle {
    private var onEvent: ((StreamEvent) -> Void)?
    /// What was received before libuv could read it.
    private var large: Bytes?
    private var writable: Poll?
    private var writableDescriptor: Int32 = -1

    final var stream: UnsafeMutablePointer<uv_stream_t> { raw.assumingMemoryBound(to: uv_stream_t.self) }

    /// The descriptor of the socket, -1 when there is none.
    public final var descriptor: Int32 {
        var descriptor: uv_os_fd_t = -1
        guard !isClosed, uv_fileno(handle, &descriptor) == 0 else { return -1 }
        return descriptor
    }

    /// Reads until told otherwise.
    public final func startReading(_ onEvent: @escaping (StreamEvent) -> Void) {
        guard !isClosed else { return }
        self.onEvent = onEvent
        let status = uv_read_start(stream, giveReadBuffer, handOver)
        if status != 0 { onEvent(.failed(UVError(status))) }
    }

    /// Leaves further octets with the system.
    public final func stopReading() {
        guard !isClosed else { return }
        uv_read_stop(stream)
    }

    /// Writes as much of `parts` as the system takes now, in one call; gives the number of octets, 0 when there is no
    /// room. `isMoreComing`: what belongs to it follows at once, so the system may let it wait for that.
    public final func write(_ parts: [Bytes], isMoreComing: Bool = false) throws(UVError) -> Int {
        guard !isClosed else { throw UVError(UV_EBADF.rawValue) }
        // libuv's own writing cannot say so.
        if isMoreComing { return try send(parts, Int32(MSG_MORE)) }
        let status =
            parts.count == 1
            ? withBuffer(of: parts[0]) { uv_try_write(stream, $0, 1) }
            : withBuffers(of: parts[...]) { uv_try_write(stream, $0.baseAddress, UInt32($0.count)) }
        if status < 0, UVError(status).isTryAgain { return 0 }
        return Int(try check(status))
    }

    private func send(_ parts: [Bytes], _ flags: Int32) throws(UVError) -> Int {
        let sent = withBuffers(of: parts[...]) { buffers in
            buffers.withMemoryRebound(to: iovec.self) { vectors in
                var message = msghdr()
                message.msg_iov = UnsafeMutablePointer(mutating: vectors.baseAddress)
                message.msg_iovlen = vectors.count
                return sendmsg(descriptor, &message, flags | Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
            }
        }
        guard sent < 0 else { return sent }
        let number = errno
        let error = UVError(-number)
        if error.isTryAgain || number == EINTR { return 0 }
        throw error
    }

    /// Calls `handler` once, when there is room to write.
    public final func whenWritable(_ handler: @escaping () -> Void) throws(UVError) {
        if writable == nil {
            // libuv owns the socket's own descriptor; a second one can be watched beside it.
            let second = dup(descriptor)
            guard second >= 0 else { throw UVError(-errno) }
            writableDescriptor = second
            writable = try Poll(loop, descriptor: second)
        }
        writable?.start(.writable) { [weak self] _ in
            self?.writable?.stop()
            handler()
        }
    }

    /// Octets that the system took, and that the other side's system has not confirmed.
    public final var unacknowledged: Int { Int(peernode_unacknowledged(descriptor)) }

    /// Ends our side after what was written; the other side can go on.
    public final func shutdown() {
        guard !isClosed else { return }
        let request = UnsafeMutablePointer<uv_shutdown_t>.allocate(capacity: 1)
        let status = uv_shutdown(request, stream) { request, _ in request?.deallocate() }
        if status != 0 { request.deallocate() }
    }

    /// Listens; `handler` is called for each connection that can be accepted.
    public final func listen(backlog: Int32, _ handler: @escaping (UVError?) -> Void) throws(UVError) {
        onEvent = { event in
            if case .failed(let error) = event { handler(error) } else { handler(nil) }
        }
        try check(
            uv_listen(stream, backlog) { server, status in
                Stream.object(server!).onEvent?(status == 0 ? .ended : .failed(UVError(status)))
            })
    }

    /// Takes the next connection of a listening stream over.
    func take(into client: Stream) throws(UVError) {
        try check(uv_accept(stream, client.stream))
    }

    override func dropHandlers() {
        onEvent = nil
        writable?.close()
        writable = nil
        // Closed after libuv has taken it out of its set, which `Poll.close` does at once.
        if writableDescriptor >= 0 { Glibc.close(writableDescriptor) }
        writableDescriptor = -1
    }

    /// Octets from which on memory of their own costs less than a copy out of the loop's buffer.
    private static let largeOctets = 32 << 10

    /// Receives what is there, when it is much, in memory of its own; whether it did.
    fileprivate func receiveLarge() -> Bool {
        let there = min(Int(peernode_readable(descriptor)), Loop.readBufferBytes)
        guard there >= Self.largeOctets else { return false }
        let octets = [UInt8](unsafeUninitializedCapacity: there) { memory, count in
            count = max(0, recv(descriptor, memory.baseAddress, there, Int32(MSG_DONTWAIT)))
        }
        large = octets.isEmpty ? nil : Bytes(octets)
        return !octets.isEmpty
    }

    fileprivate func didRead(_ count: Int) {
        if let large {
            self.large = nil
            onEvent?(.received(large))
            return
        }
        switch count {
        case 0: break
        case 1...: onEvent?(.received(Bytes(Array(loop.readBuffer[..<count]))))
        default:
            let error = UVError(Int32(count))
            uv_read_stop(stream)
            onEvent?(error == .endOfFile ? .ended : .failed(error))
        }
    }
}

private let giveReadBuffer:
    @convention(c) (UnsafeMutablePointer<uv_handle_t>?, Int, UnsafeMutablePointer<uv_buf_t>?) -> Void = {
        handle, _, buffer in
        let stream = Stream.object(handle!)
        // Without a buffer libuv reads nothing, and calls back at once.
        guard !stream.receiveLarge() else { return buffer!.pointee = uv_buf_init(nil, 0) }
        let memory = stream.loop.readBuffer
        buffer!.pointee = uv_buf_init(memory.baseAddress?.assumingMemoryBound(to: CChar.self), UInt32(memory.count))
    }

private let handOver: @convention(c) (UnsafeMutablePointer<uv_stream_t>?, Int, UnsafePointer<uv_buf_t>?) -> Void = {
    stream, count, _ in
    Stream.object(stream!).didRead(count)
}

/// At most this many parts go into one write (IOV_MAX is 1024; the gain ends long before).
let maximumParts = 64

/// Calls `body` with the address of one part, valid during the call.
func withBuffer<Result>(of part: Bytes, _ body: (UnsafePointer<uv_buf_t>) -> Result) -> Result {
    part.storage.withUnsafeBufferPointer { octets in
        let start = octets.baseAddress.map { $0 + part.range.lowerBound }
        let base = UnsafeMutableRawPointer(mutating: start)?.assumingMemoryBound(to: CChar.self)
        var buffer = uv_buf_init(base, UInt32(part.count))
        return body(&buffer)
    }
}

/// Calls `body` with the addresses of all parts, valid during the call.
func withBuffers<Result>(of parts: ArraySlice<Bytes>, _ body: (UnsafeBufferPointer<uv_buf_t>) -> Result) -> Result {
    func collect(_ rest: ArraySlice<Bytes>, _ buffers: inout [uv_buf_t]) -> Result {
        guard let part = rest.first, buffers.count < maximumParts else { return buffers.withUnsafeBufferPointer(body) }
        return part.storage.withUnsafeBufferPointer { octets in
            let start = octets.baseAddress.map { $0 + part.range.lowerBound }
            let base = UnsafeMutableRawPointer(mutating: start)?.assumingMemoryBound(to: CChar.self)
            buffers.append(uv_buf_init(base, UInt32(part.count)))
            return collect(rest.dropFirst(), &buffers)
        }
    }
    var buffers: [uv_buf_t] = []
    buffers.reserveCapacity(min(parts.count, maximumParts))
    return collect(parts, &buffers)
}
