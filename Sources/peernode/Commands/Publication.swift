internal import Gossip
internal import Glibc
internal import PeerCore
internal import UV

/// What `publish` does.
final class Publication {
    private let dataType: UInt16
    private let ttl: UInt8
    /// The item; nil: standard input holds it.
    private let data: Bytes?
    /// Whether each line of standard input is an item.
    private let isLines: Bool
    private let loop = Loop()
    private let connection: ModuleConnection
    private let input: StandardInput
    private var failure: Failure?
    /// Of an item that comes in pieces.
    private var octets: [UInt8] = []
    private var lines = LineBuffer(maximumLineBytes: Announce.maximumDataBytes)
    private var linesSent = 0

    init(_ options: Options) throws(Failure) {
        dataType = try dataTypes(options.arguments.prefix(1))[0]
        ttl = UInt8(try number(options.value("ttl") ?? "0", 0...255, wanted: "--ttl takes a number from 0 to 255"))
        data = options.arguments.dropFirst().first { $0 != "-" }.map { Bytes(utf8: $0) }
        isLines = options.has("lines")
        guard data == nil || !isLines else {
            throw Failure(.usage, "publish: --lines reads standard input; leave DATA out, or --lines")
        }
        connection = ModuleConnection(loop, to: try apiDestination(options))
        input = StandardInput(loop)
    }

    func run() throws -> ExitCode {
        connection.onEnd = { [unowned self] failure in
            self.failure = self.failure ?? failure
            input.close()
        }
        connection.onReady = { [unowned self] in
            if let data { publish(data) } else { read() }
        }
        connection.onRoom = { [unowned self] in read() }
        connection.open()
        loop.run()
        loop.close()
        if let failure { throw failure }
        return .done
    }

    /// The one item.
    private func publish(_ data: Bytes) {
        guard data.count <= Announce.maximumDataBytes else { return refuse("DATA has \(data.count) octets") }
        connection.send(Announce(ttl: ttl, dataType: dataType, data: data).message)
        connection.finish()
    }

    /// Reads while there is room for what comes of it.
    private func read() {
        input.start { [unowned self] event in
            switch event {
            case .received(let bytes) where isLines: take(lines: bytes)
            case .received(let bytes):
                octets += bytes
                if octets.count > Announce.maximumDataBytes { refuse("standard input has more") }
            case .failed(let error): give(up: Failure(.inputOutput, "standard input: \(error.systemError)"))
            case .ended where !isLines: publish(Bytes(octets))
            case .ended:
                // The last line may lack its end.
                if lines.count > 0 { take(lines: [UInt8(ascii: "\n")]) }
                connection.finish()
            }
        }
    }

    private func take(lines bytes: Bytes) {
        lines.append(bytes)
        do throws(DecodeError) {
            while let line = try lines.next() {
                connection.send(Announce(ttl: ttl, dataType: dataType, data: line).message)
                linesSent += 1
            }
        } catch {
            return refuse("line \(linesSent + 1) has more; the lines before it were sent")
        }
        if connection.isFull { input.stop() }
    }

    private func refuse(_ what: String) {
        let most = "publish: an item has at most \(Announce.maximumDataBytes) octets"
        give(up: Failure(.usage, "\(most), and \(what). Cut it into several."))
    }

    /// Ends with what was sent before.
    private func give(up reason: Failure) {
        failure = reason
        input.stop()
        connection.finish()
    }
}
