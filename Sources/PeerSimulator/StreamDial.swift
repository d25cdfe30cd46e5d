internal import PeerCore

// How a stream comes to be: a name, an address, three packets.
extension StreamEnd {
    /// When TCP repeats a first packet that nobody answered: after 1, 2, 4 … s (RFC 6298, Linux `tcp_syn_retries`).
    private static let firstRetry = Duration.seconds(1)

    /// Dials from `from`, if given, for at most `timeout`. The owner hears `connected` or `closed`.
    func dial(_ destination: Destination, from: IPAddress?, timeout: Duration) {
        world.schedule(at: world.now + timeout) { [self] in
            owner.perform { self.fail(.timeout) }
        }
        switch destination {
        case .address(let address):
            dial(address, from: from)
        case .name(let name, let port):
            world.schedule(after: world.draw(world.network.lookup)) { [self] in
                // One family must do when we are bound to an address of it.
                let usable = world.addresses(of: name).first {
                    from == nil || ($0.v4 == nil) == (from?.v4 == nil)
                }
                owner.perform {
                    guard let usable else { return self.fail(.unresolved) }
                    self.dial(SocketAddress(usable, port), from: from)
                }
            }
        }
    }

    /// Dials a Unix socket of the owner's machine.
    func dial(path: String) {
        world.schedule(after: 0) { [self] in
            knock(machine) { $0.stream(atPath: path) }
        }
    }

    private func fail(_ reason: CloseReason) {
        if phase == .dialing { close(reason, resetting: false) }
    }

    private func dial(_ address: SocketAddress, from: IPAddress?) {
        guard phase == .dialing else { return }
        guard !machine.isBanned(address.ip) else { return fail(.banned) }
        guard from.map(machine.isLocal) ?? true, let ip = from ?? machine.localAddress(toward: address.ip),
            machine.canReach(address.ip, from: ip)
        else { return fail(.unreachable) }
        local = SocketAddress(ip, machine.sockets.freePort())
        remote = address
        sendFirst(retryAfter: Self.firstRetry)
    }

    private func sendFirst(retryAfter: Duration) {
        let address = remote
        if let target = world.machine(at: address.ip, from: machine) {
            world.schedule(after: world.oneWay(from: machine, to: target)) { [self] in
                knock(target) { $0.stream(at: address) }
            }
        }
        world.schedule(at: world.now + retryAfter) { [self] in
            if phase == .dialing, !isAnswered { sendFirst(retryAfter: retryAfter * 2) }
        }
    }

    /// The first packet is there: the system of `target` answers for whoever listens.
    private func knock(_ target: Machine, _ find: (Sockets) -> Socket?) {
        guard phase == .dialing, !world.isCut(machine, target) else { return }
        let socket = find(target.sockets)
        world.schedule(after: world.oneWay(from: target, to: machine)) { [self] in
            guard phase == .dialing, !isAnswered, !world.isCut(target, machine) else { return }
            isAnswered = true
            guard let socket else { return owner.perform { self.fail(.refused) } }
            open(to: socket)
        }
    }

    /// The answer is here: our system takes the stream for open, and so tells the other one.
    private func open(to socket: Socket) {
        let accepted = StreamEnd(socket.owner, local: remote, remote: local, acceptedOn: socket)
        accepted.phase = .open
        link(with: accepted)
        transmit(.open)
        owner.perform { [self] in
            guard phase == .dialing else { return accepted.abandon() }
            phase = .open
            owner.enqueue(.connected(connection, local: local, remote: remote), about: self)
            flush()
            owner.wake(self)
        }
    }

    /// The dialling program gave up while its system had opened the stream.
    private func abandon() {
        other?.transmit(.reset)
    }
}
