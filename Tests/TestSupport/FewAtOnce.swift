internal import Synchronization
public import Testing

/// Tests that start programs take turns, a few at a time, so that times which they measure are those of the program
/// and not of a crowded machine.
public struct FewAtOnce: TestTrait, SuiteTrait, TestScoping {
    /// Applies to each test of a suite, not to the suite as a whole.
    public let isRecursive = true

    private struct Places {
        var free = 4
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private static let places = Mutex(Places())

    /// Runs a test when it is its turn.
    public func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        guard testCase != nil else { return try await function() }
        await withCheckedContinuation { continuation in
            let isFree = Self.places.withLock { places in
                guard places.free == 0 else {
                    places.free -= 1
                    return true
                }
                places.waiting.append(continuation)
                return false
            }
            if isFree { continuation.resume() }
        }
        defer { Self.leave() }
        try await function()
    }

    private static func leave() {
        let next = places.withLock { places -> CheckedContinuation<Void, Never>? in
            if !places.waiting.isEmpty { return places.waiting.removeFirst() }
            places.free += 1
            return nil
        }
        next?.resume()
    }
}

extension Trait where Self == FewAtOnce {
    /// The tests take turns with all others that start programs.
    public static var fewAtOnce: FewAtOnce { FewAtOnce() }
}
