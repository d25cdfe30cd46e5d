internal import PeerCore

// Who is where, and how long it takes to get there.
extension World {
    /// One way within one machine.
    private static let loopbackDelay: Int64 = 20_000
    /// The largest payload of a datagram over IPv4 (65,535 octets less the headers of IP and UDP).
    private static let largestDatagram = 65_507
    /// What a socket holds of datagrams that nobody reads (Linux, `rmem_default`).
    private static let datagramBuffer = 212_992

    /// The machine that `address` leads to from `machine`; nil when nobody has it.
    func machine(at address: IPAddress, from machine: Machine) -> Machine? {
        address.isUnspecified || machine.isLocal(address) ? machine : machineOfAddress[address]
    }

    /// Whether nothing gets from one machine to the other now.
    func isCut(_ source: Machine, _ target: Machine) -> Bool {
        guard target.isOn else { return true }
        guard let parts, source !== target else { return false }
        return parts[source.id.index] != parts[target.id.index]
    }

    /// Nanoseconds that a small packet takes now.
    func oneWay(from source: Machine, to target: Machine) -> Int64 {
        guard source !== target else { return Self.loopbackDelay }
        let pair = source.id.index << 32 | target.id.index
        let base: Int64
        if let known = baseDelays[pair] {
            base = known
        } else {
            base = draw(network.delay)
            baseDelays[pair] = base
        }
        return network.jitter == .zero ? base : base + draw(.zero...network.jitter)
    }

    /// When `octets` that leave now will be there.
    func arrival(from source: Machine, at target: Machine, octets: Int) -> Instant {
        var departure = now
        if let bandwidth = network.bandwidth, octets > 0, source !== target {
            let (seconds, rest) = octets.quotientAndRemainder(dividingBy: bandwidth)
            departure = max(now, source.uplinkIsFree) + .seconds(seconds)
            departure += .nanoseconds(Int64(Double(rest) / Double(bandwidth) * 1e9))
            source.uplinkIsFree = departure
        }
        return Instant(nanoseconds: departure.nanoseconds &+ oneWay(from: source, to: target))
    }
}

// Datagrams.
extension World {
    /// One datagram from an open listener. Nobody is told what becomes of it.
    func send(_ bytes: Bytes, from socket: Socket, to address: SocketAddress) {
        datagrams.sent += 1
        let source = socket.seat.machine
        guard case .ip(let bound) = socket.address, bytes.count <= Self.largestDatagram,
            !source.isBanned(address.ip), let target = machine(at: address.ip, from: source),
            let ip = bound.ip.isUnspecified ? source.localAddress(toward: address.ip) : bound.ip,
            source.canReach(address.ip, from: ip), !chance(source === target ? 0 : network.loss)
        else {
            datagrams.lost += 1
            return
        }
        guard source === target || hasRoom(source, bytes.count) else {
            datagrams.lost += 1
            return
        }
        let copies = source !== target && chance(network.duplication) ? 2 : 1
        for _ in 0..<copies {
            var arrival = arrival(from: source, at: target, octets: bytes.count)
            if source !== target, chance(network.reordering) {
                arrival += .nanoseconds(draw(.zero...network.delay.upperBound * 4))
            }
            schedule(at: arrival) { [self] in
                let isThere = !isCut(source, target) && target.isLocal(address.ip)
                let socket = isThere ? target.sockets.datagram(at: address) : nil
                deliver(bytes, to: socket, from: SocketAddress(ip, bound.port))
            }
        }
    }

    /// Whether what waits in front of the bandwidth of a node leaves room for so many octets.
    private func hasRoom(_ source: Machine, _ octets: Int) -> Bool {
        guard let bandwidth = network.bandwidth, let backlog = network.backlog else { return true }
        let waiting = (source.uplinkIsFree - now).fractionalSeconds * Double(bandwidth)
        return waiting + Double(octets) <= Double(backlog)
    }

    private func deliver(_ bytes: Bytes, to socket: Socket?, from address: SocketAddress) {
        guard let socket, socket.waitingOctets + bytes.count <= Self.datagramBuffer,
            !socket.seat.machine.isBanned(address.ip)
        else {
            datagrams.lost += 1
            return
        }
        socket.waitingOctets += bytes.count
        socket.seat.perform { [self] in
            socket.waitingOctets -= bytes.count
            guard socket.isOpen else { return }
            datagrams.delivered += 1
            socket.seat.enqueue(.datagram(bytes, on: socket.listener, from: address))
        }
    }
}

extension Machine {
    func isLocal(_ address: IPAddress) -> Bool { address.isLoopback || addresses.contains(address) }

    /// Whether packets from `local` can go to `target` at all: the same family, and loopback stays on the machine.
    func canReach(_ target: IPAddress, from local: IPAddress) -> Bool {
        (local.v4 == nil) == (target.v4 == nil) && (!local.isLoopback || isLocal(target) || target.isUnspecified)
    }

    /// The own address from which packets to `target` leave; nil when there is no way to such addresses.
    func localAddress(toward target: IPAddress) -> IPAddress? {
        if target.isUnspecified || target == .loopback { return target.v4 == nil ? Self.loopbackV6 : .loopback }
        if isLocal(target) { return target.isLoopback && target.v4 != nil ? .loopback : target }
        return addresses.first { ($0.v4 == nil) == (target.v4 == nil) }
    }

    /// `::1`, the other address of every machine.
    private static let loopbackV6 = IPAddress("::1") ?? .anyV6
}
