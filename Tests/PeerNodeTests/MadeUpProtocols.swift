import PeerCore
import PeerJSON
import PeerNode

/// A protocol that does not exist, with a setting of every kind.
struct RelayConfiguration: Configurable {
    static let settings: [Setting] = [
        Setting("listen", .address, standard: nil, "Where it listens."),
        Setting("bootstrapServers", .list(.destination), standard: [], isLive: true, "Whom it asks first."),
        Setting("targetOutbound", .int(0...100), standard: 8, isLive: true, "Connections that it dials."),
        Setting("maxInbound", .int(0 ... .max), standard: 117, isLive: true, "Connections that it takes."),
        Setting("pingIntervalSeconds", .number(0.5...60), standard: 5, "Time between two pings."),
        Setting("dialect", .word(["reference", "text"]), standard: "text", "The dialect that it speaks."),
        Setting("allowPrivateAddresses", .bool, standard: .null, "Derived from `listen` when null."),
        Setting("name", .optional(.string), standard: .null, "Its name."),
        Setting(
            "color", .form("a color such as %0f0", check: { $0.hasPrefix("%") ? nil : "it has no %" }),
            standard: "%000", "Its color."),
        Setting(
            "folders",
            .list(
                .section([
                    Setting("path", .string, standard: nil, "Where it is."),
                    Setting("weight", .int(1...9), standard: 1, isLive: true, "How much it counts."),
                ])), standard: [], "What it shares."),
        Setting("tags", .map(.string, keys: []), standard: .record([:]), "Anything."),
    ]

    static func contradictions(in values: Record) -> [Contradiction] {
        guard values.number("targetOutbound") > values.number("maxInbound") else { return [] }
        return [Contradiction("targetOutbound", message: #"must not be above "maxInbound""#)]
    }

    init(_ values: Record) {}
}

/// Another one, of which there may be several.
struct EchoConfiguration: Configurable {
    static let settings: [Setting] = [
        Setting("listen", .address, standard: "127.0.0.1:7", "Where it listens."),
        Setting("limit", .int(1...10), standard: 5, isLive: true, "How much it echoes."),
    ]

    static func contradictions(in values: Record) -> [Contradiction] {
        values.number("limit") == 10 ? [Contradiction("limit", message: "must not be 10 on that address")] : []
    }

    init(_ values: Record) {}
}

let madeUpProtocols = [
    ProtocolSection("relay", RelayConfiguration.self),
    ProtocolSection("echo", EchoConfiguration.self, allowsList: true),
]

/// The configuration of a file called `p.json` that holds `text`.
func configuration(
    _ text: String, environment: [String: String] = [:]
) throws(ConfigurationError) -> EffectiveConfiguration {
    let loader = ConfigurationLoader(environment: environment, protocols: madeUpProtocols) { _ in Bytes(utf8: text) }
    return try loader.load("p.json")
}

/// All that is wrong with it, as the operator reads it; empty when it is right.
func complaints(_ text: String, environment: [String: String] = [:]) -> String {
    do {
        _ = try configuration(text, environment: environment)
        return ""
    } catch {
        return error.description
    }
}
