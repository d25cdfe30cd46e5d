internal import Foundation

/// Values of several rounds: the median and the range in which they lie.
struct Spread {
    private let sorted: [Double]

    init(_ values: [Double]) {
        sorted = values.sorted()
    }

    var count: Int { sorted.count }
    var least: Double { sorted.first ?? .nan }
    var most: Double { sorted.last ?? .nan }

    var median: Double {
        guard !sorted.isEmpty else { return .nan }
        let middle = sorted.count / 2
        return sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
    }
}

/// A number with three significant digits or more, without an exponent.
func shown(_ value: Double) -> String {
    let size = abs(value)
    let format = size >= 100 ? "%.0f" : size >= 10 ? "%.1f" : size >= 1 ? "%.2f" : size >= 0.1 ? "%.3f" : "%.5f"
    return String(format: format, value)
}

extension String {
    /// With spaces behind it up to a width.
    func padded(to width: Int) -> String {
        self + String(repeating: " ", count: Swift.max(1, width - count))
    }
}
