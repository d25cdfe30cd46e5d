internal import PeerCore
internal import PeerCrypto

/// A running hash of everything that happens, equal in every process that runs the same seed.
/// (Swift's own `Hasher` is keyed anew in each process.)
struct TraceHash {
    private(set) var state: UInt64 = 0xcbf2_9ce4_8422_2325

    mutating func add(_ word: UInt64) {
        // Multiply by the golden ratio and fold the high half down: each bit reaches all others in two steps.
        state = (state ^ word) &* 0x9e37_79b9_7f4a_7c15
        state ^= state >> 32
    }

    mutating func add(_ octets: some Collection<UInt8>) {
        add(UInt64(octets.count))
        var word: UInt64 = 0
        var filled = 0
        for octet in octets {
            word = word << 8 | UInt64(octet)
            filled += 1
            if filled == 8 {
                add(word)
                filled = 0
            }
        }
        if filled > 0 { add(word) }
    }

    /// The same for octets that lie in an array: eight at once.
    mutating func add(_ octets: [UInt8], in range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= octets.count)
        add(UInt64(range.count))
        var index = range.lowerBound
        while range.upperBound - index >= 8 {
            var word: UInt64 = 0
            for offset in 0..<8 { word = word << 8 | UInt64(octets[index &+ offset]) }
            add(word)
            index += 8
        }
        var word: UInt64 = 0
        for octet in octets[index..<range.upperBound] { word = word << 8 | UInt64(octet) }
        if index < range.upperBound { add(word) }
    }

    /// A case of an enum and what it carries.
    mutating func add<each Part: Traceable>(case number: UInt64, _ part: repeat each Part) {
        add(number)
        repeat (each part).trace(into: &self)
    }
}

/// A value that can be told to the trace.
protocol Traceable {
    func trace(into hash: inout TraceHash)
}

extension UInt64: Traceable {
    func trace(into hash: inout TraceHash) { hash.add(self) }
}

extension Int64: Traceable {
    func trace(into hash: inout TraceHash) { hash.add(UInt64(bitPattern: self)) }
}

extension Int: Traceable {
    func trace(into hash: inout TraceHash) { hash.add(UInt64(bitPattern: Int64(self))) }
}

extension Bool: Traceable {
    func trace(into hash: inout TraceHash) { hash.add(self ? 1 : 0) }
}

extension String: Traceable {
    func trace(into hash: inout TraceHash) { hash.add(utf8) }
}

extension Duration: Traceable {
    func trace(into hash: inout TraceHash) { nanoseconds.trace(into: &hash) }
}

extension Optional: Traceable where Wrapped: Traceable {
    func trace(into hash: inout TraceHash) {
        if let self {
            hash.add(case: 1, self)
        } else {
            hash.add(0)
        }
    }
}

extension Array: Traceable where Element: Traceable {
    func trace(into hash: inout TraceHash) {
        hash.add(UInt64(count))
        for element in self { element.trace(into: &hash) }
    }
}

extension Bytes: Traceable {
    func trace(into hash: inout TraceHash) {
        // Above some hundred octets the C library is the faster one, in a debug build by far.
        if count > 512 {
            hash.add(blake2b256(self).array)
        } else {
            hash.add(storage, in: range)
        }
    }
}

extension WallClock: Traceable {
    func trace(into hash: inout TraceHash) { milliseconds.trace(into: &hash) }
}

extension IPAddress: Traceable {
    func trace(into hash: inout TraceHash) {
        if let v4 {
            hash.add(UInt64(v4))
        } else {
            hash.add(octets)
        }
    }
}

extension IPPrefix: Traceable {
    func trace(into hash: inout TraceHash) { hash.add(case: UInt64(length), base) }
}

extension SocketAddress: Traceable {
    func trace(into hash: inout TraceHash) { hash.add(case: UInt64(port), ip) }
}

extension DatagramParts: Traceable {
    func trace(into hash: inout TraceHash) {
        head.trace(into: &hash)
        payload.trace(into: &hash)
    }
}

extension Destination: Traceable {
    func trace(into hash: inout TraceHash) {
        switch self {
        case .address(let address): hash.add(case: 1, address)
        case .name(let name, let port): hash.add(case: 2, name, UInt64(port))
        }
    }
}

extension ListenAddress: Traceable {
    func trace(into hash: inout TraceHash) {
        switch self {
        case .ip(let address): hash.add(case: 1, address)
        case .unix(let path): hash.add(case: 2, path)
        }
    }
}

extension ListenerID: Traceable {
    func trace(into hash: inout TraceHash) { name.trace(into: &hash) }
}

extension ConnectionID: Traceable {
    func trace(into hash: inout TraceHash) { hash.add(number) }
}

extension RequestID: Traceable {
    func trace(into hash: inout TraceHash) { hash.add(number) }
}

extension CommandID: Traceable {
    func trace(into hash: inout TraceHash) { hash.add(number) }
}

extension FolderID: Traceable {
    func trace(into hash: inout TraceHash) { name.trace(into: &hash) }
}

extension RelativePath: Traceable {
    func trace(into hash: inout TraceHash) { components.trace(into: &hash) }
}

extension FileName: Traceable {
    func trace(into hash: inout TraceHash) { hash.add(case: 1, folder, path) }
}

extension CloseReason: Traceable {
    func trace(into hash: inout TraceHash) { rawValue.trace(into: &hash) }
}

extension SystemError: Traceable {
    func trace(into hash: inout TraceHash) { description.trace(into: &hash) }
}

extension Traffic: Traceable {
    func trace(into hash: inout TraceHash) { hash.add(case: received, sent) }
}
