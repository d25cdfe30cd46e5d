import PeerCore
import PeerCrypto
import PeerJSON
import PeerNode
import Testing

/// Whatever is written, the check accepts it or says what is wrong; it never traps.
@Suite struct ConfigurationAnyValueTests {
    private static let good = """
        {"log": {"level": "info", "categories": {"node": "warn"}, "heartbeatSeconds": 1},
         "admin": {"socket": "s"}, "limits": {"maxConnections": 5},
         "relay": {"listen": "[::1]:1", "bootstrapServers": ["a:1"], "folders": [{"path": "a", "weight": 3}],
                   "tags": {"a": "b"}, "name": "n", "pingIntervalSeconds": 2.5},
         "echo": [{"listen": "127.0.0.1:1"}, {"limit": 3}]}
        """

    private static let values = [
        "null", "true", "false", "0", "-1", "1", "1.5", "1e300", "9223372036854775807", "-9223372036854775808", #""""#,
        #""x""#, #""127.0.0.1:65536""#, #""[::1]:0""#, #""\u0000""#, #""😀e\u0301""#, "[]", "[[]]", "{}", "[{}]",
        #"{"a": 1}"#, #"{"": {"": []}}"#, #"{"enabled": false}"#, #"[null, "a:1", {"path": "p"}]"#,
        #""\#(String(repeating: "x", count: 300))""#,
    ]

    /// All ways from the top of `value` into it.
    private func pointers(_ value: Record.Value, below: [String] = []) -> [[String]] {
        let parts: [(String, Record.Value)] =
            switch value {
            case .record(let record): record.fields.map { ($0.name, $0.value) }
            case .list(let values): values.enumerated().map { ("\($0)", $1) }
            default: []
            }
        return [below] + parts.flatMap { pointers($1, below: below + [$0]) }
    }

    private func replacing(_ value: Record.Value?, at path: ArraySlice<String>, by new: Record.Value) -> Record.Value {
        guard let key = path.first else { return new }
        switch value {
        case .record(var record):
            record[key] = replacing(record[key], at: path.dropFirst(), by: new)
            return .record(record)
        case .list(var values):
            if let index = Int(key), values.indices.contains(index) {
                values[index] = replacing(values[index], at: path.dropFirst(), by: new)
            }
            return .list(values)
        default: return new
        }
    }

    /// Checks one configuration; gives whether it was accepted.
    private func check(_ text: String, environment: [String: String] = [:]) -> Bool {
        do {
            let first = try configuration(text, environment: environment)
            let again = try configuration(Record.Value.record(first.values).prettyJSON)
            if again.values != first.values { Issue.record("\(text) is not the same when it is written again") }
            return true
        } catch {
            if error == .invalid([]) { Issue.record("\(text) is refused without a reason") }
            return false
        }
    }

    @Test func `any value in any place of the file gives a configuration or problems`() throws {
        let good = try JSON.parse(Bytes(utf8: Self.good), limit: 10_000)
        #expect(check(good.json))
        var accepted = 0
        for path in pointers(good) {
            for value in Self.values {
                let new = try JSON.parse(Bytes(utf8: value), limit: 10_000)
                accepted += check(replacing(good, at: path[...], by: new).json) ? 1 : 0
            }
        }
        #expect(accepted > 40)
    }

    @Test func `any value in any variable of the environment gives a configuration or problems`() throws {
        let good = try JSON.parse(Bytes(utf8: Self.good), limit: 10_000)
        var accepted = 0
        for path in pointers(good) + [
            ["relay", "xyzzy", "a"], ["relay", "folders", "-1"], ["", ""], ["echo", "9", "limit"],
        ] {
            for value in ["null", "true", "1.5", #""x""#, "[]", #"{"enabled": false}"#, "", "text", "[1,", "\u{0}"] {
                let name = "PEERNODE__" + path.joined(separator: "__")
                accepted += check(good.json, environment: [name: value]) ? 1 : 0
            }
        }
        #expect(accepted > 40)
    }

    @Test func `several random values in random places give a configuration or problems`() throws {
        var random = SeededRandom(seed: Bytes32.zero)
        let good = try JSON.parse(Bytes(utf8: Self.good), limit: 10_000)
        let paths = pointers(good)
        for _ in 0..<200 {
            var value = good
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let new = try JSON.parse(Bytes(utf8: Self.values.randomElement(using: &random) ?? "0"), limit: 10_000)
                value = replacing(value, at: (paths.randomElement(using: &random) ?? [])[...], by: new)
            }
            _ = check(value.json)
        }
    }
}
