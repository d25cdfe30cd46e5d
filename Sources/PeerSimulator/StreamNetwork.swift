internal import PeerCore

// The network between the two ends.
extension StreamEnd {
    /// How long TCP tries to get octets through (Linux, `tcp_retries2` 15: 924.6 s).
    private static let retransmission = Duration.milliseconds(924_600)
    /// How long after the network has healed TCP's next try may come.
    private static let nextRetransmission = Duration.zero ... .seconds(1)
    /// How long the system waits for more before it wakes the reader, when it coalesces.
    private static let coalescing = Duration.zero ... .milliseconds(1)

    /// Hands a segment to the network, which keeps their order.
    func transmit(_ segment: Segment, octets: Int = 0) {
        guard let other else { return }
        let arrival = max(lastArrival, world.arrival(from: machine, at: other.machine, octets: octets))
        lastArrival = arrival
        world.schedule(at: arrival) { other.arrive(segment) }
    }

    private func arrive(_ segment: Segment) {
        guard world.isWhole || !isCutOff, lost.isEmpty else { return lose(segment) }
        if phase != .closed, !owner.isAlive {
            phase = .closed
            diedWithProcess = true
        }
        if phase == .closed { return answer(segment) }
        if case .open = segment { socket?.pending.append(self) }
        arrived.append(segment)
        guard case .data = segment, !isCoalescing, world.chance(world.network.coalescing) else {
            return isCoalescing ? () : owner.wake(self)
        }
        isCoalescing = true
        world.schedule(after: world.draw(Self.coalescing)) { [self] in
            isCoalescing = false
            owner.wake(self)
        }
    }

    private var isCutOff: Bool {
        guard let other else { return true }
        return world.isCut(other.machine, machine) || isStranded || other.isStranded
    }

    /// What the system answers for a stream that it does not know any more.
    private func answer(_ segment: Segment) {
        switch segment {
        case .reset: break
        case .end where !diedWithProcess: break
        case .open, .data, .end: if other?.phase != .closed { transmit(.reset) }
        }
    }

    private func lose(_ segment: Segment) {
        // A reset is sent once and not acknowledged.
        if case .reset = segment { return }
        if lost.isEmpty {
            world.stalled.append(self)
            losses += 1
            let loss = losses
            world.schedule(at: world.now + Self.retransmission) { [self] in
                guard !lost.isEmpty, losses == loss, let other else { return }
                other.owner.perform { other.close(.timeout, resetting: false) }
            }
        }
        lost.append(segment)
    }

    /// Lets what was lost arrive, if there is a way again.
    func retransmitLost() {
        guard !lost.isEmpty else { return }
        guard let other, !other.lostPower else { return lost.removeAll() }
        guard !isCutOff else { return world.stalled.append(self) }
        let delay = world.oneWay(from: other.machine, to: machine) + world.draw(Self.nextRetransmission)
        world.schedule(after: delay) { [self] in
            let segments = lost
            lost.removeAll()
            losses += 1
            for segment in segments { arrive(segment) }
        }
    }
}
