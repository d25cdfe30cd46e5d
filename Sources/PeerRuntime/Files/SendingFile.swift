public import PeerCore

/// Why a file could not go on into a socket.
public enum SendFailure: Error, Hashable, Sendable {
    /// The socket takes no more now: wait until it can be written.
    case wouldBlock
    /// The file, or the connection, failed.
    case failed(SystemError)
}

/// A part of a file on its way into a socket (`sendFile`).
///
/// It may go from one thread to another between two calls; it must never be used by two at once.
public final class SendingFile: @unchecked Sendable {
    /// Octets of the whole file when it was opened.
    public let size: UInt64
    /// Octets of the range that are still to be sent.
    public private(set) var remaining: UInt64
    private var position: UInt64
    private let file: Descriptor

    /// What a file is that is not as expected any more: ESTALE.
    static let changed = SystemError.other("ESTALE")

    /// Opens `count` octets of the file from `offset`. `.endOfFile` when the file has fewer, ESTALE when it is not as
    /// expected.
    public convenience init(
        _ name: FileName, offset: UInt64, count: UInt64, expected: FileMark? = nil, in folders: Folders
    ) throws(SystemError) {
        try self.init(folders.openFile(name, .read), name, offset: offset, count: count, expected)
    }

    /// The same without waiting for a disk, so that the loop may do it; nil when only a worker can tell.
    static func remembered(
        _ name: FileName, offset: UInt64, count: UInt64, expected: FileMark? = nil, in folders: Folders
    ) -> Result<SendingFile, SystemError>? {
        guard let opened = folders.openRemembered(name) else { return nil }
        do throws(SystemError) {
            return .success(try SendingFile(opened, name, offset: offset, count: count, expected))
        } catch {
            return .failure(error)
        }
    }

    private init(
        _ opened: consuming Descriptor, _ name: FileName, offset: UInt64, count: UInt64, _ expected: FileMark?
    ) throws(SystemError) {
        let status = try opened.status()
        try status.requireFile()
        if let expected, FileEntry(path: name.path, status).mark != expected { throw Self.changed }
        let size = status.size
        guard offset <= size, count <= size - offset else { throw .endOfFile }
        self.size = size
        position = offset
        remaining = count
        file = opened
    }

    /// The open file, for `sendfile(2)` elsewhere; closed when this object goes.
    public var descriptor: Int32 { file.number }

    /// Whether the file still has all octets of the range.
    var isWhole: Bool { (try? file.status().size).map { $0 >= position + remaining } ?? false }

    /// Moves at most `count` octets into `socket`; the number that the system took, 0 only when nothing remains.
    ///
    /// `.endOfFile` when somebody has cut the file meanwhile: the octets that were announced cannot be sent any more.
    /// `EINVAL` when the file system cannot hand pages to a socket: then `read` and an ordinary send.
    public func sendSome(to socket: Int32, count: Int) -> Result<Int, SendFailure> {
        let wanted = Int(min(remaining, UInt64(max(count, 0))))
        guard wanted > 0 else { return .success(0) }
        let result = file.send(wanted, from: position, to: socket)
        guard case .success(let sent) = result else { return result }
        if sent == 0 { return .failure(.failed(.endOfFile)) }
        advance(UInt64(sent))
        return result
    }

    /// The next octets, `count` at most and at least one unless nothing remains; they count as sent.
    public func read(_ count: Int) throws(SystemError) -> Bytes {
        let wanted = Int(min(remaining, UInt64(max(count, 0))))
        let octets = try file.read(count: wanted, at: position)
        if octets.count == 0, wanted > 0 { throw .endOfFile }
        advance(UInt64(octets.count))
        return octets
    }

    private func advance(_ count: UInt64) {
        position += count
        remaining -= count
    }
}
