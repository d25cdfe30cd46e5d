internal import CUV
public import PeerCore

extension Loop {
    /// Runs `job` on a worker thread and `done` with its result on the loop afterwards.
    public func work<Result: Sendable>(_ job: @escaping @Sendable () -> Result, done: @escaping (Result) -> Void) {
        let cell = Cell<Result>()
        let task = Task(job: { cell.value = job() }, done: { done(cell.value!) })
        let request = UnsafeMutablePointer<uv_work_t>.allocate(capacity: 1)
        request.pointee.data = Unmanaged.passRetained(task).toOpaque()
        let status = uv_queue_work(
            pointer, request,
            { Unmanaged<Task>.fromOpaque($0!.pointee.data!).takeUnretainedValue().job() },
            { request, _ in
                let task = Unmanaged<Task>.fromOpaque(request!.pointee.data!).takeRetainedValue()
                request!.deallocate()
                task.done()
            })
        precondition(status == 0, "uv_queue_work: \(UVError(status).name)")
    }

    /// Looks up the addresses of a host name, on a worker thread. An empty list when there are none.
    public func resolve(_ name: String, done: @escaping ([IPAddress]) -> Void) {
        let request = UnsafeMutablePointer<uv_getaddrinfo_t>.allocate(capacity: 1)
        request.pointee.data = Unmanaged.passRetained(Resolution(done)).toOpaque()
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        let status = uv_getaddrinfo(
            pointer, request,
            { request, status, list in
                let resolution = Unmanaged<Resolution>.fromOpaque(request!.pointee.data!).takeRetainedValue()
                request!.deallocate()
                defer { uv_freeaddrinfo(list) }
                resolution.done(status == 0 ? addresses(in: list) : [])
            }, name, nil, &hints)
        guard status != 0 else { return }
        Unmanaged<Resolution>.fromOpaque(request.pointee.data!).release()
        request.deallocate()
        done([])
    }

    private final class Task {
        let job: () -> Void
        let done: () -> Void

        init(job: @escaping () -> Void, done: @escaping () -> Void) {
            self.job = job
            self.done = done
        }
    }

    /// Written by the worker before libuv hands the request back to the loop, read by the loop afterwards.
    private final class Cell<Value>: @unchecked Sendable {
        var value: Value?
    }

    private final class Resolution {
        let done: ([IPAddress]) -> Void

        init(_ done: @escaping ([IPAddress]) -> Void) {
            self.done = done
        }
    }
}

private func addresses(in list: UnsafeMutablePointer<addrinfo>?) -> [IPAddress] {
    var addresses: [IPAddress] = []
    var next = list
    while let entry = next {
        if let address = entry.pointee.ai_addr.flatMap({ SocketAddress($0) }), !addresses.contains(address.ip) {
            addresses.append(address.ip)
        }
        next = entry.pointee.ai_next
    }
    return addresses
}
