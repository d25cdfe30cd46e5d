internal import PeerCore
internal import UV

extension Host {
    func sendFile(_ file: FileName, offset: UInt64, count: UInt64, on id: ConnectionID) {
        guard let connection = streams[id] else {
            return deliver(.transferred(id, file, .failed(.disconnected, octets: 0)))
        }
        let sender = FileSender(file, offset: offset, count: count)
        sender.abandoned = { [weak self] error, octets in
            self?.deliver(.transferred(id, file, .failed(error, octets: octets)))
        }
        connection.send(sender)
        if let opened = remembered(file) {
            return sender.opened(opened.part(offset: offset, count: count))
        }
        runtime.loop.work({ [folders = files.folders] in
            Result { () throws(SystemError) in try SendingFile(file, offset: offset, count: count, in: folders) }
        }) { sender.opened($0) }
    }

    /// The file, opened on the loop if that needs no disk. Parts of one file that are sent in one turn share it.
    private func remembered(_ file: FileName) -> Result<OpenedFile, SystemError>? {
        if let openedFile, openedFile.name == file { return .success(openedFile) }
        let opened = OpenedFile.remembered(file, in: files.folders)
        openedFile = try? opened?.get()
        return opened
    }

    func receiveFile(_ reception: FileReception, from id: ConnectionID) {
        guard let connection = streams[id], connection.reception == nil else {
            return deliver(.transferred(id, reception.file, .failed(.disconnected, octets: 0)))
        }
        let receiver = FileReceiver(reception, loop: runtime.loop, folders: files.folders)
        receiver.caughtUp = { [weak connection] in connection?.resume(.storing) }
        // The connection stays until the file is told of, even when it is closed already.
        receiver.done = { [weak self] result, rest in
            self?.deliver(.transferred(id, reception.file, result))
            connection.receptionEnded(rest)
        }
        connection.reception = receiver
        receiver.start()
    }
}

/// A file on its way to a connection, moved by the system.
final class FileSender {
    /// What became of an attempt to send.
    enum Progress {
        /// The file is being opened.
        case opening
        /// So many octets went out.
        case moved(Int)
        /// The connection takes nothing at the moment.
        case noRoom
        /// That was all, or it failed.
        case ended(TransferResult)
    }

    let file: FileName
    /// Called when the file is open after `send` has said `.opening`.
    var whenOpen: () -> Void = {}
    /// Told when the transfer ends without `send`.
    var abandoned: (SystemError, UInt64) -> Void = { _, _ in }

    private let count: UInt64
    private var moved: UInt64 = 0
    private var source: Result<SendingFile, SystemError>?

    /// One call moves at most this many octets, so that a fast connection leaves time for others.
    private static let octetsAtOnce = 1 << 20

    init(_ file: FileName, offset: UInt64, count: UInt64) {
        self.file = file
        self.count = count
    }

    var isOpening: Bool { source == nil }

    /// Whether it can give octets now.
    var isReady: Bool {
        guard case .success? = source else { return false }
        return moved < count
    }

    func opened(_ result: Result<SendingFile, SystemError>) {
        source = result
        whenOpen()
        whenOpen = {}
    }

    func send(to socket: Int32, limit: Int) -> Progress {
        switch source {
        case nil: return .opening
        case .failure(let error): return .ended(.failed(error, octets: 0))
        case .success(let source):
            guard moved < count else { return .ended(.sent(octets: moved)) }
            switch source.sendSome(to: socket, count: Int(min(count - moved, UInt64(min(limit, Self.octetsAtOnce))))) {
            case .success(let octets):
                moved += UInt64(octets)
                return .moved(octets)
            case .failure(.wouldBlock): return .noRoom
            case .failure(.failed(let error)): return .ended(.failed(error, octets: moved))
            }
        }
    }

    func abandon(_ error: SystemError) {
        abandoned(error, moved)
    }
}

/// A connection on its way into a file: octets wait here while a worker thread writes those before them.
final class FileReceiver {
    /// The connection may be read again.
    var caughtUp: () -> Void = {}
    /// The end, with octets that came but do not belong to the file.
    var done: (TransferResult, Bytes) -> Void = { _, _ in }

