internal import PeerCore
internal import UV

// MARK: - Listening

extension Host {
    /// Connections that may wait to be accepted; the system cuts it to its own limit.
    private static let backlog: Int32 = 1024

    func listen(_ listener: ListenerID, on address: ListenAddress, _ kind: Effect.ListenerKind) {
        precondition(
            streams.listeners[listener] == nil && datagramSockets[listener] == nil,
            "listener \(listener) is open already")
        do throws(UVError) {
            switch (address, kind) {
            case (.ip(let address), .stream): try listenTCP(listener, on: address)
            case (.unix(let path), .stream): try listenUnix(listener, path: path)
            case (.ip(let address), .datagram): try openUDP(listener, on: address)
            case (.ip(let address), .http(let limits)):
                try listenHTTP(listener, limits) { () throws(UVError) in try listenTCP(listener, on: address) }
            case (.unix, .datagram), (.unix, .http): throw UVError.notSupported
            }
        } catch {
            deliver(.refused(listener, error.systemError))
            runtime.listenerRefused(listener, address, error.systemError)
        }
    }

    private func listenTCP(_ listener: ListenerID, on address: SocketAddress) throws(UVError) {
        let socket = try TCP(runtime.loop, for: address.ip)
        do throws(UVError) {
            chooseCongestionControl(of: socket, listeningAt: address.ip)
            try socket.bind(address, v6Only: address.ip != .anyV6)
            try socket.listen(backlog: Self.backlog) { [unowned self, unowned socket] error in
                if let error { return report(listener, error) }
                accept(from: socket, on: listener)
            }
        } catch {
            socket.close()
            throw error
        }
        streams.listeners[listener] = socket
        deliver(.listening(listener, .ip(socket.localAddress ?? address)))
    }

    private func listenUnix(_ listener: ListenerID, path: String) throws(UVError) {
        // A look at a living socket would be a visit: our own ones are known without it.
        guard !runtime.unixPaths.contains(path) else { throw .addressInUse }
        let socket = try Pipe(runtime.loop)
        do throws(UVError) {
            removeDeadSocket(path)
            try socket.bind(path: path)
            try socket.listen(backlog: Self.backlog) { [unowned self, unowned socket] error in
                guard error == nil, let client = try? socket.accept() else { return }
                open(client, on: listener, local: .none, remote: .none)
            }
        } catch {
            socket.close()
            throw error
        }
        streams.listeners[listener] = socket
        streams.unixPaths[listener] = path
        runtime.unixPaths.insert(path)
        deliver(.listening(listener, .unix(path: path)))
    }

    /// Callers that are not accepted wait in the system's queue.
    func pause(_ listener: ListenerID) {
        if streams.listeners[listener] != nil { streams.pausedListeners.updateValue(false, forKey: listener) }
    }

    func resume(_ listener: ListenerID) {
        let hasCallers = streams.pausedListeners.removeValue(forKey: listener) ?? false
        guard hasCallers, let socket = streams.listeners[listener] as? TCP else { return }
        accept(from: socket, on: listener)
    }

    private func accept(from socket: TCP, on listener: ListenerID) {
        guard streams.pausedListeners[listener] == nil else {
            streams.pausedListeners[listener] = true
            return
        }
        // A caller that is not accepted now waits in the system's queue; refused, it would have to begin anew.
        guard runtime.limits.mayAccept else {
            streams.waitingListeners.append(listener)
            return reportLimit("acceptsPerSecond", runtime.limits.values.acceptsPerSecond, "callers have to wait")
        }
        do throws(UVError) {
            let client = try socket.accept()
            guard let remote = client.remoteAddress, let local = client.localAddress else { return client.close() }
            if runtime.isBanned(remote.ip) {
                client.reset()
                return runtime.log.write(
                    LogRecord(.info, "caller_banned", ["listener": .text(listener), "address": .text(remote)]),
                    category: name, at: runtime.loop.wallClock)
            }
            if let limit = runtime.limits.broken(by: remote.ip) {
                client.reset()
                return refused(remote, limit.key, limit.value)
            }
            chooseCongestionControl(of: client, from: remote.ip)
            guard let server = http.servers[listener] else {
                return open(client, on: listener, local: local, remote: remote)
            }
            guard let limit = server.broken(by: remote.ip) else { return server.take(client, from: remote) }
            client.reset()
            runtime.log.write(
                LogRecord(
                    .warn, "limit_hit",
                    ["value": .count(limit.value), "address": .text(remote)],
                    "a connection to \(listener) was refused: its limit of \(limit.key) is reached"),
                category: name, at: runtime.loop.wallClock)
        } catch {
            report(listener, error)
        }
    }

