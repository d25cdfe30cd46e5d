internal import Glibc
internal import PeerCore
internal import UV

/// A connection to the module API, from the dial to its orderly end.
final class ModuleConnection {
    /// How long the dial may take, as long as the first answer of the admin socket.
    private static let patience: Duration = .seconds(20)
    /// How long the node may take to end its side once we have ended ours: it only has to read what was sent.
    private static let farewell: Duration = .seconds(1)

    /// Called when the connection is there.
    var onReady: () -> Void = {}
    /// Called with what the node sends.
    var onOctets: (Bytes) -> Void = { _ in }
    /// Called when all that was sent is with the system, after some of it was not.
    var onRoom: () -> Void = {}
    /// Called once, at the end, with what went wrong.
    var onEnd: (Failure?) -> Void = { _ in }

    private enum Phase { case dialling, open, finishing, ended }

    /// Where the API is.
    let destination: Destination
    private let timer: Timer
    private var tcp: TCP?
    private var phase = Phase.dialling
    /// What the system has not taken yet.
    private var unsent = ReceiveBuffer()
    /// Whether the system has no room now.
    private(set) var isFull = false

    init(_ loop: Loop, to destination: Destination) {
        self.destination = destination
        timer = Timer(loop)
    }

    /// Dials.
    func open() {
        timer.start(at: timer.loop.instant + Self.patience) { [unowned self] in
            fail(.unavailable, "the node does not answer at \(destination); its process may be stopped or too busy")
        }
        switch destination {
        case .address(let address): dial([address])
        case .name(let name, let port):
            timer.loop.resolve(name) { [self] addresses in
                guard addresses.isEmpty else { return dial(addresses.map { SocketAddress($0, port) }) }
                fail(.unavailable, "no address is known for \(destination). Give it in numbers.")
            }
        }
    }

    /// Dials the first of the addresses, then the others.
    private func dial(_ addresses: [SocketAddress]) {
        guard phase == .dialling, let address = addresses.first else { return }
        func failed(_ error: UVError) {
            tcp?.close()
            if addresses.count > 1 { return dial(Array(addresses.dropFirst())) }
            let what = "no node is listening at \(destination) (\(error.systemError))"
            fail(.unavailable, what + ". Is it running, and is this its configuration?")
        }
        do throws(UVError) {
            let tcp = try TCP(timer.loop)
            self.tcp = tcp
            try tcp.connect(to: address) { [self] error in
                if let error { return failed(error) }
                timer.stop()
                phase = .open
                read()
                onReady()
            }
        } catch {
            failed(error)
        }
    }

    private func read() {
        tcp?.startReading { [unowned self] event in
            switch event {
            case .received(let bytes):
                if phase == .open { onOctets(bytes) }
            case .ended: if phase == .finishing, !isFull { end(nil) } else { lost("") }
            case .failed(let error): lost(" (\(error.name))")
            }
        }
    }

    private func lost(_ how: String) {
        let what = "the node at \(destination) closed the connection\(how): it was stopped, or refused a message"
        fail(.inputOutput, what + ". Look at its log and at peernode status, then try again.")
    }

    /// Sends a message in one call where the system has room for it. While it has none, nothing is read either.
    func send(_ message: Bytes) {
        guard phase == .open else { return }
        unsent.append(message)
        if !isFull { flush() }
    }

    private func flush() {
        let wasFull = isFull
        isFull = false
        do throws(UVError) {
            while let tcp, unsent.count > 0 {
                let written = try tcp.write([unsent.waiting])
                unsent.consume(written)
                guard written == 0 else { continue }
                isFull = true
                tcp.stopReading()
                return try tcp.whenWritable { [unowned self] in flush() }
            }
        } catch {
            return lost(" (\(error.name))")
        }
        guard wasFull else { return }
        read()
        if phase == .finishing { sayGoodbye() } else { onRoom() }
    }

    /// Ends the connection once all is sent, in order: the node reads it all before it hears the end.
    func finish() {
        if phase == .dialling { return end(nil) }
        guard phase == .open else { return }
        phase = .finishing
        if !isFull { sayGoodbye() }
    }

    private func sayGoodbye() {
        tcp?.shutdown()
        timer.start(at: timer.loop.instant + Self.farewell) { [unowned self] in end(nil) }
    }

    private func fail(_ code: ExitCode, _ message: String) {
        end(Failure(code, message))
    }

    /// Ends it at once.
    private func end(_ failure: Failure?) {
        guard phase != .ended else { return }
        phase = .ended
        tcp?.close()
        timer.close()
        let onEnd = onEnd
        (onReady, onRoom, onOctets, self.onEnd) = ({}, {}, { _ in }, { _ in })
        onEnd(failure)
    }
}
