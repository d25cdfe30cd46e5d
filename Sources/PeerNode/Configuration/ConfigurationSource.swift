internal import PeerCore
internal import PeerJSON

/// What an operator wrote: the file, and the variables of the environment that override parts of it.
struct ConfigurationSource {
    /// The path of the file, as it was given or found.
    let file: String
    /// The file's value with the overrides put in.
    private(set) var value: Record.Value
    /// Overrides that have no place.
    private(set) var problems: [Problem] = []
    private let outline: JSONOutline
    /// The variable that wrote the value there, and its text.
    private var variables: [JSONPointer: (name: String, text: String)] = [:]

    /// Variables that begin so override one value each: `PEERNODE__section__key=value`.
    static let prefix = "PEERNODE__"
    /// A file is some kilobytes; nothing above this is read as one.
    static let maximumFileBytes = 1 << 20

    /// The configuration `text` of `file` with the variables of `environment` that are meant for it.
    init(file: String, _ text: Bytes, environment: [String: String]) throws(JSONError) {
        let document = try JSONDocument(text, limit: Self.maximumFileBytes)
        self.file = file
        value = document.value
        outline = document.outline
        for (variable, text) in environment.sorted(by: { $0.key < $1.key }) where variable.hasPrefix(Self.prefix) {
            // What lies deeper is in no table, and is refused by the part that is left.
            let path = variable.dropFirst(Self.prefix.count).split(separator: "__", omittingEmptySubsequences: false)
                .prefix(JSON.maximumDepth).map(String.init)
            value = put((variable, text), into: value, at: path[...], below: JSONPointer())
        }
    }

    /// The value with the variable's at `path`. One that cannot have such a part stays as it is; that is a problem.
    private mutating func put(
        _ variable: (name: String, text: String), into old: Record.Value?, at path: ArraySlice<String>,
        below pointer: JSONPointer
    ) -> Record.Value {
        guard let key = path.first else {
            variables[pointer] = variable
            // What is not JSON is meant as text.
            return (try? JSON.parse(Bytes(utf8: variable.text), limit: Self.maximumFileBytes)) ?? .string(variable.text)
        }
        let next = pointer.appending(key)
        switch old ?? .null {
        case .null:
            return .record([key: put(variable, into: nil, at: path.dropFirst(), below: next)])
        case .record(var record):
            record[key] = put(variable, into: record[key], at: path.dropFirst(), below: next)
            return .record(record)
        case .list(var values):
            guard let index = values.indices.first(where: { "\($0)" == key }) else { break }
            values[index] = put(variable, into: values[index], at: path.dropFirst(), below: next)
            return .list(values)
        default: break
        }
        let found = (old ?? .null).phrase
        let expected = "something that has a part called \(quoted(key))"
        problems.append(Problem(pointer, .environment(variable.name), .wrong(found: found, expected: expected)))
        return old ?? .null
    }

    /// The text of the variable that wrote exactly this value.
    func text(of pointer: JSONPointer) -> String? { variables[pointer]?.text }

    /// Whether the section `name` is written as a list.
    func isList(_ name: String) -> Bool {
        if case .record(let record) = value { record.list(name) != nil } else { false }
    }

    /// Where a value that is written comes from: also from the environment when only a part of it does.
    func origin(of pointer: JSONPointer) -> Origin {
        (variable(above: pointer) ?? variable(below: pointer)).map(Origin.environment) ?? .file
    }

    /// Where a value is written, or the nearest that should hold it.
    func place(of pointer: JSONPointer, isAboutKey: Bool) -> Problem.Place {
        if let variable = variable(above: pointer) { return .environment(variable) }
        if isAboutKey, let position = outline.position(ofKeyOf: pointer) { return .file(file, position) }
        for pointer in pointer.andAbove {
            if let position = outline.position(of: pointer) { return .file(file, position) }
            if let variable = variable(below: pointer) { return .environment(variable) }
        }
        return .file(file, nil)
    }

    /// The variable that wrote the value, or one that holds it.
    private func variable(above pointer: JSONPointer) -> String? {
        pointer.andAbove.lazy.compactMap { variables[$0]?.name }.first
    }

    /// The first variable that wrote the value, or a part of it.
    private func variable(below pointer: JSONPointer) -> String? {
        variables.filter { $0.key.isWithin(pointer) }.values.map(\.name).min()
    }
}
