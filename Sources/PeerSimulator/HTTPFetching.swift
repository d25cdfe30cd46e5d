internal import PeerCore
internal import PeerCrypto

/// One fetch of a core.
final class HTTPFetching: HTTPEnd {
    private let request: RequestID
    private let fetch: HTTPFetch
    private var head: HTTPExchange.Head?
    private var plan: HTTPContent?
    /// Octets of the head of the answer that are still to come.
    private var missing = 0
    private var octets: UInt64 = 0
    private var toldOctets: UInt64 = 0
    private var body: [UInt8] = []
    private var result: Result<HTTPAnswer, HTTPFailure>?
    private var lastProgress: Instant

    /// How often progress is told, as by the host.
    private static let progressInterval = Duration.seconds(1)

    init(_ request: RequestID, _ fetch: HTTPFetch, _ seat: Seat) {
        self.request = request
        self.fetch = fetch
        lastProgress = seat.machine.world.now
        super.init(seat)
    }

    private var world: World { seat.machine.world }

    /// What the server's core is told.
    var asked: HTTPRequest {
        let own = [HTTPField("Host", "\(fetch.server)"), HTTPField("Accept-Encoding", "identity")]
        return HTTPRequest(fetch.method, fetch.target, fields: own + fetch.fields, body: fetch.body)
    }

    /// Octets of the request.
    var requestOctets: Int { Self.headOctets(fetch.target.count, fetch.fields) + fetch.body.count }

    func start() {
        let end = StreamEnd(self, local: .none, remote: .none)
        adopt(end)
        end.dial(.address(fetch.server), from: fetch.from, timeout: fetch.connectTime)
    }

    override func happened(_ input: Input) {
        switch input {
        case .connected:
            lastProgress = world.now
            end?.send(Self.head(requestOctets))
            watch()
            tellProgress()
        case .received(let bytes, _): received(bytes)
        case .ended: ended()
        case .closed(_, let reason, _): over(.failure(.connection(reason)))
        default: break
        }
    }

    /// A fetch to which nothing comes has failed.
    private func watch() {
        world.schedule(at: lastProgress + fetch.stallTime) { [weak self] in
            guard let self, result == nil else { return }
            perform { [self] in
                if lastProgress + fetch.stallTime <= world.now { fail(.stalled) } else { watch() }
            }
        }
    }

    private func tellProgress() {
        world.schedule(at: world.now + Self.progressInterval) { [weak self] in
            guard let self, result == nil else { return }
            perform { [self] in
                guard result == nil else { return }
                if octets > toldOctets { seat.enqueue(.fetching(request, octets: octets)) }
                toldOctets = octets
                tellProgress()
            }
        }
    }

    private func received(_ bytes: Bytes) {
        lastProgress = world.now
        if head == nil {
            guard let told = (end?.other?.owner as? HTTPExchange)?.head else { return fail(.malformed) }
            head = told
            missing = told.octets
        }
        let own = min(missing, bytes.count)
        missing -= own
        guard missing == 0, begin() else { return }
        take(bytes.dropping(own))
    }

    /// The head is complete. False when it is a failure.
    private func begin() -> Bool {
        guard plan == nil, let head else { return result == nil }
        do throws(HTTPFailure) {
            plan = try fetch.content(head.status, head.fields)
            return true
        } catch {
            fail(error)
            return false
        }
    }

    private func take(_ bytes: Bytes) {
        guard let plan, bytes.count > 0 else { return }
        let place = plan.start + octets
        octets += UInt64(bytes.count)
        guard octets <= plan.limit else { return fail(.tooLarge) }
        switch fetch.sink {
        case .file(let file, _, _) where plan.isWanted:
            do throws(SystemError) {
                try write(bytes, file, at: place)
            } catch {
                fail(.file(error))
            }
        default: if plan.isWanted || body.count < HTTPFetch.keptOfFailure { body += bytes.slice }
        }
    }

    /// What is there behind the first octets that come is cut off.
    private func write(_ bytes: Bytes, _ file: FileName, at place: UInt64) throws(SystemError) {
        let folder = try machine.existing(file.folder)
        if place == plan?.start {
            let size = folder.entries[file.path] == nil ? 0 : try folder.octets(file.path).count
            guard place <= UInt64(size) else { throw .endOfFile }
            try folder.resize(file.path, to: place)
        }
        try folder.write(bytes, to: file.path, at: place)
    }

    private func ended() {
        guard result == nil else { return }
        guard let head, let plan else { return over(.failure(.connection(.closedByPeer))) }
        if let count = head.count, octets < count { return fail(.short) }
        // The file is closed, and the digest is known, a little later.
        world.schedule(after: world.draw(world.network.disk)) { [self] in perform { self.complete(head, plan) } }
    }

    private func complete(_ head: HTTPExchange.Head, _ plan: HTTPContent) {
        guard result == nil else { return }
        do throws(SystemError) {
            var whole = Bytes(body)
            if case .file(let file, _, _) = fetch.sink, plan.isWanted {
                if octets == 0 { try write(Bytes(), file, at: plan.start) }
                whole = Bytes(try machine.existing(file.folder).octets(file.path))
            }
            let digest = plan.isWanted ? fetch.digest.map { PeerCrypto.digest(whole, $0) } : nil
            var kept = Bytes(body)
            if case .bytes = fetch.sink {} else if plan.isWanted { kept = Bytes() }
            if !plan.isWanted { kept = kept.slice(0..<min(kept.count, HTTPFetch.keptOfFailure)) }
            over(
                .success(
                    HTTPAnswer(head.status, fields: head.fields, body: kept, octets: octets, digest: digest)))
        } catch {
            over(.failure(.file(error)))
        }
        end?.finish()
        end?.flush()
    }

    /// Ends it from our side.
    func fail(_ failure: HTTPFailure) {
        over(.failure(failure))
        end?.close(.finished, resetting: true)
    }

    private func over(_ result: Result<HTTPAnswer, HTTPFailure>) {
        guard self.result == nil else { return }
        self.result = result
        seat.http.fetches[request] = nil
        seat.enqueue(.fetched(request, result))
    }
}
