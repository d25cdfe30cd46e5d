internal import CCurl
internal import CLinux
internal import Glibc
internal import PeerCore
internal import UV

/// The fetches of one host: libcurl's multi-socket interface, its sockets and its one timer on the loop.
///
/// libcurl keeps connections for the next fetch from the same server. Above `perServer` at once, fetches wait here.
@safe final class HTTPClient {
    unowned let host: Host
    private let loop: Loop
    private let multi: UnsafeMutableRawPointer
    private let timer: Timer
    private var polls: [Int32: Poll] = [:]
    /// Sockets that libcurl has open, and where they lead.
    private var sockets: [Int32: IPAddress] = [:]
    private var transfers: [RequestID: HTTPTransfer] = [:]
    private var running: [UnsafeMutableRawPointer: HTTPTransfer] = unsafe [:]
    /// Handles for the next fetches: a fresh one costs as much as a small fetch.
    private var spare: [UnsafeMutableRawPointer] = unsafe []
    private var active: [SocketAddress: Int] = [:]
    private var waiting: [SocketAddress: [HTTPTransfer]] = [:]
    private var waitingForRate: [HTTPTransfer] = []

    /// Kept connections to one server (decision 29).
    private static let perServer = 16
    /// Connections that wait for a next fetch, to all servers together.
    private static let kept = 64

    /// Nothing when libcurl is not on this machine.
    init?(_ host: Host) {
        guard curlIsReady, let multi = unsafe peernode_curl_multi_init() else { return nil }
        self.host = host
        loop = host.runtime.loop
        timer = Timer(loop)
        unsafe self.multi = unsafe multi
        unsafe peernode_curl_multi_set_number(multi, CURLMOPT_MAXCONNECTS, Self.kept)
        unsafe peernode_curl_multi_set_number(multi, CURLMOPT_MAX_HOST_CONNECTIONS, Self.perServer)
        unsafe peernode_curl_multi_set_number(multi, CURLMOPT_PIPELINING, Int(CURLPIPE_NOTHING))
        unsafe peernode_curl_multi_set_callbacks(
            multi, Unmanaged.passUnretained(self).toOpaque(), watchSocket, setTimer)
    }

    /// Whether nothing is fetched.
    var isEmpty: Bool { transfers.isEmpty }

    /// Begins a fetch, or lets it wait for a connection.
    func start(_ request: RequestID, _ fetch: HTTPFetch) {
        let transfer = HTTPTransfer(request, fetch, of: self)
        guard transfers.updateValue(transfer, forKey: request) == nil else {
            preconditionFailure("\(request) is in use")
        }
        if active[fetch.server, default: 0] < Self.perServer {
            begin(transfer)
        } else {
            waiting[fetch.server, default: []].append(transfer)
        }
    }

    private func begin(_ transfer: HTTPTransfer) {
        guard let easy = unsafe spare.popLast() ?? peernode_curl_easy_init() else {
            return transfer.ended(.failure(.connection(.systemError)))
        }
        guard unsafe transfer.prepare(easy) else {
            unsafe recycle(easy)
            return transfer.ended(.failure(.malformed))
        }
        active[transfer.fetch.server, default: 0] += 1
        unsafe running[easy] = transfer
        unsafe peernode_curl_multi_add(multi, easy)
    }

    private func recycle(_ easy: UnsafeMutableRawPointer) {
        guard unsafe spare.count < Self.perServer else { return unsafe peernode_curl_easy_cleanup(easy) }
        unsafe peernode_curl_easy_reset(easy)
        unsafe spare.append(easy)
    }

    /// Breaks a fetch off.
    func cancel(_ request: RequestID) {
        guard let transfer = transfers[request] else { return }
        fail(transfer, .cancelled)
    }

    /// Ends a fetch from our side.
    func fail(_ transfer: HTTPTransfer, _ failure: HTTPFailure) {
        if let easy = unsafe transfer.easy {
            unsafe release(easy, transfer)
        } else {
            waiting[transfer.fetch.server]?.removeAll { $0 === transfer }
        }
        transfer.ended(.failure(failure))
    }

    /// libcurl has done with a fetch; its connection may serve the next one.
    private func release(_ easy: UnsafeMutableRawPointer, _ transfer: HTTPTransfer) {
        unsafe peernode_curl_multi_remove(multi, easy)
        unsafe running[easy] = nil
        transfer.release()
        unsafe recycle(easy)
        let server = transfer.fetch.server
        let others = active[server, default: 1] - 1
        active[server] = others == 0 ? nil : others
        guard let next = waiting[server]?.first else { return }
        waiting[server]?.removeFirst()
        if waiting[server]?.isEmpty == true { waiting[server] = nil }
        begin(next)
    }

    /// The end of a fetch is known, and its file is closed.
    func told(_ transfer: HTTPTransfer, _ result: Result<HTTPAnswer, HTTPFailure>) {
        transfers[transfer.request] = nil
        if !host.isClosing { host.deliver(.fetched(transfer.request, result)) }
    }

