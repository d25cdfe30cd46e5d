internal import CMicrohttpd
internal import Glibc
internal import PeerCore

/// The head of a request, and what makes us refuse it before the core hears of it.
struct HTTPHead {
    let method: String
    let target: Bytes
    let version: String
    let fields: [HTTPField]
    /// Octets of all of it.
    let size: Int

    init(_ method: String, _ target: Bytes, _ version: String, _ fields: [HTTPField], size: Int) {
        self.method = method
        self.target = target
        self.version = version
        self.fields = fields
        self.size = size
    }

    var httpMethod: HTTPMethod {
        switch method {
        case "GET": .get
        case "HEAD": .head
        case "POST": .post
        default: .other(method)
        }
    }

    /// The status with which the request is refused; nil when it is good.
    func refusal(_ limits: HTTPLimits) -> UInt32? {
        // `METHOD target HTTP/1.1`
        if method.utf8.count + target.count + 10 > limits.requestLine { return 414 }
        if size > limits.head { return 431 }
        guard method.utf8.allSatisfy(Self.isTokenOctet), !target.isEmpty, target.allSatisfy({ $0 > 0x20 && $0 != 0x7f })
        else { return 400 }
        guard fields.allSatisfy(Self.isSound) else { return 400 }
        let lengths = values(of: "content-length")
        let codings = values(of: "transfer-encoding")
        // Two lengths that differ are two requests for two readers (RFC 9112, section 6.3).
        if !codings.isEmpty, !lengths.isEmpty || codings.count > 1 || codings[0].lowercased() != "chunked" {
            return 400
        }
        let hosts = values(of: "host").count
        if lengths.count > 1 || hosts > 1 || hosts == 0 && version != "HTTP/1.0" { return 400 }
        return nil
    }

    /// Whether it announces a body of more than `limit` octets.
    func announcesMore(than limit: Int) -> Bool {
        guard let length = values(of: "content-length").first else { return false }
        return UInt64(length).map { $0 > UInt64(limit) } ?? true
    }

    private func values(of name: String) -> [String] {
        fields.filter { $0.isNamed(name) }.map(\.value)
    }

    private static func isSound(_ field: HTTPField) -> Bool {
        !field.name.isEmpty && field.name.utf8.allSatisfy(isTokenOctet)
            && field.value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f || $0 == 9 }
    }

    /// RFC 9110, section 5.6.2.
    private static func isTokenOctet(_ octet: UInt8) -> Bool {
        switch octet {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "a")...UInt8(ascii: "z"):
            true
        default: "!#$%&'*+-.^_`|~".utf8.contains(octet)
        }
    }

    /// The fields in their order.
    static func fields(of handle: OpaquePointer) -> [HTTPField] {
        var fields: [HTTPField] = []
        unsafe withUnsafeMutablePointer(to: &fields) { list in
            _ = unsafe MHD_get_connection_values_n(
                handle, .HEADER_KIND,
                { list, _, name, nameSize, value, valueSize in
                    let name = unsafe String(
                        decoding: UnsafeRawBufferPointer(start: name, count: nameSize), as: UTF8.self)
                    let value = unsafe String(
                        decoding: UnsafeRawBufferPointer(start: value, count: valueSize), as: UTF8.self)
                    unsafe list?.assumingMemoryBound(to: [HTTPField].self).pointee.append(HTTPField(name, value))
                    return .YES
                }, list)
        }
        return fields
    }

    /// From the path on: a client that takes us for a proxy writes the whole address (RFC 9112, section 3.2.2).
    static func origin(of target: Bytes) -> Bytes {
        let scheme = "http://"
        guard target.first != UInt8(ascii: "/"), target.count >= scheme.utf8.count,
            target.slice(0..<scheme.utf8.count).text?.lowercased() == scheme
        else { return target }
        let rest = target.dropping(scheme.utf8.count)
        return rest.firstIndex(of: UInt8(ascii: "/")).map { rest.dropping($0) } ?? Bytes(utf8: "/")
    }
}
