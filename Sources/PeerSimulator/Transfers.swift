internal import PeerCore

/// A part of a file on its way into a stream.
struct FileSending {
    let file: FileName
    let offset: UInt64
    let count: UInt64
    /// Octets that the system has taken.
    private(set) var moved: UInt64 = 0
    /// How it ended; nil while it goes on.
    private(set) var result: TransferResult?

    init(_ file: FileName, offset: UInt64, count: UInt64) {
        self.file = file
        self.offset = offset
        self.count = count
    }

    /// The next octets, at most `room`; nil when there are none.
    mutating func read(_ room: Int, from machine: Machine) -> Bytes? {
        do throws(SystemError) {
            let folder = try machine.existing(file.folder)
            // All that is wanted must be there, at first; that it was cut meanwhile shows later.
            if moved == 0 { _ = try folder.range(file.path, offset: offset, count: count) }
            let octets = try folder.range(
                file.path, offset: offset + moved, count: min(UInt64(room), count - moved))
            moved += UInt64(octets.count)
            if moved == count { result = .sent(octets: moved) }
            return octets.isEmpty ? nil : Bytes(octets)
        } catch {
            result = .failed(error, octets: moved)
            return nil
        }
    }
}

/// The octets of a stream on their way into a file.
final class Reception {
    private let plan: FileReception
    private let folder: Folder
    private unowned let end: StreamEnd
    /// Octets that came over the connection, the first ones counted.
    private var moved: UInt64 = 0
    /// Octets that may still come.
    private var left: UInt64
    /// All is there and is being made durable; the stream is not read until that is done.
    private(set) var isStoring = false
    private var isOver = false
    /// Octets that came with the last ones of the file: the owner hears of the transfer before it hears them.
    private var rest = Bytes()

    /// Opens the part file and writes the first octets. Tells the owner when that fails.
    static func begin(_ plan: FileReception, on end: StreamEnd) {
        do throws(SystemError) {
            let folder = try end.machine.existing(plan.file.folder)
            try folder.beginPart(plan)
            let reception = Reception(plan, folder, end)
            end.reception = reception
            reception.write(plan.first)
            reception.storeIfComplete()
        } catch {
            end.owner.enqueue(.transferred(end.connection, plan.file, .failed(error, octets: 0)), about: nil)
        }
    }

    private init(_ plan: FileReception, _ folder: Folder, _ end: StreamEnd) {
        self.plan = plan
        self.folder = folder
        self.end = end
        switch plan.length {
        case .exactly(let count): left = count
        case .toEnd(let limit): left = limit
        }
    }

    /// Takes what belongs to the file; the owner hears the rest after the end of the transfer.
    func take(_ bytes: Bytes) {
        let own = Int(min(UInt64(bytes.count), left))
        left -= UInt64(own)
        rest = bytes.dropping(own)
        write(bytes.slice(0..<own))
        if case .toEnd = plan.length, rest.count > 0, !isOver { fail(.other("EFBIG")) }
        storeIfComplete()
    }

    /// The other side has sent all. True when the owner is to hear of that only after the file is stored.
    func takeEnd() -> Bool {
        if case .exactly = plan.length {
            fail(.endOfFile)
            return false
        }
        store()
        return true
    }

    private func write(_ bytes: Bytes) {
        do throws(SystemError) {
            if bytes.count > 0 { try folder.append(bytes, toPart: plan.part) }
            moved += UInt64(bytes.count)
        } catch {
            fail(error)
        }
    }

    private func storeIfComplete() {
        if case .exactly = plan.length, left == 0, !isOver { store() }
    }

    /// Makes the file durable, gives it its name, and lets the stream go on.
    private func store() {
        isStoring = true
        let end = end
        end.world.schedule(after: end.world.draw(end.world.network.disk)) { [self] in
            end.owner.perform { self.complete() }
        }
    }

    private func complete() {
        guard !isOver else { return }
        do throws(SystemError) {
            let digest = try folder.completePart(plan)
            close(with: .received(octets: moved, digest: digest))
        } catch {
            fail(error)
        }
        if end.otherHasEnded { end.tellEnded() }
        end.owner.wake(end)
    }

    /// The transfer ends here; what comes after it goes to the core again.
    func fail(_ error: SystemError) {
        if !plan.keepsPart, folder.entries[plan.part] != nil { folder.drop(plan.part) }
        close(with: .failed(error, octets: moved))
    }

    private func close(with result: TransferResult) {
        isOver = true
        end.reception = nil
        end.owner.enqueue(.transferred(end.connection, plan.file, result), about: nil)
        if rest.count > 0 { end.owner.enqueue(.received(rest, on: end.connection), about: end) }
    }
}
