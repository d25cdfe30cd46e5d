internal import CMicrohttpd
internal import CLinux
internal import Glibc
internal import PeerCore
internal import UV

/// One connection of an HTTP listener. libmicrohttpd reads and writes it; this object knows how long things take.
///
/// Time is counted in seconds in which the loop ran, so that a node that was stopped blames nobody for it.
@safe final class HTTPConnection {
    let remote: SocketAddress
    let descriptor: Int32
    let handle: OpaquePointer
    unowned let server: HTTPServer
    /// The request that is being received or answered.
    var exchange: HTTPExchange? {
        didSet {
            quiet = 0
            isKept = exchange == nil
            hadRequest = true
            if isKept, server.isEnding { end() }
        }
    }
    /// What the system told last.
    private(set) var progress = SocketProgress()

    /// Seconds for which nothing has happened of what is waited for.
    private var quiet = 0
    /// Waits for a further request; nothing of it has come yet.
    private var isKept = false
    /// Whether the library has taken anything for a request.
    private var hadRequest = false
    /// We end it ourselves: what the library makes of that is not told to the client.
    private var isEnding = false

    init(_ handle: OpaquePointer, _ descriptor: Int32, _ remote: SocketAddress, of server: HTTPServer) {
        unsafe self.handle = handle
        self.descriptor = descriptor
        self.remote = remote
        self.server = server
    }

    /// Whether an answer is on its way.
    var isAnswering: Bool { exchange?.awaited == .client }

    /// Another second of the loop has gone by.
    func look() {
        guard !isEnding else { return }
        let before = progress
        measure()
        quiet += 1
        guard let exchange else { return lookForRequest(hasMore: progress.received > before.received) }
        switch exchange.awaited {
        case .head: if quiet > seconds(server.limits.headTime) { end() }
        case .body:
            if progress.received > before.received { quiet = 0 }
            if quiet > seconds(server.limits.stallTime) { reset() }
        case .core:
            // Whoever ends its side before the answer does not wait for it; those who only never write again get the
            // answer of a core that does not think for long.
            if !progress.isEstablished, quiet > 1 { reset() }
        case .client:
            if progress.acknowledged > before.acknowledged { quiet = 0 }
            if quiet > seconds(server.limits.stallTime) || exchange.isCut { reset() }
        }
    }

    private func lookForRequest(hasMore: Bool) {
        if isKept, hasMore, quiet > 1 {
            // The first octets of a request: from now on its head is waited for.
            isKept = false
            quiet = 0
        }
        if quiet > seconds(isKept ? server.limits.idleTime : server.limits.headTime) { end() }
    }

    /// Whole seconds, never fewer than `duration`.
    private func seconds(_ duration: Duration) -> Int { Int((duration.nanoseconds + 999_999_999) / 1_000_000_000) }

    private func measure() {
        // A reset takes the numbers with it.
        guard !isEnding, let now = SocketProgress(of: descriptor) else { return }
        server.host.count(
            received: Int(clamping: now.received &- progress.received),
            sent: Int(clamping: now.acknowledged &- progress.acknowledged))
        progress = now
    }

    /// Octets that the client has taken since the system was last asked, and before.
    func acknowledged() -> UInt64 {
        measure()
        return progress.acknowledged
    }

    /// Ends it in order: the library reads the end.
    func end() {
        measure()
        isEnding = true
        shutdown(descriptor, peernode_shut_both)
        exchange?.abandon()
    }

    /// Ends it with a reset.
    func reset() {
        guard !isEnding else { return }
        measure()
        isEnding = true
        resetSocket(descriptor)
        exchange?.abandon()
    }

    /// The library has done with it and closes the socket next.
    func closed() {
        measure()
        if !isEnding, progress.isEstablished { depart() }
        exchange = nil
        server.host.closed(self)
    }

    /// Ends our side, and reads what still comes for a moment: the system would answer it with a reset, which may
    /// overtake the answer.
    private func depart() {
        // The library leaves without a word when the first line is no request.
        if !hadRequest, progress.received > 0, progress.sent == 0 {
            let answer = Array("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".utf8)
            unsafe send(descriptor, answer, answer.count, peernode_no_signal | peernode_dont_wait)
        }
        shutdown(descriptor, peernode_shut_writing)
        server.host.linger(descriptor)
    }
}
