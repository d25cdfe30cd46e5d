public import PeerCore

/// The JSON Schema (2020-12) of a configuration file with these protocols: the same table that the check uses.
public func settingsSchema(_ protocols: [ProtocolSection] = Protocols.all) -> Record.Value {
    let head: Record = [
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The configuration of peernode",
    ]
    return .record(head.appending(Setting.Kind.section(settingsTable(protocols)).schema))
}

extension Setting {
    /// The schema of the value, with what it does and what it is when the key is missing.
    fileprivate var schema: Record {
        let effect = isLive || kind.holdsSettings ? "" : " A change needs a restart."
        var head: Record = ["description": .string(summary + effect)]
        if let standard, standard != .record([:]) { head["default"] = standard }
        return head.appending(standard == .null && !kind.allowsNull ? Kind.optional(kind).schema : kind.schema)
    }
}

extension Setting.Kind {
    fileprivate var allowsNull: Bool {
        if case .optional = self { true } else { false }
    }

    fileprivate var schema: Record {
        switch self {
        case .bool: ["type": "boolean"]
        case .int(let range): ["type": "integer", "minimum": .int(range.lowerBound), "maximum": .int(range.upperBound)]
        case .number(let range):
            ["type": "number", "minimum": number(range.lowerBound), "maximum": number(range.upperBound)]
        case .string: ["type": "string"]
        case .word(let words): ["type": "string", "enum": .list(words.map(Record.Value.string))]
        // The check knows more of these forms than a pattern can say.
        case .address: ["type": "string", "pattern": #"^([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$"#]
        case .destination: ["type": "string", "pattern": #"^([0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$"#]
        case .form(let words, _): ["type": "string", "title": .string(words)]
        case .list(let kind): ["type": "array", "items": .record(kind.schema)]
        case .section(let settings): sectionSchema(settings)
        case .map(let kind, let keys): mapSchema(kind, keys)
        case .optional(let kind): kind.schema.allowing("null")
        case .oneOrMore(let kind): kind.schema.allowing("array").appending(["items": .record(kind.schema)])
        }
    }

    private func number(_ value: Double) -> Record.Value {
        Int64(exactly: value).map(Record.Value.int) ?? .double(value)
    }

    private func sectionSchema(_ settings: [Setting]) -> Record {
        var schema: Record = [
            "type": "object", "additionalProperties": false,
            "properties": .record(Record(settings.map { ($0.key, .record($0.schema)) })),
        ]
        let required = settings.filter { $0.standard == nil }.map { Record.Value.string($0.key) }
        guard !required.isEmpty else { return schema }
        if settings.contains(where: { $0.key == enabledKey }) {
            let isOff: Record = [enabledKey: .record(["const": false])]
            schema["anyOf"] = [
                .record(["required": .list(required)]),
                .record(["properties": .record(isOff), "required": [.string(enabledKey)]]),
            ]
        } else {
            schema["required"] = .list(required)
        }
        return schema
    }

    private func mapSchema(_ kind: Setting.Kind, _ keys: [String]) -> Record {
        guard !keys.isEmpty else { return ["type": "object", "additionalProperties": .record(kind.schema)] }
        let properties = Record(keys.map { ($0, Record.Value.record(kind.schema)) })
        return ["type": "object", "additionalProperties": false, "properties": .record(properties)]
    }
}

extension Record {
    /// The schema for values of that type too. All its other words but `enum` speak of their own types only.
    fileprivate func allowing(_ type: String) -> Record {
        guard self["enum"] == nil else { return ["anyOf": [.record(self), .record(["type": .string(type)])]] }
        var schema = self
        schema["type"] = .list((list("type") ?? [self["type"] ?? .null]) + [.string(type)])
        return schema
    }
}
