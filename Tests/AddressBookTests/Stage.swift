import AddressBook
import PeerCore
import PeerCrypto

/// The wall clock of virtual time begins on 2026-01-01.
private let epoch = WallClock(seconds: 1_767_225_600)

/// A point of virtual time, seconds after the start.
func moment(_ seconds: Double) -> Moment {
    let duration = Duration.nanoseconds(Int64(seconds * 1e9))
    return Moment(instant: Instant(nanoseconds: 0) + duration, wallClock: epoch + duration)
}

func days(_ number: Double) -> Moment { moment(number * 86_400) }

/// The same random numbers in every run.
func random(_ seed: UInt8 = 1) -> SeededRandom { SeededRandom(seed: id(seed)) }

/// A peer ID.
func id(_ number: UInt8) -> Bytes32 { Bytes32([UInt8](repeating: number, count: 32)) }

/// The address that a text says, on the port of DDRP unless it says another.
func address(_ text: String) -> SocketAddress {
    SocketAddress(text) ?? IPAddress(text).map { SocketAddress($0, 9097) } ?? .none
}

/// A public address with a /16 of its own for every `number` below 40,000.
func publicAddress(_ number: Int) -> SocketAddress {
    SocketAddress(IPAddress(v4: UInt32(0x1000_0000 + (number / 40) << 16 + number % 40)), 9097)
}

extension AddressBook {
    /// Takes up an address that was dialled once.
    mutating func addVerified(_ address: SocketAddress, from source: Source = .bootstrap, at now: Moment) {
        add(address, identity: nil, from: source, at: now)
        succeeded(address, identity: id(7), note: "", at: now)
    }

    /// Different candidates that come up in many draws.
    func drawn(
        at now: Moment, groups: Set<IPPrefix> = [], excluding: (Entry) -> Bool = { _ in false }
    ) -> Set<SocketAddress> {
        var random = random()
        var book = self
        return Set(
            (0..<200).compactMap { _ in
                book.candidate(at: now.instant, groups: groups, excluding: excluding, using: &random)?.address
            })
    }
}
