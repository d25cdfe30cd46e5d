public import PeerCore
internal import PeerCrypto

/// One `digest` operation, cut into jobs: `advance` until it gives the answer.
///
/// It may go from one thread to another between two calls; it must never be used by two at once.
public final class DigestWork: @unchecked Sendable {
    /// Octets that one call of `advance` hashes at most: some milliseconds of a worker thread.
    public static let jobOctets = 4 << 20

    /// Octets of short blocks that are read, and hashed together, at a time.
    private static let manyOctets = 1 << 20

    private enum Octets {
        case inMemory(Bytes)
        case each([Bytes])
        case inFile(FileName)
    }

    private let octets: Octets
    private let algorithm: DigestAlgorithm
    private let key: Bytes?
    private let folders: Folders
    /// Octets of one block; the last block may be shorter.
    private let block: UInt64
    private let start: UInt64
    private var count: UInt64
    /// Where each block is, when one does not follow the other.
    private var places: [UInt64]?
    /// Octets hashed so far, of `count`.
    private var done: UInt64 = 0
    private var file: Descriptor?
    private var digester: Digester?
    private var digests: [Bytes] = []

    /// The work for one operation. Nothing is opened yet.
    public init(_ source: DigestSource, _ algorithm: DigestAlgorithm, key: Bytes?, in folders: Folders) {
        self.algorithm = algorithm
        self.key = key
        self.folders = folders
        switch source {
        case .bytes(let bytes):
            octets = .inMemory(bytes)
            (start, count, block) = (0, UInt64(bytes.count), UInt64(bytes.count))
        case .each(let list):
            octets = .each(list)
            (start, count, block) = (0, UInt64(list.count), 1)
        case .blocks(let file, let offset, let count, let block):
            octets = .inFile(file)
            (self.start, self.count, self.block) = (offset, count, block)
        case .pieces(let file, let places, let count):
            octets = .inFile(file)
            (start, block, self.places) = (0, count, places)
            self.count = count.multipliedReportingOverflow(by: UInt64(places.count)).partialValue
        }
    }

    /// Hashes up to `jobOctets` more. The answer, or nil when there is more to do.
    public func advance() -> StoreResult? {
        do throws(SystemError) {
            return try hashJob() ? .digests(digests) : nil
        } catch {
            file = nil
            return .failed(error)
        }
    }

    /// True when all is done.
    private func hashJob() throws(SystemError) -> Bool {
        if case .each(let list) = octets { return hashEach(list) }
        if done == 0 { try begin() }
        let end = done + min(count - done, UInt64(Self.jobOctets))
        while done < end {
            if try hashMany(upTo: end) { continue }
            let blockEnd = count - done < block - done % block ? count : done - done % block + block
            let piece = min(end, blockEnd, done + UInt64(pieceOctets)) - done
            if digester == nil { digester = Digester(algorithm, key: key) }
            done += UInt64(try hash(Int(piece)))
            if done == blockEnd { finishBlock() }
        }
        guard done == count else { return false }
        file = nil
        return true
    }

    /// Whole ones, until there is work for one call.
    private func hashEach(_ list: [Bytes]) -> Bool {
        var octets = 0
        let job = list[Int(done)...].prefix { message in
            defer { octets += message.count }
            return octets < Self.jobOctets
        }
        if let key {
            digests += job.map { digest($0, algorithm, key: key) }
        } else {
            digests += PeerCrypto.digests(of: job, algorithm)
        }
        done += UInt64(job.count)
        return done == count
    }

    /// Hashes the next blocks of a file together, if a piece of it holds several; whether it did. The last of them may
    /// go beyond the end of the job.
    private func hashMany(upTo end: UInt64) throws(SystemError) -> Bool {
        guard case .inFile = octets, key == nil, places == nil, block <= UInt64(Self.manyOctets / 16),
            done % block == 0
        else { return false }
        let room = max(block, min(UInt64(Self.manyOctets), end - done))
        let wanted = min(count - done, room - room % block)
        let piece = try file?.read(count: Int(wanted), at: start + done) ?? Bytes()
        guard piece.count == wanted else { throw .endOfFile }
        let size = Int(block)
        let blocks = stride(from: 0, to: piece.count, by: size).map { piece.slice($0..<min($0 + size, piece.count)) }
        digests += PeerCrypto.digests(of: blocks, algorithm)
        done += wanted
        return true
    }

    private func begin() throws(SystemError) {
        // BLAKE2b's own limit of a key.
        if algorithm == .blake2b256, let key, key.count > 64 { throw .invalidArgument }
        switch octets {
        case .each: break
        case .inMemory:
            // The digest of nothing is one too; a file range of no octets has no blocks.
            if count == 0 { digests = [digest(Bytes(), algorithm, key: key)] }
        case .inFile(let name):
            guard block > 0 || count == 0 else { throw .invalidArgument }
            let opened = try folders.openFile(name, .read)
            let size = try opened.status().size
            if let last = places?.max() {
                guard last < size, places?.last == last else { throw .endOfFile }
                count -= block - min(block, size - last)
            } else {
                guard start <= size, count <= size - start else { throw .endOfFile }
            }
            file = consume opened
        }
    }

    /// Hashes at most `count` octets; how many.
    private func hash(_ count: Int) throws(SystemError) -> Int {
        let piece: Bytes
        switch octets {
        case .each: piece = Bytes()
        case .inMemory(let bytes): piece = bytes.slice(Int(done)..<Int(done) + count)
        case .inFile: piece = try file?.read(count: count, at: position) ?? Bytes()
        }
        // Cut meanwhile by somebody else.
        guard piece.count > 0 else { throw .endOfFile }
        digester?.update(piece)
        return piece.count
    }

    /// Where the next octet is in the file.
    private var position: UInt64 {
        guard let places else { return start + done }
        return places[Int(done / block)] + done % block
    }

    private func finishBlock() {
        guard let digester = digester.take() else { return }
        digests.append(digester.finish())
    }
}
