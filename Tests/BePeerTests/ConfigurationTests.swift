import PeerCore
import Testing

@testable import BePeer

/// Settings that cannot both be meant (program.md section 2).
struct ConfigurationTests {
    private func folder(_ name: String, at path: String, join: Record.Value = .null) -> Record.Value {
        .record([
            "name": .string(name), "path": .string(path), "single": false, "mode": "sendreceive", "join": join,
            "joinAllow": .list([]), "peers": .list([]), "syncIgnore": false, "maxFolderBytes": .null,
        ])
    }

    private func contradictions(_ changes: Record) -> [String] {
        var values = Record()
        for setting in BePeer.Configuration.settings { values[setting.key] = setting.standard ?? .null }
        for field in changes.fields { values[field.name] = field.value }
        return BePeer.Configuration.contradictions(in: values).map { $0.path.joined(separator: "/") }
    }

    @Test func `one address, one name and one path have one use`() {
        #expect(contradictions([:]).isEmpty)
        #expect(contradictions(["messageAddress": "127.0.0.1:7010"]) == ["httpAddress"])
        #expect(contradictions(["messageAddress": "127.0.0.1:0", "httpAddress": "127.0.0.1:0"]).isEmpty)
        let two = contradictions(["folders": .list([folder("a", at: "/x"), folder("a", at: "/x")])])
        #expect(two == ["folders/1/name", "folders/1/path"])
        #expect(contradictions(["folders": .list([folder("a", at: "/x", join: "list")])]) == ["folders/0/join"])
    }
}
