internal import CMicrohttpd
internal import PeerCore

/// An answer whose length nobody knows before its end.
@safe final class HTTPStream {
    /// Octets that wait for the library.
    private(set) var queued = 0
    /// Nothing is added any more.
    var isEnded = false

    private weak var exchange: HTTPExchange?
    private var parts: [Bytes] = []

    init(of exchange: HTTPExchange) {
        self.exchange = exchange
    }

    /// Octets that the library asks for at once.
    private static let block = 32 << 10

    /// The answer in the form of the library, which lets go of this object with it.
    func makeResponse() -> OpaquePointer? {
        let context = unsafe Unmanaged.passRetained(self).toOpaque()
        return unsafe MHD_create_response_from_callback(
            peernode_mhd_unknown_size, Self.block,
            { context, _, buffer, size in
                guard let context = unsafe context, let buffer = unsafe buffer else { return peernode_mhd_end }
                let stream = unsafe Unmanaged<HTTPStream>.fromOpaque(context).takeUnretainedValue()
                return unsafe stream.give(UnsafeMutableRawBufferPointer(start: buffer, count: size))
            }, context, { unsafe Unmanaged<HTTPStream>.fromOpaque($0!).release() })
    }

    func add(_ bytes: Bytes) {
        parts.append(bytes)
        queued += bytes.count
    }

    /// Fills `buffer` with what waits; how many octets.
    private func give(_ buffer: UnsafeMutableRawBufferPointer) -> Int {
        guard exchange?.isAbandoned == false else { return peernode_mhd_failed }
        guard queued > 0 else {
            if isEnded { return peernode_mhd_end }
            exchange?.waitForStream()
            return 0
        }
        var given = 0
        var used = 0
        while used < parts.count, given < buffer.count {
            let part = parts[used]
            let octets = min(part.count, buffer.count - given)
            let place = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[given..<given + octets])
            unsafe part.storage.withUnsafeBytes { all in
                unsafe place.copyMemory(from: UnsafeRawBufferPointer(rebasing: all[part.range.prefix(octets)]))
            }
            given += octets
            if octets < part.count {
                parts[used] = part.dropping(octets)
                break
            }
            used += 1
        }
        parts.removeFirst(used)
        queued -= given
        exchange?.took(given)
        return given
    }
}
