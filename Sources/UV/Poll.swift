internal import CUV

/// Watches a descriptor that somebody else owns.
public final class Poll: Handle {
    /// What to wait for.
    public struct Event: OptionSet, Sendable {
        /// The bits that libuv has for it.
        public let rawValue: Int32

        /// Bits of libuv.
        public init(rawValue: Int32) {
            self.rawValue = rawValue
        }

        /// There is something to read.
        public static let readable = Event(rawValue: Int32(UV_READABLE.rawValue))
        /// There is room to write.
        public static let writable = Event(rawValue: Int32(UV_WRITABLE.rawValue))
    }

    private var handler: ((Event) -> Void)?

    /// Not started. The descriptor must stay open until the poll is closed.
    public init(_ loop: Loop, descriptor: Int32) throws(UVError) {
        try super.init(loop, UV_POLL) {
            uv_poll_init(loop.pointer, $0.assumingMemoryBound(to: uv_poll_t.self), descriptor)
        }
    }

    /// Calls `handler` whenever one of `events` is there, with those that are; with all of them when the descriptor
    /// failed, so that whoever reads or writes finds out how.
    public func start(_ events: Event, _ handler: @escaping (Event) -> Void) {
        guard !isClosed else { return }
        self.handler = handler
        uv_poll_start(raw.assumingMemoryBound(to: uv_poll_t.self), events.rawValue) { poll, status, events in
            let happened = status < 0 ? [.readable, .writable] : Event(rawValue: events)
            Poll.object(poll!).handler?(happened)
        }
    }

    /// No more calls.
    public func stop() {
        guard !isClosed else { return }
        uv_poll_stop(raw.assumingMemoryBound(to: uv_poll_t.self))
    }

    override func dropHandlers() {
        handler = nil
    }
}
