internal import PeerCore
internal import PeerCrypto
internal import UV

/// The file and the digest of one fetch. It may go from one thread to another between two calls; it must never be used
/// by two at once. Only `store` and `hash` may run side by side: hashing takes longer than writing.
final class ContentFile: @unchecked Sendable {
    private let name: FileName?
    private let start: UInt64
    private let folders: Folders
    private var file: Descriptor?
    private var position: UInt64
    private var hashed: UInt64 = 0
    private var digester: Digester?
    /// Whether octets are to be hashed on the way.
    let hashes: Bool

    /// Content from octet `start` of a file on; nil for one that is hashed only. Nothing is opened yet.
    init(_ name: FileName?, at start: UInt64, _ digest: DigestAlgorithm?, in folders: Folders) {
        self.name = name
        self.start = start
        self.folders = folders
        position = start
        hashes = digest != nil
        digester = digest.map { Digester($0) }
    }

    /// Opens the file, and hashes some megabytes of what it holds already. True when all of that is done.
    func prepare() throws(SystemError) -> Bool {
        guard let name else { return true }
        if file == nil {
            let opened = try folders.openFile(name, .updateOrMakePrivate)
            let size = try opened.status().size
            guard size >= start else { throw .endOfFile }
            if size > start { try opened.truncate(to: start) }
            file = consume opened
        }
        guard hashes else { return true }
        let end = hashed + min(start - hashed, UInt64(DigestWork.jobOctets))
        while hashed < end {
            let piece = try file?.read(count: Int(min(end - hashed, UInt64(pieceOctets))), at: hashed) ?? Bytes()
            guard piece.count > 0 else { throw .endOfFile }
            digester?.update(piece)
            hashed += UInt64(piece.count)
        }
        return hashed == start
    }

    func store(_ batch: [Bytes]) throws(SystemError) {
        guard name != nil else { return }
        for octets in batch {
            try file?.write(octets, at: position)
            position += UInt64(octets.count)
        }
    }

    func hash(_ batch: [Bytes]) {
        for octets in batch { digester?.update(octets) }
    }

    /// Closes the file and gives the digest.
    func finish() -> Bytes? {
        file = nil
        return digester.take()?.finish()
    }
}

/// Content on its way to the worker threads: octets wait here while those before them are written and hashed.
///
/// A small file takes one job: it is opened, written, hashed and closed when all of it has come.
final class ContentSink {
    /// More may come.
    var caughtUp: () -> Void = {}

    private let work: ContentFile
    private let loop: Loop
    private var waiting: [Bytes] = []
    private var waitingBytes = 0
    private var isWorking = false
    private var isPrepared = false
    private var hasAll = false
    /// Why nothing more can be written.
    private(set) var failure: SystemError?
    private var done: ((Result<Bytes?, SystemError>) -> Void)?

    /// Work for the threads begins when so much waits, or all has come.
    private static let worthAJob = 256 << 10
    /// A few milliseconds of hashing.
    private static let batch = 1 << 20
    /// Nothing more is taken while more than this waits, until less than half of it does.
    private static let highMark = 4 << 20
    private static let lowMark = 2 << 20

    init(_ work: ContentFile, _ loop: Loop) {
        self.work = work
        self.loop = loop
    }

    /// Whether too much waits.
    var isBehind: Bool { waitingBytes > Self.highMark }

    func take(_ bytes: Bytes) {
        guard failure == nil else { return }
        waiting.append(bytes)
        waitingBytes += bytes.count
        if waitingBytes >= Self.worthAJob { step() }
    }

    /// That was all: closes the file and gives the digest.
    func finish(_ done: @escaping (Result<Bytes?, SystemError>) -> Void) {
        self.done = done
        hasAll = true
        step()
    }

    private func step() {
        guard !isWorking else { return }
        if isPrepared, waitingBytes > Self.worthAJob, work.hashes, failure == nil { return writeAndHash() }
        guard !waiting.isEmpty || hasAll else { return }
        isWorking = true
        let batch = nextBatch()
        let (isLast, failed, prepared) = (hasAll && waiting.isEmpty, failure, isPrepared)
        loop.work({ [work] in Self.job(work, batch, isLast, failed, prepared) }) { [self] in jobEnded($0, batch) }
    }

    /// What one job works on: not all that waits, so that more comes while it does.
    private func nextBatch() -> [Bytes] {
        var octets = 0
        let batch = Array(
            waiting.prefix { piece in
                defer { octets += piece.count }
                return octets < Self.batch
            })
        waiting.removeFirst(batch.count)
        return batch
    }

    private enum Outcome {
        /// The file holds so much that it takes another job to hash it.
        case preparing
        case stored
        case finished(Bytes?)
        case failed(SystemError)
    }

    private static func job(
        _ work: ContentFile, _ batch: [Bytes], _ isLast: Bool, _ failure: SystemError?, _ isPrepared: Bool
    ) -> Outcome {
        do throws(SystemError) {
            if let failure { throw failure }
            if !isPrepared, try !work.prepare() { return .preparing }
            try work.store(batch)
            work.hash(batch)
            return isLast ? .finished(work.finish()) : .stored
        } catch {
            if isLast { _ = work.finish() }
            return .failed(error)
        }
    }

    private func jobEnded(_ outcome: Outcome, _ batch: [Bytes]) {
        isWorking = false
        switch outcome {
        case .preparing: waiting = batch + waiting
        case .stored:
            isPrepared = true
            taken(batch)
        case .finished(let digest): return end(.success(digest))
        case .failed(let error):
            failure = error
            waiting = []
            taken(batch)
            if hasAll { return end(.failure(error)) }
        }
        step()
    }

    /// Two threads, one batch: the disk and the digest wait for each other only here.
    private func writeAndHash() {
        let batch = nextBatch()
        isWorking = true
        var jobs = 2
        func ended() {
            jobs -= 1
            guard jobs == 0 else { return }
            isWorking = false
            taken(batch)
            step()
        }
        loop.work({ [work] in work.hash(batch) }) { ended() }
        loop.work({ [work] in Result { () throws(SystemError) in try work.store(batch) } }) { [self] result in
            if case .failure(let error) = result { failure = error }
            ended()
        }
    }

    private func taken(_ batch: [Bytes]) {
        waitingBytes -= batch.reduce(0) { $0 + $1.count }
        if failure != nil { waitingBytes = 0 }
        if waitingBytes < Self.lowMark { caughtUp() }
    }

    private func end(_ result: Result<Bytes?, SystemError>) {
        caughtUp = {}
        done?(result)
        done = nil
    }

    /// The digest of octets in memory: at once, or by a worker thread when that would hold the loop up.
    static func digest(_ bytes: Bytes, _ algorithm: DigestAlgorithm, _ loop: Loop, _ done: @escaping (Bytes) -> Void) {
        guard bytes.count > worthAJob else { return done(PeerCrypto.digest(bytes, algorithm)) }
        loop.work({ PeerCrypto.digest(bytes, algorithm) }, done: done)
    }
}
