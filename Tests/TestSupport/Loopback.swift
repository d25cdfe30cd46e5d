internal import Glibc
internal import Synchronization

/// Addresses of this machine's own network that no other test has, not even one of another test run.
public enum Loopback {
    private static let handedOut = Atomic<Int>(0)

    /// Each process has 1024 addresses of 127.0.0.0/8, above 127.16.0.0, chosen by its ID.
    private static let base = 0x7f10_0000 + Int(getpid()) % 15_000 * 1024

    /// The next free address.
    public static func next() -> String {
        let number = base + handedOut.wrappingAdd(1, ordering: .relaxed).newValue
        return [24, 16, 8, 0].map { "\(number >> $0 & 0xff)" }.joined(separator: ".")
    }
}
