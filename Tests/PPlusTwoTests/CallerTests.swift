import PeerCore
import Testing

@testable import PPlusTwo

/// Callers that do not keep to the rules (P+2 section 3).
struct CallerTests {
    private func source(_ number: UInt16) -> SocketAddress {
        SocketAddress(IPAddress(10, 0, UInt8(number >> 8), UInt8(number & 255)), 50_000)
    }

    @Test func `an octet now and then does not keep a place: the line is due 30 s after the call`() {
        var stage = CoreStage.ready()
        let (connection, _) = stage.accept(.query, from: source(1))
        var finished: [ConnectionID] = []
        for _ in 0..<3 {
            finished += stage.wait(.milliseconds(9_900)).finished
            stage(.received(Bytes(utf8: "a"), on: connection))
        }
        #expect(finished.isEmpty)
        let effects = stage.wait(.milliseconds(300))
        #expect(effects.finished == [connection])
        #expect(effects.logged("reject").map { $0.string("reason") } == ["line_timeout"])
    }

    @Test(arguments: Service.allCases) func `a line without an end is not kept in memory`(service: Service) {
        var stage = CoreStage.ready()
        let (connection, _) = stage.accept(service, from: source(1))
        let chunk = Bytes([UInt8](repeating: 0x61, count: 40))
        var effects: [Effect] = []
        for _ in 0..<200 where effects.isEmpty { effects = stage(.received(chunk, on: connection)) }
        #expect(effects.finished == [connection])
        #expect(effects.logged("reject").map { $0.string("reason") } == ["line_too_long"])
        #expect(effects.sent(on: connection).isEmpty)
        #expect(stage(.received(chunk, on: connection)).isEmpty)
    }

    @Test func `when a service is full, the oldest that has not said its line makes room`() {
        var stage = CoreStage.ready { $0.services[.list]?.connections = 3 }
        let callers = (1...3).map { stage.accept(.list, from: source($0)).0 }
        stage(.received(Bytes(utf8: "\n"), on: callers[0]))
        let (_, effects) = stage.accept(.list, from: source(4))
        #expect(effects.aborted == [callers[1]])
    }

    @Test func `when all have said theirs, callers wait in the system's queue`() {
        var stage = CoreStage.ready { $0.services[.list]?.connections = 2 }
        let callers = (1...2).map { stage.accept(.list, from: source($0)).0 }
        stage(.received(Bytes(utf8: "\n"), on: callers[0]))
        #expect(stage(.received(Bytes(utf8: "\n"), on: callers[1])).contains(.pause(Service.list.listener)))
        #expect(stage(.closed(callers[0], .finished, Traffic())).contains(.resume(Service.list.listener)))
    }

    @Test func `one address has its share of a service only`() {
        var stage = CoreStage.ready { $0.services[.query]?.perAddress = 2 }
        _ = stage.accept(.query, from: source(1))
        _ = stage.accept(.query, from: source(1))
        let (third, effects) = stage.accept(.query, from: source(1))
        #expect(effects.aborted == [third])
        #expect(stage.accept(.query, from: source(2)).1.aborted.isEmpty)
    }

    @Test func `files go to so many at once; others wait in order`() {
        var stage = CoreStage.ready { $0.maxUploads = 1 }
        stage.share(["file"])
        let callers = (1...3).map { stage.accept(.download, from: source($0)).0 }
        for caller in callers { stage(.received(Bytes(utf8: "file\n"), on: caller)) }
        stage.inspected("file", size: 9)
        #expect(stage.sending == [callers[0]])
        stage(.closed(callers[1], .reset, Traffic()))
        stage(.transferred(callers[0], CoreStage.file("file"), .sent(octets: 9)))
        stage.inspected("file", size: 9)
        #expect(stage.sending == [callers[0], callers[2]])
    }

