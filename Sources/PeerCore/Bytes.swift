/// A slice of an immutable, counted buffer of octets.
///
/// Copying and slicing share the buffer, so one payload can stand in many send queues at the cost of one.
/// Indices start at 0 in every slice.
public struct Bytes: Sendable {
    /// The shared buffer, of which this value sees `range`; for code that hands octets to C.
    public let storage: [UInt8]
    @usableFromInline let start: Int
    /// Number of octets.
    public let count: Int

    @inlinable init(storage: [UInt8], start: Int, count: Int) {
        self.storage = storage
        self.start = start
        self.count = count
    }

    /// The whole of an array, without copying it.
    @inlinable public init(_ array: [UInt8]) {
        self.init(storage: array, start: 0, count: array.count)
    }

    /// The octets of any collection, copied.
    @inlinable public init(_ octets: some Collection<UInt8>) {
        self.init(Array(octets))
    }

    /// The UTF-8 octets of a text.
    @inlinable public init(utf8 text: String) {
        self.init(Array(text.utf8))
    }

    /// No octets.
    @inlinable public init() {
        self.init([])
    }

    /// The part `range` of this slice, sharing its buffer.
    @inlinable public func slice(_ range: Range<Int>) -> Bytes {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "slice \(range) of \(count) octets")
        return Bytes(storage: storage, start: start + range.lowerBound, count: range.count)
    }

    /// Everything from octet `index` on, sharing the buffer.
    @inlinable public func dropping(_ index: Int) -> Bytes {
        slice(index..<count)
    }

    /// The octets as an array of their own; free when this is the whole buffer.
    @inlinable public var array: [UInt8] {
        start == 0 && count == storage.count ? storage : Array(storage[start..<start + count])
    }

    /// The part of `storage` that this value sees.
    @inlinable public var range: Range<Int> { start..<start + count }

    /// The octets as text, when they are UTF-8.
    public var text: String? {
        String(validating: self, as: UTF8.self)
    }
}

extension Bytes: RandomAccessCollection {
    /// 0.
    @inlinable public var startIndex: Int { 0 }
    /// `count`.
    @inlinable public var endIndex: Int { count }
    /// The octet at `index`, counted from the start of this slice.
    @inlinable public subscript(index: Int) -> UInt8 {
        precondition(index >= 0 && index < count, "octet \(index) of \(count)")
        return storage[start + index]
    }
}

extension Bytes: Hashable {
    /// Equal octets, wherever they are stored.
    public static func == (a: Bytes, b: Bytes) -> Bool {
        a.count == b.count && a.storage[a.range] == b.storage[b.range]
    }

    /// Hashes the octets.
    public func hash(into hasher: inout Hasher) {
        for octet in self { hasher.combine(octet) }
    }
}

extension Bytes: ExpressibleByArrayLiteral {
    /// The octets listed.
    public init(arrayLiteral elements: UInt8...) {
        self.init(elements)
    }
}

extension Bytes: CustomStringConvertible {
    /// Lower-case hexadecimal digits.
    public var description: String { hex }

    /// Lower-case hexadecimal digits, two for each octet.
    public var hex: String { hexadecimal(self) }

    /// The octets written as hexadecimal digits, or nil when `hex` has other characters or an odd length.
    public init?(hex: String) {
        guard let octets = octets(ofHexadecimal: hex) else { return nil }
        self.init(octets)
    }
}

private let hexadecimalDigits = Array("0123456789abcdef".utf8)

/// Lower-case hexadecimal digits of `octets`.
public func hexadecimal(_ octets: some Collection<UInt8>) -> String {
    var digits: [UInt8] = []
    digits.reserveCapacity(octets.count * 2)
    for octet in octets {
        digits.append(hexadecimalDigits[Int(octet >> 4)])
        digits.append(hexadecimalDigits[Int(octet & 15)])
    }
    return String(decoding: digits, as: UTF8.self)
}

/// The octets written as pairs of hexadecimal digits (either case), or nil when `text` is anything else.
public func octets(ofHexadecimal text: String) -> [UInt8]? {
    func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }
    let digits = Array(text.utf8)
    guard digits.count.isMultiple(of: 2) else { return nil }
    var octets: [UInt8] = []
    octets.reserveCapacity(digits.count / 2)
    for index in stride(from: 0, to: digits.count, by: 2) {
        guard let high = value(digits[index]), let low = value(digits[index + 1]) else { return nil }
        octets.append(high << 4 | low)
    }
    return octets
}
