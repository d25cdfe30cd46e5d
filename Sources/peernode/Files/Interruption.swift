internal import Glibc
internal import PeerCore
internal import UV

/// What ends a request early: Ctrl-C, SIGTERM and, where somebody types, an empty line.
final class Interruption {
    /// Whether it came to that.
    private(set) var hasCome = false
    /// Whether the program is to end too.
    private(set) var isEnd = false
    /// Other lines that were typed meanwhile.
    private(set) var typed: [String] = []

    private var signals: [Signal] = []
    private var input: StandardInput?
    private var lines = LineBuffer(maximumLineBytes: 1 << 16)
    private let cancel: () -> Void

    /// Watches until `close()`, without keeping the loop alive.
    init(_ loop: Loop, watchesInput: Bool, _ cancel: @escaping () -> Void) throws {
        self.cancel = cancel
        for number in [SIGINT, SIGTERM] {
            let signal = try Signal(loop, number) { [unowned self] in
                isEnd = isEnd || number == SIGTERM
                come()
            }
            signal.unreference()
            signals.append(signal)
        }
        guard watchesInput else { return }
        input = StandardInput(loop)
        input?.start { [unowned self] event in
            guard case .received(let bytes) = event else { return }
            take(bytes)
        }
        input?.unreference()
    }

    private func come() {
        guard !hasCome else { return }
        hasCome = true
        cancel()
    }

    private func take(_ bytes: Bytes) {
        lines.append(bytes)
        // A line that is too long is nobody's answer.
        while let line = (try? lines.next()) ?? nil {
            let text = String(decoding: line, as: UTF8.self)
            if text.allSatisfy(\.isWhitespace) { come() } else { typed.append(text) }
        }
    }

    func close() {
        for signal in signals { signal.close() }
        input?.close()
    }
}

extension Requester {
    /// Carries out a command that the user can break off. The interruption tells whether he did.
    func askInterruptibly(
        _ name: String, _ arguments: Record, watchesInput: Bool = false, row: @escaping (Record) -> Void
    ) throws -> Interruption {
        let interruption = try Interruption(loop, watchesInput: watchesInput) { [unowned self] in cancel() }
        defer { interruption.close() }
        try ask(name, arguments, row: row)
        return interruption
    }
}
