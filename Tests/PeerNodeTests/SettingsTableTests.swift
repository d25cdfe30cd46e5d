import PeerCore
import PeerNode
import Testing

/// What holds for every table of settings, those of the protocols included.
@Suite struct SettingsTableTests {
    private func all(_ settings: [Setting], in section: String) -> [(path: String, setting: Setting)] {
        settings.flatMap { setting in
            let path = section + "/" + setting.key
            return [(path, setting)] + all(inside(setting.kind), in: path)
        }
    }

    private func inside(_ kind: Setting.Kind) -> [Setting] {
        switch kind {
        case .section(let settings): settings
        case .list(let kind), .optional(let kind), .oneOrMore(let kind), .map(let kind, _): inside(kind)
        default: []
        }
    }

    private var settings: [(path: String, setting: Setting)] {
        all(NodeConfiguration.settings, in: "") + Protocols.all.flatMap { all($0.settings, in: "/" + $0.name) }
    }

    @Test func `every key is camelCase, occurs once, and has a sentence that says what it does`() {
        #expect(Set(settings.map(\.path)).count == settings.count)
        for (path, setting) in settings where setting.key != "$schema" {
            #expect(
                setting.key.first?.isLowercase == true && setting.key.allSatisfy { $0.isLetter || $0.isNumber },
                "\(path)")
            #expect(setting.summary.hasSuffix("."), "\(path)")
        }
    }

    @Test func `seconds fit a duration of nanoseconds`() {
        for (path, setting) in settings where setting.key.hasSuffix("Seconds") {
            guard case .number(let range) = setting.kind else { continue }
            // 2^63 nanoseconds are 292 years, 9.2e9 seconds.
            #expect(range.upperBound <= 9e9 && range.lowerBound >= 0, "\(path)")
        }
    }

    @Test func `every default is a value that the setting allows`() {
        let sections = Protocols.all.map { #""\#($0.name)": {}"# }
        let loader = ConfigurationLoader(environment: [:]) { _ in Bytes(utf8: "{\(sections.joined(separator: ","))}") }
        do {
            _ = try loader.load("p.json")
        } catch .invalid(let problems) {
            for problem in problems {
                guard case .missing = problem.fault else { Issue.record("\(problem)"); continue }
            }
        } catch {
            Issue.record("\(error)")
        }
    }
}
