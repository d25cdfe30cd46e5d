internal import PeerCore
internal import PeerJSON

/// The strict walk over what was written, along the table of settings: fills in defaults, notes where each value comes
/// from, and collects all that is wrong.
struct SettingsCheck {
    /// What was written, and where.
    let source: ConfigurationSource
    /// All problems, in the order of the walk.
    private(set) var problems: [Problem] = []
    /// All settings, in the order of the table.
    private(set) var settings: [EffectiveSetting] = []

    init(_ source: ConfigurationSource) {
        self.source = source
    }

    /// The value with its defaults; of no use when there are problems.
    mutating func check(
        _ value: Record.Value, as kind: Setting.Kind, at pointer: JSONPointer = JSONPointer(), isDefault: Bool = false
    ) -> Record.Value {
        switch (kind, value) {
        case (.optional, .null): return value
        case (.optional(let kind), _): return check(value, as: kind, at: pointer, isDefault: isDefault)
        case (.list(let kind), .list(let values)), (.oneOrMore(let kind), .list(let values)):
            return .list(
                values.enumerated().map { check($1, as: kind, at: pointer.appending($0), isDefault: isDefault) })
        case (.oneOrMore(let kind), _): return .list([check(value, as: kind, at: pointer, isDefault: isDefault)])
        case (.section(let settings), .record(let record)):
            return .record(check(record, along: settings, at: pointer, isDefault: isDefault))
        case (.map(let kind, let keys), .record(let record)):
            if !keys.isEmpty { refuseUnknownKeys(of: record, known: keys, at: pointer) }
            return .record(
                Record(
                    record.fields.map {
                        ($0.name, check($0.value, as: kind, at: pointer.appending($0.name), isDefault: isDefault))
                    }))
        case (.form(_, let complaint), .string(let text)):
            if let complaint = complaint(text) { refuse(value, kind, at: pointer, complaint) }
        default:
            if kind.allows(value) { return value }
            // Where only a text can be meant, a variable need not quote one that looks like JSON.
            if kind.isText, let text = source.text(of: pointer), value != .string(text) {
                return check(.string(text), as: kind, at: pointer)
            }
            refuse(value, kind, at: pointer)
        }
        return value
    }

    private mutating func check(
        _ record: Record, along table: [Setting], at pointer: JSONPointer, isDefault: Bool
    ) -> Record {
        refuseUnknownKeys(of: record, known: table.map(\.key), at: pointer)
        var result = Record()
        for setting in table {
            let pointer = pointer.appending(setting.key)
            let given = record[setting.key]
            guard let value = given ?? setting.standard else {
                if !record.isSwitchedOff(by: table) { note(pointer, .missing(expected: setting.kind.phrase)) }
                continue
            }
            let isDefault = isDefault || given == nil
            let checked =
                value == .null && setting.standard == .null
                ? .null : check(value, as: setting.kind, at: pointer, isDefault: isDefault)
            result[setting.key] = checked
            if !setting.kind.holdsSettings || checked.isEmpty {
                let origin = isDefault ? .standard : source.origin(of: pointer)
                settings.append(EffectiveSetting(pointer, checked, origin, isLive: setting.isLive))
            }
        }
        return result
    }

    private mutating func refuseUnknownKeys(of record: Record, known: [String], at pointer: JSONPointer) {
        for field in record.fields where !known.contains(field.name) {
            let suggestion = nearest(to: field.name, in: known)
            note(pointer.appending(field.name), .unknownKey(known: known, suggestion: suggestion), isAboutKey: true)
        }
    }

    private mutating func refuse(
        _ value: Record.Value, _ kind: Setting.Kind, at pointer: JSONPointer, _ complaint: String? = nil
    ) {
        var suggestion: String?
        if case (.word(let words), .string(let word)) = (kind, value) { suggestion = nearest(to: word, in: words) }
        note(
            pointer,
            .wrong(found: value.phrase, expected: kind.phrase, complaint: complaint, suggestion: suggestion))
    }

    /// Adds a problem.
    mutating func note(_ pointer: JSONPointer, _ fault: Problem.Fault, isAboutKey: Bool = false) {
        problems.append(Problem(pointer, source.place(of: pointer, isAboutKey: isAboutKey), fault))
    }
}

extension Setting.Kind {
    /// Whether a value without parts is of this kind.
    fileprivate func allows(_ value: Record.Value) -> Bool {
        switch (self, value) {
        case (.bool, .bool), (.string, .string): true
        case (.int(let range), .int(let number)): range.contains(number)
        case (.number(let range), .int(let number)): range.contains(Double(number))
        case (.number(let range), .double(let number)): range.contains(number)
        case (.word(let words), .string(let word)): words.contains(word)
        case (.address, .string(let text)): SocketAddress(text) != nil
        case (.destination, .string(let text)): Destination(text) != nil
        default: false
        }
    }

    fileprivate var isText: Bool {
        switch self {
        case .string, .word, .address, .destination, .form: true
        default: false
        }
    }
}

extension Record {
    /// Whether the section is there and not in use: then nothing in it must be there, though what is must be right.
    fileprivate func isSwitchedOff(by table: [Setting]) -> Bool {
        self[enabledKey] == false && table.contains { $0.key == enabledKey }
    }
}

extension Record.Value {
    fileprivate var isEmpty: Bool {
        switch self {
        case .null, .list([]): true
        case .record(let record): record.fields.isEmpty
        default: false
        }
    }
}
