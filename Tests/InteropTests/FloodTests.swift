import Foundation
import PeerCore
import TestSupport
import Testing

/// The bootstrap server while 10,000 INITs a second come from sources that never answer (gossip section 6.3,
/// decision 24).
@Suite(.serialized, .fewAtOnce, .enabled(if: Python.isThere)) struct FloodTests {
    /// A minute when there is time for it; in six seconds every limit but the life of an entry is met.
    private static let seconds = ProcessInfo.processInfo.environment["PEERNODE_LONG_TESTS"] == nil ? 6 : 60
    /// Newcomers every two seconds: 60 in a minute, so that with the peers below they are fewer than the 69 that an
    /// answer can hold.
    private static let newcomersAtOnce = 2
    /// More than the three that an unproven source is told of, so that the full answer is another.
    private static let peersBefore = 8
    /// The tables of IDs and of sources are all there at the start. What grows are the 4,096 addresses each that were
    /// probed and that refused, with their queues: 1.5 MiB; the rest is what the allocator may keep.
    private static let growthKiB = 4096.0
    /// More than the 2,000 that the server hears in a second: fewer, from a machine that is busy, would prove nothing.
    private static let leastRate = 3000.0

    private let server = "\(Loopback.next()):6001"

    @Test(arguments: [[], ["--claim"], ["--sources", "30000"]])
    func `a flood from unproven sources is not amplified, fills no memory, and keeps no newcomer out`(
        options: [String]
    ) async throws {
        let home = try NodeHome(["bootstrapServer": .record(["listen": .string(server)])], ddrp: nil)
        // Where the address sanitizer watches, it must not keep what is free.
        let node = try await home.startListening(environment: ["ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=1"])
        var listed = try await newcomers(Self.peersBefore, hearingOf: [])
        #expect(listed.count == Self.peersBefore)

        let flood = try Python.start(
            "bootstrap_flood.py",
            ["--server", server, "--pid", "\(node.identifier)", "--seconds", "\(Self.seconds)"] + options,
            name: "flood")
        var (asked, late) = (Self.peersBefore, 0)
        for second in stride(from: 1, to: Self.seconds, by: 2) {
            try await flood.waitFor("flooding") { $0["seconds"] == "\(second)" }
            let joined = try await newcomers(Self.newcomersAtOnce, hearingOf: listed)
            asked += Self.newcomersAtOnce
            late += Self.newcomersAtOnce - joined.count
            listed += joined
        }
        // Chance decides who is heard in the first second and who in the third; one in ten may have none.
        #expect(late <= max(1, (asked - Self.peersBefore) / 10), "\(late) of \(asked - Self.peersBefore) in 5 s")

        #expect(try await flood.waitForExit(within: .seconds(Self.seconds + 20)) == .status(0), "\(flood.complaints)")
        let figures = try await flood.waitFor("figures")
        try expectLimits(figures)
        try await expectStatus(home, figures, asked: asked, listed: listed.count)
        expectQuiet(node)
        node.signal(SIGTERM)
        #expect(try await node.waitForExit() == .status(0))
    }

    /// Honest peers that come at once, echo their ID and must hear of all `others` within 5 s. Gives the addresses of
    /// those that do.
    private func newcomers(_ count: Int, hearingOf others: [String]) async throws -> [String] {
        let places = (0..<count).map { _ in "\(Loopback.next()):7000" }
        let clients = try places.map { place in
            try Python.start(
                "bootstrap_client.py",
                ["--server", server, "--bind", place, "--echo", "--degree", "69", "--timeout", "5"], name: place)
        }
        var joined: [String] = []
        for (place, client) in zip(places, clients) {
            guard try await client.waitForExit() == .status(0) else { continue }
            let answer = try #require(client.lines.of("populate").last)
            let heard = (answer.record.list("entries") ?? []).compactMap { entry -> String? in
                guard case .record(let fields) = entry else { return nil }
                return "\(fields.string("ip") ?? ""):\(fields.int("port") ?? 0)"
            }
            #expect(Set(heard).isSuperset(of: others) && !heard.contains(place), "\(place): \(answer.text)")
            joined.append(place)
        }
        return joined
    }

    /// Octets are those of the wire, headers included.
    private func expectLimits(_ figures: LogLine) throws {
        func figure(_ name: String) throws -> Double { try #require(figures.record.double(name), "no \(name)") }
        #expect(try figure("inits_per_second") >= Self.leastRate, "\(figures.text)")
        #expect(try figure("amplification") <= 3 && figure("largest_amplification") <= 3, "\(figures.text)")
        #expect(try figure("octets_per_second") <= 100_000, "\(figures.text)")
        #expect(try figure("entries") > 0 && figure("strange") == 0, "\(figures.text)")
        #expect(try figure("rss_growth_kib") <= Self.growthKiB && figure("rss_last_kib") > 0, "\(figures.text)")
    }

    /// What the server itself has counted.
    private func expectStatus(_ home: NodeHome, _ figures: LogLine, asked: Int, listed: Int) async throws {
        let status = try await home.command(["status", "--json"])
        let sections = try #require(status.lines.first?.record.list("sections"), "\(status.complaints)")
        let section = try #require(
            sections.compactMap { value -> Record? in
                guard case .record(let record) = value, record.string("section") == "bootstrapServer" else {
                    return nil
                }
                return record
            }.first)
        // Nobody of the flood has got onto the list, and its entries keep to their number.
        let entries = try #require(section.int("listed"))
        #expect(entries >= Int64(listed) && entries <= Int64(asked), "\(status.text)")
        #expect(try #require(section.int("provisional")) <= 4096, "\(status.text)")
        // Nothing that it sent has escaped the count above, but for what the newcomers got: five answers each at most,
        // and some that the system may have lost.
        let answers = try #require(section.int("answers"))
        let counted = try #require(figures.record.int("answers"))
        #expect(answers - counted <= Int64(5 * asked) + answers / 20, "\(figures.text) \(status.text)")
    }

    /// A flood makes a line in ten seconds, not one for each datagram.
    private func expectQuiet(_ node: ChildProcess) {
        let refused = node.lines.of("init_refused")
        #expect(refused.contains { ($0.record.int("totalRate") ?? 0) > 0 }, "\(refused.map(\.text))")
        #expect(refused.count <= 2 + Self.seconds / 10, "\(refused.map(\.text))")
        #expect(node.lines.count { $0["level"] != "info" } == refused.count, "\(node.lines.map(\.text))")
    }
}
