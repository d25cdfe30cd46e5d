import PeerCore
import PeerJSON
import PeerNode
import PeerRuntime
import Testing

@Suite struct ConfigurationTests {
    /// The lines of `text` that begin with one of `sections`.
    private func lines(_ configuration: EffectiveConfiguration, of sections: String...) -> [String] {
        configuration.text.split(separator: "\n").map(String.init).filter { line in
            sections.contains { line.hasPrefix("/" + $0) }
        }
    }

    @Test func `defaults are filled in, and each value has its origin`() throws {
        let text = """
            {"relay": {"listen": "[::1]:1", "tags": {"b": "2", "a": "1"}, "folders": [{"path": "x"}]},
             "echo": [{}, {"enabled": false}]}
            """
        let environment = [
            "PEERNODE__relay__targetOutbound": "12", "PEERNODE__relay__name": "4", "PEERNODE__relay__tags__c": "true",
            "PEERNODE__relay__bootstrapServers": #"["a:1"]"#, "PEERNODE__relay__folders__0__weight": "3",
            "PEERNODE__log__level": "debug",
        ]
        let configuration = try configuration(text, environment: environment)
        let tags = #"{"b":"2","a":"1","c":"true"}"#
        #expect(
            lines(configuration, of: "log/level", "relay", "echo") == [
                #"/log/level                         environment PEERNODE__log__level                 "debug""#,
                #"/relay/enabled                     default                                          true"#,
                #"/relay/listen                      file                                             "[::1]:1""#,
                #"/relay/bootstrapServers            environment PEERNODE__relay__bootstrapServers    ["a:1"]"#,
                #"/relay/targetOutbound              environment PEERNODE__relay__targetOutbound      12"#,
                #"/relay/maxInbound                  default                                          117"#,
                #"/relay/pingIntervalSeconds         default                                          5"#,
                #"/relay/dialect                     default                                          "text""#,
                #"/relay/allowPrivateAddresses       default                                          null"#,
                #"/relay/name                        environment PEERNODE__relay__name                "4""#,
                #"/relay/color                       default                                          "%000""#,
                #"/relay/folders/0/path              file                                             "x""#,
                #"/relay/folders/0/weight            environment PEERNODE__relay__folders__0__weight  3"#,
                #"/relay/tags                        environment PEERNODE__relay__tags__c             \#(tags)"#,
                #"/echo/0/enabled                    default                                          true"#,
                #"/echo/0/listen                     default                                          "127.0.0.1:7""#,
                #"/echo/0/limit                      default                                          5"#,
                #"/echo/1/enabled                    file                                             false"#,
                #"/echo/1/listen                     default                                          "127.0.0.1:7""#,
                #"/echo/1/limit                      default                                          5"#,
            ])
        #expect(configuration.records.contains(["key": "/relay/listen", "value": "[::1]:1", "origin": "file"]))
        #expect(configuration.records.count == configuration.text.split(separator: "\n").count)
    }

    @Test func `a protocol is on when its section is there and not switched off`() throws {
        let cases: [(String, relay: Int, echo: [Int64])] = [
            ("{}", 0, []), (#"{"relay": null, "echo": null}"#, 0, []),
            (#"{"relay": {"listen": "[::1]:1"}, "echo": {}}"#, 1, [5]),
            (#"{"relay": {"enabled": false}, "echo": {"enabled": false, "limit": 2}}"#, 0, []),
            (#"{"echo": [{"limit": 1}, {"enabled": false}, {"limit": 3}]}"#, 0, [1, 3]), (#"{"echo": []}"#, 0, []),
        ]
        for (text, relay, echo) in cases {
            let configuration = try configuration(text)
            #expect(configuration.sections(of: madeUpProtocols[0]).count == relay, "\(text)")
            #expect(configuration.sections(of: madeUpProtocols[1]).map { $0.int("limit") } == echo, "\(text)")
        }
    }

    @Test func `the node's own settings are taken over`() throws {
        let standard = try configuration("{}").node
        #expect(standard.dataDirectory == "./peernode-data")
        #expect(standard.adminSocket == "./peernode-data/admin.sock")
        #expect(standard.log.level == .info && standard.log.format == .auto && standard.log.file == nil)
        #expect(standard.log.heartbeat == .seconds(30) && standard.log.addresses == .full)
        #expect(standard.limits.maxConnections == nil && standard.limits.maxBufferedBytes == 256 << 20)
        #expect(standard.limits.loopbackCongestionControl == "reno")

        let other = try configuration(
            """
            {"$schema": "peernode.schema.json", "dataDirectory": "d",
             "log": {"level": "trace", "format": "json", "file": "f", "categories": {"node": "warn"},
                     "heartbeatSeconds": 0.5, "addresses": "hash"},
             "admin": {"socket": "s", "http": null, "token": null},
             "limits": {"maxConnections": 9, "uploadBytesPerSecond": 7, "loopbackCongestionControl": null}}
            """
        ).node
        #expect(other.dataDirectory == "d" && other.adminSocket == "s")
        #expect(other.log.level == .trace && other.log.format == .json && other.log.file == "f")
        #expect(other.log.categories == ["node": .warn])
        #expect(other.log.heartbeat == .milliseconds(500) && other.log.addresses == .hash)
        #expect(other.limits.maxConnections == 9 && other.limits.uploadBytesPerSecond == 7)
        #expect(other.limits.loopbackCongestionControl == nil)
    }

    @Test func `what is effective, written as a file, is effective again`() throws {
        let first = try configuration(
            #"{"relay": {"listen": "[::1]:1", "tags": {"a": "b"}, "folders": [{"path": "x"}]}, "echo": {}}"#)
        let second = try configuration(Record.Value.record(first.values).prettyJSON)
        #expect(second.values == first.values)
        #expect(first.changes(to: second) == [])
    }

    @Test func `a reload lists what changed, and whether it needs a restart`() throws {
        let relay = #""relay": {"listen": "[::1]:1", "folders": [{"path": "a"}], "targetOutbound": 3}"#
        let cases: [(String, String, [String])] = [
            ("{}", "{}", []),
            ("{}", #"{"log": {"level": "debug", "format": "json"}}"#, ["/log/level live", "/log/format restart"]),
            ("{}", "{\(relay)}", ["/relay restart"]), ("{\(relay)}", "{}", ["/relay restart"]),
            (
                "{\(relay)}", #"{"relay": {"listen": "[::1]:2", "folders": [{"path": "a", "weight": 2}]}}"#,
                ["/relay/listen restart", "/relay/targetOutbound live", "/relay/folders/0/weight live"]
            ),
            ("{\(relay)}", #"{"relay": {"listen": "[::1]:1", "targetOutbound": 3}}"#, ["/relay/folders restart"]),
            (#"{"echo": {}}"#, #"{"echo": [{"limit": 2}]}"#, ["/echo/0/limit live"]),
            (#"{"echo": {}}"#, #"{"echo": [{}, {}]}"#, ["/echo restart"]),
            (#"{"log": {"categories": {"node": "warn"}}}"#, "{}", ["/log/categories live"]),
        ]
        for (old, new, changes) in cases {
            let found = try configuration(old).changes(to: configuration(new))
            #expect(found.map { "\($0.pointer) \($0.isLive ? "live" : "restart")" } == changes, "\(old) \(new)")
        }
    }

    @Test func `the file is looked for in the usual places, in order`() {
        func found(_ files: [String: SystemError?], _ path: String? = nil) -> String {
            let loader = ConfigurationLoader(environment: [:], protocols: []) { path throws(SystemError) in
                guard let error = files[path] else { throw .notFound }
                if let error { throw error }
                return Bytes(utf8: "{}")
            }
            do {
                return try loader.load(path).file
            } catch {
                return error.description
            }
        }
        let all: [String: SystemError?] = [
            "peernode.json": nil, "config/peernode.json": nil, "/etc/peernode/peernode.json": nil,
        ]
        #expect(found(all) == "peernode.json")
        #expect(found(all.filter { $0.key != "peernode.json" }) == "config/peernode.json")
        #expect(found(["/etc/peernode/peernode.json": nil]) == "/etc/peernode/peernode.json")
        #expect(found(["x": nil], "x") == "x")
        #expect(found(all, "x") == "x: not found")
        #expect(found(["peernode.json": .notPermitted, "config/peernode.json": nil]) == "peernode.json: not permitted")
        #expect(
            found([:]) == "no configuration file: tried peernode.json, config/peernode.json,"
                + " /etc/peernode/peernode.json; name one with --config FILE")
    }

    @Test func `files are read from the disk`() throws {
        #expect(try readFile(#filePath).text?.hasPrefix("import PeerCore") == true)
        #expect(throws: SystemError.notFound) { try readFile(#filePath + ".none") }
        #expect(throws: SystemError.self) { try readFile("/") }
    }
}
