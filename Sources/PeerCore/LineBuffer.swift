/// Cuts a stream into lines. A line ends with LF; a CR before it is dropped.
public struct LineBuffer: Equatable, Sendable {
    private var buffer: [UInt8] = []
    private var scanned = 0
    private let maximumLineBytes: Int

    /// Lines of at most `maximumLineBytes` octets, LF not counted.
    public init(maximumLineBytes: Int) {
        self.maximumLineBytes = maximumLineBytes
    }

    /// Octets of the unfinished line.
    public var count: Int { buffer.count }

    /// Adds what has arrived. Call `next()` until it gives nil before adding more.
    public mutating func append(_ bytes: Bytes) {
        buffer.append(contentsOf: bytes)
    }

    /// The next complete line without its end, or nil when there is none yet.
    /// Throws when a line, finished or not, is longer than allowed.
    public mutating func next() throws(DecodeError) -> Bytes? {
        guard let end = buffer[scanned...].firstIndex(of: UInt8(ascii: "\n")) else {
            scanned = buffer.count
            // The last octet may be a CR whose LF has not come yet.
            try check(buffer.last == UInt8(ascii: "\r") ? buffer.count - 1 : buffer.count)
            return nil
        }
        var line = buffer[..<end]
        if line.last == UInt8(ascii: "\r") { line.removeLast() }
        let result = Bytes(Array(line))
        try check(result.count)
        buffer.removeSubrange(...end)
        scanned = 0
        return result
    }

    private func check(_ length: Int) throws(DecodeError) {
        guard length <= maximumLineBytes else {
            throw .tooLong(field: "line", length: UInt64(length), limit: UInt64(maximumLineBytes))
        }
    }
}
