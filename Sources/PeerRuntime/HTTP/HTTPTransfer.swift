internal import CCurl
internal import Glibc
internal import PeerCore
internal import UV

/// One fetch: what it asks for, what has come, where it goes.
@safe final class HTTPTransfer {
    let request: RequestID
    let fetch: HTTPFetch
    /// libcurl's handle, while it has the fetch.
    private(set) var easy: UnsafeMutableRawPointer?

    private unowned let client: HTTPClient
    private var list: UnsafeMutablePointer<curl_slist>?
    private var fields: [HTTPField] = []
    private var status = 0
    private var headBytes = 0
    private var hasBody = false
    /// The content goes where the fetch wants it.
    private var isWanted = false
    private var sink: ContentSink?
    /// Content that goes with the answer.
    private var body: [UInt8] = []
    private var octets: UInt64 = 0
    private var limit: UInt64 = 0
    private var failure: HTTPFailure?
    private var isEnded = false

    /// Why nothing more is taken at the moment.
    private var isBehind = false
    private var isOverRate = false
    private var isPaused: Bool { isBehind || isOverRate }
    private var isPausing = false
    /// Seconds without an octet.
    private var quiet = 0
    private var hasCome = false
    private var toldOctets: UInt64 = 0

    /// Octets of the heads of an answer; libcurl itself bounds each line only.
    private static let mostHead = 64 << 10
    /// Octets that libcurl reads at once.
    private static let buffer = 128 << 10

    init(_ request: RequestID, _ fetch: HTTPFetch, of client: HTTPClient) {
        self.request = request
        self.fetch = fetch
        self.client = client
    }

    // MARK: The request

