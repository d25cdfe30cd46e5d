internal import PeerCore
internal import PeerJSON

/// One line of a client: `{"command":"ddrp.peers","arguments":{…},"id":1}`.
struct Request {
    /// Octets of a line: room for a list of a thousand addresses.
    static let maximumLineBytes = 65536

    /// Who is asked: the name of a section, or `node`.
    let target: String
    /// What is asked.
    let command: Command
    /// What the client calls the request: a text or a whole number that all answer lines repeat.
    let id: Record.Value?

    /// The request in `line`, or what is wrong with it.
    init(_ line: Bytes) throws(RequestError) {
        let value: Record.Value
        do {
            value = try JSON.parse(line, limit: Self.maximumLineBytes)
        } catch {
            let column = error.position.map { "column \($0.column): " } ?? ""
            throw RequestError("this line is no JSON: \(column)\(error.reason)", endsConnection: true)
        }
        guard case .record(let fields) = value else { throw RequestError("a request must be an object") }
        try self.init(fields)
    }

    private init(_ fields: Record) throws(RequestError) {
        let id = fields["id"]
        switch id {
        case nil, .string, .int: self.id = id
        default: throw RequestError(#""id" must be a text or a whole number"#)
        }
        if let unknown = fields.fields.first(where: { !["command", "arguments", "id"].contains($0.name) }) {
            let key = Record.Value.string(unknown.name).json
            throw RequestError(#"unknown key \#(key), expected "command", "arguments" or "id""#, id: id)
        }
        guard let text = fields.string("command"), let (target, name) = Self.parts(of: text) else {
            throw RequestError(#""command" must be a text such as "status" or "ddrp.peers""#, id: id)
        }
        guard case .record(let arguments) = fields["arguments"] ?? .record([:]) else {
            throw RequestError(#""arguments" must be an object"#, id: id)
        }
        self.target = target
        command = Command(name, arguments)
    }

    /// Who is asked and what: what stands before and after the last dot. Without a dot the node is asked.
    private static func parts(of text: String) -> (target: String, name: String)? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard let name = parts.last, parts.allSatisfy({ !$0.isEmpty }) else { return nil }
        return (parts.count == 1 ? "node" : parts.dropLast().joined(separator: "."), name)
    }
}

/// Why a line is not carried out; a person reads it.
struct RequestError: Error {
    let message: String
    let id: Record.Value?
    /// Whether nothing that follows can be trusted to be a request.
    let endsConnection: Bool

    init(_ message: String, id: Record.Value? = nil, endsConnection: Bool = false) {
        self.message = message
        self.id = id
        self.endsConnection = endsConnection
    }
}
