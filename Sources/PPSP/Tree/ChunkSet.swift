/// Which chunks are there: of a content that is being fetched, or of what another peer has told.
///
/// A few runs, or one bit for each chunk when there are many; a whole content of millions of chunks is one run.
public struct ChunkSet: Sendable {
    /// Runs of a set that may become a bitmap: below 8 KiB, and quick to insert into.
    private static let mostRuns = 512
    /// Contents up to this size in chunks may take a bitmap, which has 512 MiB then.
    private static let bitmapLimit: UInt64 = 1 << 32
    /// Runs of a set without a known limit, 64 KiB: a stranger cannot make it larger.
    static let mostRunsUnbounded = 4096

    /// Chunks are below this number: the number of chunks of the content.
    public let limit: UInt64
    /// How many there are.
    public private(set) var count: UInt64 = 0
    /// In order, none next to another; empty when there are words.
    private var runs: [ChunkRange] = []
    /// Chunk c is bit 63 - c % 64 of word c / 64; empty when there are runs.
    private var words: [UInt64] = []

    /// No chunks yet, of a content with `limit` chunks.
    ///
    /// Without a limit, while the number is not known, at most 4,096 runs are kept, those of the lowest chunks.
    public init(limit: UInt64 = ChunkRange.highest + 1) {
        self.limit = min(limit, ChunkRange.highest + 1)
    }

    /// All chunks of a content with `limit` chunks.
    public init(all limit: UInt64) {
        self.init(limit: limit)
        guard limit > 0 else { return }
        insert(ChunkRange(0, self.limit - 1))
    }

    /// The chunks of `other` that a content with `limit` chunks has.
    public init(_ other: ChunkSet, limit: UInt64) {
        self.init(limit: limit)
        formUnion(other)
    }

    /// Whether there are none.
    public var isEmpty: Bool { count == 0 }

    /// Whether there are all.
    public var isComplete: Bool { count == limit }

    private var isBitmap: Bool { !words.isEmpty }
}

// MARK: - Looking

extension ChunkSet {
    /// Whether `chunk` is there.
    public func contains(_ chunk: UInt64) -> Bool {
        guard chunk < limit else { return false }
        if isBitmap { return words[Int(chunk >> 6)] & bit(chunk) != 0 }
        let index = firstRun(endingAtOrAfter: chunk)
        return index < runs.count && runs[index].first <= chunk
    }

    /// Whether all of `range` are there.
    public func contains(_ range: ChunkRange) -> Bool {
        guard range.last < limit else { return false }
        guard let missing = firstMissing(from: range.first) else { return true }
        return missing > range.last
    }

    /// Whether some of `range` are there.
    public func intersects(_ range: ChunkRange) -> Bool {
        guard let present = first(from: range.first) else { return false }
        return present <= range.last
    }

    /// The first chunk that is there, from `chunk` on.
    public func first(from chunk: UInt64 = 0) -> UInt64? {
        guard chunk < limit else { return nil }
        if isBitmap { return scan(from: chunk, flipping: 0) }
        let index = firstRun(endingAtOrAfter: chunk)
        return index < runs.count ? max(chunk, runs[index].first) : nil
    }

    /// The first chunk of the content that is not there, from `chunk` on.
    public func firstMissing(from chunk: UInt64 = 0) -> UInt64? {
        guard chunk < limit else { return nil }
        if isBitmap { return scan(from: chunk, flipping: .max) }
        let index = firstRun(endingAtOrAfter: chunk)
        guard index < runs.count, runs[index].first <= chunk else { return chunk }
        let next = runs[index].last + 1
        return next < limit ? next : nil
    }

    /// The first chunk that is there and not in `other`, from `chunk` on: what one peer has and another lacks.
    public func first(notIn other: ChunkSet, from chunk: UInt64 = 0) -> UInt64? {
        var next = chunk
        while let present = first(from: next) {
            let missing = other.firstMissing(from: present) ?? max(present, other.limit)
            if missing == present { return present }
            next = missing
        }
        return nil
    }

    /// Runs of chunks that are there, from `chunk` on, as long as can be.
    public func ranges(from chunk: UInt64 = 0) -> some Sequence<ChunkRange> {
        sequence(state: chunk) { next in
            guard let first = self.first(from: next) else { return nil }
            next = self.firstMissing(from: first) ?? self.limit
            return ChunkRange(first, next - 1)
        }
    }

