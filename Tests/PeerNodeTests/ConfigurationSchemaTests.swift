import PeerCore
import PeerJSON
import PeerNode
import Testing

@Suite struct ConfigurationSchemaTests {
    private func properties(_ record: Record?) -> Record { record?.record("properties") ?? [:] }

    private var top: Record {
        if case .record(let schema) = settingsSchema(madeUpProtocols) { schema } else { [:] }
    }

    @Test func `the schema says of each setting what it may be, what it is, and what it does`() {
        #expect(top.string("$schema") == "https://json-schema.org/draft/2020-12/schema")
        #expect(top["type"] == "object" && top["additionalProperties"] == false)
        #expect(
            properties(top).fields.map(\.name)
                == ["$schema", "dataDirectory", "log", "admin", "limits", "relay", "echo"])
        let relay = properties(properties(top).record("relay"))
        let cases: [(String, String)] = [
            ("enabled", #""default":true,"type":"boolean""#),
            ("listen", #""type":"string","pattern":"^([0-9.]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}$""#),
            ("targetOutbound", #""default":8,"type":"integer","minimum":0,"maximum":100"#),
            ("pingIntervalSeconds", #""default":5,"type":"number","minimum":0.5,"maximum":60"#),
            ("dialect", #""default":"text","type":"string","enum":["reference","text"]"#),
            ("allowPrivateAddresses", #""default":null,"type":["boolean","null"]"#),
            ("name", #""default":null,"type":["string","null"]"#),
            ("color", #""default":"%000","type":"string","title":"a color such as %0f0""#),
            ("tags", #""type":"object","additionalProperties":{"type":"string"}"#),
        ]
        for (key, schema) in cases {
            var parts = relay.record(key) ?? [:]
            parts["description"] = nil
            #expect(parts.json == "{\(schema)}", "\(key)")
        }
        #expect(relay.record("listen")?["description"] == "Where it listens. A change needs a restart.")
        #expect(relay.record("targetOutbound")?["description"] == "Connections that it dials.")
    }

    @Test func `a section that may be a list has one schema for both, and a text that does not change`() {
        let inside = #"""
            "type": "object",
            "additionalProperties": false,
            "properties": {
              "path": {
                "description": "Where it is. A change needs a restart.",
                "type": "string"
              },
              "weight": {
                "description": "How much it counts.",
                "default": 1,
                "type": "integer",
                "minimum": 1,
                "maximum": 9
              }
            },
            "required": ["path"]
            """#
        let indented = inside.split(separator: "\n").map { "    \($0)" }.joined(separator: "\n")
        #expect(
            properties(properties(top).record("relay"))["folders"]?.prettyJSON == """
                {
                  "description": "What it shares.",
                  "default": [],
                  "type": "array",
                  "items": {
                \(indented)
                  }
                }

                """)
        let echo = properties(top).record("echo") ?? [:]
        #expect(echo["type"] == ["object", "array", "null"])
        #expect(echo.record("items")?["properties"] == echo["properties"])
        #expect(settingsSchema(madeUpProtocols).prettyJSON == settingsSchema(madeUpProtocols).prettyJSON)
    }

    @Test func `what a section must have it need not have when it is switched off`() {
        let relay = properties(top).record("relay") ?? [:]
        #expect(relay["required"] == nil)
        #expect(
            relay["anyOf"]?.json
                == #"[{"required":["listen"]},{"properties":{"enabled":{"const":false}},"required":["enabled"]}]"#)
    }
}
