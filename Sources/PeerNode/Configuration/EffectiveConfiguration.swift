public import PeerCore
public import PeerJSON

/// Where a value comes from.
public enum Origin: Hashable, Sendable, CustomStringConvertible {
    /// The configuration file.
    case file
    /// The table of settings, since nobody wrote another value.
    case standard
    /// This variable of the environment; for a list or a map also when only a part of it does.
    case environment(String)

    /// `file`, `default`, `environment PEERNODE__log__level`
    public var description: String {
        switch self {
        case .file: "file"
        case .standard: "default"
        case .environment(let variable): "environment \(variable)"
        }
    }
}

/// One setting as it holds.
public struct EffectiveSetting: Hashable, Sendable {
    /// Its place in the configuration, as it is written there.
    public let pointer: JSONPointer
    /// Its value.
    public let value: Record.Value
    /// Where the value comes from.
    public let origin: Origin
    /// Whether SIGHUP applies a change.
    public let isLive: Bool

    init(_ pointer: JSONPointer, _ value: Record.Value, _ origin: Origin, isLive: Bool) {
        self.pointer = pointer
        self.value = value
        self.origin = origin
        self.isLive = isLive
    }
}

/// A setting that has another value than before.
public struct ChangedSetting: Hashable, Sendable {
    /// Its place in the effective configuration; the section's own when all of that came or went.
    public let pointer: JSONPointer
    /// Whether the running node takes it over; otherwise it needs a restart.
    public let isLive: Bool
}

/// A configuration that was checked: every setting has a value that its kind allows.
public struct EffectiveConfiguration: Sendable {
    /// The file that it was read from.
    public let file: String
    /// All values, defaults filled in, in the order of the table.
    public let values: Record
    /// All settings with their origins, in the order of the table.
    public let settings: [EffectiveSetting]
    /// The settings of the node itself.
    public let node: NodeConfiguration
    let table: [Setting]

    /// The sections of a protocol that are to run: none, one, or several where the protocol allows a list.
    public func sections(of section: ProtocolSection) -> [Record] {
        section.enabledSections(in: values).map(\.section)
    }
}

// What `check-config --effective` prints.
extension EffectiveConfiguration {
    /// One record for each setting: `key`, `value`, `origin`.
    public var records: [Record] {
        settings.map { ["key": .text($0.pointer), "value": $0.value, "origin": .text($0.origin)] }
    }

    /// One line for each setting: pointer, origin, and the value as JSON.
    public var text: String {
        func column(_ texts: [String]) -> [String] {
            let width = texts.map(\.count).max() ?? 0
            return texts.map { $0 + String(repeating: " ", count: width - $0.count + 2) }
        }
        let columns = zip(column(settings.map(\.pointer.description)), column(settings.map(\.origin.description)))
        return zip(columns, settings).map { $0.0 + $0.1 + $1.value.json + "\n" }.joined()
    }
}

// Reload.
extension EffectiveConfiguration {
    /// The settings that have another value in `new`, in the order of the table.
    public func changes(to new: EffectiveConfiguration) -> [ChangedSetting] {
        differences(.record(values), .record(new.values), .section(table), JSONPointer(), isLive: false)
    }

    private func differences(
        _ old: Record.Value, _ new: Record.Value, _ kind: Setting.Kind, _ pointer: JSONPointer, isLive: Bool
    ) -> [ChangedSetting] {
        guard old != new else { return [] }
        switch (kind, old, new) {
        case (.optional(let kind), _, _): return differences(old, new, kind, pointer, isLive: isLive)
        case (.section(let table), .record(let old), .record(let new)):
            return table.flatMap { setting in
                differences(
                    old[setting.key] ?? .null, new[setting.key] ?? .null, setting.kind, pointer.appending(setting.key),
                    isLive: setting.isLive)
            }
        case (.list(let kind), .list(let old), .list(let new)) where kind.holdsSettings && old.count == new.count,
            (.oneOrMore(let kind), .list(let old), .list(let new)) where kind.holdsSettings && old.count == new.count:
            return zip(old, new).enumerated().flatMap { index, pair in
                differences(pair.0, pair.1, kind, pointer.appending(index), isLive: isLive)
            }
        default: return [ChangedSetting(pointer: pointer, isLive: isLive)]
        }
    }
}
