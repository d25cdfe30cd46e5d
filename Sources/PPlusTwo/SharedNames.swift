internal import PeerCore

/// The index of what is shared: names, sizes and times, sorted by the octets of the names (P+2 sections 5 and 5.1).
///
/// It is a value made anew from each scan: whoever reads it never sees half a change.
struct SharedNames {
    /// The full names, by which a download asks.
    private(set) var names = NameBlob()
    /// What queries are compared with, when that is not the full names: last components, or lower case.
    private var keys: NameBlob?
    /// Names whose normal form C is not their octets: that form, and which name it is.
    private var composed = NameBlob()
    private var composedNames: [Int] = []
    private(set) var sizes: [UInt64] = []
    private(set) var times: [WallClock] = []
    private(set) var totalOctets: UInt64 = 0
    let ignoresCase: Bool

    var count: Int { names.count }

    /// An index of these files.
    init(_ entries: [FileEntry] = [], ignoresCase: Bool = false) {
        self.ignoresCase = ignoresCase
        // Components are sorted by themselves, but a slash is not the least octet.
        let isFlat = entries.allSatisfy { $0.path.components.count == 1 }
        let sorted =
            isFlat
            ? entries
            : entries.map { (Array($0.path.description.utf8), $0) }
                .sorted { $0.0.lexicographicallyPrecedes($1.0) }.map(\.1)
        if ignoresCase || !isFlat { keys = NameBlob() }
        for entry in sorted { add(entry) }
    }

    private mutating func add(_ entry: FileEntry) {
        let name = entry.path.components.count == 1 ? entry.path.name : entry.path.description
        names.append(name.utf8)
        let key = ignoresCase ? entry.path.name.lowercased() : entry.path.name
        keys?.append(key.utf8)
        if !key.utf8.allSatisfy({ $0 < 0x80 }) {
            let form = key.composed
            if !form.utf8.elementsEqual(key.utf8) {
                composed.append(form.utf8)
                composedNames.append(count - 1)
            }
        }
        sizes.append(entry.size)
        times.append(entry.modified)
        totalOctets = totalOctets.addingReportingOverflow(entry.size).partialValue
    }

    /// The name at `index`.
    func name(_ index: Int) -> Bytes { Bytes(names[index]) }

    /// The index of a name, by its octets.
    func index(of name: Bytes) -> Int? { names.index(of: name) }

    /// The names that contain `text`: by octets, else, when both are text, by their normal forms.
    func indices(containing text: Bytes) -> [Int] {
        guard !text.containsControls else { return [] }
        let keys = keys ?? names
        guard let string = text.text else { return keys.indices(containing: text.array) }
        let wanted = ignoresCase ? Array(string.lowercased().utf8) : text.array
        let plain = keys.indices(containing: wanted)
        let form =
            wanted.allSatisfy { $0 < 0x80 } ? wanted : Array(String(decoding: wanted, as: UTF8.self).composed.utf8)
        var more = composed.indices(containing: form).map { composedNames[$0] }
        // A name that is its own normal form may still be meant by a text that is not.
        if form != wanted { more += keys.indices(containing: form) }
        return more.isEmpty ? plain : Set(plain).union(more).sorted()
    }
}
