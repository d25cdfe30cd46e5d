internal import CMicrohttpd
internal import Glibc
internal import PeerCore
internal import UV

/// One request of an HTTP client and our answer to it.
///
/// While the core thinks, or a file is opened, libmicrohttpd leaves the connection alone (it is suspended).
@safe final class HTTPExchange {
    /// Whose turn it is.
    enum Awaited {
        /// The client's: the head of the request is not complete.
        case head
        /// The client's: the body of the request is not complete.
        case body
        /// The core's: it owes the answer, or more of it.
        case core
        /// The client's: there is something for it to take.
        case client
    }

    private(set) var awaited = Awaited.head
    /// Its name, once the core has heard of it.
    private(set) var id: ExchangeID?

    private unowned let connection: HTTPConnection
    private let target: Bytes
    private var request: (method: HTTPMethod, fields: [HTTPField])?
    private var body: [UInt8] = []
    private var isTooLarge = false
    /// The core has answered.
    private var isAnswered = false
    private var isSuspended = false
    private var isOver = false
    /// Nothing more of it is sent.
    private(set) var isAbandoned = false
    private var answer: (status: UInt32, response: OpaquePointer)?
    /// Octets of the answer's body; for a stream, those that were handed to the library.
    private var count: UInt64 = 0
    private var takenBefore: UInt64 = 0
    private var file: SendingFile?
    private var stream: HTTPStream?

    init(_ target: Bytes, on connection: HTTPConnection) {
        self.target = target
        self.connection = connection
    }

    private var host: Host { connection.server.host }

    /// Whether the file that is being sent was cut.
    var isCut: Bool { file.map { !$0.isWhole } ?? false }

    // MARK: The request

    /// The library has a head, a piece of the body, or all of the request: it asks for what to do.
    func handle(
        _ place: UnsafePointer<CChar>?, _ method: UnsafePointer<CChar>?, _ version: UnsafePointer<CChar>?,
        _ data: UnsafePointer<CChar>?, _ size: UnsafeMutablePointer<Int>
    ) -> MHD_Result {
        guard !isAbandoned else { return .NO }
        guard request != nil else {
            guard let place = unsafe place, let method = unsafe method, let version = unsafe version else { return .NO }
            return unsafe begin(place, method, version)
        }
        guard unsafe size.pointee == 0 else {
            let piece = unsafe UnsafeRawBufferPointer(start: data, count: size.pointee)
            unsafe size.pointee = 0
            return unsafe take(piece)
        }
        return complete()
    }

    private func begin(
        _ place: UnsafePointer<CChar>, _ method: UnsafePointer<CChar>, _ version: UnsafePointer<CChar>
    ) -> MHD_Result {
        let handle = unsafe connection.handle
        if unsafe peernode_mhd_hides_text(handle, method, place, target.count, version) != 0 { return refuse(400) }
        let fields = unsafe HTTPHead.fields(of: handle)
        let head = unsafe HTTPHead(
            String(cString: method), target, String(cString: version), fields, size: peernode_mhd_head_size(handle))
        let limits = connection.server.limits
        if let status = head.refusal(limits) { return refuse(status) }
        request = (head.httpMethod, fields)
        awaited = .body
        isTooLarge = head.announcesMore(than: limits.body)
        // What will not be read is not waited for, nor asked for with a 100.
        return isTooLarge ? complete() : .YES
    }

    private func take(_ piece: UnsafeRawBufferPointer) -> MHD_Result {
        guard !isTooLarge, body.count + piece.count <= connection.server.limits.body else {
            // The library refuses nothing in the middle of a body: what comes is thrown away, not without limit.
            isTooLarge = true
            body = []
            count += UInt64(piece.count)
            return count > Self.mostDiscarded ? .NO : .YES
        }
        unsafe body.append(contentsOf: piece)
        return .YES
    }

    /// Of a body of unknown length that is too large, so much is read for the sake of a clean answer.
    private static let mostDiscarded: UInt64 = 1 << 20

    /// Octets of an answer above which the upload rate is shared anew.
    private static let paced: UInt64 = 64 << 10

    private func refuse(_ status: UInt32) -> MHD_Result {
        guard let response = unsafe MHD_create_response_from_buffer(0, nil, .RESPMEM_PERSISTENT) else { return .NO }
        unsafe MHD_add_response_header(response, "Connection", "close")
        defer { unsafe MHD_destroy_response(response) }
        awaited = .client
        return unsafe MHD_queue_response(connection.handle, status, response)
    }

    private func complete() -> MHD_Result {
        guard let request, id == nil else { return .NO }
        awaited = .core
        takenBefore = connection.progress.acknowledged
        let id = host.add(self)
        self.id = id
        let whole = HTTPRequest(
            request.method, HTTPHead.origin(of: target), fields: request.fields,
            body: isTooLarge ? Bytes() : Bytes(body), isBodyTooLarge: isTooLarge)
        body = []
        host.deliver(.requested(id, whole, on: connection.server.listener, from: connection.remote))
        if isAbandoned { return .NO }
        if let answer = unsafe answer { return unsafe queue(answer.status, answer.response) }
        isSuspended = true
        unsafe MHD_suspend_connection(connection.handle)
        return .YES
    }

