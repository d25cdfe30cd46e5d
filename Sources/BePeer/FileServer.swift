internal import PeerCore

// The files, for peers that ask over HTTP (BePeer section 5.2).
extension BePeer {
    mutating func requested(
        _ exchange: ExchangeID, _ request: HTTPRequest, from source: SocketAddress, at now: Moment,
        into effects: inout Effects
    ) {
        guard let components = Target.components(request.target) else {
            return answer(exchange, 404, into: &effects)
        }
        heardOf(source.ip, at: now, into: &effects)
        if components.first == Marker.name {
            return extended(exchange, request, components, from: source, at: now, into: &effects)
        }
        guard request.method == .get || request.method == .head else {
            return answer(exchange, 405, [HTTPField("Allow", "GET, HEAD")], into: &effects)
        }
        guard let (folder, path) = file(components), servesTo(source.ip, folder) else {
            return answer(exchange, 404, into: &effects)
        }
        counters.requests += 1
        switch folders[folder].phase {
        case .recalling, .opening: return answer(exchange, 503, [HTTPField("Retry-After", "1")], into: &effects)
        case .ready, .stopped: break
        }
        guard let record = record(folder, path) else {
            return answer(exchange, 404, into: &effects)
        }
        serve(exchange, record, folder, request, into: &effects)
    }

    /// The file that the components of a target name; when there is one folder, its name may be left out.
    private func file(_ components: [String]) -> (folder: Int, path: Path)? {
        if let first = components.first, let folder = folder(named: first) {
            if folders[folder].settings.isSingle {
                return components.count == 1 ? (folder, Path(checked: first)) : nil
            }
            return path(components.dropFirst(), folder).map { (folder, $0) }
        }
        guard folders.count == 1 else { return nil }
        return path(components[...], 0).map { (0, $0) }
    }

    private func path(_ components: ArraySlice<String>, _ folder: Int) -> Path? {
        try? folders[folder].path(components.joined(separator: "/"))
    }

    /// A file that is served.
    func record(_ folder: Int, _ components: ArraySlice<String>) -> FileRecord? {
        path(components, folder).flatMap { record(folder, $0) }
    }

    private func record(_ folder: Int, _ path: Path) -> FileRecord? {
        guard let record = folders[folder].index[path], record.isFile, folders[folder].replicates(path) else {
            return nil
        }
        return record
    }

    private mutating func serve(
        _ exchange: ExchangeID, _ record: FileRecord, _ folder: Int, _ request: HTTPRequest,
        into effects: inout Effects
    ) {
        let tag = "\"b-\(record.hash.hex)\""
        let modified = record.modified.httpDate
        var fields = [
            HTTPField("Last-Modified", modified), HTTPField("ETag", tag), HTTPField("Accept-Ranges", "bytes"),
            HTTPField("Content-Type", "application/octet-stream"), HTTPField("X-Content-Type-Options", "nosniff"),
        ]
        if configuration.extensions { fields.append(HTTPField("BePeer-Hash", "sha-256=\(record.hash.hex)")) }
        if request.knows(tag) {
            return answer(exchange, 304, fields, into: &effects)
        }
        let (file, mark) = (folders[folder].file(record.path), record.mark)
        // Of the content whose strong tag, or exact time, the client has (RFC 9110 section 13.1.5).
        let isPartAllowed = request.field("If-Range").map { $0 == tag || $0 == modified } ?? true
        switch isPartAllowed ? HTTPRange(request.field("Range"), size: record.size) : .whole {
        case .whole:
            let body = HTTPResponse.Body.file(file, offset: 0, count: record.size, expected: mark)
            effects.append(.respond(exchange, HTTPResponse(200, fields: fields, body)))
        case .octets(let range):
            fields.append(
                HTTPField("Content-Range", "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(record.size)"))
            let count = range.upperBound - range.lowerBound
            let body = HTTPResponse.Body.file(file, offset: range.lowerBound, count: count, expected: mark)
            effects.append(.respond(exchange, HTTPResponse(206, fields: fields, body)))
        case .unsatisfiable:
            answer(exchange, 416, [HTTPField("Content-Range", "bytes */\(record.size)")], into: &effects)
        }
    }

    func answer(
        _ exchange: ExchangeID, _ status: Int, _ fields: [HTTPField] = [], into effects: inout Effects
    ) {
        effects.append(.respond(exchange, HTTPResponse(status, fields: fields)))
    }
}
