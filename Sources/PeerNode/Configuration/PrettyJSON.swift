public import PeerCore

extension Record.Value {
    /// The value as JSON text for people: two spaces for each level, a list of texts and numbers on one line; ends with
    /// a line end.
    public var prettyJSON: String { pretty(indent: "") + "\n" }

    private func pretty(indent: String) -> String {
        let deeper = indent + "  "
        switch self {
        case .record(let record) where !record.fields.isEmpty:
            let lines = record.fields.map {
                deeper + Record.Value.string($0.name).json + ": " + $0.value.pretty(indent: deeper)
            }
            return "{\n" + lines.joined(separator: ",\n") + "\n" + indent + "}"
        case .list(let values) where values.contains(where: \.hasParts):
            return "[\n" + values.map { deeper + $0.pretty(indent: deeper) }.joined(separator: ",\n") + "\n" + indent
                + "]"
        case .list(let values): return "[" + values.map(\.json).joined(separator: ", ") + "]"
        default: return json
        }
    }

    private var hasParts: Bool {
        switch self {
        case .record, .list: true
        default: false
        }
    }
}