    /// Another second of the loop has gone by.
    func look() {
        for transfer in transfers.values.sorted(by: { $0.request.number < $1.request.number }) { transfer.look() }
    }

    /// The node's download rate is used up for now.
    func waitForRate(_ transfer: HTTPTransfer) {
        waitingForRate.append(transfer)
        host.runtime.waitForRate()
    }

    /// The next slice of a limited rate has begun.
    func resumeRates() {
        let ready = waitingForRate
        waitingForRate = []
        for transfer in ready { transfer.resumeRate() }
    }

    /// Ends all of it without telling the core.
    func close() {
        for transfer in transfers.values { transfer.abandon() }
        while let (easy, transfer) = unsafe running.popFirst() {
            unsafe peernode_curl_multi_remove(multi, easy)
            unsafe peernode_curl_easy_cleanup(easy)
            transfer.release()
        }
        while let easy = unsafe spare.popLast() { unsafe peernode_curl_easy_cleanup(easy) }
        unsafe peernode_curl_multi_cleanup(multi)
        for poll in polls.values { poll.close() }
        timer.close()
        (transfers, polls, waiting) = ([:], [:], [:])
    }

    // MARK: What libcurl does

    private func act(on socket: Int32, _ events: Int32) {
        unsafe peernode_curl_multi_act(multi, socket, events)
        var code = CURLE_OK
        while !host.isClosing, let easy = unsafe peernode_curl_multi_ended(multi, &code) {
            guard let transfer = unsafe running[easy] else { continue }
            let result = unsafe transfer.result(of: easy, code)
            unsafe release(easy, transfer)
            transfer.ended(result)
        }
    }

    fileprivate func watch(_ socket: Int32, _ what: Int32) {
        guard what != CURL_POLL_REMOVE else { return polls.removeValue(forKey: socket)?.close() ?? () }
        guard let poll = polls[socket] ?? (try? Poll(loop, descriptor: socket)) else { return }
        polls[socket] = poll
        var events: Poll.Event = []
        if what != CURL_POLL_OUT { events.insert(.readable) }
        if what != CURL_POLL_IN { events.insert(.writable) }
        poll.start(events) { [unowned self] happened in
            var bits: Int32 = 0
            if happened.contains(.readable) { bits |= CURL_CSELECT_IN }
            if happened.contains(.writable) { bits |= CURL_CSELECT_OUT }
            act(on: socket, bits)
        }
    }

    fileprivate func wake(after milliseconds: Int) {
        guard milliseconds >= 0 else { return timer.stop() }
        timer.start(at: loop.instant + .milliseconds(milliseconds)) { [unowned self] in
            act(on: peernode_curl_no_socket, 0)
        }
    }

    /// A socket for a new connection.
    func open(_ address: curl_sockaddr, to ip: IPAddress) -> Int32 {
        guard host.runtime.limits.hasRoom else { return peernode_curl_no_socket }
        // A fetch that finds no connection dials at once: the pace of dials is for peers that we look for.
        _ = host.runtime.limits.takeDial()
        let descriptor = socket(address.family, address.socktype | peernode_socket_close_on_exec, address.protocol)
        guard descriptor >= 0 else { return peernode_curl_no_socket }
        host.chooseCongestionControl(of: descriptor, towards: ip)
        sockets[descriptor] = ip
        host.runtime.limits.opened(ip, isAccepted: false)
        host.countConnections(1)
        return descriptor
    }

    fileprivate func closeSocket(_ descriptor: Int32) {
        polls.removeValue(forKey: descriptor)?.close()
        Glibc.close(descriptor)
        guard let ip = sockets.removeValue(forKey: descriptor) else { return }
        host.runtime.limits.closed(ip)
        host.countConnections(-1)
    }
}

/// libcurl is loaded by the first fetch of the process; all calls into it are made on the loop's thread.
private let curlIsReady: Bool = peernode_curl_load()

private let watchSocket: curl_socket_callback = { _, socket, what, context, _ in
    if let context = unsafe context {
        unsafe Unmanaged<HTTPClient>.fromOpaque(context).takeUnretainedValue().watch(socket, what)
    }
    return 0
}

private let setTimer: curl_multi_timer_callback = { _, milliseconds, context in
    if let context = unsafe context {
        unsafe Unmanaged<HTTPClient>.fromOpaque(context).takeUnretainedValue().wake(after: milliseconds)
    }
    return 0
}

/// Calls into libcurl are made by the client and its transfers only.
let closeSocketOfCurl: curl_closesocket_callback = { context, descriptor in
    guard let context = unsafe context else { return Glibc.close(descriptor) }
    unsafe Unmanaged<HTTPClient>.fromOpaque(context).takeUnretainedValue().closeSocket(descriptor)
    return 0
}
