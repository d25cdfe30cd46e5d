internal import CLinux
internal import Glibc
internal import PeerCore
internal import UV

/// A socket whose own side has ended: what the other side still sends is read and thrown away until its end, for a
/// moment. Else the system would answer it with a reset, which may overtake what was sent last.
final class LingeringSocket {
    private let descriptor: Int32
    private let poll: Poll
    private let timer: Timer
    private let done: () -> Void
    private var discarded = 0

    /// As for streams (`Connection`).
    private static let limit: Duration = .seconds(5)
    /// Whoever goes on and on is not waited for.
    private static let mostDiscarded = 4 << 20

    /// Takes the descriptor over; `done` is called when it is closed.
    init?(_ descriptor: Int32, _ loop: Loop, done: @escaping () -> Void) {
        guard let poll = try? Poll(loop, descriptor: descriptor) else { return nil }
        self.descriptor = descriptor
        self.poll = poll
        self.done = done
        timer = Timer(loop)
        timer.start(at: loop.instant + Self.limit) { [unowned self] in close() }
        poll.start(.readable) { [unowned self] _ in read() }
    }

    private func read() {
        var octets = [UInt8](repeating: 0, count: 64 << 10)
        let count = unsafe recv(descriptor, &octets, octets.count, peernode_dont_wait)
        if count < 0, errno == EAGAIN || errno == EINTR { return }
        discarded += max(0, count)
        if count <= 0 || discarded > Self.mostDiscarded { close() }
    }

    /// Ends it now.
    func close() {
        poll.close()
        timer.close()
        Glibc.close(descriptor)
        done()
    }
}
