internal import PeerCore

// How octets come in: reads, back-pressure, files, the end.
extension StreamEnd {
    /// Octets that are read at once (the host's buffer for one read, 64 KiB).
    private static let readSize = 64 << 10

    /// Whether a read would give something now. The one rule of back-pressure stands here.
    var canRead: Bool {
        guard phase == .open, let first = arrived.first else { return false }
        if case .open = first { return !(socket?.isPaused ?? false) }
        return isFinishing || !(isHeld || isAboveHigh || reception?.isStoring ?? false)
    }

    /// Leaves what has arrived where it is.
    func hold() {
        isHeld = true
    }

    /// Reads again.
    func release() {
        guard isHeld else { return }
        isHeld = false
        owner.wake(self)
    }

    /// Reads once.
    func readOne() {
        guard canRead, let first = arrived.removeFirst() else { return }
        switch first {
        case .open: accept()
        case .data(let bytes): take(bytes)
        case .end: takeEnd()
        case .reset: close(.reset, resetting: false)
        }
    }

    private func accept() {
        socket?.pending.removeAll { $0 === self }
        guard socket?.isOpen ?? true, remote == .none || !machine.isBanned(remote.ip) else {
            phase = .closed
            return transmit(.reset)
        }
        connection = owner.admit(self)
        guard let socket else { return }
        owner.enqueue(.accepted(connection, on: socket.listener, local: local, remote: remote), about: self)
    }

    private func take(_ first: Bytes) {
        let bytes = joined(first)
        traffic.received += UInt64(bytes.count)
        other?.gotRoom(bytes.count)
        guard !isFinishing else { return }
        if let reception {
            reception.take(bytes)
        } else {
            owner.enqueue(.received(bytes, on: connection), about: self)
        }
    }

    /// `first` with what lies behind it, up to the size of one read; what is too much stays in its place.
    private func joined(_ first: Bytes) -> Bytes {
        var bytes = first
        if first.count < Self.readSize, case .data? = arrived.first {
            var joined = first.array
            while joined.count < Self.readSize, case .data(let next)? = arrived.first {
                _ = arrived.removeFirst()
                joined.append(contentsOf: next.slice)
            }
            bytes = Bytes(joined)
        }
        guard bytes.count > Self.readSize else { return bytes }
        arrived.prepend(.data(bytes.dropping(Self.readSize)))
        return bytes.slice(0..<Self.readSize)
    }

    private func takeEnd() {
        otherHasEnded = true
        guard !isFinishing else {
            if hasSentEnd { close(.finished, resetting: false) }
            return
        }
        let waits = reception?.takeEnd() ?? false
        if !waits { tellEnded() }
    }

    func tellEnded() {
        owner.enqueue(.ended(connection), about: self)
    }
}

extension Bytes {
    /// The octets as a part of the array that they lie in, which arrays copy at once.
    var slice: ArraySlice<UInt8> { storage[range] }
}
