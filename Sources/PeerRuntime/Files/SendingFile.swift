public import PeerCore

/// Why a file could not go on into a socket.
public enum SendFailure: Error, Hashable, Sendable {
    /// The socket takes no more now: wait until it can be written.
    case wouldBlock
    /// The file, or the connection, failed.
    case failed(SystemError)
}

/// A file that is open for reading, for all parts of it that are on their way. Closed when the last of them goes.
final class OpenedFile: Sendable {
    let name: FileName
    let descriptor: Descriptor
    /// What it was when it was opened.
    let mark: FileMark

    var size: UInt64 { mark.size }

    init(_ descriptor: consuming Descriptor, _ name: FileName) throws(SystemError) {
        let status = try descriptor.status()
        try status.requireFile()
        self.name = name
        mark = FileEntry(path: name.path, status).mark
        self.descriptor = descriptor
    }

    /// Opened without waiting for a disk, so that the loop may do it; nil when only a worker can tell.
    static func remembered(_ name: FileName, in folders: Folders) -> Result<OpenedFile, SystemError>? {
        guard let descriptor = folders.openRemembered(name) else { return nil }
        do throws(SystemError) {
            return .success(try OpenedFile(descriptor, name))
        } catch {
            return .failure(error)
        }
    }
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
    private let file: OpenedFile

    /// What a file is that is not as expected any more: ESTALE.
    static let changed = SystemError.other("ESTALE")

    /// Opens `count` octets of the file from `offset`. `.endOfFile` when the file has fewer, ESTALE when it is not as
    /// expected.
    public convenience init(
        _ name: FileName, offset: UInt64, count: UInt64, expected: FileMark? = nil, in folders: Folders
    ) throws(SystemError) {
        try self.init(
            OpenedFile(folders.openFile(name, .read), name), offset: offset, count: count, expected: expected)
    }

    /// The same of a file that is open.
    init(_ file: OpenedFile, offset: UInt64, count: UInt64, expected: FileMark? = nil) throws(SystemError) {
        if let expected, file.mark != expected { throw Self.changed }
        var size = file.size
        // It may have grown since it was opened.
        if offset > size || count > size - offset { size = try file.descriptor.status().size }
        guard offset <= size, count <= size - offset else { throw .endOfFile }
        self.size = size
        position = offset
        remaining = count
        self.file = file
    }

    /// The same without waiting for a disk, so that the loop may do it; nil when only a worker can tell.
    static func remembered(
        _ name: FileName, offset: UInt64, count: UInt64, expected: FileMark? = nil, in folders: Folders
    ) -> Result<SendingFile, SystemError>? {
        OpenedFile.remembered(name, in: folders)?.part(offset: offset, count: count, expected: expected)
    }

    /// The open file, for `sendfile(2)` elsewhere; closed when this object goes.
    public var descriptor: Int32 { file.descriptor.number }

    /// Whether the file still has all octets of the range.
    var isWhole: Bool { (try? file.descriptor.status().size).map { $0 >= position + remaining } ?? false }

    /// Moves at most `count` octets into `socket`; the number that the system took, 0 only when nothing remains.
    ///
    /// `.endOfFile` when somebody has cut the file meanwhile: the octets that were announced cannot be sent any more.
    /// `EINVAL` when the file system cannot hand pages to a socket: then `read` and an ordinary send.
    public func sendSome(to socket: Int32, count: Int) -> Result<Int, SendFailure> {
        let wanted = Int(min(remaining, UInt64(max(count, 0))))
        guard wanted > 0 else { return .success(0) }
        let result = file.descriptor.send(wanted, from: position, to: socket)
        guard case .success(let sent) = result else { return result }
        if sent == 0 { return .failure(.failed(.endOfFile)) }
        advance(UInt64(sent))
        return result
    }

    /// The next octets, `count` at most and at least one unless nothing remains; they count as sent.
    public func read(_ count: Int) throws(SystemError) -> Bytes {
        let wanted = Int(min(remaining, UInt64(max(count, 0))))
        let octets = try file.descriptor.read(count: wanted, at: position)
        if octets.count == 0, wanted > 0 { throw .endOfFile }
        advance(UInt64(octets.count))
        return octets
    }

    private func advance(_ count: UInt64) {
        position += count
        remaining -= count
    }
}

extension Result<OpenedFile, SystemError> {
    /// A part of the file, if it is open.
    func part(offset: UInt64, count: UInt64, expected: FileMark? = nil) -> Result<SendingFile, SystemError> {
        flatMap { file in
            Result<SendingFile, SystemError> { () throws(SystemError) in
                try SendingFile(file, offset: offset, count: count, expected: expected)
            }
        }
    }
}
