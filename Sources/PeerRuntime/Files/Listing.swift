internal import Glibc
internal import PeerCore

/// Some names in a folder, in the order of their octets.
struct Listing {
    let names: [String]
    /// What is left out, some at most.
    let leftOut: [LeftOut]
    /// After which name to go on; nil when this was all.
    let next: String?
}

extension Descriptor {
    /// At most `limit` names in this folder, those after `last`. Left out: hidden names, names that are not UTF-8, and
    /// what is known to be a link or special file; these are told with the first names. Memory is bounded by `limit`,
    /// whatever the folder holds.
    func list(after last: String?, limit: Int, withHidden: Bool = false) throws(SystemError) -> Listing {
        var first = FirstNames(after: last, limit: limit)
        var leftOut: [LeftOut] = []
        try forEachName { name, kind in
            let why: LeftOut.Reason? =
                switch kind {
                case .link: .link
                case .special: .special
                case _ where !withHidden && name[0] == UInt8(ascii: "."): .hidden
                case _ where first.insert(name): nil
                default: .notText
                }
            guard let why, last == nil, leftOut.count < Walk.mostLeftOut else { return }
            leftOut.append(LeftOut(name.repairedText, why))
        }
        let names = first.sorted()
        return Listing(names: names, leftOut: leftOut, next: first.isCut ? names.last : nil)
    }

    /// What a folder says of a name in it.
    enum ListedKind {
        case file
        case folder
        case link
        case special
        /// Some file systems do not tell.
        case unknown
    }

    /// The names in this folder, in no order. Not all are UTF-8.
    func forEachName(_ body: (Span<UInt8>, ListedKind) -> Void) throws(SystemError) {
        let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC
        let copy = try attempt { unsafe openat(number, ".", flags) }
        guard let stream = unsafe fdopendir(copy) else {
            let code = errno
            close(copy)
            throw SystemError(code: code)
        }
        defer { unsafe closedir(stream) }
        while true {
            errno = 0
            guard let entry = unsafe readdir(stream) else { break }
            let kind: ListedKind
            switch unsafe Int(entry.pointee.d_type) {
            case DT_REG: kind = .file
            case DT_DIR: kind = .folder
            case DT_LNK: kind = .link
            case DT_UNKNOWN: kind = .unknown
            default: kind = .special
            }
            unsafe withUnsafeBytes(of: &entry.pointee.d_name) { octets in
                unsafe octets.withMemoryRebound(to: UInt8.self) { octets in
                    let name = unsafe UnsafeBufferPointer(rebasing: octets.prefix { $0 != 0 })
                    guard unsafe !name.elementsEqual(".".utf8), unsafe !name.elementsEqual("..".utf8) else { return }
                    unsafe body(name.span, kind)
                }
            }
        }
        if errno != 0 { throw SystemError(code: errno) }
    }
}

/// The first names of many, in the order of their octets, of those that are UTF-8.
///
/// They lie in one piece of memory: folders have been seen with a million names.
private struct FirstNames {
    private let limit: Int
    /// Only what comes after it.
    private let floor: [UInt8]?
    private var octets: [UInt8] = []
    private var ranges: [Range<Int>] = []
    private var ceiling: [UInt8]?
    /// Whether there were more.
    private(set) var isCut = false

    init(after floor: String?, limit: Int) {
        self.floor = floor.map { Array($0.utf8) }
        self.limit = limit
    }

    /// False when the name is not UTF-8.
    mutating func insert(_ name: Span<UInt8>) -> Bool {
        if let floor, !precedes(floor.span, name) { return true }
        if let ceiling, !precedes(name, ceiling.span) {
            isCut = true
            return true
        }
        guard String(validating: name) != nil else { return false }
        for index in name.indices { octets.append(name[index]) }
        ranges.append(octets.count - name.count..<octets.count)
        // Twice the limit, so that the cost of sorting is shared by as many names as stay.
        if ranges.count >= 2 * limit { cut() }
        return true
    }

    mutating func sorted() -> [String] {
        cut()
        return ranges.map { String(decoding: octets[$0], as: UTF8.self) }
    }

    private mutating func cut() {
        let all = octets
        let span = all.span
        ranges.sort { precedes(span.extracting($0), span.extracting($1)) }
        guard ranges.count > limit else { return }
        let kept = ranges.prefix(limit)
        ceiling = kept.last.map { Array(all[$0]) }
        octets = []
        ranges = kept.map { range in
            octets.append(contentsOf: all[range])
            return octets.count - range.count..<octets.count
        }
        isCut = true
    }
}

extension String {
    /// The text of `octets`, when they are UTF-8.
    init?(validating octets: Span<UInt8>) {
        guard let text = try? UTF8Span(validating: octets) else { return nil }
        self.init(copying: text)
    }
}

extension Span<UInt8> {
    /// As UTF-8, what is none of it replaced.
    fileprivate var repairedText: String {
        String(decoding: indices.map { self[$0] }, as: UTF8.self)
    }
}

/// Whether `a` comes before `b` in the order of the octets.
private func precedes(_ a: Span<UInt8>, _ b: Span<UInt8>) -> Bool {
    let order = unsafe a.withUnsafeBufferPointer { mine in
        unsafe b.withUnsafeBufferPointer { others in
            guard let mine = mine.baseAddress, let others = others.baseAddress else { return Int32(0) }
            return unsafe memcmp(mine, others, min(a.count, b.count))
        }
    }
    return order == 0 ? a.count < b.count : order < 0
}

extension String {
    /// The order of the octets, which is that of `RelativePath`.
    func precedes(_ other: String) -> Bool { utf8.lexicographicallyPrecedes(other.utf8) }
}
