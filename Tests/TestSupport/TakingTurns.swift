internal import Dispatch
public import Testing

/// Tests that take turns with all others of their kind, so that times which are measured are those of the program and
/// not of a crowded machine.
public struct TakingTurns: TestTrait, SuiteTrait, TestScoping {
    /// Applies to each test of a suite, not to the suite as a whole.
    public let isRecursive = true

    fileprivate let queue: Queue

    /// Those who have a place, and those who wait for one.
    fileprivate final class Queue: Sendable {
        private struct Places {
            var free: Int
            var waiting: [CheckedContinuation<Void, Never>] = []
        }

        static let programs = Queue(places: 4, threads: .own)
        static let computing = Queue(places: 1, threads: .shared)

        /// On which threads the tests run.
        enum Threads {
            case shared
            case own
        }

        let threads: Threads
        private let places: Locked<Places>

        private init(places: Int, threads: Threads) {
            self.threads = threads
            self.places = Locked(Places(free: places))
        }

        func enter() async {
            await withCheckedContinuation { continuation in
                let isFree = places.withLock { places in
                    guard places.free == 0 else {
                        places.free -= 1
                        return true
                    }
                    places.waiting.append(continuation)
                    return false
                }
                if isFree { continuation.resume() }
            }
        }

        func leave() {
            let next = places.withLock { places -> CheckedContinuation<Void, Never>? in
                if !places.waiting.isEmpty { return places.waiting.removeFirst() }
                places.free += 1
                return nil
            }
            next?.resume()
        }
    }

    /// Runs a test when it is its turn.
    public func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        guard testCase != nil else { return try await function() }
        await queue.enter()
        defer { queue.leave() }
        switch queue.threads {
        case .shared: try await function()
        case .own: try await withTaskExecutorPreference(OwnThread()) { try await function() }
        }
    }
}

/// A thread for one test. The shared ones may be busy for seconds with tests that compute, and a program that nobody
/// hears has gone on meanwhile.
private final class OwnThread: TaskExecutor {
    /// Serial queues are served beyond the number of processors.
    private let queue = DispatchQueue(label: "test")

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}

extension Trait where Self == TakingTurns {
    /// For tests that start programs: a few at a time, each on a thread of its own.
    public static var fewAtOnce: TakingTurns { TakingTurns(queue: .programs) }

    /// For tests that keep a thread busy for seconds: one at a time, so that there is always another thread to hear
    /// what programs say.
    public static var oneAtOnce: TakingTurns { TakingTurns(queue: .computing) }
}
