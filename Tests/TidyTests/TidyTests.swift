import Foundation
import TestSupport
import Testing

/// The rules of the architecture that a program can check.
@Suite(.oneAtOnce) struct TidyTests {
    let tree = SourceTree()

    /// Targets that are pure: protocols and what they are made of.
    static let pureTargets: Set<String> = [
        "PeerCore", "AddressBook", "Bootstrap", "DDRP", "Admin", "Gossip", "PPlusTwo", "BePeer", "PPSP",
    ]

    @Test func `core targets hold no clock, thread, global random generator, file or output`() {
        let forbidden: [Regex<Substring>] = [
            #/\bimport (?:Foundation|FoundationEssentials|Glibc|Dispatch|Synchronization|UV|CUV|PeerRuntime)\b/#,
            #/\b(?:actor|async|await|Task|DispatchQueue|Thread|ContinuousClock|SuspendingClock|Date)\b/#,
            #/\b(?:SystemRandomNumberGenerator|arc4random|print|debugPrint|readLine|fatalError|try!)\b\(?/#,
            #/\.(?:random|randomElement|shuffled|shuffle)\(/#,
            #/\bnonisolated\(unsafe\)/#,
        ]
        var broken: [String] = []
        for source in tree.sources("Sources") where Self.pureTargets.contains(source.target) {
            for (index, line) in source.code.enumerated() {
                for rule in forbidden {
                    guard let match = line.firstMatch(of: rule), !line.contains("using:") else { continue }
                    broken.append(place(source, index, String(line[match.range])))
                }
            }
        }
        #expect(broken.isEmpty, "\(broken.joined(separator: "\n"))")
    }

