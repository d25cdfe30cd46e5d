internal import CUV
internal import Glibc
public import PeerCore

/// The event loop of libuv: everything of a node happens on the thread that runs it.
///
/// Pass it to whoever needs it; it is never a global, so that a second loop stays possible.
public final class Loop {
    /// Octets that one read takes at most. One buffer serves all streams: its content is copied out before the next.
    static let readBufferBytes = 256 * 1024

    let pointer: UnsafeMutablePointer<uv_loop_t>
    let readBuffer: UnsafeMutableRawBufferPointer
    private var datagramBufferStorage: UnsafeMutableRawBufferPointer?

    /// A loop without handles. A process has no reason for SIGPIPE here, so it is ignored from now on.
    public init() {
        signal(SIGPIPE, SIG_IGN)
        pointer = .allocate(capacity: 1)
        readBuffer = .allocate(byteCount: Self.readBufferBytes, alignment: 16)
        let status = uv_loop_init(pointer)
        precondition(status == 0, "uv_loop_init: \(UVError(status).name)")
    }

    /// Frees the loop. All handles must be closed and `run()` must have returned; returns whether that was so.
    @discardableResult public func close() -> Bool {
        guard uv_loop_close(pointer) == 0 else { return false }
        pointer.deallocate()
        readBuffer.deallocate()
        datagramBufferStorage?.deallocate()
        return true
    }

    /// Runs until no active handle is left or `stop()` was called.
    public func run() {
        uv_run(pointer, UV_RUN_DEFAULT)
    }

    /// Runs what is ready now, without waiting; returns whether there is more to come.
    @discardableResult public func runReady() -> Bool {
        uv_run(pointer, UV_RUN_NOWAIT) != 0
    }

    /// Waits for one event at least and runs what is ready; returns whether there is more to come.
    @discardableResult public func runOnce() -> Bool {
        uv_run(pointer, UV_RUN_ONCE) != 0
    }

    /// Makes `run()` return after this turn.
    public func stop() {
        uv_stop(pointer)
    }

    /// Both clocks, read now.
    public var now: Moment { Moment(instant: instant, wallClock: wallClock) }

    /// The monotonic clock, read now (CLOCK_MONOTONIC).
    public var instant: Instant { Instant(nanoseconds: Int64(clamping: uv_hrtime())) }

    /// The monotonic clock at the start of the turn, in whole milliseconds: it costs nothing.
    public var turnStart: Instant { Instant(nanoseconds: Int64(clamping: uv_now(pointer)) * 1_000_000) }

    /// The wall clock, read now.
    public var wallClock: WallClock {
        var time = uv_timeval64_t()
        uv_gettimeofday(&time)
        return WallClock(milliseconds: time.tv_sec * 1000 + Int64(time.tv_usec) / 1000)
    }

    /// Handles that are not closed yet, active or not.
    public var handleCount: Int {
        var count = 0
        uv_walk(pointer, { _, count in count!.assumingMemoryBound(to: Int.self).pointee += 1 }, &count)
        return count
    }

    /// One slab for the datagrams of a `recvmmsg` call, made when the first datagram socket is.
    var datagramBuffer: UnsafeMutableRawBufferPointer {
        if let datagramBufferStorage { return datagramBufferStorage }
        // libuv cuts the slab into pieces of 64 KiB, one for each datagram of a call. Untouched pages cost nothing.
        let slab = UnsafeMutableRawBufferPointer.allocate(byteCount: 16 * 64 * 1024, alignment: 4096)
        datagramBufferStorage = slab
        return slab
    }
}

/// Random octets of the system, for seeds and keys.
public func systemRandom() -> Bytes32 {
    var octets = [UInt8](repeating: 0, count: 32)
    let status = uv_random(nil, nil, &octets, octets.count, 0, nil)
    precondition(status == 0, "uv_random: \(UVError(status).name)")
    return Bytes32(octets)
}

/// Octets of memory that the process occupies.
public func residentMemory() -> Int {
    var octets = 0
    return uv_resident_set_memory(&octets) == 0 ? octets : 0
}

/// Seconds of processor time that the process has used, in user and system mode.
public func processorTime() -> Duration {
    var usage = uv_rusage_t()
    guard uv_getrusage(&usage) == 0 else { return .zero }
    let seconds = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec
    return .seconds(seconds) + .microseconds(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
}

/// The addresses of this machine's interfaces.
public func interfaceAddresses() -> [IPAddress] {
    var list: UnsafeMutablePointer<uv_interface_address_t>?
    var count: Int32 = 0
    guard uv_interface_addresses(&list, &count) == 0, let list else { return [] }
    defer { uv_free_interface_addresses(list, count) }
    return (0..<Int(count)).compactMap { index in
        withUnsafePointer(to: &list[index].address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { SocketAddress($0)?.ip }
        }
    }
}
