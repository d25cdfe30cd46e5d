import CLinux
import Foundation
import PeerCore
import PeerCrypto
import PeerRuntime
import Testing

/// Somebody else changes the folder while we work in it.
@Suite(.timeLimit(.minutes(2))) struct FilesRaceTests {
    let sandbox = Sandbox()

    /// Runs `attack` over and over in a thread of its own while `work` runs once.
    private func run(_ attack: @escaping @Sendable () -> Void, against work: () -> Void) {
        let (isOver, end) = (Flag(), DispatchSemaphore(value: 0))
        Thread.detachNewThread {
            while !isOver.isSet { attack() }
            end.signal()
        }
        work()
        isOver.set()
        end.wait()
    }

    /// Two places change their names at once: nobody sees either of them missing.
    private func exchange(_ one: String, _ other: String) {
        let root = sandbox.path + "/"
        precondition(renameat2(AT_FDCWD, root + one, AT_FDCWD, root + other, 2) == 0)
    }

    @Test func `a folder that turns into a link and back leads nowhere`() {
        sandbox.put("a/folder/file", "inside")
        sandbox.put("outside/file", "secret")
        sandbox.link("a/.link", to: sandbox.path + "/outside")
        let all = Results()
        run {
            exchange("a/folder", "a/.link")
        } against: {
            let name = file("a/folder/file")
            for round in 0..<3_000 {
                all.append(sandbox.run(.readAt(name, offset: 0, count: 6)))
                all.append(sandbox.run(.writeAt(name, offset: 0, bytes("inside"))))
                if round.isMultiple(of: 20) { all.append(sandbox.run(.save(name, bytes("inside")))) }
                all.append(sandbox.run(.scan(name.folder, under: path("folder"), after: nil, limit: 9)))
            }
        }
        let results = all.list
        #expect(sandbox.content("outside/file") == "secret")
        #expect(sandbox.names("outside") == ["file"])
        #expect(!results.contains(.bytes(bytes("secret"))))
        #expect(results.contains(.bytes(bytes("inside"))))
        #expect(results.contains(.failed(.notAFolder)))
        let refused = [StoreResult.failed(.notAFolder), .done, .bytes(bytes("inside"))]
        #expect(results.allSatisfy { refused.contains($0) || $0.paths == ["folder/file"] })
    }

    @Test func `a file that turns into a link and back is never the link's target`() throws {
        sandbox.put("a/file", "inside")
        sandbox.put("outside/file", "secret")
        sandbox.link("a/.link", to: sandbox.path + "/outside/file")
        run {
            exchange("a/file", "a/.link")
        } against: {
            for _ in 0..<5_000 {
                let read = sandbox.run(.readAt(file("a/file"), offset: 0, count: 6))
                #expect(read != .bytes(bytes("secret")))
                _ = sandbox.run(.writeAt(file("a/file"), offset: 0, bytes("inside")))
                _ = sandbox.run(.truncate(file("a/file"), size: 6))
            }
        }
        #expect(sandbox.content("outside/file") == "secret")
    }

    @Test func `a reader sees the file before or after a save, never a piece of it`() {
        let contents = ["a", "b"].map { bytes(String(repeating: $0, count: 100_000)) }
        let name = file("a/file")
        #expect(sandbox.run(.save(name, contents[0])) == .done)
        let seen = Results()
        run {
            for content in contents { _ = sandbox.run(.save(name, content)) }
        } against: {
            for _ in 0..<100 {
                guard case .bytes(let octets) = sandbox.run(.readAt(name, offset: 0, count: .max)) else { continue }
                seen.append(.digests([digest(octets, .sha256)]))
            }
        }
        #expect(seen.list.count == 100)
        #expect(Set(seen.list).isSubset(of: contents.map { .digests([digest($0, .sha256)]) }))
        #expect(sandbox.names("a") == ["file"])
    }

    @Test func `of many that rename to one name, one wins`() {
        for round in 0..<20 {
            for number in 0..<4 { sandbox.put("a/\(round)-\(number)", "\(number)") }
            let results = Results()
            DispatchQueue.concurrentPerform(iterations: 4) { number in
                let operation = StoreOperation.rename(
                    file("a/\(round)-\(number)"), to: path("won-\(round)"), replacing: false)
                results.append(sandbox.run(operation))
            }
            #expect(results.list.count { $0 == .done } == 1)
            #expect(results.list.count { $0 == .failed(.exists) } == 3)
        }
    }
}

/// Whether something is over, told from one thread to another.
private final class Flag: @unchecked Sendable {
    private let lock = NSLock()
    private var value = false

    var isSet: Bool { lock.withLock { value } }
    func set() { lock.withLock { value = true } }
}

/// What several threads gave.
private final class Results: @unchecked Sendable {
    private let lock = NSLock()
    private var values: [StoreResult] = []

    var list: [StoreResult] { lock.withLock { values } }
    func append(_ value: StoreResult) { lock.withLock { values.append(value) } }
}
