public import PeerCore

/// A protocol's section of the configuration. The protocol is on when the section is there and not `"enabled": false`.
public struct ProtocolSection: Sendable {
    /// The key of the section.
    public let name: String
    /// The category of its log lines.
    public let category: String
    /// Whether the section may be a list of sections, each of which gives a core of its own.
    public let allowsList: Bool
    /// The settings of the section.
    public let settings: [Setting]
    let contradictions: @Sendable (Record) -> [Contradiction]

    /// Section `name` with the settings of `configuration`; the category is called the same unless another is given.
    public init<Configuration: Configurable & SendableMetatype>(
        _ name: String, _ configuration: Configuration.Type, category: String? = nil, allowsList: Bool = false
    ) {
        self.name = name
        self.category = category ?? name
        self.allowsList = allowsList
        settings = [Self.enabled] + configuration.settings.filter { $0.key != enabledKey }
        contradictions = { configuration.contradictions(in: $0) }
    }

    private static let enabled = Setting(
        enabledKey, .bool, standard: true, "false switches this section off, as if it were not there.")

    /// The sections in checked `values` that are to run: none, one, or several where a list is allowed.
    func enabledSections(in values: Record) -> [(index: Int, section: Record)] {
        let sections: [Record.Value] =
            switch values[name] {
            case .list(let list): list
            case let value: [value ?? .null]
            }
        return sections.enumerated().compactMap { index, section in
            if case .record(let record) = section, record[enabledKey] != false { (index, record) } else { nil }
        }
    }

    /// The section as one setting of the file.
    var setting: Setting {
        let section = Setting.Kind.section(settings)
        return Setting(
            name, allowsList ? .oneOrMore(section) : section, standard: .null,
            "The protocol is on when this section is there" + (allowsList ? "; a list gives several." : "."))
    }
}

/// The key that switches a section off.
let enabledKey = "enabled"

/// All settings of a configuration file: those of the node, then a section for each protocol.
func settingsTable(_ protocols: [ProtocolSection]) -> [Setting] {
    NodeConfiguration.settings + protocols.map(\.setting)
}
