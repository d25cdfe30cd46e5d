internal import PeerCore

/// Many names in one piece of memory, each with LF behind it: a text is looked for in all of them at once.
struct NameBlob {
    private(set) var octets: [UInt8] = []
    /// Where each name begins; the last element is the end.
    private var starts: [Int] = [0]

    var count: Int { starts.count - 1 }

    mutating func append(_ name: some Collection<UInt8>) {
        octets.append(contentsOf: name)
        octets.append(UInt8(ascii: "\n"))
        starts.append(octets.count)
    }

    /// The name at `index`.
    subscript(index: Int) -> ArraySlice<UInt8> { octets[starts[index]..<starts[index + 1] - 1] }

    /// The indices of the names that contain `text`, in order. A text with LF is in none.
    func indices(containing text: [UInt8]) -> [Int] {
        guard let first = text.first, let last = text.last else { return Array(0..<count) }
        guard octets.count > text.count else { return [] }
        var found: [Int] = []
        var name = 0
        let reach = text.count - 1
        let end = octets.count - reach
        let octets = octets.span
        var place = 0
        while place < end {
            // Two octets decide nearly always.
            guard octets[place] == first, octets[place &+ reach] == last,
                text.indices.allSatisfy({ octets[place &+ $0] == text[$0] })
            else {
                place &+= 1
                continue
            }
            name = index(at: place, from: name)
            found.append(name)
            name += 1
            place = starts[name]
        }
        return found
    }

    /// The name that `place` is in; it is `first` or one behind it, mostly not far.
    private func index(at place: Int, from first: Int) -> Int {
        var (low, step) = (first, 1)
        while low + step < count, starts[low + step] <= place {
            low += step
            step *= 2
        }
        var high = min(low + step, count) - 1
        while low < high {
            let middle = (low + high + 1) / 2
            if starts[middle] <= place { low = middle } else { high = middle - 1 }
        }
        return low
    }

    /// The index of `name`, when the names are sorted by octets.
    func index(of name: some Collection<UInt8>) -> Int? {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if self[middle].lexicographicallyPrecedes(name) { low = middle + 1 } else { high = middle }
        }
        return low < count && self[low].elementsEqual(name) ? low : nil
    }
}