    @Test func `unsafe pointers stay in the wrappers of C libraries`() {
        let allowed: Set<String> = ["UV", "PeerCrypto", "PeerRuntime", "peernode-fuzz", "CLimits"]
        // What C hands over in a variable, and the copy of octets under every message.
        let exceptions: Set<String> = [
            "Sources/peernode/CommandLine/Options.swift", "Sources/peernode/CommandLine/LineInput.swift",
            "Sources/PeerCore/OctetCopy.swift",
        ]
        let broken = tree.sources("Sources").filter { !allowed.contains($0.target) }.flatMap { source in
            source.code.enumerated().filter { $0.element.contains(#/\bUnsafe\w*Pointer|\bwithUnsafe|\bunsafe /#) }
                .filter { _ in !exceptions.contains(source.path) }
                .map { place(source, $0.offset, $0.element) }
        }
        #expect(broken.isEmpty, "\(broken.joined(separator: "\n"))")
    }

    @Test func `files have at most 500 lines of at most 120 columns`() {
        var broken: [String] = []
        for source in tree.sources("Sources") + tree.sources("Tests") {
            if source.lines.count > 501 { broken.append("\(source.path): \(source.lines.count) lines") }
            broken += source.lines.enumerated().filter { $0.element.count > 120 }
                .map { place(source, $0.offset, "\($0.element.count) columns") }
        }
        #expect(broken.isEmpty, "\(broken.joined(separator: "\n"))")
    }

    @Test func `functions have at most 60 lines`() {
        var broken: [String] = []
        for source in tree.sources("Sources") {
            for (start, length, name) in functions(in: source) where length > 60 {
                broken.append(place(source, start, "\(name) has \(length) lines"))
            }
        }
        #expect(broken.isEmpty, "\(broken.joined(separator: "\n"))")
    }

    /// Functions by indentation, which the formatter guarantees: from `func` or `init` to the closing brace.
    private func functions(in source: SourceTree.Source) -> [(start: Int, length: Int, name: String)] {
        let head = #/^( *)(?:[a-z@]+(?:\([a-z]+\))? )*(func [^(]+|init\??)[(<]/#
        return source.code.enumerated().compactMap { index, line in
            guard let match = line.firstMatch(of: head) else { return nil }
            let close = String(match.1) + "}"
            guard let end = source.lines[index...].firstIndex(where: { $0 == close }) else { return nil }
            return (index, end - index + 1, String(match.2))
        }
    }

    @Test func `constants that are numbers or durations say why`() {
        let constant = #/^ +(?:public |private |fileprivate )?static (?:let|var) \w+(?:: \w+)?(?: =| \{) .*\d/#
        var broken: [String] = []
        for source in tree.sources("Sources") {
            for (index, line) in source.lines.enumerated() where line.contains(constant) && index > 0 {
                let before = source.lines[index - 1].trimmingCharacters(in: .whitespaces)
                let hasReason =
                    before.hasPrefix("//") || before.hasPrefix("@") || source.lines[index - 1].contains(constant)
                if !hasReason { broken.append(place(source, index, line.trimmingCharacters(in: .whitespaces))) }
            }
        }
        #expect(broken.isEmpty, "\(broken.joined(separator: "\n"))")
    }

    @Test func `the top level holds only the allowed names`() throws {
        let allowed: Set<String> = ["Package.swift", "README.md", "LICENSE", "Sources", "Tests", "Modules", "config"]
        let found = try FileManager.default.contentsOfDirectory(atPath: tree.root.path)
            .filter { !$0.hasPrefix(".") && $0 != "peernode-data" }
        #expect(Set(found) == allowed)
    }

    @Test func `no file names a place of one machine, or leaves work for later`() {
        // Written in parts, so that this file does not break its own rule.
        let marks = ["/" + "work/", "/" + "root/", "/" + "home/", "TO" + "DO", "FIX" + "ME", "XX" + "X:", "HA" + "CK"]
        let paths = ["Sources", "Tests", "Modules", "config"].flatMap(tree.files) + ["README.md", "Package.swift"]
        var broken: [String] = []
        for path in paths where !path.hasSuffix(".json") || path.hasPrefix("config") {
            let text = tree.text(path)
            broken += marks.filter { text.contains($0) }.map { "\(path) contains \($0)" }
        }
        #expect(broken.isEmpty, "\(broken.joined(separator: "\n"))")
    }

    @Test func `targets import only what the manifest gives them`() {
        let system: Set<String> = ["Foundation", "FoundationEssentials", "Glibc", "Dispatch", "Synchronization"]
        let declared = declaredDependencies()
        #expect(declared.count > 10)
        var broken: [String] = []
        for source in tree.sources("Sources") {
            for (index, line) in source.code.enumerated() {
                guard let match = line.firstMatch(of: #/^(?:public |internal |package |private )?import (\w+)/#) else {
                    continue
                }
                let name = String(match.1)
                guard !system.contains(name), declared[source.target]?.contains(name) != true else { continue }
                broken.append(place(source, index, "imports \(name)"))
            }
        }
        #expect(broken.isEmpty, "\(broken.joined(separator: "\n"))")
    }

    private func declaredDependencies() -> [String: Set<String>] {
        let manifest = tree.text("Package.swift").replacing(/\n\s*/, with: " ")
        var declared: [String: Set<String>] = [:]
        for match in manifest.matches(of: #/(?:target|program)\(\s*"([\w-]+)"(?:, \[([^\]]*)\])?/#) {
            let names = match.2?.matches(of: #/"(\w+)"/#).map { String($0.1) } ?? []
            declared[String(match.1)] = Set(names)
        }
        return declared
    }

    @Test func `protocols do not import each other, and the runtime sees no protocol`() {
        let protocols: Set<String> = ["DDRP", "Gossip", "PPlusTwo", "BePeer", "PPSP", "Admin"]
        let frame: Set<String> = ["PeerRuntime", "UV", "PeerSimulator"]
        for (target, names) in declaredDependencies() {
            if protocols.contains(target) { #expect(names.isDisjoint(with: protocols.union(frame)), "\(target)") }
            if frame.contains(target) { #expect(names.isDisjoint(with: protocols), "\(target)") }
        }
    }

    @Test func `the catalogue of events and the code name the same events`() {
        let catalogue = tree.text("Sources/PeerNode/PeerNode.docc/Events.md").components(separatedBy: "\n")
            .filter { $0.hasPrefix("| `") }.compactMap { $0.split(separator: "|").first }
            .flatMap { $0.matches(of: #/`([a-z_]+)`/#).map { String($0.1) } }
        let developers: Set<String> = ["PeerSimulator", "peernode-sim", "peernode-bench", "peernode-fuzz", "PeerCore"]
        var written: Set<String> = []
        var literals: Set<String> = []
        for source in tree.sources("Sources") where !developers.contains(source.target) {
            let text = source.lines.joined(separator: "\n")
            let calls = text.matches(of: #/(?:\.log|\blog|LogRecord|\bwrite)\(\s*(?:\.\w+,\s*)?"([a-z]+_[a-z_]+)"/#)
            written.formUnion(calls.map { String($0.1) })
            literals.formUnion(text.matches(of: #/"([a-z_]+)"/#).map { String($0.1) })
        }
        #expect(catalogue.count > 40 && written.count > 20)
        #expect(written.subtracting(catalogue).isEmpty, "not in the catalogue")
        #expect(Set(catalogue).subtracting(literals).isEmpty, "not in the code")
    }

    @Test func `every message type occurs in a vector file`() {
        let vectors = [
            (
                "Tests/DDRPTests/Vectors/ddrp.json",
                [
                    "Hello", "HelloAck", "Ping", "Update", "NilUpdate", "TreeBaseReq", "TreeBaseRes", "SectorReq",
                    "SectorRes", "PeerReq", "PeerRes", "UpdateReq",
                ].map { "\"type_name\": \"\($0)\"" }
            ),
            (
                "Tests/PPlusTwoTests/Vectors/p-plus-2.json",
                ["list", "query", "download", "ext"].map { "\"kind\": \"\($0)-callee\"" }
            ),
            (
                "Tests/BePeerTests/Vectors/bepeer.json",
                ["BePeerRequest", "FilesToGet", "FilesUpdated", "TrustedPeerConfirm"].map { "\"type\": \"\($0)\"" }
            ),
            (
                "Tests/PPSPTests/Vectors/ppsp.json",
                ["REQUEST", "RESPONSE", "ADVERTISE", "TRANSFER"].map { "\"type\": \"\($0)\"" }
                    + [
                        "DATA_AVAILABILITY", "DATA_AVAIL_QUERY", "PROPERTY_PROVISION", "PEERLIST_PROVISION",
                        "PEERLIST_QUERY", "TRANSPORT_PARAMETER", "TRANSPORT_MANDATORY",
                    ].map { "\"method\": \"\($0)\"" }
                    + [
                        "HANDSHAKE", "DATA", "ACK", "HAVE", "INTEGRITY", "PEX_REQ", "CANCEL", "CHOKE", "UNCHOKE",
                    ].map { "\"type\": \"\($0)\"" }
            ),
            ("Tests/BootstrapTests/Vectors/gossip.json", [510, 511, 513].map { "\"type\": \($0)" }),
        ]
        for (path, marks) in vectors {
            let text = tree.text(path)
            for mark in marks { #expect(text.contains(mark), "\(path): \(mark)") }
        }
    }
}