    private func open(_ client: Stream, on listener: ListenerID, local: SocketAddress, remote: SocketAddress) {
        let connection = add(client, id: nextConnectionID(), remote: remote, isAccepted: true)
        deliver(.accepted(connection.id, on: listener, local: local, remote: remote))
        connection.startReading()
    }

    private func report(_ listener: ListenerID, _ error: UVError) {
        runtime.log.write(
            LogRecord(.warn, "accept_failed", ["listener": .text(listener), "error": .text(error.systemError)]),
            category: name, at: runtime.loop.wallClock)
    }

    private func refused(_ remote: SocketAddress, _ key: String, _ value: Int) {
        reportLimit(key, value, "a connection was refused to protect this node", ["address": .text(remote)])
    }

    private func reportLimit(_ key: String, _ value: Int, _ message: String, _ fields: Record = [:]) {
        let limit: Record = ["setting": "/limits/\(key)", "value": .count(value)]
        runtime.log.write(
            LogRecord(.warn, "limit_hit", limit.appending(fields), message), category: name,
            at: runtime.loop.wallClock)
    }

    /// A second begins: those who had to wait go on.
    public func resumeConnecting() {
        let listeners = streams.waitingListeners
        streams.waitingListeners = []
        for listener in listeners {
            if let socket = streams.listeners[listener] as? TCP { accept(from: socket, on: listener) }
        }
        let dials = streams.waitingDials
        streams.waitingDials = []
        for waiting in dials where streams.dials[waiting.id] != nil {
            begin(waiting)
        }
    }

    func unlisten(_ listener: ListenerID) {
        unlistenHTTP(listener)
        streams.listeners.removeValue(forKey: listener)?.close()
        streams.pausedListeners[listener] = nil
        if let path = streams.unixPaths.removeValue(forKey: listener) { runtime.unixPaths.remove(path) }
        datagramSockets[listener]?.close()
        datagramSockets[listener] = nil
    }
}

// MARK: - Dialling

extension Host {
    func connect(_ id: ConnectionID, to destination: Destination, from local: IPAddress?, timeout: Duration) {
        guard runtime.limits.hasRoom else { return deliver(.closed(id, .limit, Traffic())) }
        let timer = Timer(runtime.loop)
        streams.dials[id] = StreamTable.Dial(socket: nil, timer: timer)
        timer.start(at: runtime.loop.instant + timeout) { [unowned self] in endDial(id, .timeout) }
        begin(StreamTable.WaitingDial(id: id, destination: destination, local: local))
    }

    private func begin(_ waiting: StreamTable.WaitingDial) {
        guard runtime.limits.takeDial() else { return streams.waitingDials.append(waiting) }
        let (id, local) = (waiting.id, waiting.local)
        switch waiting.destination {
        case .address(let address): dial(id, address, from: local)
        case .name(let host, let port):
            runtime.loop.resolve(host) { [weak self] addresses in
                guard let self, streams.dials[id] != nil else { return }
                // One family must do when we are bound to an address of it.
                let usable = addresses.first { local == nil || ($0.v4 == nil) == (local?.v4 == nil) }
                guard let usable else { return endDial(id, .unresolved) }
                dial(id, SocketAddress(usable, port), from: local)
            }
        }
    }

    private func dial(_ id: ConnectionID, _ address: SocketAddress, from local: IPAddress?) {
        if runtime.isBanned(address.ip) { return endDial(id, .banned) }
        do throws(UVError) {
            let socket = try TCP(runtime.loop, for: address.ip)
            streams.dials[id]?.socket = socket
            chooseCongestionControl(of: socket.descriptor, towards: address.ip)
            if let local { try socket.bind(SocketAddress(local, 0)) }
            try socket.connect(to: address) { [unowned self, unowned socket] error in
                if let error { return endDial(id, error.closeReason) }
                connected(id, socket, address)
            }
        } catch {
            endDial(id, error.closeReason)
        }
    }

    private func connected(_ id: ConnectionID, _ socket: TCP, _ address: SocketAddress) {
        guard let dial = streams.dials.removeValue(forKey: id) else { return }
        dial.timer.close()
        let connection = add(socket, id: id, remote: address, isAccepted: false)
        deliver(.connected(id, local: socket.localAddress ?? .none, remote: address))
        connection.startReading()
    }

    private func endDial(_ id: ConnectionID, _ reason: CloseReason) {
        guard let dial = streams.dials.removeValue(forKey: id) else { return }
        dial.timer.close()
        dial.socket?.close()
        deliver(.closed(id, reason, Traffic()))
    }

    /// Ends a connection, or a dial that has not ended yet.
    func abort(_ id: ConnectionID, _ reason: CloseReason) {
        if let connection = streams[id] { return connection.abort(reason) }
        endDial(id, reason)
    }
}

// MARK: - Connections

