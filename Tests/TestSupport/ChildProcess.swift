internal import Foundation
internal import Glibc

/// How a program ended.
public enum Exit: Hashable, Sendable {
    /// By itself, with this status.
    case status(Int32)
    /// By this signal.
    case signal(Int32)
}

/// What was awaited of a program and did not come.
public struct Missing: Error, CustomStringConvertible {
    /// What, of whom, and the last that it said.
    public let description: String
}

/// A program that a test has started: its standard output line by line, its end. Waiting is on the output, without a
/// thread; nothing sleeps. The program does not outlive this object, nor its `life`, nor the tests.
public final class ChildProcess: Sendable {
    /// What messages call it.
    public let name: String
    /// Its process ID.
    public let identifier: Int32
    private let output: ProcessOutput

    /// Starts `program`, an absolute path. `life` is how long it may live.
    public init(
        _ program: String, _ arguments: [String], name: String, environment: [String: String] = [:],
        life: Duration = .seconds(240)
    ) throws {
        let (standard, errors) = (try Channel(), try Channel())
        var variables = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("PEERNODE__") }
        variables["SWIFT_BACKTRACE"] = "enable=no"
        variables["PYTHONDONTWRITEBYTECODE"] = "1"
        variables.merge(sanitizerEnvironment.merging(environment) { $1 }) { $1 }
        defer {
            close(standard.write)
            close(errors.write)
        }
        self.name = name
        identifier = try spawn(
            program, arguments, environment: variables, descriptors: [nil, standard.write, errors.write])
        Reaper.shared?.started(identifier)
        output = ProcessOutput(name, identifier)
        output.read(standard.read, errors.read)
        let seconds = Double(life.components.seconds)
        DispatchQueue.global().asyncAfter(deadline: .now() + seconds) { [weak output] in output?.signal(SIGKILL) }
    }

    deinit {
        output.signal(SIGKILL)
    }

    /// Sends a signal, unless the program has ended.
    public func signal(_ number: Int32) {
        output.signal(number)
    }

    /// The lines so far.
    public var lines: [LogLine] { output.lines }

    /// What it wrote on standard error so far.
    public var complaints: String { output.complaints }

    /// The first line that tells `event` and that `accepts` likes, of those behind `line`; waits for it if need be.
    @discardableResult
    public func waitFor(
        _ event: String, after line: LogLine? = nil, within limit: Duration = .seconds(20),
        where accepts: @escaping @Sendable (LogLine) -> Bool = { _ in true }
    ) async throws -> LogLine {
        let first = line.map { $0.number + 1 } ?? 0
        return try await wait(event, within: limit) { lines, seen in
            lines.dropFirst(max(first, seen)).first { $0.event == event && accepts($0) }
        }
    }

    /// Waits until all lines together satisfy `condition`.
    public func waitUntil(
        _ what: String, within limit: Duration = .seconds(20),
        _ condition: @escaping @Sendable ([LogLine]) -> Bool
    ) async throws {
        _ = try await wait(what, within: limit) { lines, _ in condition(lines) ? lines.last : nil }
    }

    private func wait(
        _ what: String, within limit: Duration,
        _ find: @escaping @Sendable ([LogLine], Int) -> LogLine?
    ) async throws -> LogLine {
        if let found = await output.wait(within: limit, find) { return found }
        let last = lines.suffix(20).map(\.text).joined(separator: "\n")
        throw Missing(
            description:
                "\(name): no \(what) within \(limit); exit: \(String(describing: output.exit))\n\(last)\n\(complaints)")
    }

    /// Waits for the end.
    @discardableResult
    public func waitForExit(within limit: Duration = .seconds(20)) async throws -> Exit {
        // Lines are no longer awaited when there will be none.
        _ = await output.wait(within: limit) { _, _ in nil }
        guard let exit = output.exit else { throw Missing(description: "\(name): no end within \(limit)") }
        return exit
    }
}

/// Looks again and again, for what tells nobody when it happens.
public func eventually(
    _ what: String, within limit: Duration = .seconds(20), _ condition: () throws -> Bool
) async throws {
    let end = ContinuousClock.now + limit
    while try !condition() {
        guard ContinuousClock.now < end else { throw Missing(description: "no \(what) within \(limit)") }
        try await Task.sleep(for: .milliseconds(20))
    }
}