    /// Runs of chunks of the content that are not there, from `chunk` on, as long as can be.
    public func missingRanges(from chunk: UInt64 = 0) -> some Sequence<ChunkRange> {
        sequence(state: chunk) { next in
            guard let first = self.firstMissing(from: next) else { return nil }
            next = self.first(from: first) ?? self.limit
            return ChunkRange(first, next - 1)
        }
    }

    /// 64 bits for the chunks from `chunk` on, the first one highest.
    func word(from chunk: UInt64) -> UInt64 {
        guard chunk < limit else { return 0 }
        if isBitmap {
            let (index, shift) = (Int(chunk >> 6), chunk & 63)
            let next = index + 1 < words.count ? words[index + 1] : 0
            return words[index] << shift | next >> (64 - shift)
        }
        var word: UInt64 = 0
        var index = firstRun(endingAtOrAfter: chunk)
        while index < runs.count, runs[index].first - min(chunk, runs[index].first) < 64 {
            let (first, last) = (max(runs[index].first, chunk) - chunk, min(runs[index].last - chunk, 63))
            word |= .max >> first & .max << (63 - last)
            index += 1
        }
        return word
    }

    private func bit(_ chunk: UInt64) -> UInt64 { 1 << (63 - chunk & 63) }

    /// The first chunk whose bit is set after the words were combined with `mask` by exclusive or.
    private func scan(from chunk: UInt64, flipping mask: UInt64) -> UInt64? {
        var index = Int(chunk >> 6)
        var word = (words[index] ^ mask) & .max >> (chunk & 63)
        while word == 0 {
            index += 1
            guard index < words.count else { return nil }
            word = words[index] ^ mask
        }
        let found = UInt64(index) << 6 + UInt64(word.leadingZeroBitCount)
        return found < limit ? found : nil
    }