    private let reception: FileReception
    private let loop: Loop
    private let folders: Folders
    private var part: PartFile?
    private var waiting: [Bytes] = []
    private var waitingBytes = 0
    private var expected: UInt64
    private var isWorking = false
    private var hasAll = false
    private var failure: SystemError?
    /// Why fewer octets came than belong to the file; those that came are written all the same.
    private var shortfall: SystemError?
    private var isDone = false
    private var rest = Bytes()

    /// The connection is not read while more than this waits for the disk.
    private static let highMark = 4 << 20
    private static let lowMark = 1 << 20

    init(_ reception: FileReception, loop: Loop, folders: Folders) {
        self.reception = reception
        self.loop = loop
        self.folders = folders
        switch reception.length {
        case .exactly(let count): expected = count
        case .toEnd(let limit): expected = limit
        }
    }

    /// Whether too much waits for the disk, or came behind the end of the file.
    var isBehind: Bool { waitingBytes > Self.highMark || rest.count > Self.lowMark }

    func start() {
        isWorking = true
        if case .exactly(0) = reception.length { hasAll = true }
        loop.work({ [reception, folders] in
            Result { () throws(SystemError) in try PartFile(reception, in: folders) }
        }) { [self] result in
            isWorking = false
            switch result {
            case .success(let part): prepare(part)
            case .failure(let error):
                failure = failure ?? error
                step()
            }
        }
    }

    /// A part that is continued is hashed first, a job at a time.
    private func prepare(_ part: PartFile) {
        isWorking = true
        loop.work({
            Result { () throws(SystemError) in try part.prepare() }
        }) { [self] result in
            isWorking = false
            self.part = part
            switch result {
            case .success(false): return prepare(part)
            case .success(true): break
            case .failure(let error): failure = failure ?? error
            }
            step()
        }
    }

    /// Takes octets of the connection. Those behind the end of the file wait for the end of the transfer; those above
    /// the limit of a file that fills the connection are nobody's.
    func take(_ bytes: Bytes) {
        guard !hasAll else {
            if case .toEnd = reception.length { return }
            return keep(bytes)
        }
        let own = Int(min(UInt64(bytes.count), expected))
        expected -= UInt64(own)
        queue(bytes.slice(0..<own))
        if case .exactly = reception.length, expected == 0 { hasAll = true }
        if own < bytes.count {
            hasAll = true
            if case .toEnd = reception.length {
                failure = failure ?? .fileTooBig
            } else {
                keep(bytes.dropping(own))
            }
        }
        step()
    }

    private func keep(_ bytes: Bytes) {
        var buffer = ReceiveBuffer()
        buffer.append(rest)
        buffer.append(bytes)
        rest = buffer.waiting
    }

    /// The other side has sent all.
    func ended() {
        guard !hasAll else { return }
        if case .exactly = reception.length { shortfall = .endOfFile }
        hasAll = true
        step()
    }

    /// The connection broke.
    func connectionClosed() {
        guard !hasAll else { return }
        shortfall = .disconnected
        hasAll = true
        step()
    }

    private func queue(_ bytes: Bytes) {
        waiting.append(bytes)
        waitingBytes += bytes.count
    }

    private func step() {
        guard !isWorking, !isDone else { return }
        if failure != nil { return end() }
        guard let part else { return }
        if waiting.isEmpty {
            if hasAll { end() }
            return
        }
        let batch = waiting
        waiting = []
        isWorking = true
        // Two threads, one batch: the disk and the digest wait for each other only here.
        var jobs = 1
        func jobEnded() {
            jobs -= 1
            guard jobs == 0 else { return }
            isWorking = false
            waitingBytes -= batch.reduce(0) { $0 + $1.count }
            if waitingBytes < Self.lowMark { caughtUp() }
            step()
        }
        if part.hashes {
            jobs += 1
            loop.work({ part.hash(batch) }) { jobEnded() }
        }
        loop.work({ Result { () throws(SystemError) in try part.store(batch) } }) { [self] result in
            if case .failure(let error) = result { failure = error }
            jobEnded()
        }
    }

    private func end() {
        isDone = true
        defer { caughtUp = {} }
        guard let part else { return done(.failed(failure ?? .disconnected, octets: 0), rest) }
        loop.work({ [failure = failure ?? shortfall] () -> TransferResult in
            guard let failure else { return part.finish() }
            part.abandon()
            return .failed(failure, octets: part.received)
        }) { [self] result in done(result, rest) }
    }
}