extension Host: ConnectionOwner {
    private func add(_ stream: Stream, id: ConnectionID, remote: SocketAddress, isAccepted: Bool) -> Connection {
        let connection = Connection(id, stream, remote: remote, owner: self)
        streams[id] = connection
        if remote != .none { runtime.limits.opened(remote.ip, isAccepted: isAccepted) }
        countConnections(1)
        return connection
    }

    func wantsFlush(_ connection: Connection) {
        streams.waitingForFlush.append(connection)
    }

    /// Writes what waits on the connections of the turn.
    public func flush() {
        // The next turn may find another file in its place.
        defer { openedFile = nil }
        // A core that hears of room may send more at once.
        for _ in 0..<Self.flushesAtOnce {
            guard !streams.waitingForFlush.isEmpty else { return }
            let waiting = streams.waitingForFlush
            streams.waitingForFlush = []
            for connection in waiting { connection.flush() }
        }
        if !streams.waitingForFlush.isEmpty { runtime.continueLater(self) }
    }

    /// So often in a row; then others get their turn.
    private static let flushesAtOnce = 8

    func buffered(_ change: Int) {
        runtime.limits.bufferedBytes += change
        guard change > 0, runtime.limits.bufferedBytes > runtime.limits.values.maxBufferedBytes else { return }
        // The slowest reader of this protocol makes room.
        guard let slowest = streams.open.max(by: { $0.queuedBytes < $1.queuedBytes }) else { return }
        refused(slowest.remote, "maxBufferedBytes", runtime.limits.values.maxBufferedBytes)
        slowest.abort(.limit)
    }

    var downloadAllowance: Int { runtime.limits.downloads.allowance }

    var uploadAllowance: Int { min(runtime.limits.uploads.allowance, uploads.allowance) }

    func waitForRate(_ connection: Connection) {
        streams.waitingForRate.append(connection)
        runtime.waitForRate()
    }

    /// Lets connections go on that waited for a limited rate.
    func resumeRates() {
        uploads.refill()
        let waiting = streams.waitingForRate
        streams.waitingForRate = []
        var served: Set<ConnectionID> = []
        for connection in waiting {
            let before = connection.traffic
            connection.resumeRate()
            if connection.traffic != before { served.insert(connection.id) }
        }
        // Those that got nothing come first in the next slice, or the same one would take every slice.
        let again = streams.waitingForRate
        streams.waitingForRate = again.filter { !served.contains($0.id) } + again.filter { served.contains($0.id) }
        http.client?.resumeRates()
    }

    func closed(_ connection: Connection, _ reason: CloseReason) {
        streams[connection.id] = nil
        if connection.remote != .none { runtime.limits.closed(connection.remote.ip) }
        countConnections(-1)
        deliver(.closed(connection.id, reason, connection.traffic))
    }

    /// Ends everything that is open, without telling the core.
    func closeSockets() {
        for listener in streams.listeners.keys { unlisten(listener) }
        for socket in datagramSockets.all { socket.close() }
        for dial in streams.dials.values {
            dial.timer.close()
            dial.socket?.close()
        }
        for connection in streams.open { connection.abort(.shutdown) }
        streams.listeners = [:]
        datagramSockets = DatagramSockets()
        streams.dials = [:]
        streams.waitingDials = []
        streams.waitingListeners = []
    }
}

// MARK: - Datagrams

extension Host {
    private func openUDP(_ listener: ListenerID, on address: SocketAddress) throws(UVError) {
        let socket = try UDP(runtime.loop, bind: address)
        socket.startReceiving(
            { [unowned self] bytes, source in
                count(received: bytes.count)
                if runtime.isBanned(source.ip) { return }
                deliver(.datagram(bytes, on: listener, from: source))
            },
            onError: { [unowned self] error in
                runtime.log.write(
                    LogRecord(
                        .warn, "receive_failed", ["listener": .text(listener), "error": .text(error.systemError)]),
                    category: name, at: runtime.loop.wallClock)
            })
        datagramSockets[listener] = socket
        deliver(.listening(listener, .ip(socket.localAddress ?? address)))
    }

    func sendDatagram(_ bytes: Bytes, from listener: ListenerID, to address: SocketAddress) {
        guard !runtime.isBanned(address.ip) else { return }
        count(sent: bytes.count)
        datagramSockets[listener]?.send(bytes, to: address)
    }

    func sendDatagrams(_ list: [DatagramParts], from listener: ListenerID, to address: SocketAddress) {
        guard !runtime.isBanned(address.ip), let socket = datagramSockets[listener] else { return }
        for parts in list {
            // What is beyond the limits is lost as on a narrow line, which whoever sends so much finds out by itself.
            guard uploadAllowance > 0 else { return }
            count(sent: parts.count)
            socket.send(parts.head, parts.payload, to: address)
        }
    }
}