    /// The index of the first run that does not end before `chunk`.
    private func firstRun(endingAtOrAfter chunk: UInt64) -> Int {
        var (low, high) = (0, runs.count)
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].last < chunk { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

// MARK: - Changing

extension ChunkSet {
    /// Adds a chunk. False: it was there already, or the content has no such chunk.
    @discardableResult
    public mutating func insert(_ chunk: UInt64) -> Bool {
        guard chunk < limit, !contains(chunk) else { return false }
        insert(ChunkRange(chunk))
        return true
    }

    /// Adds chunks; those that the content does not have are left out.
    public mutating func insert(_ range: ChunkRange) {
        guard let range = clipped(range) else { return }
        if isBitmap {
            fill(range, true)
        } else {
            insertRun(range)
        }
        adapt()
    }

    /// Takes a chunk out. False: it was not there.
    @discardableResult
    public mutating func remove(_ chunk: UInt64) -> Bool {
        guard contains(chunk) else { return false }
        remove(ChunkRange(chunk))
        return true
    }

    /// Takes chunks out.
    public mutating func remove(_ range: ChunkRange) {
        guard let range = clipped(range) else { return }
        if isBitmap {
            fill(range, false)
        } else {
            removeRun(range)
        }
        adapt()
    }

    /// Takes all out.
    public mutating func removeAll() {
        self = ChunkSet(limit: limit)
    }

    /// Adds the chunks of `other` that the content has.
    public mutating func formUnion(_ other: ChunkSet) {
        if isBitmap, other.isBitmap {
            combine(other) { $0 | $1 }
        } else {
            for range in other.ranges() { insert(range) }
        }
    }

    /// Takes the chunks of `other` out.
    public mutating func subtract(_ other: ChunkSet) {
        if isBitmap, other.isBitmap {
            combine(other) { $0 & ~$1 }
        } else {
            for range in other.ranges() { remove(range) }
        }
    }

    /// Adds or takes out the chunks whose bits are set, the first one highest, from `chunk` on.
    mutating func change(_ word: UInt64, from chunk: UInt64, inserting: Bool) {
        guard word != 0, chunk < limit else { return }
        let word = limit - chunk < 64 ? word & .max << (64 - (limit - chunk)) : word
        if isBitmap {
            let (index, shift) = (Int(chunk >> 6), chunk & 63)
            change(index, word >> shift, inserting)
            if shift > 0, index + 1 < words.count { change(index + 1, word << (64 - shift), inserting) }
            adapt()
            return
        }
        var (rest, base) = (word, chunk)
        while rest != 0 {
            let first = UInt64(rest.leadingZeroBitCount)
            let length = UInt64((~(rest << first)).leadingZeroBitCount)
            let range = ChunkRange(base + first, base + first + length - 1)
            if inserting { insert(range) } else { remove(range) }
            guard first + length < 64 else { return }
            rest <<= first + length
            base += first + length
        }
    }

    /// Whether chunks from `chunk` on are not kept any more, since there are too many runs of a set without limit.
    func isFull(from chunk: UInt64) -> Bool {
        guard limit > Self.bitmapLimit, runs.count == Self.mostRunsUnbounded, let last = runs.last else { return false }
        return chunk > last.last + 1
    }

    private func clipped(_ range: ChunkRange) -> ChunkRange? {
        limit == 0 ? nil : range.intersection(ChunkRange(0, limit - 1))
    }

    private mutating func insertRun(_ range: ChunkRange) {
        let low = firstRun(endingAtOrAfter: range.first == 0 ? 0 : range.first - 1)
        var high = low
        var (first, last, known) = (range.first, range.last, UInt64(0))
        while high < runs.count, runs[high].first <= range.last + 1 {
            first = min(first, runs[high].first)
            last = max(last, runs[high].last)
            known += runs[high].count
            high += 1
        }
        let merged = ChunkRange(first, last)
        count += merged.count - known
        if high == low + 1 { runs[low] = merged } else { runs.replaceSubrange(low..<high, with: [merged]) }
    }

    private mutating func removeRun(_ range: ChunkRange) {
        let low = firstRun(endingAtOrAfter: range.first)
        var high = low
        var rest: [ChunkRange] = []
        while high < runs.count, runs[high].first <= range.last {
            let run = runs[high]
            if run.first < range.first { rest.append(ChunkRange(run.first, range.first - 1)) }
            if run.last > range.last { rest.append(ChunkRange(range.last + 1, run.last)) }
            count -= run.count
            high += 1
        }
        count += rest.reduce(0) { $0 + $1.count }
        runs.replaceSubrange(low..<high, with: rest)
    }

    private mutating func fill(_ range: ChunkRange, _ value: Bool) {
        let (first, last) = (Int(range.first >> 6), Int(range.last >> 6))
        for index in first...last {
            var mask = UInt64.max
            if index == first { mask &= .max >> (range.first & 63) }
            if index == last { mask &= .max << (63 - range.last & 63) }
            change(index, mask, value)
        }
    }

    private mutating func change(_ index: Int, _ mask: UInt64, _ value: Bool) {
        let old = words[index]
        let new = value ? old | mask : old & ~mask
        words[index] = new
        count = count &+ UInt64(new.nonzeroBitCount) &- UInt64(old.nonzeroBitCount)
    }

    private mutating func combine(_ other: ChunkSet, _ operation: (UInt64, UInt64) -> UInt64) {
        for index in 0..<min(words.count, other.words.count) {
            let old = words[index]
            var new = operation(old, other.words[index])
            // The other content may be longer.
            if index == words.count - 1, limit & 63 != 0 { new &= .max << (64 - limit & 63) }
            words[index] = new
            count = count &+ UInt64(new.nonzeroBitCount) &- UInt64(old.nonzeroBitCount)
        }
        adapt()
    }

    /// Goes over to the other form when it is better.
    private mutating func adapt() {
        if isBitmap {
            guard count == 0 || count == limit else { return }
            words = []
            runs = count == 0 ? [] : [ChunkRange(0, limit - 1)]
        } else if limit > Self.bitmapLimit {
            while runs.count > Self.mostRunsUnbounded { count -= runs.removeLast().count }
        } else if runs.count > Self.mostRuns {
            let list = runs
            (runs, count) = ([], 0)
            words = [UInt64](repeating: 0, count: Int((limit + 63) >> 6))
            for run in list { fill(run, true) }
        }
    }
}

extension ChunkSet: Equatable {
    /// The same chunks of contents with the same number of them.
    public static func == (a: ChunkSet, b: ChunkSet) -> Bool {
        a.limit == b.limit && a.count == b.count && a.ranges().elementsEqual(b.ranges())
    }
}
