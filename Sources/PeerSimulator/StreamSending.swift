internal import PeerCore

// How octets leave: queue, marks, windows, files, the end.
extension StreamEnd {
    func send(_ bytes: Bytes) {
        guard isHeard, bytes.count > 0 else { return }
        waiting.append(.bytes(bytes))
        waitingOctets += bytes.count
        if waitingOctets > owner.limits.hard { return close(.tooSlow, resetting: true) }
        if waitingOctets > owner.limits.high { isAboveHigh = true }
        owner.sendLater(self)
    }

    func send(_ file: FileSending) {
        waiting.append(.file(file))
        owner.sendLater(self)
    }

    func finish() {
        guard isHeard else { return }
        isFinishing = true
        reception?.fail(.disconnected)
        owner.sendLater(self)
    }

    /// Hands to the system what it takes, then looks at the marks.
    func flush() {
        guard phase == .open else { return }
        write()
        if isAboveHigh || isToldStalled, waitingOctets < owner.limits.low {
            (isAboveHigh, isToldStalled) = (false, false)
            owner.enqueue(.drained(connection), about: self)
            owner.wake(self)
        } else if waitingOctets > owner.limits.low, !isToldStalled, !isFinishing {
            isToldStalled = true
            owner.enqueue(.stalled(connection), about: self)
        }
        if isFinishing, !hasSentEnd { endSending() }
    }

    private func write() {
        var joined: [UInt8] = []
        while inFlight + joined.count < world.network.window, let piece = waiting.first {
            let room = world.network.window - inFlight - joined.count
            guard let bytes = take(piece, room) else { continue }
            if joined.isEmpty, waiting.isEmpty { return transmit(bytes) }
            joined.append(contentsOf: bytes.slice)
        }
        if !joined.isEmpty { transmit(Bytes(joined)) }
    }

    /// The next octets of the first piece, at most `room`; nil when there are none in it.
    private func take(_ piece: Piece, _ room: Int) -> Bytes? {
        switch piece {
        case .bytes(let bytes):
            let taken = bytes.slice(0..<min(room, bytes.count))
            waitingOctets -= taken.count
            if taken.count < bytes.count {
                waiting.first = .bytes(bytes.dropping(taken.count))
            } else {
                _ = waiting.removeFirst()
            }
            return taken
        case .file(var file):
            let octets = file.read(room, from: machine)
            guard let result = file.result else {
                waiting.first = .file(file)
                return octets
            }
            _ = waiting.removeFirst()
            owner.enqueue(.transferred(connection, file.file, result), about: nil)
            if case .failed = result {
                isCutShort = isFinishing
                dropWaiting()
            }
            return octets
        }
    }

    private func transmit(_ bytes: Bytes) {
        inFlight += bytes.count
        traffic.sent += UInt64(bytes.count)
        var rest = bytes
        if bytes.count > 1, world.chance(world.network.splitting) {
            for _ in 0..<Int.random(in: 1...3, using: &world.random) where rest.count > 1 {
                let cut = Int.random(in: 1..<rest.count, using: &world.random)
                transmit(.data(rest.slice(0..<cut)), octets: cut)
                rest = rest.dropping(cut)
            }
        }
        transmit(.data(rest), octets: rest.count)
    }

    /// Drops what waits: what follows a file that is cut short would be taken for its rest.
    func dropWaiting() {
        waitingOctets = 0
        while let piece = waiting.removeFirst() {
            guard case .file(let file) = piece else { continue }
            let result = TransferResult.failed(.disconnected, octets: file.moved)
            owner.enqueue(.transferred(connection, file.file, result), about: nil)
        }
    }

    /// The other side's program has read: its system tells ours that there is room, if ours waits for it.
    func gotRoom(_ octets: Int) {
        inFlight -= octets
        guard !waiting.isEmpty, !roomIsPlanned, let other else { return }
        roomIsPlanned = true
        world.schedule(after: world.oneWay(from: other.machine, to: machine)) { [self] in
            roomIsPlanned = false
            owner.perform { self.flush() }
        }
    }

    /// Ends our side as `shutdown` does, while a bare socket goes on reading.
    func endSendingOnly() {
        guard phase == .open, !hasSentEnd, waiting.isEmpty else { return }
        hasSentEnd = true
        transmit(.end)
        if otherHasEnded { close(.finished, resetting: false) }
    }

    private func endSending() {
        // An end in order would tell the other side that the file is whole.
        guard !isCutShort else { return close(.systemError, resetting: true) }
        guard waiting.isEmpty else { return watchStall() }
        hasSentEnd = true
        transmit(.end)
        guard !otherHasEnded else { return close(.finished, resetting: false) }
        world.schedule(at: world.now + owner.limits.finish) { [self] in
            owner.perform { self.close(.finished, resetting: false) }
        }
    }

    /// While ending, a peer that takes nothing is not waited for.
    private func watchStall() {
        let sent = traffic.sent
        world.schedule(at: world.now + owner.limits.stall) { [self] in
            guard phase == .open, !hasSentEnd, traffic.sent == sent else { return }
            owner.perform { self.close(.tooSlow, resetting: true) }
        }
    }
}
