public import PeerCore
internal import PeerCrypto

/// The file side of `receiveFile`: octets become a part file, and the part file becomes the file.
///
/// The earlier file of that name, if any, is untouched until the new one is complete and on the disk.
/// It may go from one thread to another between two calls; it must never be used by two at once. Only `store` and
/// `hash` may run side by side: hashing takes longer than writing.
public final class PartFile: @unchecked Sendable {
    /// Octets of this connection that belong to the file, those that came first included.
    public private(set) var received: UInt64 = 0

    private let reception: FileReception
    private let folders: Folders
    private let file: Descriptor
    private let status: FileStatus
    /// Octets that the part file held when it was opened.
    private let held: UInt64
    private var hashed: UInt64 = 0
    /// A large part is hashed when all has come: the other side does not wait for that with its stall limit.
    private let hashesLate: Bool
    /// More than this is large: a few seconds on slow disks.
    private static let largePart: UInt64 = 256 << 20
    private var digester: Digester?
    private var isPrepared = false
    private var isOver = false
    private var failure: SystemError?

    /// Opens the part file: a new one in place of any that is there, or the end of what is there.
    public init(_ reception: FileReception, in folders: Folders) throws(SystemError) {
        let folder = try folders.open(reception.file.folder, reception.part.parent, making: true)
        let opened: Descriptor
        if reception.appends {
            opened = try folder.openFile(reception.part.name, .updateOrMakePrivate)
        } else {
            if let status = try folder.statusIfAny(of: reception.part.name) {
                try status.requireFile()
                try folder.remove(reception.part.name)
            }
            opened = try folder.openFile(reception.part.name, .makePrivate)
        }
        self.reception = reception
        self.folders = folders
        status = try opened.status()
        held = status.size
        hashesLate = reception.digest != nil && status.size > Self.largePart
        file = opened
        digester = reception.digest.map { Digester($0) }
    }

    deinit { abandon() }

    /// Hashes up to `DigestWork.jobOctets` of what the part file held, and writes the first octets when that is done.
    /// True when there is nothing more to prepare. `write` and `finish` do at once what is left of it.
    public func prepare() throws(SystemError) -> Bool {
        try lasting { () throws(SystemError) in try hashHeld(DigestWork.jobOctets) }
    }

    /// Adds octets of the connection. After an error the file cannot be finished any more.
    public func write(_ octets: Bytes) throws(SystemError) {
        try lasting { () throws(SystemError) in
            _ = try hashHeld(.max)
            try append(octets)
            if hashes { digester?.update(octets) }
        }
    }

    /// Whether octets are to be hashed on the way.
    var hashes: Bool { reception.digest != nil && !hashesLate }

    /// `write` in two parts, when `prepare` has come to its end: this one writes.
    func store(_ batch: [Bytes]) throws(SystemError) {
        try lasting { () throws(SystemError) in for octets in batch { try append(octets) } }
    }

    /// And this one hashes.
    func hash(_ batch: [Bytes]) {
        for octets in batch { digester?.update(octets) }
    }

    /// All has come: syncs the part file, gives it its name, syncs the folder. When that fails, or fewer octets came
    /// than `length` says (`.endOfFile`), it is abandoned.
    public func finish() -> TransferResult {
        do throws(SystemError) {
            try lasting { () throws(SystemError) in
                _ = try hashHeld(.max)
                if hashesLate { try hash(to: held + received) }
                try complete()
            }
        } catch {
            abandon()
            return .failed(error, octets: received)
        }
        isOver = true
        return .received(octets: received, digest: digester.take()?.finish())
    }

    /// Nothing more will come: removes the part file, unless it is to be kept.
    public func abandon() {
        guard !isOver else { return }
        isOver = true
        if reception.keepsPart { return }
        // The reason for giving up is told by who gives up; a part that cannot be removed is found by the next one.
        try? removePart()
    }

    /// Does `body`, unless something failed before; its error stays for good.
    private func lasting<Value>(_ body: () throws(SystemError) -> Value) throws(SystemError) -> Value {
        if let failure { throw failure }
        do throws(SystemError) {
            return try body()
        } catch {
            failure = error
            throw error
        }
    }

    /// Hashes at most `limit` octets of what the part file held; true when that and the first octets are in.
    private func hashHeld(_ limit: Int) throws(SystemError) -> Bool {
        if isPrepared { return true }
        if hashes { try hash(to: hashed + min(held - hashed, UInt64(limit))) }
        guard !hashes || hashed == held else { return false }
        isPrepared = true
        try append(reception.first)
        if hashes { digester?.update(reception.first) }
        return true
    }

    private func hash(to end: UInt64) throws(SystemError) {
        while hashed < end {
            let piece = try file.read(count: Int(min(end - hashed, UInt64(pieceOctets))), at: hashed)
            // Cut meanwhile by somebody else.
            guard piece.count > 0 else { throw .endOfFile }
            digester?.update(piece)
            hashed += UInt64(piece.count)
        }
    }

    private func append(_ octets: Bytes) throws(SystemError) {
        let limit =
            switch reception.length {
            case .exactly(let count): count
            case .toEnd(let limit): limit
            }
        let sum = received + UInt64(octets.count)
        guard sum <= UInt64(reception.first.count) || sum - UInt64(reception.first.count) <= limit else {
            throw .fileTooBig
        }
        try file.write(octets, at: held + received)
        received = sum
    }

    private func complete() throws(SystemError) {
        if case .exactly(let count) = reception.length, received - UInt64(reception.first.count) < count {
            throw .endOfFile
        }
        let parts = try folders.open(reception.file.folder, reception.part.parent)
        // Somebody else's file at that name must not become ours.
        guard try parts.status(of: reception.part.name).isSame(as: status) else { throw .notFound }
        let folder = try folders.openFolder(of: reception.file, making: true)
        try file.publish(folder.permissions(for: reception.file.path.name))
        try parts.move(
            reception.part.name, to: folder, reception.file.path.name, replacing: reception.replacing)
        try folders.syncFolders(of: [reception.file])
    }

    private func removePart() throws(SystemError) {
        let folder = try folders.open(reception.file.folder, reception.part.parent)
        guard try folder.status(of: reception.part.name).isSame(as: status) else { return }
        try folder.remove(reception.part.name)
    }
}
