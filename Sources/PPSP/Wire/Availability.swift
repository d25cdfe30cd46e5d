public import PeerCore

/// DATA_AVAILABILITY: which chunks the sender has, or what has changed (PPSP section 4).
///
/// | offset | length | field |
/// |---|---|---|
/// | 0 | 1 | form: 0 NONE, 1 BITMAP, 2 RANGES, 3 ALL |
/// | 1 | 1 | flags: 1 UPDATE, 2 REMOVE (with UPDATE) |
/// | 2 | 2 | reserved |
/// | 4 | 4 | chunk size in octets, 0: not stated |
/// | 8 | 8 | base: first chunk covered |
/// | 16 | 8 | count: number of chunks covered |
/// | 24 | | BITMAP: (count + 7) / 8 octets, the first chunk is the highest bit |
/// | 24 | | RANGES: u32 n, n pairs of u64, first and last |
public struct Availability: Hashable, Sendable {
    /// What the receiver does with it.
    public enum Change: Hashable, Sendable {
        /// Forget what was known before.
        case replace
        /// These chunks are new (UPDATE).
        case add
        /// These chunks are gone (UPDATE and REMOVE).
        case remove
    }

    /// The forms of a map.
    public enum Form: Hashable, Sendable {
        /// No chunk.
        case none
        /// A bit for each chunk.
        case bitmap(Bytes)
        /// Ascending, neither overlapping nor adjacent, all covered.
        case ranges([ChunkRange])
        /// Every chunk that is covered.
        case all

        var code: UInt8 {
            switch self {
            case .none: 0
            case .bitmap: 1
            case .ranges: 2
            case .all: 3
            }
        }
    }

    /// Octets before a bitmap or ranges.
    static let headBytes = 24
    /// Octets of a body that fits any message as its only method: the content limit, less a peer ID, the longest swarm
    /// ID and a method's head.
    public static let maximumBytes = MessageType.contentLimit - 32 - SwarmID.maximumBytes - 8

    /// What the receiver does with it.
    public let change: Change
    /// Octets of a chunk; nil: not stated.
    public let chunkSize: UInt32?
    /// First chunk covered.
    public let base: UInt64
    /// Number of chunks covered; for the map of a whole content, the number of its chunks.
    public let count: UInt64
    /// Which of them.
    public let form: Form

    init(_ change: Change, chunkSize: UInt32?, base: UInt64, count: UInt64, _ form: Form) {
        (self.change, self.chunkSize, self.base, self.count, self.form) = (change, chunkSize, base, count, form)
    }
}

// MARK: - From chunks

extension Availability {
    /// The chunks of `set` that are in `window`, in the form that takes least.
    init(_ change: Change, _ set: ChunkSet, in window: ChunkRange, chunkSize: UInt32?) {
        let form: Form
        if set.contains(window) {
            form = .all
        } else if !set.intersects(window) {
            form = .none
        } else {
            form = Self.smaller(set, in: window)
        }
        self.init(change, chunkSize: chunkSize, base: window.first, count: window.count, form)
    }

    private static func smaller(_ set: ChunkSet, in window: ChunkRange) -> Form {
        let bitmapBytes = (window.count - 1) / 8 + 1
        var ranges: [ChunkRange] = []
        for range in set.ranges(from: window.first) {
            guard let covered = range.intersection(window) else { break }
            ranges.append(covered)
            guard UInt64(4 + 16 * ranges.count) < bitmapBytes else {
                return .bitmap(bitmap(set, in: window, bytes: Int(bitmapBytes)))
            }
        }
        return .ranges(ranges)
    }

    private static func bitmap(_ set: ChunkSet, in window: ChunkRange, bytes: Int) -> Bytes {
        var writer = ByteWriter(capacity: bytes + 8)
        for start in stride(from: window.first, through: window.last, by: 64) {
            let word = set.word(from: start)
            let rest = window.last - start
            writer.write(rest < 63 ? word & .max << (63 - rest) : word)
        }
        return writer.bytes.slice(0..<bytes)
    }

    /// The map of `set`, the chunks of a content, or of those that are new or gone; more than one when it takes
    /// more than `maximumBytes` octets: the parts after the first are updates. (PPSP section 4)
    public static func map(
        _ change: Change = .replace, of set: ChunkSet, chunkSize: UInt32?, maximumBytes: Int = Self.maximumBytes
    ) -> [Availability] {
        guard set.limit > 0 else { return [] }
        let whole = ChunkRange(0, set.limit - 1)
        let map = Availability(change, set, in: whole, chunkSize: chunkSize)
        guard map.bytes.count > maximumBytes else { return [map] }
        let step = UInt64(max(1, maximumBytes - headBytes)) * 8
        var parts: [Availability] = []
        for start in stride(from: 0, through: whole.last, by: UInt64.Stride(clamping: step)) {
            let window = ChunkRange(start, min(whole.last, start + step - 1))
            let isFirst = parts.isEmpty && change == .replace
            let part = Availability(
                isFirst || change == .remove ? change : .add, set, in: window, chunkSize: chunkSize)
            if isFirst || part.form != .none { parts.append(part) }
        }
        return parts
    }
}

