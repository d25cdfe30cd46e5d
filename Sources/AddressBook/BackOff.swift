internal import PeerCore

/// How long a failed address rests (DDRP section 12).
enum BackOff {
    /// Back-off steps of an address that is no seed: 1 min, 4 min, 16 min, 1 h, then hourly.
    private static let steps: [Duration] = [.seconds(60), .seconds(240), .seconds(960), .seconds(3600)]
    /// A seed rests 5 s at first, doubling to 10 min.
    private static let seedStart = Duration.seconds(5)
    private static let seedLimit = Duration.seconds(600)
    /// Spread by 20 %, so that nodes which failed together do not come back together.
    private static let jitter = 0.8...1.2
    /// An address leaves the book after 30 days without a sign of life.
    static let patience = Duration.seconds(30 * 86_400)

    /// The rest after `failures` failures in a row.
    static func duration(
        afterFailures failures: Int, isSeed: Bool, using random: inout some RandomNumberGenerator
    ) -> Duration {
        let exponent = max(0, failures - 1)
        // 5 s doubled seven times is above the limit.
        let rest = isSeed ? min(seedLimit, seedStart * (1 << min(exponent, 7))) : steps[min(exponent, steps.count - 1)]
        return rest * Double.random(in: jitter, using: &random)
    }
}
