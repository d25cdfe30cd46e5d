internal import CUV
public import PeerCore

/// A timer that fires once at a point of monotonic time, or again and again.
public final class Timer: Handle {
    private var handler: (() -> Void)?

    private var timer: UnsafeMutablePointer<uv_timer_t> { raw.assumingMemoryBound(to: uv_timer_t.self) }

    /// A timer that is not set.
    public init(_ loop: Loop) {
        do throws(UVError) {
            try super.init(loop, UV_TIMER) { uv_timer_init(loop.pointer, $0.assumingMemoryBound(to: uv_timer_t.self)) }
        } catch {
            preconditionFailure("uv_timer_init: \(error.name)")
        }
    }

    /// Calls `handler` at `instant`, never before (libuv counts milliseconds; the next whole one is taken).
    public func start(at instant: Instant, _ handler: @escaping () -> Void) {
        guard !isClosed else { return }
        self.handler = handler
        let due = (instant.nanoseconds.addingReportingOverflow(999_999).partialValue) / 1_000_000
        let wait = max(0, due - Int64(clamping: uv_now(loop.pointer)))
        uv_timer_start(timer, fire, UInt64(wait), 0)
    }

    /// Calls `handler` every `interval`, the first time after one interval.
    public func start(every interval: Duration, _ handler: @escaping () -> Void) {
        guard !isClosed else { return }
        self.handler = handler
        let milliseconds = UInt64(max(1, interval.nanoseconds / 1_000_000))
        uv_timer_start(timer, fire, milliseconds, milliseconds)
    }

    /// Takes the timer out.
    public func stop() {
        guard !isClosed else { return }
        uv_timer_stop(timer)
    }

    override func dropHandlers() {
        handler = nil
    }

    fileprivate func fired() {
        handler?()
    }
}

private let fire: @convention(c) (UnsafeMutablePointer<uv_timer_t>?) -> Void = { timer in
    Timer.object(timer!).fired()
}

/// Calls its handler once in every turn of the loop, before the loop waits for events.
public final class Prepare: Handle {
    private var handler: (() -> Void)?

    /// Starts at once. It does not keep the loop alive.
    public init(_ loop: Loop, _ handler: @escaping () -> Void) {
        do throws(UVError) {
            try super.init(loop, UV_PREPARE) {
                uv_prepare_init(loop.pointer, $0.assumingMemoryBound(to: uv_prepare_t.self))
            }
        } catch {
            preconditionFailure("uv_prepare_init: \(error.name)")
        }
        self.handler = handler
        uv_prepare_start(raw.assumingMemoryBound(to: uv_prepare_t.self)) { Prepare.object($0!).handler?() }
        unreference()
    }

    override func dropHandlers() {
        handler = nil
    }
}

/// Makes the loop turn without waiting, as long as it is started.
public final class Idle: Handle {
    private var handler: (() -> Void)?

    /// Not started.
    public init(_ loop: Loop, _ handler: @escaping () -> Void) {
        do throws(UVError) {
            try super.init(loop, UV_IDLE) { uv_idle_init(loop.pointer, $0.assumingMemoryBound(to: uv_idle_t.self)) }
        } catch {
            preconditionFailure("uv_idle_init: \(error.name)")
        }
        self.handler = handler
    }

    /// Calls the handler in every turn from the next one on.
    public func start() {
        guard !isClosed else { return }
        uv_idle_start(raw.assumingMemoryBound(to: uv_idle_t.self)) { Idle.object($0!).handler?() }
    }

    /// Lets the loop wait again.
    public func stop() {
        guard !isClosed else { return }
        uv_idle_stop(raw.assumingMemoryBound(to: uv_idle_t.self))
    }

    override func dropHandlers() {
        handler = nil
    }
}

/// A signal of the system.
public final class Signal: Handle {
    private var handler: (() -> Void)?

    /// Calls `handler` when signal `number` comes. It keeps the loop alive.
    public init(_ loop: Loop, _ number: Int32, _ handler: @escaping () -> Void) throws(UVError) {
        try super.init(loop, UV_SIGNAL) { uv_signal_init(loop.pointer, $0.assumingMemoryBound(to: uv_signal_t.self)) }
        self.handler = handler
        let status = uv_signal_start(
            raw.assumingMemoryBound(to: uv_signal_t.self), { signal, _ in Signal.object(signal!).handler?() }, number)
        guard status == 0 else {
            close()
            throw UVError(status)
        }
    }

    override func dropHandlers() {
        handler = nil
    }
}
