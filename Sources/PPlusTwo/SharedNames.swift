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
        let key = key(of: entry)
        keys?.append(key.utf8)
        if let form = otherForm(of: key) {
            composed.append(form)
            composedNames.append(count - 1)
        }
        sizes.append(entry.size)
        times.append(entry.modified)
        totalOctets = totalOctets.addingReportingOverflow(entry.size).partialValue
    }

    /// Whether `set` can do it: there is no index of last components yet, which a file in a subfolder needs.
    func canSet(_ path: RelativePath) -> Bool { path.components.count == 1 || keys != nil }

    /// Puts in what is known of one file now; nil: it is not there any more.
    mutating func set(_ path: RelativePath, _ entry: FileEntry?) {
        let name = Array(path.description.utf8)
        let index = names.place(of: name)
        if index < count, names[index].elementsEqual(name) {
            totalOctets = totalOctets.subtractingReportingOverflow(sizes[index]).partialValue
            guard let entry else { return remove(at: index) }
            (sizes[index], times[index]) = (entry.size, entry.modified)
            totalOctets = totalOctets.addingReportingOverflow(entry.size).partialValue
        } else if let entry {
            insert(name, entry, at: index)
        }
    }

    private mutating func remove(at index: Int) {
        names.remove(at: index)
        keys?.remove(at: index)
        sizes.remove(at: index)
        times.remove(at: index)
        if let place = composedNames.firstIndex(of: index) {
            composed.remove(at: place)
            composedNames.remove(at: place)
        }
        for place in composedNames.indices where composedNames[place] > index { composedNames[place] -= 1 }
    }

    private mutating func insert(_ name: [UInt8], _ entry: FileEntry, at index: Int) {
        let key = key(of: entry)
        names.insert(name, at: index)
        keys?.insert(Array(key.utf8), at: index)
        sizes.insert(entry.size, at: index)
        times.insert(entry.modified, at: index)
        for place in composedNames.indices where composedNames[place] >= index { composedNames[place] += 1 }
        if let form = otherForm(of: key) {
            composed.append(form)
            composedNames.append(index)
        }
        totalOctets = totalOctets.addingReportingOverflow(entry.size).partialValue
    }

    private func key(of entry: FileEntry) -> String {
        ignoresCase ? entry.path.name.lowercased() : entry.path.name
    }

    /// The octets of its normal form C, when they are others.
    private func otherForm(of key: String) -> [UInt8]? {
        guard !key.utf8.allSatisfy({ $0 < 0x80 }) else { return nil }
        let form = Array(key.composed.utf8)
        return form.elementsEqual(key.utf8) ? nil : form
    }

    /// The name at `index`.
    func name(_ index: Int) -> Bytes { Bytes(names[index]) }

    /// The index of a name, by its octets.
    func index(of name: Bytes) -> Int? { names.index(of: name) }

    /// The names that contain `text`: by octets, else, when both are text, by their normal forms.
    func indices(containing text: Bytes) -> [Int] {
        guard !text.containsControls else { return [] }
        guard !text.isEmpty else { return Array(0..<count) }
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
