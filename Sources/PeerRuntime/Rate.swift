/// Octets that may go one way in each second, given out in slices, so that a slow rate is no stutter.
public struct Rate: Sendable {
    /// 0: no limit.
    public var bytesPerSecond: Int {
        didSet { if bytesPerSecond != oldValue { allowance = slice } }
    }
    /// Octets that may still go before the next slice; what was taken too much is owed.
    private(set) var allowance: Int

    /// A second is given out in this many parts.
    static let slicesPerSecond = 10

    /// So many octets a second; 0: no limit.
    public init(_ bytesPerSecond: Int = 0) {
        self.bytesPerSecond = bytesPerSecond
        allowance = .max
        allowance = slice
    }

    private var slice: Int { bytesPerSecond == 0 ? .max : max(1, bytesPerSecond / Self.slicesPerSecond) }

    /// A new slice of a second begins.
    mutating func refill() {
        allowance = bytesPerSecond == 0 ? .max : min(allowance, 0) + slice
    }

    /// So many octets went.
    mutating func took(_ octets: Int) {
        if bytesPerSecond > 0 { allowance -= octets }
    }
}
