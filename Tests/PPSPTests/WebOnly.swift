import PeerCore

@testable import PPSP

/// A node that tells others of its HTTP server and, unless it is asked for nothing else, not of PPSP-TCP.
struct WebOnly: PeerProtocol {
    private var core: PPSP

    init(_ core: PPSP) { self.core = core }

    mutating func reconfigure(
        _ new: PPSP.Configuration, at now: Moment, into effects: inout Effects
    ) -> [RestartNeeded] {
        core.reconfigure(new, at: now, into: &effects)
    }

    mutating func handle(_ input: Input, at now: Moment, into effects: inout Effects) {
        core.handle(input, at: now, into: &effects)
        for effect in effects.take() {
            guard case .send(let octets, let connection) = effect, let message = Self.message(octets) else {
                effects.append(effect)
                continue
            }
            effects.send(Self.changed(message).bytes, on: connection)
        }
    }

    var nextDeadline: Instant? { core.nextDeadline }
    func status() -> [Record] { core.status() }

    private static func message(_ octets: Bytes) -> Message? {
        var reader = FrameReader(contentLimit: octets.count)
        reader.append(octets)
        guard case .message(let message) = reader.next() else { return nil }
        return message
    }

    private static func changed(_ message: Message) -> Message {
        guard case .response = message.kind, case .list(let entries) = message.methods.transport else { return message }
        let others = entries.filter { $0.id == TransportID.http }
        guard !others.isEmpty else { return message }
        var methods = message.methods
        methods.transport = .list(others)
        return Message(
            message.kind, transactionID: message.transactionID, peerID: message.peerID, swarmID: message.swarmID,
            methods: methods)
    }
}

extension Lab {
    /// Adds a node that has an HTTP server; `isOnly`: as `WebOnly` does.
    @discardableResult
    func webNode(isOnly: Bool = false, _ change: (inout PPSP.Configuration) -> Void = { _ in }) -> Int {
        func settle(_ configuration: inout PPSP.Configuration) {
            configuration.httpAddress = configuration.listen.map { SocketAddress($0.ip, $0.port + 2) }
            change(&configuration)
        }
        return isOnly ? node(settle) { WebOnly($0) } : node(settle)
    }
}