    // MARK: The answer

    /// The core answers. Only its first answer counts.
    func respond(_ response: HTTPResponse) {
        guard !isAnswered, !isOver else { return }
        isAnswered = true
        switch response.body {
        case .bytes(let bytes):
            count = UInt64(bytes.count)
            let made = unsafe bytes.storage.withUnsafeBytes { all in
                let octets = unsafe UnsafeMutableRawBufferPointer(
                    mutating: UnsafeRawBufferPointer(rebasing: all[bytes.range]))
                return unsafe MHD_create_response_from_buffer(octets.count, octets.baseAddress, .RESPMEM_MUST_COPY)
            }
            unsafe send(response, made)
        case .stream:
            let stream = HTTPStream(of: self)
            self.stream = stream
            unsafe send(response, stream.makeResponse())
        case .file(let name, let offset, let count, let mark):
            let folders = host.files.folders
            if let source = SendingFile.remembered(name, offset: offset, count: count, expected: mark, in: folders) {
                return opened(source, response, offset, count)
            }
            host.runtime.loop.work({
                Result { () throws(SystemError) in
                    try SendingFile(name, offset: offset, count: count, expected: mark, in: folders)
                }
            }) { [self] in opened($0, response, offset, count) }
        }
    }

    private func opened(
        _ result: Result<SendingFile, SystemError>, _ response: HTTPResponse, _ offset: UInt64, _ count: UInt64
    ) {
        guard !isOver, !isAbandoned else { return }
        switch result {
        case .success(let file):
            self.file = file
            self.count = count
            // The library closes the descriptor that it is given.
            guard let copy = copyDescriptor(file.descriptor) else { return connection.reset() }
            unsafe send(response, MHD_create_response_from_fd_at_offset64(count, copy, offset))
        case .failure(.endOfFile): connection.reset()
        case .failure(SendingFile.changed):
            unsafe send(.changed, MHD_create_response_from_buffer(0, nil, .RESPMEM_PERSISTENT))
        case .failure(let error):
            let status = error == .notFound || error == .notAFolder || error == .notPermitted ? 404 : 500
            unsafe send(HTTPResponse(status), MHD_create_response_from_buffer(0, nil, .RESPMEM_PERSISTENT))
        }
    }

    /// Gives the library an answer, now or when it asks next.
    private func send(_ response: HTTPResponse, _ made: OpaquePointer?) {
        guard let made = unsafe made else { return connection.reset() }
        for field in response.fields { unsafe MHD_add_response_header(made, field.name, field.value) }
        if connection.server.isEnding || isTooLarge { unsafe MHD_add_response_header(made, "Connection", "close") }
        if request?.method == .head || response.status == 204 || response.status == 304 { count = 0 }
        let status = UInt32(response.status)
        guard isSuspended else { return unsafe answer = (status, made) }
        guard unsafe queue(status, made) == .YES else { return connection.reset() }
        resume()
    }

    private func queue(_ status: UInt32, _ response: OpaquePointer) -> MHD_Result {
        unsafe answer = nil
        awaited = .client
        // Small answers are over before they could be too fast.
        if count > Self.paced { host.shareUploadRate() }
        defer { unsafe MHD_destroy_response(response) }
        return unsafe MHD_queue_response(connection.handle, status, response)
    }

    /// The library goes on with the connection.
    private func resume() {
        guard isSuspended else { return }
        isSuspended = false
        unsafe MHD_resume_connection(connection.handle)
        connection.server.runSoon()
    }

    /// More of a streamed answer.
    func add(_ bytes: Bytes) {
        guard let stream, !isOver, bytes.count > 0 else { return }
        host.buffered(bytes.count)
        stream.add(bytes)
        awaited = .client
        // As for other connections (`Connection.Marks`).
        if stream.queued > 4 << 20 { return connection.reset() }
        resume()
    }

    /// The end of a streamed answer.
    func endStream() {
        guard let stream, !isOver else { return }
        stream.isEnded = true
        awaited = .client
        resume()
    }

    /// The library wants more of a stream than there is.
    func waitForStream() {
        awaited = .core
        isSuspended = true
        unsafe MHD_suspend_connection(connection.handle)
    }

    /// The library has taken octets of a stream.
    func took(_ octets: Int) {
        host.buffered(-octets)
        count += UInt64(octets)
    }

    // MARK: The end

    /// The connection is being ended: whatever was to come is not waited for.
    func abandon() {
        isAbandoned = true
        resume()
    }

    /// The library has done with the request.
    func ended(isComplete: Bool) {
        isOver = true
        if let stream { host.buffered(-stream.queued) }
        if let answer = unsafe answer { unsafe MHD_destroy_response(answer.response) }
        unsafe answer = nil
        (file, stream) = (nil, nil)
        let isComplete = isComplete && isAnswered
        connection.exchange = nil
        if let id {
            // What the client took of an answer that broke off is known with its head only.
            let octets = isComplete ? count : min(count, connection.acknowledged() &- takenBefore)
            host.remove(id)
            if !host.isClosing { host.deliver(.requestClosed(id, complete: isComplete, octets: octets)) }
        }
    }
}