    @Test func `an upload of which nothing is taken for a minute ends with a reset`() {
        var stage = CoreStage.ready()
        stage.share(["file"])
        let (caller, _) = stage.accept(.download, from: source(1))
        stage(.received(Bytes(utf8: "file\n"), on: caller))
        stage.inspected("file", size: 1 << 30)
        var aborted: [ConnectionID] = []
        for second in 0..<200 where aborted.isEmpty {
            for case .measure(let connection) in stage.wait(.seconds(1)) {
                // It takes something for 50 s.
                let sent = UInt64(min(second, 50))
                aborted += stage(.measured(connection, Traffic(sent: sent))).aborted
            }
            if !aborted.isEmpty { #expect((100...125).contains(second)) }
        }
        #expect(aborted == [caller])
        #expect(stage.history.map(\.effect).logged("upload_abort").map { $0.string("reason") } == ["stalled"])
    }

    @Test func `an upload to a caller that is gone ends, whether or not the connection says so itself`() {
        var stage = CoreStage.ready { $0.maxUploads = 1 }
        stage.share(["file"])
        let (caller, _) = stage.accept(.download, from: source(1))
        stage(.received(Bytes(utf8: "file\n"), on: caller))
        stage.inspected("file", size: 9)
        let effects = stage(.transferred(caller, CoreStage.file("file"), .failed(.disconnected, octets: 4)))
        #expect(effects.aborted == [caller])
        #expect(effects.logged("upload_abort").map { $0.string("reason") } == ["reset"])
        #expect(stage.core.uploads.running.isEmpty)
        #expect(stage(.closed(caller, .reset, Traffic())).logged("upload_abort").isEmpty)
    }

    @Test func `a late loop gives callers that much longer`() {
        var stage = CoreStage.ready()
        let (connection, _) = stage.accept(.query, from: source(1))
        stage(.resumed(gap: .seconds(20)))
        #expect(stage.wait(.seconds(49)).finished.isEmpty)
        #expect(stage.wait(.seconds(2)).finished == [connection])
    }

    @Test func `at the end those without a line are cut, and nobody is accepted any more`() {
        var stage = CoreStage.ready()
        let (connection, _) = stage.accept(.query, from: source(1))
        let effects = stage(.stop)
        #expect(effects.aborted == [connection])
        #expect(effects.count { if case .unlisten = $0 { true } else { false } } == 3)
        let (late, refused) = stage.accept(.query, from: source(2))
        #expect(refused.aborted == [late])
        #expect(stage.core.nextDeadline == nil)
    }
}

extension CoreStage {
    static func file(_ name: String) -> FileName {
        guard let path = RelativePath(name) else { preconditionFailure("no path: \(name)") }
        return FileName(FolderID("files"), path)
    }

    /// The request of the last operation on files that passes.
    private func request(_ passes: (StoreOperation) -> Bool) -> RequestID? {
        for (_, effect) in history.reversed() {
            if case .store(let request, let operation) = effect, passes(operation) { return request }
        }
        return nil
    }

    /// A scan finds these files, of one octet each.
    mutating func share(_ names: [String]) {
        if let watch = request({ if case .watch = $0 { true } else { false } }) { self(.stored(watch, .done)) }
        guard let scan = request({ if case .scan(_, nil, _, _, _, _) = $0 { true } else { false } }) else { return }
        let entries = names.map {
            FileEntry(path: Self.file($0).path, isFolder: false, size: 1, modified: WallClock(seconds: 1))
        }
        self(.stored(scan, .entries(entries, more: false)))
    }

    /// The file is of this size when it is looked at.
    mutating func inspected(_ name: String, size: UInt64) {
        guard let request = request({ if case .inspect = $0 { true } else { false } }) else { return }
        let entry = FileEntry(path: Self.file(name).path, isFolder: false, size: size, modified: WallClock(seconds: 1))
        self(.stored(request, .entries([entry], more: false)))
    }

    /// To whom files were sent.
    var sending: [ConnectionID] {
        history.compactMap { if case .sendFile(_, _, _, let connection) = $0.effect { connection } else { nil } }
    }
}
