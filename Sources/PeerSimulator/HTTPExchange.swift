internal import PeerCore

/// A request to one of a core's listeners, and its answer.
final class HTTPExchange: HTTPEnd {
    /// What the client is told beside the stream.
    struct Head {
        let status: Int
        let fields: [HTTPField]
        let octets: Int
        /// Octets of the content; nil when its end is that of the stream.
        let count: UInt64?
    }

    private let listener: ListenerID
    private let own: HTTPLimits
    private var remote = SocketAddress.none
    private var id: ExchangeID?
    private var request: HTTPRequest?
    /// Octets of the request that are still to come; nil before anything has.
    private var missing: Int?
    private(set) var head: Head?
    private var isStream = false

    init(_ limits: HTTPLimits, _ socket: Socket) {
        own = limits
        listener = socket.listener
        super.init(socket.seat)
    }

    override func happened(_ input: Input) {
        switch input {
        case .accepted(_, _, _, let remote): accepted(from: remote)
        case .received(let bytes, _): received(bytes.count)
        case .ended: if head == nil { end?.close(.closedByPeer, resetting: true) }
        case .transferred(_, _, .failed(let error, _)) where error != .disconnected:
            end?.close(.systemError, resetting: true)
        case .closed(_, _, let traffic): closed(traffic)
        default: break
        }
    }

    private func accepted(from remote: SocketAddress) {
        self.remote = remote
        let others = seat.http.callers[listener, default: []]
        seat.http.callers[listener, default: []].append(remote.ip)
        if others.count >= own.connections || others.count(where: { $0 == remote.ip }) >= own.connectionsPerAddress {
            end?.close(.limit, resetting: true)
        }
    }

    private func received(_ count: Int) {
        guard let client = end?.other?.owner as? HTTPFetching else {
            // A bare socket: HTTP itself is not spoken here.
            end?.close(.malformed, resetting: true)
            return
        }
        let left = (missing ?? client.requestOctets) - count
        missing = left
        guard left <= 0, id == nil else { return }
        var request = client.asked
        if request.body.count > own.body {
            request = HTTPRequest(request.method, request.target, fields: request.fields, isBodyTooLarge: true)
        }
        self.request = request
        guard request.target.count <= own.requestLine else { return refuse(414) }
        let id = seat.http.nextExchangeID()
        self.id = id
        seat.http.exchanges[id] = self
        seat.enqueue(.requested(id, request, on: listener, from: remote))
    }

    private func refuse(_ status: Int) {
        answer(HTTPResponse(status), .bytes(Bytes()), count: 0)
        end?.flush()
    }

    func respond(_ response: HTTPResponse) {
        guard head == nil, end?.isHeard == true else { return }
        let hasContent = request?.method != .head && response.status != 204 && response.status != 304
        switch response.body {
        case .bytes(let bytes):
            answer(response, hasContent ? .bytes(bytes) : nil, count: UInt64(bytes.count))
        case .stream:
            isStream = hasContent
            answer(response, nil, count: nil)
        case .file(let file, let offset, let count, let mark):
            seat.machine.world.schedule(after: seat.machine.world.draw(seat.machine.world.network.disk)) { [self] in
                perform { [self] in open(file, offset, count, mark, response, hasContent: hasContent) }
            }
        }
    }

    private func open(
        _ file: FileName, _ offset: UInt64, _ count: UInt64, _ mark: FileMark?, _ response: HTTPResponse,
        hasContent: Bool
    ) {
        guard head == nil, end?.isHeard == true else { return }
        do throws(SystemError) {
            let folder = try machine.existing(file.folder)
            if let mark, folder.fileEntry(file.path, try folder.entry(file.path)).mark != mark {
                answer(.changed, nil, count: 0)
                end?.flush()
                return
            }
            _ = try folder.range(file.path, offset: offset, count: count)
            let content = hasContent && count > 0
            answer(response, content ? .file(FileSending(file, offset: offset, count: count)) : nil, count: count)
        } catch {
            switch error {
            case .endOfFile: end?.close(.systemError, resetting: true)
            case .notFound, .notAFolder, .notPermitted: answer(HTTPResponse(404), nil, count: 0)
            default: answer(HTTPResponse(500), nil, count: 0)
            }
        }
        end?.flush()
    }

    private func answer(_ response: HTTPResponse, _ content: StreamEnd.Piece?, count: UInt64?) {
        let octets = Self.headOctets(0, response.fields)
        var fields = response.fields
        if let count { fields.append(HTTPField("Content-Length", "\(count)")) }
        let hasContent = content != nil || isStream
        head = Head(status: response.status, fields: fields, octets: octets, count: hasContent ? count : 0)
        end?.send(Self.head(octets))
        switch content {
        case .bytes(let bytes): end?.send(bytes)
        case .file(let file): end?.send(file)
        case nil: break
        }
        if !isStream { end?.finish() }
    }

    func stream(_ bytes: Bytes) {
        if isStream { end?.send(bytes) }
    }

    func endStream() {
        if isStream { end?.finish() }
    }

    private func closed(_ traffic: Traffic) {
        if let index = seat.http.callers[listener]?.firstIndex(of: remote.ip) {
            seat.http.callers[listener]?.remove(at: index)
        }
        guard let id else { return }
        seat.http.exchanges[id] = nil
        let isComplete = end?.hasSentEnd ?? false
        let octets = traffic.sent - min(traffic.sent, UInt64(head?.octets ?? 0))
        seat.enqueue(.requestClosed(id, complete: isComplete, octets: octets))
    }
}
