import Foundation
import PeerCore
import TestSupport
import Testing

/// The programs of `config/examples/gossip` do what they say, in both languages and across them (gossip sections 2
/// and 3).
@Suite(.fewAtOnce, .enabled(if: Python.isThere)) struct ExamplesTests {
    private enum Language: String, CaseIterable {
        case python
        case c
    }

    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "config/examples/gossip").path

    private let home: GossipHome

    /// To programs it is a node like any other; its neighbours may be of another make.
    init() throws {
        home = try GossipHome(["compat": "authors-2017"], ["log": .record(["level": "debug"])])
    }

    /// Compiles the examples in C as their first lines say, and without a warning.
    private func compile() async throws {
        for name in ["announce", "subscribe"] {
            let compiler = try ChildProcess(
                "/usr/bin/env",
                [
                    "cc", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2", "-o",
                    "\(home.home.folder)/\(name)", "\(Self.folder)/\(name).c",
                ], name: "cc \(name).c")
            #expect(try await compiler.waitForExit(within: .seconds(60)) == .status(0), "\(compiler.complaints)")
        }
    }

    private func program(_ name: String, _ language: Language) -> String {
        language == .c ? "\(home.home.folder)/\(name)" : "\(Self.folder)/\(name).py"
    }

    private func start(_ name: String, _ language: Language, _ words: [String]) throws -> ChildProcess {
        try ChildProcess(program(name, language), words, name: "\(name) in \(language)", life: .seconds(120))
    }

    /// HOST PORT of the node's module API.
    private var place: [String] { home.api.split(separator: ":").map(String.init) }

    /// Runs an announcer to its end; `source` is a command whose output it takes for data.
    private func announce(
        _ language: Language, type: Int = 540, _ text: String? = nil, from source: String? = nil
    ) async throws -> ChildProcess {
        let words = place + ["\(type)"] + [text].compactMap(\.self)
        let announcer =
            if let source {
                try ChildProcess(
                    "/bin/sh", ["-c", "\(source) | \"$@\"", "sh", program("announce", language)] + words,
                    name: "announce in \(language)")
            } else {
                try start("announce", language, words)
            }
        try await announcer.waitForExit()
        return announcer
    }

    /// Starts a subscriber of each language; gives them when the node knows both.
    private func subscribers(_ node: ChildProcess) async throws -> [ChildProcess] {
        let subscribers = try Language.allCases.map { try start("subscribe", $0, place + ["540"]) }
        try await node.waitUntil("two subscribers") { $0.of("subscribed").count >= 2 }
        return subscribers
    }

    @Test func `what either language announces arrives in both`() async throws {
        try await compile()
        let node = try await home.startListening()
        let subscribers = try await subscribers(node)
        // A text, an empty one, from standard input, what is not printable, and as much as an item can hold.
        let largest = String(repeating: "x", count: 65_527)
        let cases: [(text: String?, source: String?, in: [String])] = [
            ("hello, world", nil, ["hello, world", "hello, world"]),
            ("", nil, ["", ""]),
            (nil, "printf 'by pipe'", ["by pipe", "by pipe"]),
            (nil, "printf '\\001\\377'", ["not valid: 01ff", "not valid: 2 octets"]),
            (nil, "head -c 65527 /dev/zero | tr '\\0' x", [largest, largest]),
        ]
        var count = 0
        for language in Language.allCases {
            // Nobody here has subscribed to that.
            let other = try await announce(language, type: 541, "to others")
            #expect(try await other.waitForExit() == .status(0), "\(other.complaints)")
            for (text, source, expected) in cases {
                let announcer = try await announce(language, text, from: source)
                #expect(try await announcer.waitForExit() == .status(0), "\(announcer.complaints)")
                #expect(announcer.lines.isEmpty && announcer.complaints.isEmpty, "\(announcer.complaints)")
                count += 1
                let number = count
                for (subscriber, line) in zip(subscribers, expected) {
                    try await subscriber.waitUntil("item \(number)") { $0.count >= number }
                    let isSame = subscriber.lines.last?.text == line
                    #expect(isSame, "\(subscriber.name): \(subscriber.lines.last?.text.prefix(80) ?? "")")
                }
            }
        }
        for subscriber in subscribers { #expect(subscriber.lines.count == count) }

        node.signal(SIGTERM)
        #expect(try await node.waitForExit() == .status(0))
        for subscriber in subscribers {
            #expect(try await subscriber.waitForExit() != .status(0), "\(subscriber.name)")
            #expect(subscriber.complaints == "the node has closed the connection\n", "\(subscriber.name)")
        }
    }

    @Test func `what one of them finds not valid does not go on to other peers`() async throws {
        try await compile()
        let node = try await home.startListening()
        let subscribers = try await subscribers(node)
        let host = Loopback.next()
        let listener = try peer(host, ["--until-items", "1"])
        try await node.waitFor("peer_up") { $0["peer"] == host }
        // The first one is for Python only.
        let announced = ["Gr\u{fc}\u{df}e", "sound"]
        let announcer = try peer(Loopback.next(), announced.flatMap { ["--announce", "0:540:\($0)"] })
        try await announcer.waitUntil("two items") { $0.of("announced").count == 2 }
        #expect(try await listener.waitForExit() == .status(0))
        let sound = announcer.lines.of("announced").last?["hex"]
        #expect(listener.lines.of("item").map { $0["hex"] } == [sound])
        for subscriber in subscribers { try await subscriber.waitUntil("two items") { $0.count >= 2 } }
        #expect(subscribers[0].lines.map(\.text) == announced)
        #expect(subscribers[1].lines.map(\.text) == ["not valid: 7 octets", "sound"])
    }

    /// A neighbour of another make, which dials the node.
    private func peer(_ host: String, _ options: [String]) throws -> ChildProcess {
        try Python.start(
            "gossip_authors.py",
            ["--listen", home.p2p.replacing(home.home.host, with: host), "--dial", home.home.host, "--seconds", "100"]
                + options, name: host)
    }

    @Test(arguments: ["announce", "subscribe"])
    func `what cannot be done is said in a line, and told by the status`(_ name: String) async throws {
        try await compile()
        for language in Language.allCases {
            let hello = name == "announce" ? ["hello"] : []
            let noNode = try await complaint(name, language, place + ["540"] + hello)
            #expect(noNode.contains("refused"), "\(name) in \(language): \(noNode)")
            for type in ["65536", "-1", "", "many"] {
                let wrongType = try await complaint(name, language, place + [type] + hello)
                let isClear = wrongType.contains("0 to 65535") || wrongType.contains("HOST PORT TYPE")
                #expect(isClear, "\(name) in \(language), type `\(type)`: \(wrongType)")
            }
            let usage = try await complaint(name, language, [])
            #expect(usage.contains("HOST PORT TYPE"), "\(name) in \(language): \(usage)")
        }
    }

    @Test func `an item that is too large is not announced`() async throws {
        try await compile()
        _ = try await home.startListening()
        for language in Language.allCases {
            let announcer = try await announce(language, from: "head -c 65528 /dev/zero")
            #expect(try await announcer.waitForExit() != .status(0), "\(announcer.name)")
            #expect(announcer.complaints.contains("at most 65527 octets"), "\(announcer.complaints)")
        }
    }

    /// What a program that must fail says on standard error.
    private func complaint(_ name: String, _ language: Language, _ words: [String]) async throws -> String {
        let program = try start(name, language, words)
        let exit = try await program.waitForExit()
        guard case .status(let status) = exit, status != 0 else {
            Issue.record("\(name) in \(language), \(words): \(exit)")
            return ""
        }
        #expect(program.lines.isEmpty && !program.complaints.contains("Traceback"), "\(program.complaints)")
        return program.complaints
    }
}
