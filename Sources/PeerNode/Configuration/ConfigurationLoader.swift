public import PeerCore
internal import PeerJSON
public import PeerRuntime

/// Why there is no configuration.
public enum ConfigurationError: Error, Hashable, Sendable {
    /// None of the files in the usual places is there.
    case notFound(tried: [String])
    /// The file cannot be read.
    case unreadable(String, SystemError)
    /// All that is wrong with it, in the order of the file's lines.
    case invalid([Problem])
}

extension ConfigurationError: CustomStringConvertible {
    /// A line for each problem.
    public var description: String {
        switch self {
        case .notFound(let tried):
            "no configuration file: tried \(tried.joined(separator: ", ")); name one with --config FILE"
        case .unreadable(let file, let reason): "\(file): \(reason)"
        case .invalid(let problems): problems.map(\.description).joined(separator: "\n")
        }
    }
}

/// Finds, reads and checks the configuration.
public struct ConfigurationLoader: Sendable {
    /// Where the file is looked for, in this order (program, section 1).
    public static let places = ["peernode.json", "config/peernode.json", "/etc/peernode/peernode.json"]

    let environment: [String: String]
    let protocols: [ProtocolSection]
    let read: @Sendable (String) throws(SystemError) -> Bytes

    /// A loader for the node's protocols, which reads files with `read`.
    public init(
        environment: [String: String], protocols: [ProtocolSection] = Protocols.all,
        read: @escaping @Sendable (String) throws(SystemError) -> Bytes = readFile
    ) {
        self.environment = environment
        self.protocols = protocols
        self.read = read
    }

    /// The configuration in `file`, or in the first of the usual places where there is one.
    public func load(_ file: String? = nil) throws(ConfigurationError) -> EffectiveConfiguration {
        let places = file.map { [$0] } ?? Self.places
        for place in places {
            let text: Bytes
            do {
                text = try read(place)
            } catch .notFound where file == nil {
                continue
            } catch {
                throw .unreadable(place, error)
            }
            return try check(text, of: place)
        }
        throw .notFound(tried: places)
    }

    /// The configuration `text` of `file`, or all that is wrong with it.
    func check(_ text: Bytes, of file: String) throws(ConfigurationError) -> EffectiveConfiguration {
        let source: ConfigurationSource
        do {
            source = try ConfigurationSource(file: file, text, environment: environment)
        } catch {
            throw .invalid([Problem(JSONPointer(), .file(file, error.position), .syntax(error))])
        }
        var check = SettingsCheck(source)
        let table = settingsTable(protocols)
        let value = check.check(source.value, as: .section(table))
        guard case .record(let values) = value else { throw .invalid(source.problems + check.problems) }
        noteContradictions(values, &check)
        let problems = source.problems + check.problems
        guard problems.isEmpty else { throw .invalid(problems.sorted { $0.place < $1.place }) }
        return EffectiveConfiguration(
            file: file, values: values, settings: check.settings, node: NodeConfiguration(values), table: table)
    }

    /// Contradictions are looked for where each value by itself is right.
    private func noteContradictions(_ values: Record, _ check: inout SettingsCheck) {
        let faulty = Set(check.problems.compactMap(\.pointer.components.first))
        if faulty.isDisjoint(with: NodeConfiguration.settings.map(\.key)) {
            for contradiction in NodeConfiguration.contradictions(in: values) {
                check.note(JSONPointer(contradiction.path), .contradiction(contradiction.message))
            }
        }
        for section in protocols where !faulty.contains(section.name) {
            for (index, record) in section.enabledSections(in: values) {
                let path = check.source.isList(section.name) ? [section.name, "\(index)"] : [section.name]
                for contradiction in section.contradictions(record) {
                    check.note(JSONPointer(path + contradiction.path), .contradiction(contradiction.message))
                }
            }
        }
    }
}
