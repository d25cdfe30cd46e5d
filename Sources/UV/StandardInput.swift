internal import Glibc
internal import PeerCore

/// Reads the standard input of this process without holding up the loop, whatever it is: a terminal, a pipe, a file.
public final class StandardInput {
    private let loop: Loop
    private let poll: Poll?
    private var idle: Idle?
    private var onEvent: ((StreamEvent) -> Void)?

    /// Not started.
    public init(_ loop: Loop) {
        self.loop = loop
        // The flags belong to whoever else has the descriptor too, such as the shell.
        let flags = fcntl(STDIN_FILENO, F_GETFL)
        // A file cannot be watched, since it is always ready.
        poll = try? Poll(loop, descriptor: STDIN_FILENO)
        if flags >= 0 { _ = fcntl(STDIN_FILENO, F_SETFL, flags) }
        if poll == nil { idle = Idle(loop) { [unowned self] in read() } }
    }

    /// Reads until `stop()`, the end or an error.
    public func start(_ onEvent: @escaping (StreamEvent) -> Void) {
        self.onEvent = onEvent
        poll?.start(.readable) { [unowned self] _ in read() }
        idle?.start()
    }

    /// Lets the loop end although this is started.
    public func unreference() {
        poll?.unreference()
        idle?.unreference()
    }

    /// Leaves further octets where they are.
    public func stop() {
        poll?.stop()
        idle?.stop()
    }

    /// No more calls, ever.
    public func close() {
        onEvent = nil
        poll?.close()
        idle?.close()
    }

    private func read() {
        let count = Glibc.read(STDIN_FILENO, loop.readBuffer.baseAddress, loop.readBuffer.count)
        if count < 0, errno == EINTR || errno == EAGAIN { return }
        let event: StreamEvent =
            switch count {
            case 1...: .received(Bytes(Array(loop.readBuffer[..<count])))
            case 0: .ended
            default: .failed(UVError(-errno))
            }
        if count <= 0 { stop() }
        onEvent?(event)
    }
}
