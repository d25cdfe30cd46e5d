import PeerCore
import PeerCrypto
import PeerSimulator
import TestSupport
import Testing

@testable import PPlusTwo

/// What the operator fetches (P+2 sections 6.2 and 8).
@Suite(.oneAtOnce) struct DownloadTests {
    private static let banner = "//p2x/1\n"

    private func octets(_ count: Int) -> Bytes {
        Bytes((0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) })
    }

    private func arguments(_ name: String, of number: UInt8 = 2) -> Record {
        ["name": .string(name), "peer": .text(Lab.identity(number))]
    }

    /// Hidden files that are left.
    private func leftovers(_ lab: Lab, _ node: NodeID) -> [String] {
        lab.files(node).paths.filter { $0.hasPrefix(".peernode/partial/") }
    }

    private func refusal(_ question: PeerSimulator.Question) -> String? {
        guard case .refused(let text)? = question.replies.last?.outcome else { return nil }
        return text.split(separator: ":").first.map(String.init)
    }

    @Test func `the vectors of downloads`() throws {
        for vector in try vectors("download-caller") where !vector.description.contains("kill") {
            let given = try vector.value("given")
            let expected = try vector.value("expect")
            let isDiskFull = vector.description.contains("disk full")
            let lab = Lab()
            let node = lab.node(1, quota: isDiskFull ? 3 << 20 : 1 << 30) { $0.minFreeBytes = 1 << 20 }
            let untouched = try given.has("local_has") ? given.elements("local_has").map { try $0.text() } : []
            for name in untouched { lab.files(node)[name] = Bytes(utf8: "old") }
            if !given.has("connect") {
                let served = given.has("served_hex") ? try given.value("served_hex").bytesOfHex() : Bytes()
                let isReset = try given.has("ends_by") && given.text("ends_by") == "reset"
                let size = given.has("stat_size") ? try given.number("stat_size") : nil
                let hash = given.has("stat_sha_256") ? try given.text("stat_sha_256") : ""
                _ = lab.scripted(2) { service, line in
                    guard service == .download else {
                        guard let size else { return .bytes(Bytes()) }
                        return .text(
                            Self.banner
                                + (line.contains("stat")
                                    ? "size \(size)\nmtime 1\nsha-256 \(hash)\n" : "features stat\n"))
                    }
                    return isDiskFull ? .endless : isReset ? .reset(served) : .bytes(served)
                }
            }
            let question = try lab.answer(node, "download", arguments(try given.text("request")))
            try lab.run(.seconds(1))
            if expected.has("file") {
                #expect(question.records.last?.string("path") == (try expected.text("file")), "\(vector)")
                if expected.has("content_hex") {
                    #expect(lab.files(node)[try expected.text("file")] == (try expected.octets("content_hex")))
                }
                if expected.has("complete") {
                    #expect(question.records.last?.string("complete") == (try expected.text("complete")), "\(vector)")
                }
            } else {
                let result = try expected.text("result")
                #expect(result == "failed" ? refusal(question) != nil : refusal(question) == result, "\(vector)")
                #expect(lab.files(node).paths.filter { !$0.hasPrefix(".") } == untouched, "\(vector)")
            }
            for name in untouched { #expect(lab.files(node)[name] == Bytes(utf8: "old")) }
            #expect(leftovers(lab, node).isEmpty, "\(vector)")
            #expect(lab.core(node)?.downloads.isEmpty == true)
        }
    }

    @Test func `a file between two of ours is verified, and its progress told`() throws {
        let lab = Lab(network: .hostile)
        let (a, b) = (lab.node(1), lab.node(2))
        lab.simulator.network.bandwidth = 2 << 20
        let content = octets(3_000_000)
        lab.files(b)["big.bin"] = content
        try lab.run(.seconds(2))
        let question = try lab.answer(a, "download", arguments("big.bin"))
        let last = try #require(question.records.last)
        #expect(last.string("path") == "big.bin" && last.int("bytes") == 3_000_000)
        #expect(last.string("complete") == "verified")
        #expect(lab.files(a)["big.bin"] == content)
        let progress = question.records.dropLast()
        #expect(progress.count >= 3)
        #expect(progress.allSatisfy { $0.int("total") == 3_000_000 && $0.int("bytes") ?? 0 <= 3_000_000 })
        #expect(leftovers(lab, a).isEmpty)
        #expect(lab.simulator.rows("files_parts", of: a).isEmpty)
    }

    @Test func `a download that was killed goes on where it was`() throws {
        let lab = Lab()
        let (a, b) = (lab.node(1), lab.node(2))
        lab.simulator.network.bandwidth = 1 << 20
        let content = octets(3_000_000)
        lab.files(b)["big.bin"] = content
        try lab.run(.seconds(2))
        _ = lab.ask(a, "download", arguments("big.bin"))
        try lab.run(.milliseconds(1500))
        lab.simulator.kill(a)
        let held = try #require(leftovers(lab, a).first { $0.hasSuffix(".part") })
        let there = try #require(lab.files(a)[held]).count
        #expect(there > 0 && there < content.count)
        lab.simulator.restart(a)
        try lab.run(.seconds(1))
        #expect(leftovers(lab, a).contains(held))
        let question = try lab.answer(a, "download", arguments("big.bin"))
        #expect(question.records.last?.string("complete") == "verified")
        #expect(lab.files(a)["big.bin"] == content)
        #expect(lab.events("upload_start").last?.int("first") == Int64(there))
        #expect(leftovers(lab, a).isEmpty && lab.simulator.rows("files_parts", of: a).isEmpty)
    }

    @Test func `a part of a file that has changed meanwhile is not gone on with`() throws {
        let lab = Lab()
        let (a, b) = (lab.node(1), lab.node(2))
        lab.simulator.network.bandwidth = 1 << 20
        lab.files(b)["big.bin"] = octets(3_000_000)
        try lab.run(.seconds(2))
        let first = lab.ask(a, "download", arguments("big.bin"))
        try lab.run(.milliseconds(1500))
        lab.simulator.cancel(first)
        try lab.run(.seconds(2))
        #expect(leftovers(lab, a).count == 1)
        let other = Bytes(octets(3_000_000).map { $0 ^ 1 })
        lab.files(b)["big.bin"] = other
        try lab.run(.seconds(2))
        let question = try lab.answer(a, "download", arguments("big.bin"))
        #expect(question.records.last?.string("complete") == "verified")
        #expect(lab.files(a)["big.bin"] == other)
        #expect(lab.events("upload_start").last?.int("first") == 0)
        #expect(leftovers(lab, a).isEmpty)
    }

    @Test(arguments: [1, 2]) func `what is not what was announced is fetched once more`(failures: Int) throws {
        let lab = Lab()
        let node = lab.node(1)
        let hash = Bytes32(digest(Bytes(utf8: "abc"), .sha256)).hex
        var tries = 0
        let recorder = lab.scripted(2) { service, line in
            guard service == .download else {
                return .text(Self.banner + (line.contains("stat") ? "size 3\nmtime 1\nsha-256 \(hash)\n" : ""))
            }
            tries += 1
            return .text(tries <= failures ? "abd" : "abc")
        }
        let question = try lab.answer(node, "download", arguments("x"))
        #expect(recorder.texts(.download) == ["x\n", "x\n"])
        #expect(recorder.texts(.query) == ["//p2x/1/hello\n", "//p2x/1/stat/x\n", "//p2x/1/stat/x\n"])
        if failures == 1 {
            #expect(question.records.last?.string("complete") == "verified")
        } else {
            #expect(refusal(question) == "verification_failed")
            #expect(lab.files(node)["x"] == nil)
        }
        try lab.run(.seconds(1))
        #expect(leftovers(lab, node).isEmpty)
    }

    @Test func `a digest that is pending is asked for again`() throws {
        let lab = Lab()
        let node = lab.node(1)
        let hash = Bytes32(digest(Bytes(utf8: "abc"), .sha256)).hex
        var stats = 0
        _ = lab.scripted(2) { service, line in
            guard service == .query else { return .text("abc") }
            guard line.contains("stat") else { return .text(Self.banner) }
            stats += 1
            return .text(Self.banner + "size 3\nmtime 1\nsha-256 \(stats < 4 ? "pending" : hash)\n")
        }
        let question = try lab.answer(node, "download", arguments("x"))
        #expect(question.records.last?.string("complete") == "verified" && stats == 4)
    }

    @Test func `an empty file is made when its peer can say that it is one`() throws {
        let lab = Lab()
        let (a, b) = (lab.node(1), lab.node(2))
        lab.files(b)["empty"] = Bytes()
        try lab.run(.seconds(2))
        let question = try lab.answer(a, "download", arguments("empty"))
        #expect(question.records.last?.string("path") == "empty" && lab.files(a)["empty"] == Bytes())
        #expect(refusal(try lab.answer(a, "download", arguments("nothing"))) == "not_there")
    }

    @Test func `names that are taken get numbers, and nothing is written over`() throws {
        let lab = Lab()
        let (a, b) = (lab.node(1), lab.node(2))
        lab.files(b)["x.tar.gz"] = octets(9)
        lab.files(a)["x.tar.gz"] = Bytes(utf8: "ours")
        lab.files(a)["x.tar (2).gz"] = Bytes(utf8: "ours")
        try lab.run(.seconds(2))
        #expect(try lab.answer(a, "download", arguments("x.tar.gz")).records.last?.string("path") == "x.tar (3).gz")
        var into = arguments("x.tar.gz")
        into["into"] = "../other"
        #expect(try lab.answer(a, "download", into).records.last?.string("path") == "other")
        #expect(lab.files(a)["x.tar.gz"] == Bytes(utf8: "ours"))
    }

    @Test func `a peer that falls silent is given up after a minute`() throws {
        let lab = Lab()
        let node = lab.node(1)
        _ = lab.scripted(2) { service, _ in service == .query ? .text("") : .silence(Bytes(utf8: "abc")) }
        let began = lab.simulator.now
        let question = try lab.answer(node, "download", arguments("x"))
        #expect(refusal(question) == "stalled")
        #expect((60...62).contains((lab.simulator.now - began).fractionalSeconds))
        try lab.run(.seconds(1))
        #expect(leftovers(lab, node).isEmpty)
    }

    @Test func `a download that nobody waits for ends`() throws {
        let lab = Lab()
        let node = lab.node(1)
        _ = lab.scripted(2) { service, _ in service == .query ? .text("") : .silence(Bytes(utf8: "abc")) }
        let question = lab.ask(node, "download", arguments("x"))
        try lab.run(.seconds(2))
        lab.simulator.cancel(question)
        try lab.run(.seconds(1))
        #expect(lab.core(node)?.downloads.isEmpty == true && lab.simulator.connections("files", of: node) == 0)
        #expect(leftovers(lab, node).isEmpty)
    }

    @Test func `what a killed download without a size has left is removed at the next start`() throws {
        let lab = Lab()
        let node = lab.node(1)
        _ = lab.scripted(2) { service, _ in service == .query ? .text("") : .silence(Bytes(utf8: "abc")) }
        _ = lab.ask(node, "download", arguments("x"))
        try lab.run(.seconds(2))
        lab.simulator.kill(node)
        #expect(leftovers(lab, node).count == 1)
        lab.simulator.restart(node)
        try lab.run(.seconds(1))
        #expect(leftovers(lab, node).isEmpty)
        #expect(lab.files(node).paths.filter { !$0.hasPrefix(".") }.isEmpty)
    }

    @Test func `a node without listeners fetches too, and shares nothing`() throws {
        let lab = Lab()
        let (a, b) = (lab.node(1, knows: [2]) { $0.listen = nil }, lab.node(2))
        lab.files(a)["secret"] = octets(3)
        lab.files(b)["x"] = octets(100)
        try lab.run(.seconds(2))
        let found = try lab.answer(a, "search", ["text": ""])
        #expect(found.records.first?.string("name") == "x")
        #expect(try lab.answer(a, "download", ["number": 1]).records.last?.string("complete") == "verified")
        #expect(refusal(try lab.answer(a, "share")) != nil)
        #expect(lab.core(b)?.peers.all.isEmpty == true)
    }
}

extension Vector {
    /// Hexadecimal digits, which may be none.
    fileprivate func bytesOfHex() throws -> Bytes { try text().isEmpty ? Bytes() : octets() }
}