extension ChunkSet {
    /// Takes in what a peer has told; chunks that the content does not have are left out.
    public mutating func apply(_ availability: Availability) {
        if availability.change == .replace { removeAll() }
        let isInserting = availability.change != .remove
        switch availability.form {
        case .none: break
        case .all:
            guard availability.count > 0 else { return }
            apply(ChunkRange(availability.base, availability.base + availability.count - 1), isInserting)
        case .ranges(let ranges):
            for range in ranges { apply(range, isInserting) }
        case .bitmap(let octets):
            var reader = ByteReader(octets)
            var chunk = availability.base
            while reader.remaining > 0, chunk < limit, !(isInserting && isFull(from: chunk)) {
                change(reader.readWord(), from: chunk, inserting: isInserting)
                chunk += 64
            }
        }
    }

    private mutating func apply(_ range: ChunkRange, _ isInserting: Bool) {
        if isInserting { insert(range) } else { remove(range) }
    }
}

extension ByteReader {
    /// Eight octets, or those that are left and zeros.
    fileprivate mutating func readWord() -> UInt64 {
        if let word = try? read(UInt64.self, "word") { return word }
        var word: UInt64 = 0
        var shift: UInt64 = 56
        for octet in readRest() {
            word |= UInt64(octet) << shift
            shift &-= 8
        }
        return word
    }
}

// MARK: - Octets

extension Availability {
    /// Decodes a body.
    init(decoding body: Bytes) throws(DecodeError) {
        var reader = ByteReader(body)
        let code = try reader.readUInt8("availability format")
        change = try Self.change(try reader.readUInt8("availability flags"))
        _ = try reader.read(UInt16.self, "reserved")
        let size = try reader.read(UInt32.self, "chunk size")
        chunkSize = size == 0 ? nil : size
        base = try reader.read(UInt64.self, "base")
        count = try reader.read(UInt64.self, "count")
        guard base <= ChunkRange.highest + 1, count <= ChunkRange.highest + 1 - base else {
            throw .invalid(field: "count")
        }
        switch code {
        case 0: form = .none
        case 1: form = .bitmap(try Self.readBitmap(&reader, count))
        case 2: form = .ranges(try Self.readRanges(&reader, base, count))
        case 3: form = .all
        default: throw .invalid(field: "availability format")
        }
        try reader.expectEnd()
    }

    private static func change(_ flags: UInt8) throws(DecodeError) -> Change {
        switch flags & 3 {
        case 0: .replace
        case 1: .add
        case 3: .remove
        default: throw .invalid(field: "availability flags")
        }
    }

    private static func readBitmap(_ reader: inout ByteReader, _ count: UInt64) throws(DecodeError) -> Bytes {
        let bytes = count / 8 + (count % 8 == 0 ? 0 : 1)
        guard bytes <= UInt64(reader.remaining) else { throw .truncated(field: "bitmap") }
        let bitmap = try reader.read(count: Int(bytes), "bitmap")
        if let last = bitmap.last, count % 8 != 0, last & (0xff >> (count % 8)) != 0 {
            throw .invalid(field: "bitmap padding")
        }
        return bitmap
    }

    private static func readRanges(
        _ reader: inout ByteReader, _ base: UInt64, _ count: UInt64
    ) throws(DecodeError) -> [ChunkRange] {
        let number = try reader.read(UInt32.self, "range count")
        guard Int(number) * 16 <= reader.remaining else { throw .truncated(field: "ranges") }
        var ranges: [ChunkRange] = []
        ranges.reserveCapacity(Int(number))
        // The lowest number that the next range may begin with.
        var lowest = base
        for _ in 0..<number {
            let (first, last) = (try reader.read(UInt64.self, "range"), try reader.read(UInt64.self, "range"))
            guard let range = ChunkRange(checking: first, last), first >= lowest, last - base < count else {
                throw .invalid(field: "range")
            }
            ranges.append(range)
            lowest = last + 2
        }
        return ranges
    }

    /// The body.
    var bytes: Bytes {
        var writer = ByteWriter(capacity: Self.headBytes)
        writer.write(form.code)
        writer.write(change.flags)
        writer.write(UInt16(0))
        writer.write(chunkSize ?? 0)
        writer.write(base)
        writer.write(count)
        switch form {
        case .none, .all: break
        case .bitmap(let octets): writer.write(octets)
        case .ranges(let ranges):
            writer.write(UInt32(ranges.count))
            for range in ranges {
                writer.write(range.first)
                writer.write(range.last)
            }
        }
        return writer.bytes
    }
}

extension Availability.Change {
    fileprivate var flags: UInt8 {
        switch self {
        case .replace: 0
        case .add: 1
        case .remove: 3
        }
    }
}
