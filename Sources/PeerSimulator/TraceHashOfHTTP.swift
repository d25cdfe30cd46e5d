internal import PeerCore

extension Effect.ListenerKind: Traceable {
    func trace(into hash: inout TraceHash) {
        switch self {
        case .datagram: hash.add(0)
        case .stream: hash.add(1)
        case .http(let limits): hash.add(case: 2, limits)
        }
    }
}

extension HTTPLimits: Traceable {
    func trace(into hash: inout TraceHash) {
        hash.add(case: 1, requestLine, head, body, connections, connectionsPerAddress, headTime, idleTime, stallTime)
    }
}

extension ExchangeID: Traceable {
    func trace(into hash: inout TraceHash) { hash.add(number) }
}

extension HTTPField: Traceable {
    func trace(into hash: inout TraceHash) { hash.add(case: 1, name, value) }
}

extension HTTPMethod: Traceable {
    func trace(into hash: inout TraceHash) {
        switch self {
        case .get: hash.add(1)
        case .head: hash.add(2)
        case .post: hash.add(3)
        case .other(let name): hash.add(case: 4, name)
        }
    }
}

extension HTTPRequest: Traceable {
    func trace(into hash: inout TraceHash) { hash.add(case: 1, method, target, fields, body) }
}

extension HTTPResponse: Traceable {
    func trace(into hash: inout TraceHash) {
        switch body {
        case .bytes(let bytes): hash.add(case: 1, status, fields, bytes)
        case .file(let file, let offset, let count, let mark):
            hash.add(case: 2, status, fields, file, offset, count, mark)
        case .stream: hash.add(case: 3, status, fields)
        }
    }
}

extension HTTPFetch: Traceable {
    func trace(into hash: inout TraceHash) {
        switch sink {
        case .bytes(let limit): hash.add(case: 1, limit)
        case .file(let file, let at, let limit): hash.add(case: 2, file, at, limit)
        case .digest(let limit): hash.add(case: 3, limit)
        }
        hash.add(case: 4, server, method, target, fields, body, digest?.rawValue, from, connectTime, stallTime)
    }
}

extension HTTPAnswer: Traceable {
    func trace(into hash: inout TraceHash) { hash.add(case: 1, status, fields, body, octets, digest) }
}

extension HTTPFailure: Traceable {
    func trace(into hash: inout TraceHash) {
        switch self {
        case .connection(let reason): hash.add(case: 1, reason)
        case .stalled: hash.add(2)
        case .short: hash.add(3)
        case .tooLarge: hash.add(4)
        case .malformed: hash.add(5)
        case .file(let error): hash.add(case: 6, error)
        case .cancelled: hash.add(7)
        case .missing(let library): hash.add(case: 8, library)
        }
    }
}