    /// Tells libcurl what to do; false when the request is none that can be written.
    func prepare(_ easy: UnsafeMutableRawPointer) -> Bool {
        guard fetch.isSound, let target = fetch.target.text else { return false }
        unsafe self.easy = unsafe easy
        let host = fetch.server.ip.v4 == nil ? "[\(fetch.server.ip)]" : "\(fetch.server.ip)"
        unsafe peernode_curl_set_text(easy, CURLOPT_URL, "http://\(host):\(fetch.server.port)/")
        unsafe peernode_curl_set_text(easy, CURLOPT_REQUEST_TARGET, target)
        unsafe peernode_curl_set_text(easy, CURLOPT_PROTOCOLS_STR, "http")
        // Never to another computer than the one that was named, whatever the environment says.
        unsafe peernode_curl_set_text(easy, CURLOPT_PROXY, "")
        unsafe peernode_curl_set_text(easy, CURLOPT_NOPROXY, "*")
        unsafe peernode_curl_set_number(easy, CURLOPT_FOLLOWLOCATION, 0)
        unsafe peernode_curl_set_number(easy, CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
        unsafe peernode_curl_set_number(easy, CURLOPT_HTTP09_ALLOWED, 0)
        unsafe peernode_curl_set_number(easy, CURLOPT_NOSIGNAL, 1)
        unsafe peernode_curl_set_number(easy, CURLOPT_BUFFERSIZE, Self.buffer)
        let connectTime = Int(clamping: max(1, fetch.connectTime.nanoseconds / 1_000_000))
        unsafe peernode_curl_set_number(easy, CURLOPT_CONNECTTIMEOUT_MS, connectTime)
        if let from = fetch.from { unsafe peernode_curl_set_text(easy, CURLOPT_INTERFACE, "host!\(from)") }
        let own = unsafe Unmanaged.passUnretained(self).toOpaque()
        let all = unsafe Unmanaged.passUnretained(client).toOpaque()
        unsafe peernode_curl_set_callbacks(easy, headCallback, bodyCallback, openCallback, closeSocketOfCurl)
        unsafe peernode_curl_set_data(easy, CURLOPT_HEADERDATA, own)
        unsafe peernode_curl_set_data(easy, CURLOPT_WRITEDATA, own)
        unsafe peernode_curl_set_data(easy, CURLOPT_OPENSOCKETDATA, own)
        unsafe peernode_curl_set_data(easy, CURLOPT_CLOSESOCKETDATA, all)
        unsafe prepareMethod(easy)
        unsafe prepareFields(easy)
        return true
    }

    private func prepareMethod(_ easy: UnsafeMutableRawPointer) {
        switch fetch.method {
        case .get: break
        case .head: unsafe peernode_curl_set_number(easy, CURLOPT_NOBODY, 1)
        case .post:
            unsafe peernode_curl_set_number(easy, CURLOPT_POST, 1)
            unsafe peernode_curl_set_size(easy, CURLOPT_POSTFIELDSIZE_LARGE, fetch.body.count)
            // Copied, since the address of our octets holds for the call only.
            _ = unsafe fetch.body.array.withUnsafeBytes { octets in
                unsafe peernode_curl_set_data(
                    easy, CURLOPT_COPYPOSTFIELDS, UnsafeMutableRawPointer(mutating: octets.baseAddress))
            }
        case .other(let name):
            unsafe peernode_curl_set_text(easy, CURLOPT_CUSTOMREQUEST, name)
        }
    }

    private func prepareFields(_ easy: UnsafeMutableRawPointer) {
        // `Name:` takes out what libcurl would write by itself.
        var lines = ["Accept-Encoding: identity", "Expect:", "Accept:"]
        if !fetch.fields.contains(where: { $0.isNamed("content-type") }) { lines.append("Content-Type:") }
        lines += fetch.fields.map { $0.value.isEmpty ? "\($0.name);" : "\($0.name): \($0.value)" }
        for line in lines {
            unsafe list = peernode_curl_list_append(list, line)
        }
        unsafe peernode_curl_set_list(easy, CURLOPT_HTTPHEADER, list)
    }

    /// libcurl has the fetch no more.
    func release() {
        unsafe peernode_curl_list_free(list)
        unsafe (easy, list) = (nil, nil)
    }

    // MARK: The answer

    fileprivate func open(_ address: curl_sockaddr) -> Int32 { client.open(address, to: fetch.server.ip) }

    fileprivate func takeHead(_ line: UnsafeRawBufferPointer) -> Bool {
        client.host.count(received: line.count)
        hasCome = true
        headBytes += line.count
        guard headBytes <= Self.mostHead else { return fail(.malformed) }
        // What follows the content (trailer fields) is nobody's.
        guard !hasBody else { return true }
        if unsafe line.starts(with: "HTTP/".utf8) {
            fields = []
            let text = unsafe String(decoding: line, as: UTF8.self)
            status = text.split(separator: " ").dropFirst().first.flatMap { Int($0.prefix(3)) } ?? 0
        } else if let colon = unsafe line.firstIndex(of: UInt8(ascii: ":")) {
            var (start, end) = (colon + 1, line.count)
            // White space is looked for among octets: an answer has a dozen lines, and small ones come by thousands.
            while start < end, unsafe line[start] <= 0x20 { start += 1 }
            while end > start, unsafe line[end - 1] <= 0x20 { end -= 1 }
            let name = unsafe String(decoding: line[..<colon], as: UTF8.self)
            fields.append(HTTPField(name, unsafe String(decoding: line[start..<end], as: UTF8.self)))
        }
        return true
    }

    fileprivate func takeBody(_ piece: UnsafeRawBufferPointer) -> Int {
        if !hasBody, !beginBody() { return 0 }
        if client.host.downloadAllowance <= 0 {
            isOverRate = true
            client.waitForRate(self)
        }
        if isPaused {
            isPausing = true
            return Int(CURL_WRITEFUNC_PAUSE)
        }
        hasCome = true
        client.host.count(received: piece.count)
        octets += UInt64(piece.count)
        guard octets <= limit else { return fail(.tooLarge) ? 1 : 0 }
        if let sink {
            unsafe sink.take(Bytes(piece))
            isBehind = sink.isBehind
        } else if isWanted || body.count < HTTPFetch.keptOfFailure {
            unsafe body.append(contentsOf: piece)
        }
        return piece.count
    }

    /// The head is complete: what is to be done with the content? False when that is a failure.
    private func beginBody() -> Bool {
        hasBody = true
        do throws(HTTPFailure) {
            let content = try fetch.content(status, fields)
            (limit, isWanted) = (content.limit, content.isWanted)
            guard isWanted else { return true }
            switch fetch.sink {
            case .bytes: break
            case .digest: sink = makeSink(nil, at: 0)
            case .file(let name, _, _): sink = makeSink(name, at: content.start)
            }
            return true
        } catch {
            return fail(error)
        }
    }

    private func makeSink(_ file: FileName?, at start: UInt64) -> ContentSink {
        let work = ContentFile(file, at: start, fetch.digest, in: client.host.files.folders)
        let sink = ContentSink(work, client.host.runtime.loop)
        sink.caughtUp = { [weak self, weak sink] in
            guard let self, unsafe easy != nil else { return }
            if let failure = sink?.failure { return client.fail(self, .file(failure)) }
            isBehind = false
            unpause()
        }
        return sink
    }

    private func fail(_ failure: HTTPFailure) -> Bool {
        self.failure = self.failure ?? failure
        return false
    }

    private func unpause() {
        guard isPausing, !isPaused, let easy = unsafe easy else { return }
        isPausing = false
        // This may hand over at once what waited.
        unsafe peernode_curl_easy_pause(easy, CURLPAUSE_CONT)
    }

    /// The next slice of a limited rate has begun.
    func resumeRate() {
        isOverRate = false
        unpause()
    }

    // MARK: Time

    /// Another second of the loop has gone by.
    func look() {
        guard unsafe easy != nil, !isEnded else { return }
        if octets > toldOctets {
            toldOctets = octets
            client.host.deliver(.fetching(request, octets: octets))
        }
        quiet = hasCome || isPausing || (headBytes == 0 && !isConnected) ? 0 : quiet + 1
        hasCome = false
        if quiet >= Int((fetch.stallTime.nanoseconds + 999_999_999) / 1_000_000_000) { client.fail(self, .stalled) }
    }

    /// The dial has its own limit.
    private var isConnected: Bool {
        guard let easy = unsafe easy else { return false }
        var time: curl_off_t = 0
        return unsafe peernode_curl_time(easy, CURLINFO_PRETRANSFER_TIME_T, &time) != 0 && time > 0
    }

    // MARK: The end

    /// What libcurl made of it.
    func result(of easy: UnsafeMutableRawPointer, _ code: CURLcode) -> Result<HTTPAnswer, HTTPFailure> {
        client.host.count(sent: unsafe peernode_curl_number(easy, CURLINFO_REQUEST_SIZE) + fetch.body.count)
        if code == CURLE_OK, !hasBody { _ = beginBody() }
        if let failure { return .failure(failure) }
        guard code == CURLE_OK else {
            return .failure(
                .init(code, errno: Int32(truncatingIfNeeded: unsafe peernode_curl_number(easy, CURLINFO_OS_ERRNO))))
        }
        return .success(HTTPAnswer(status, fields: fields, octets: octets))
    }

    /// It is over: tells the core when what came is where it belongs.
    func ended(_ result: Result<HTTPAnswer, HTTPFailure>) {
        guard !isEnded else { return }
        isEnded = true
        guard let sink else { return tell(result, digest: nil) }
        // Without content, a failure leaves the file as it is.
        if case .failure = result, octets == 0 { return tell(result, digest: nil) }
        sink.finish { [self] outcome in
            switch outcome {
            case .success(let digest): tell(result, digest: digest)
            case .failure(let error): tell(result.flatMap { _ in .failure(.file(error)) }, digest: nil)
            }
        }
    }

    private func tell(_ result: Result<HTTPAnswer, HTTPFailure>, digest: Bytes?) {
        guard case .success(let answer) = result else { return client.told(self, result) }
        let body = Bytes(isWanted ? body : Array(body.prefix(HTTPFetch.keptOfFailure)))
        func tell(_ digest: Bytes?) {
            client.told(
                self,
                .success(
                    HTTPAnswer(answer.status, fields: answer.fields, body: body, octets: octets, digest: digest)))
        }
        guard sink == nil, isWanted, let algorithm = fetch.digest else { return tell(digest) }
        ContentSink.digest(body, algorithm, client.host.runtime.loop) { tell($0) }
    }

    /// The host ends: nobody is told.
    func abandon() {
        isEnded = true
        sink?.finish { _ in }
    }
}

extension HTTPFailure {
    /// What an error of libcurl means.
    fileprivate init(_ code: CURLcode, errno: Int32) {
        switch code {
        case CURLE_PARTIAL_FILE: self = .short
        case CURLE_OPERATION_TIMEDOUT: self = .connection(.timeout)
        case CURLE_GOT_NOTHING: self = .connection(.closedByPeer)
        case CURLE_RECV_ERROR, CURLE_SEND_ERROR: self = .connection(.reset)
        case CURLE_COULDNT_CONNECT:
            switch errno {
            case ECONNREFUSED: self = .connection(.refused)
            case ETIMEDOUT: self = .connection(.timeout)
            case 0: self = .connection(.limit)
            default: self = .connection(.unreachable)
            }
        case CURLE_INTERFACE_FAILED: self = .connection(.unreachable)
        case CURLE_OUT_OF_MEMORY: self = .connection(.systemError)
        default: self = .malformed
        }
    }
}

private let headCallback: curl_write_callback = { data, size, count, context in
    guard let context = unsafe context else { return 0 }
    let line = unsafe UnsafeRawBufferPointer(start: data, count: size * count)
    return unsafe Unmanaged<HTTPTransfer>.fromOpaque(context).takeUnretainedValue().takeHead(line) ? size * count : 0
}

private let bodyCallback: curl_write_callback = { data, size, count, context in
    guard let context = unsafe context else { return 0 }
    let piece = unsafe UnsafeRawBufferPointer(start: data, count: size * count)
    return unsafe Unmanaged<HTTPTransfer>.fromOpaque(context).takeUnretainedValue().takeBody(piece)
}

private let openCallback: curl_opensocket_callback = { context, _, address in
    guard let context = unsafe context, let address = unsafe address else { return peernode_curl_no_socket }
    let transfer = unsafe Unmanaged<HTTPTransfer>.fromOpaque(context).takeUnretainedValue()
    return unsafe transfer.open(address.pointee)
}
