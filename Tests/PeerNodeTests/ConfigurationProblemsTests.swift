import PeerCore
import PeerNode
import Testing

/// The texts are compared as wholes, because operators read them and scripts match them.
@Suite struct ConfigurationProblemsTests {
    private let address = #"expected "host:port" or "[v6]:port" with a numeric host"#
    private let noHTTP = "(this version has no HTTP interface; use the Unix socket)"
    private let levels = #"expected "error", "warn", "info", "debug" or "trace""#
    private let topKeys = #"expected "$schema", "dataDirectory", "log", "admin", "limits", "relay" or "echo""#

    @Test func `all problems of a file are reported at once, in the order of its lines`() {
        let text = """
            {
              "log": { "level": "loud", "formt": "text", "categories": { "nod": "info", "node": 5 } },
              "admin": { "http": "127.0.0.1:9470", "socket": "" },
              "limits": { "max_connections": 5, "acceptsPerSecond": -1 },
              "relay": { "targetOutbond": 5, "bootstrapServers": ["a:1", "b", 3, {}],
                "targetOutbound": 101, "maxInbound": -1, "pingIntervalSeconds": 0.1, "dialect": "texd",
                "allowPrivateAddresses": "yes", "color": "red", "folders": [{}, {"path": 1, "weight": 2.5}],
                "tags": [], "name": false },
              "echo": [{"listen": "localhost:7", "xyzzy": 1}, null, {"limit": 10}]
            }
            """
        let messages = #"""
            p.json:2:21: /log/level: found "loud", expected "error", "warn", "info", "debug" or "trace"
            p.json:2:29: /log/formt: unknown key; did you mean "format"?
            p.json:2:62: /log/categories/nod: unknown key; did you mean "node"?
            p.json:2:85: /log/categories/node: found 5, expected "error", "warn", "info", "debug" or "trace"
            p.json:3:22: /admin/http: found "127.0.0.1:9470", expected null \#(noHTTP)
            p.json:3:50: /admin/socket: found "", expected the path of a Unix socket, at most 107 octets (it is empty)
            p.json:4:15: /limits/max_connections: unknown key; did you mean "maxConnections"?
            p.json:4:57: /limits/acceptsPerSecond: found -1, expected a whole number from 0 to 1000000
            p.json:5:12: /relay/listen: missing, expected "host:port" or "[v6]:port" with a numeric host
            p.json:5:14: /relay/targetOutbond: unknown key; did you mean "targetOutbound"?
            p.json:5:62: /relay/bootstrapServers/1: found "b", expected "host:port", "[v6]:port" or "name:port"
            p.json:5:67: /relay/bootstrapServers/2: found 3, expected "host:port", "[v6]:port" or "name:port"
            p.json:5:70: /relay/bootstrapServers/3: found an object, expected "host:port", "[v6]:port" or "name:port"
            p.json:6:23: /relay/targetOutbound: found 101, expected a whole number from 0 to 100
            p.json:6:42: /relay/maxInbound: found -1, expected a whole number, at least 0
            p.json:6:69: /relay/pingIntervalSeconds: found 0.1, expected a number from 0.5 to 60
            p.json:6:85: /relay/dialect: found "texd", expected "reference" or "text"; did you mean "text"?
            p.json:7:30: /relay/allowPrivateAddresses: found "yes", expected true or false
            p.json:7:46: /relay/color: found "red", expected a color such as %0f0 (it has no %)
            p.json:7:65: /relay/folders/0/path: missing, expected a text
            p.json:7:78: /relay/folders/1/path: found 1, expected a text
            p.json:7:91: /relay/folders/1/weight: found 2.5, expected a whole number from 1 to 9
            p.json:8:13: /relay/tags: found an empty list, expected an object
            p.json:8:25: /relay/name: found false, expected a text
            p.json:9:23: /echo/0/listen: found "localhost:7", expected "host:port" or "[v6]:port" with a numeric host
            p.json:9:38: /echo/0/xyzzy: unknown key, expected "enabled", "listen" or "limit"
            p.json:9:51: /echo/1: found null, expected an object
            """#
        #expect(complaints(text) == messages)
    }

    @Test func `a file that is no object is one problem`() {
        let cases = [
            ("", "p.json:1:1: found the end of the text, expected a value"),
            ("[]", "p.json:1:1: found an empty list, expected an object"),
            (" 5", "p.json:1:2: found 5, expected an object"),
            ("{\n  \"relay\": {\"listen\": \"[::1]:1\"},\n}", #"p.json:3:1: found "}", expected a key in quotes"#),
            (#"{"log": {}, "log": {}}"#, #"p.json:1:13: the key "log" is there twice"#),
            (
                #"{"echo": 1, "relay": [{}]}"#,
                [
                    "p.json:1:10: /echo: found 1, expected an object",
                    "p.json:1:22: /relay: found a list, expected an object",
                ].joined(separator: "\n")
            ),
            (
                String(repeating: " ", count: 1 << 20) + "{}",
                "p.json: a text of 1048578 octets is above the limit of 1048576"
            ),
        ]
        for (text, message) in cases { #expect(complaints(text) == message, "\(text.prefix(80))") }
    }

    @Test func `settings that contradict each other are problems where each by itself is right`() {
        let cases = [
            (
                #"{"relay": {"listen": "[::1]:1", "targetOutbound": 9, "maxInbound": 8}}"#,
                #"p.json:1:51: /relay/targetOutbound: must not be above "maxInbound""#
            ),
            (
                #"{"relay": {"listen": "[::1]:1", "maxInbound": 7}, "limits": {"maxConnections": 0}}"#,
                """
                p.json:1:11: /relay/targetOutbound: must not be above "maxInbound"
                p.json:1:80: /limits/maxConnections: found 0, expected a whole number from 1 to 1048576
                """
            ),
            (#"{"relay": {"listen": "[::1]:1", "targetOutbound": 9, "maxInbound": 8, "enabled": false}}"#, ""),
            (#"{"echo": {"limit": 10}}"#, "p.json:1:20: /echo/limit: must not be 10 on that address"),
            (#"{"echo": [{}, {"limit": 10}]}"#, "p.json:1:25: /echo/1/limit: must not be 10 on that address"),
            (
                #"{"dataDirectory": "\#(String(repeating: "d", count: 98))"}"#,
                "p.json:1:19: /dataDirectory: too long: the path of admin.sock in this folder has 109 octets, and a"
                    + " socket's may have 107; shorten it or set /admin/socket"
            ),
            (#"{"dataDirectory": "\#(String(repeating: "d", count: 98))", "admin": {"socket": "a"}}"#, ""),
        ]
        for (text, message) in cases { #expect(complaints(text) == message, "\(text)") }
    }

    @Test func `a problem in the environment names the variable`() {
        let file = #"{"log": {"level": "info"}, "relay": {"listen": "[::1]:1", "folders": [{"path": "a"}]}}"#
        let cases = [
            (
                ["PEERNODE__log__level": "debgu"],
                #"PEERNODE__log__level: /log/level: found "debgu", \#(levels); did you mean "debug"?"#
            ),
            (["PEERNODE__log__lvel": "debug"], #"PEERNODE__log__lvel: /log/lvel: unknown key; did you mean "level"?"#),
            (
                ["PEERNODE__log__level__x": "1"],
                #"PEERNODE__log__level__x: /log/level: found "info", expected something that has a part called "x""#
            ),
            (
                ["PEERNODE__relay__folders__1__path": "b"],
                "PEERNODE__relay__folders__1__path: /relay/folders: found a list,"
                    + #" expected something that has a part called "1""#
            ),
            (
                ["PEERNODE__relay__folders__0__weight": "10"],
                "PEERNODE__relay__folders__0__weight: /relay/folders/0/weight: found 10,"
                    + " expected a whole number from 1 to 9"
            ),
            (
                ["PEERNODE__relay": #"{"maxInbound": 100}"#],
                #"PEERNODE__relay: /relay/listen: missing, \#(address)"#
            ),
            (
                ["PEERNODE__echo__limit": "1.5", "PEERNODE__echo__listen": "7"],
                """
                PEERNODE__echo__limit: /echo/limit: found 1.5, expected a whole number from 1 to 10
                PEERNODE__echo__listen: /echo/listen: found "7", expected "host:port" or "[v6]:port" with a numeric host
                """
            ),
            (
                ["PEERNODE__": "1"],
                #"PEERNODE__: /: unknown key, \#(topKeys)"#
            ),
            (
                ["PEERNODE__" + String(repeating: "__", count: 5000): "1"],
                "PEERNODE__" + String(repeating: "__", count: 5000)
                    + #": /: unknown key, \#(topKeys)"#
            ),
            (["PEERNODE_VECTORS": "1", "HOME": "x"], ""),
        ]
        for (environment, message) in cases {
            #expect(complaints(file, environment: environment) == message, "\(environment)")
        }
        #expect(
            complaints("{}", environment: ["PEERNODE__relay__maxInbound": "100"])
                == #"PEERNODE__relay__maxInbound: /relay/listen: missing, \#(address)"#)
    }

    @Test func `long and dangerous texts are shown cut and escaped`() {
        let cases = [
            (
                #"{"log": {"level": "\#(String(repeating: "x", count: 100))"}}"#,
                #"p.json:1:19: /log/level: found "\#(String(repeating: "x", count: 60))…", \#(levels)"#
            ),
            (
                #"{"\u001b[2J": 1}"#,
                #"p.json:1:2: /\u{1b}[2J: unknown key, \#(topKeys)"#
            ),
            (
                #"{"relay": {"listen": "\u001b[2J"}}"#,
                #"p.json:1:22: /relay/listen: found "\u001b[2J", \#(address)"#
            ),
        ]
        for (text, message) in cases { #expect(complaints(text) == message, "\(text)") }
    }

    @Test func `the nearest known key is suggested when it is near`() {
        let cases = [
            ("targetOutbound", "targetOutbound"), ("target_outbound", "targetOutbound"),
            ("TargetOutBound", "targetOutbound"),
            ("tragetOutbound", "targetOutbound"), ("targetOutbounds", "targetOutbound"), ("maxInbuond", "maxInbound"),
            ("lisen", "listen"), ("tag", "tags"), ("x", nil), ("outbound", nil),
        ]
        for (written, meant) in cases where written != meant {
            let message = complaints(#"{"relay": {"listen": "[::1]:1", "\#(written)": 1}}"#)
            let hint = meant.map { #"unknown key; did you mean "\#($0)"?"# } ?? #"unknown key, expected "enabled","#
            #expect(message.contains(hint), "\(message)")
        }
    }
}
