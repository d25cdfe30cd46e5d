internal import Foundation
internal import Glibc

/// What a program says and how it ends, and who waits for that.
final class ProcessOutput: Sendable {
    private struct Waiter {
        let find: @Sendable ([LogLine], Int) -> LogLine?
        let continuation: CheckedContinuation<LogLine?, Never>
    }

    private struct State {
        var lines: [LogLine] = []
        var unfinished: [UInt8] = []
        var complaints: [UInt8] = []
        var openPipes = 2
        var exit: Exit?
        var waiters: [Int: Waiter] = [:]
        var lastWaiter = 0
    }

    private let name: String
    private let identifier: pid_t
    private let state = Locked(State())
    private let queue: DispatchQueue

    init(_ name: String, _ identifier: pid_t) {
        self.name = name
        self.identifier = identifier
        queue = DispatchQueue(label: name)
    }

    var lines: [LogLine] { state.withLock { $0.lines } }

    var complaints: String { state.withLock { String(decoding: $0.complaints, as: UTF8.self) } }

    var exit: Exit? { state.withLock { $0.exit } }

    /// Until its end is fetched the process keeps its ID, so nobody else is hit.
    func signal(_ number: Int32) {
        state.withLock { if $0.exit == nil { kill(identifier, number) } }
    }

    func read(_ standard: Int32, _ errors: Int32) {
        read(standard) { [self] in took($0) }
        read(errors) { [self] octets in state.withLock { $0.complaints += octets } }
    }

    private func read(_ descriptor: Int32, _ take: @escaping @Sendable ([UInt8]) -> Void) {
        let source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
        source.setEventHandler {
            // All that is there: the end of the other side is told only once, with what came before it.
            var octets = [UInt8](repeating: 0, count: 65_536)
            while true {
                let count = recv(descriptor, &octets, octets.count, Int32(MSG_DONTWAIT))
                if count < 0, errno == EAGAIN || errno == EINTR { return }
                guard count > 0 else { return source.cancel() }
                take(Array(octets.prefix(count)))
            }
        }
        source.setCancelHandler { [self] in
            close(descriptor)
            let isLast = state.withLock {
                $0.openPipes -= 1
                return $0.openPipes == 0
            }
            if isLast { fetchEnd() }
        }
        source.resume()
    }

    private func took(_ octets: [UInt8]) {
        let (waiters, lines) = state.withLock { state in
            state.unfinished += octets
            let seen = state.lines.count
            while let end = state.unfinished.firstIndex(of: UInt8(ascii: "\n")) {
                let text = String(decoding: state.unfinished[..<end], as: UTF8.self)
                state.lines.append(LogLine(number: state.lines.count, text: text))
                state.unfinished.removeFirst(end + 1)
            }
            return (state.waiters.map { (key: $0.key, waiter: $0.value, seen: seen) }, state.lines)
        }
        for (key, waiter, seen) in waiters {
            if let found = waiter.find(lines, seen) { resume(key, found) }
        }
    }

    /// Both pipes are closed, so the process has ended or is about to.
    private func fetchEnd() {
        let isEnded = state.withLock { state in
            var status: Int32 = 0
            guard waitpid(identifier, &status, WNOHANG) != 0 else { return false }
            state.exit = status & 0x7f == 0 ? .status(status >> 8 & 0xff) : .signal(status & 0x7f)
            return true
        }
        guard isEnded else {
            return queue.asyncAfter(deadline: .now() + .milliseconds(5)) { [self] in fetchEnd() }
        }
        Reaper.shared?.ended(identifier)
        for key in state.withLock({ Array($0.waiters.keys) }) { resume(key, nil) }
    }

    /// What `find` finds in all lines (with 0) or in those from a number on; nil after `limit`, or when the process has
    /// ended without.
    func wait(within limit: Duration, _ find: @escaping @Sendable ([LogLine], Int) -> LogLine?) async -> LogLine? {
        await withCheckedContinuation { continuation in
            let answer: LogLine??
            let key: Int
            (answer, key) = state.withLock { state in
                if let found = find(state.lines, 0) { return (.some(found), 0) }
                if state.exit != nil { return (.some(nil), 0) }
                state.lastWaiter += 1
                state.waiters[state.lastWaiter] = Waiter(find: find, continuation: continuation)
                return (nil, state.lastWaiter)
            }
            if let answer { return continuation.resume(returning: answer) }
            let seconds = Double(limit.components.seconds) + Double(limit.components.attoseconds) / 1e18
            queue.asyncAfter(deadline: .now() + seconds) { [self] in resume(key, nil) }
        }
    }

    private func resume(_ key: Int, _ line: LogLine?) {
        let waiter = state.withLock { $0.waiters.removeValue(forKey: key) }
        waiter?.continuation.resume(returning: line)
    }
}
