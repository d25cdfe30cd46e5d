public import PeerCore

/// Why a connection with messages is closed (BePeer sections 2.1 and 11).
public enum MessageFault: String, Error, Hashable, Sendable {
    /// It is no message.
    case syntax
    /// A line, or a message, is too long.
    case tooLong = "too_long"
    /// More than a hundred names that are refused.
    case badPath = "bad_path"
    /// More names than are taken.
    case limit
}

/// Reads the messages of one connection, in pieces of any size (BePeer section 2.1).
///
/// A message acts only when its empty line is there. Memory holds the names of the message at hand and one line.
public struct MessageReader: Sendable {
    /// What one message may have.
    public struct Limits: Hashable, Sendable {
        /// Octets of a line, its end not counted.
        public var line = 4096
        /// Names.
        public var names = 1_000_000
        /// Octets of a message.
        public var octets = 64 << 20
        /// Names that are refused before the whole message is.
        public var refused = 100
        /// Empty lines before a message.
        public var blankLines = 8
        /// Folders that replicate their file of ignored names.
        public var ignoreFolders: Set<String> = []

        /// The limits of section 2.1.
        public init() {}
    }

    private enum Step: Hashable, Sendable {
        case type
        case requestFolder
        case requestEnd
        case folder
        case port
        case protocolName
        case names
    }

    private let limits: Limits
    private var buffer = ReceiveBuffer()
    private var step = Step.type
    private var blankLines = 0
    private var octets = 0
    private var scanned = 0
    private var kind = FileList.Kind.filesToGet
    private var folder = ""
    private var port: UInt16 = 0
    private var protocolName = ""
    private var names: [Path] = []
    private var known = PathSet()
    private var refused: [PathRefusal] = []

    /// A reader at the beginning of a connection.
    public init(_ limits: Limits = Limits()) {
        self.limits = limits
    }

    /// Whether a message has begun and not ended: an end of the connection cuts it.
    public var isInside: Bool { step != .type || buffer.count > 0 }

    /// Adds what has arrived. Call `next()` until it gives nil before adding more.
    public mutating func append(_ bytes: Bytes) {
        buffer.append(bytes)
    }

    /// The next complete message, or nil when there is none yet.
    public mutating func next() throws(MessageFault) -> Message? {
        while let line = try nextLine() {
            if let message = try take(line) { return message }
        }
        return nil
    }

    private mutating func nextLine() throws(MessageFault) -> Bytes? {
        let waiting = buffer.waiting
        var place = scanned
        while place < waiting.count, waiting[place] != UInt8(ascii: "\n") { place += 1 }
        let isWhole = place < waiting.count
        // A CR before the end does not count, also when its LF has not come yet.
        let end = place > 0 && waiting[place - 1] == UInt8(ascii: "\r") ? place - 1 : place
        guard end <= limits.line else { throw .tooLong }
        guard isWhole else {
            scanned = place
            return nil
        }
        scanned = 0
        let line = waiting.slice(0..<end)
        octets += place + 1
        guard octets <= limits.octets else { throw .tooLong }
        buffer.consume(place + 1)
        return line
    }

    private mutating func take(_ line: Bytes) throws(MessageFault) -> Message? {
        let isEnd = line.isEmpty || line.elementsEqual("[EOL]".utf8)
        switch step {
        case .type:
            if line.isEmpty {
                blankLines += 1
                guard blankLines <= limits.blankLines else { throw .syntax }
            } else {
                try begin(line)
            }
        case .requestFolder:
            folder = try folderName(line, isEnd)
            step = .requestEnd
        case .requestEnd:
            guard isEnd else { throw .syntax }
            return end(.request(folder: folder))
        case .folder:
            folder = try folderName(line, isEnd)
            step = .port
        case .port:
            guard let text = line.text, let first = text.utf8.first, (49...57).contains(first),
                text.utf8.allSatisfy({ (48...57).contains($0) }), let number = UInt16(text)
            else { throw .syntax }
            (port, step) = (number, .protocolName)
        case .protocolName:
            guard !isEnd, line.count <= Self.longestProtocol, let text = line.text,
                line.allSatisfy({ $0 >= 0x20 && $0 != 0x7f })
            else { throw .syntax }
            (protocolName, step) = (text, .names)
        case .names:
            guard isEnd else {
                try addName(line)
                return nil
            }
            return end(
                .list(
                    FileList(
                        kind, folder: folder, port: port, protocolName: protocolName, names: names, refused: refused)))
        }
        return nil
    }

    /// Octets of the name of a protocol (BePeer section 2.1).
    private static let longestProtocol = 16

    private mutating func begin(_ line: Bytes) throws(MessageFault) {
        guard let text = line.text else { throw .syntax }
        if text == "BePeerRequest" {
            step = .requestFolder
            return
        }
        // The seed spells it so once.
        guard let kind = text == "FileToGet" ? .filesToGet : FileList.Kind(rawValue: text) else { throw .syntax }
        (self.kind, step) = (kind, .folder)
    }

    private func folderName(_ line: Bytes, _ isEnd: Bool) throws(MessageFault) -> String {
        guard !isEnd, let name = line.text, ShareName.isValid(name) else { throw .syntax }
        return name
    }

    private mutating func addName(_ line: Bytes) throws(MessageFault) {
        do throws(PathRefusal) {
            let isIgnore = line.elementsEqual(Path.ignore.text.utf8) && limits.ignoreFolders.contains(folder)
            let path = isIgnore ? .ignore : try Path(octets: line)
            guard try known.insert(path) else { return }
            names.append(path)
        } catch {
            refused.append(error)
            guard refused.count <= limits.refused else { throw .badPath }
        }
        guard names.count <= limits.names else { throw .limit }
    }

    private mutating func end(_ message: Message) -> Message {
        (step, blankLines, octets) = (.type, 0, 0)
        (names, known, refused) = ([], PathSet(), [])
        return message
    }
}
