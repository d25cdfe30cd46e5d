/// A set of neighbours, by their places.
struct LinkSet: Hashable {
    /// Places that there are; `degree` stays below it, so that a neighbour can be replaced.
    static let capacity = 128

    private var bits: UInt128 = 0

    init() {}

    init(_ place: Int) {
        bits = 1 << UInt128(place)
    }

    @inline(__always) var isEmpty: Bool { bits == 0 }
    var count: Int { bits.nonzeroBitCount }

    @inline(__always)
    func contains(_ place: Int) -> Bool { place >= 0 && bits >> UInt128(place) & 1 == 1 }

    @inline(__always)
    mutating func insert(_ place: Int) { bits |= 1 << UInt128(place) }

    mutating func remove(_ place: Int) { bits &= ~(1 << UInt128(place)) }

    @inline(__always)
    mutating func formUnion(_ other: LinkSet) { bits |= other.bits }

    @inline(__always)
    func subtracting(_ other: LinkSet) -> LinkSet {
        var result = self
        result.bits &= ~other.bits
        return result
    }

    @inline(__always)
    func intersection(_ other: LinkSet) -> LinkSet {
        var result = self
        result.bits &= other.bits
        return result
    }

    /// Takes out the first place.
    @inline(__always)
    mutating func popFirst() -> Int? {
        guard bits != 0 else { return nil }
        let place = bits.trailingZeroBitCount
        bits &= bits - 1
        return place
    }

    /// The places in ascending order.
    var places: [Int] {
        var rest = self
        var list: [Int] = []
        while let place = rest.popFirst() { list.append(place) }
        return list
    }

    /// The first place that is not in the set; nil when all are.
    var firstFree: Int? { ~bits == 0 ? nil : (~bits).trailingZeroBitCount }
}
