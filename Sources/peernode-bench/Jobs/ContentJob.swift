internal import Foundation
internal import PeerCore

/// `content`: PPSP beside libtorrent and aria2 where these are installed, and beside sendfile and SHA-256 in C.
let contentJob = Job(
    name: "content",
    summary: "verified content for 1, 4, 8 at once, beside libtorrent, aria2, C; some: CONTENT_PARTS=1,4,8,udp,first"
) { bench in
    let named = ProcessInfo.processInfo.environment["CONTENT_PARTS"]?.split(separator: ",").map(String.init)
    for part in named ?? ["1", "4", "8", "udp", "first"] {
        do {
            switch (part, Int(part)) {
            case ("first", _): try firstOctet(bench)
            case ("udp", _): try datagrams(bench)
            case (_, .some(let fetchers)) where (1...mostFetchers).contains(fetchers):
                try swarms(of: fetchers, bench)
            default: throw BenchFailure("there is no such part")
            }
        } catch {
            bench.report.failed("content.\(part)", error)
        }
    }
}

/// More would only measure how two processors are shared.
private let mostFetchers = 32
/// Size of the content in MiB.
private let contentMebibytes = 256

/// A way to get a verified content to many.
enum ContentWay: String, CaseIterable {
    case node = "peernode"
    case limit = "c"
    case libtorrent
    case libtorrentTuned = "libtorrent-tuned"
    case libtorrent2 = "libtorrent-v2"
    case aria2
    case datagrams = "peernode-udp"
    case utp = "libtorrent-utp"

    /// Those over TCP.
    static let streams: [ContentWay] = [.node, .limit, .libtorrent, .libtorrentTuned, .libtorrent2, .aria2]

    fileprivate func spread(_ place: ContentPlace, to fetchers: Int, _ bench: Bench) throws -> Spreading {
        switch self {
        case .node: try ContentNodes.spread(place, to: fetchers, bench)
        case .limit: try ContentStar.spread(place, to: fetchers, bench)
        case .libtorrent: try Torrents.libtorrent(place, to: fetchers, "v1", "default", bench)
        case .libtorrentTuned: try Torrents.libtorrent(place, to: fetchers, "v1", "tuned", bench)
        case .libtorrent2: try Torrents.libtorrent(place, to: fetchers, "v2", "tuned", bench)
        case .aria2: try Torrents.aria2(place, to: fetchers, bench)
        case .datagrams: try ContentNodes.spread(place, to: fetchers, byDatagrams: true, bench)
        case .utp: try Torrents.libtorrent(place, to: fetchers, "v1", "utp", bench)
        }
    }

    fileprivate var isThere: Bool {
        switch self {
        case .node, .limit, .datagrams: true
        case .aria2: Torrents.python != nil && PubSubSystem.path(of: "aria2c") != nil
        default: Torrents.python != nil
        }
    }
}

/// What it took until the last of all fetchers had the content.
struct Spreading {
    /// From the word to go to the last.
    var seconds = Double.nan
    /// Processor seconds of all.
    var processor = Double.nan
    /// MiB of memory that one of them had at most; and of memory that no file backs, at the end.
    var peak = Double.nan
    var anonymous = Double.nan
    /// How often the source has sent the whole content.
    var copies = Double.nan
}

private func swarms(of fetchers: Int, _ bench: Bench) throws {
    let job = "content.\(fetchers)"
    let results = try measure(job, ContentWay.streams, fetchers, mebibytes: contentMebibytes, bench)
    compare(job, fetchers, results, bench)
}

/// RFC 7574 beside uTP: both give way to others.
private func datagrams(_ bench: Bench) throws {
    let job = "content.udp"
    let results = try measure(job, [.datagrams, .utp], 1, mebibytes: datagramMebibytes, bench)
    let own = (results[.datagrams] ?? [:]).sorted { $0.key < $1.key }
    var figure = Figure(job, "per_s", limit: ContentWay.utp.rawValue, .atLeast(leastOverUTP))
    for (round, node) in own {
        guard let bound = results[.utp]?[round] else { continue }
        figure.add(node: 1 / node.seconds, limit: 1 / bound.seconds)
    }
    if figure.ratio.count > 0 { bench.report.add(figure) }
}

/// uTP takes seconds for it.
private let datagramMebibytes = 64
/// How much faster than uTP datagrams must be (performance text, section 5).
private let leastOverUTP = 3.0

/// All ways in turn, round by round.
private func measure(
    _ job: String, _ some: [ContentWay], _ fetchers: Int, mebibytes: Int, _ bench: Bench
) throws -> [ContentWay: [Int: Spreading]] {
    let place = try ContentPlace(bench, mebibytes: bench.size(mebibytes, quick: 16))
    defer { place.remove() }
    var ways = some.filter { way in
        if !way.isThere { bench.report.say("absent \(way.rawValue): not installed") }
        return way.isThere
    }
    // What a virtual machine has not used for a while its host must give first, which nobody here should pay for.
    if !bench.options.isQuick, let first = ways.first { _ = try? first.spread(place, to: fetchers, bench) }
    var results: [ContentWay: [Int: Spreading]] = [:]
    for round in 0..<bench.options.rounds {
        for way in ways.indices.map({ ways[($0 + round) % ways.count] }) {
            do {
                results[way, default: [:]][round] = try way.spread(place, to: fetchers, bench)
            } catch {
                bench.report.failed("\(job).\(way.rawValue)", error)
                // What is broken would only cost time.
                ways.removeAll { $0 == way }
            }
        }
    }
    let gigabytes = Double(place.octets) * Double(fetchers) / 1e9
    for way in some { say(job, way, Array((results[way] ?? [:]).values), gigabytes, bench) }
    return results
}

private func say(_ job: String, _ way: ContentWay, _ rounds: [Spreading], _ gigabytes: Double, _ bench: Bench) {
    guard !rounds.isEmpty else { return }
    func text(_ metric: String, _ value: (Spreading) -> Double) -> String {
        let spread = Spread(rounds.map(value))
        guard !spread.median.isNaN else { return "" }
        return " \(metric)=\(shown(spread.median)) [\(shown(spread.least))-\(shown(spread.most))]"
    }
    bench.report.say(
        "VALUE job=\(job) way=\(way.rawValue)" + text("MB_per_s") { gigabytes * 1000 / $0.seconds }
            + text("cpu_s_per_GB") { $0.processor / gigabytes } + text("peak_rss_mib", \.peak)
            + text("anonymous_mib", \.anonymous) + text("copies", \.copies) + " n=\(rounds.count)")
}

/// What the rate must be beside that of libtorrent, by the number of fetchers (performance text, section 5).
private let rates: [Int: Double] = [1: 2.3, 4: 1.5, 8: 1.4]
/// MiB of anonymous memory of one node.
private let mostMebibytes = 32.0
/// Copies that the source sends when eight fetch at once.
private let mostCopies = 2.0

private func compare(_ job: String, _ fetchers: Int, _ results: [ContentWay: [Int: Spreading]], _ bench: Bench) {
    let own = (results[.node] ?? [:]).sorted { $0.key < $1.key }
    func add(_ metric: String, _ other: ContentWay, _ target: Figure.Target, _ value: (Spreading) -> Double) {
        var figure = Figure(job, metric, limit: other.rawValue, target)
        for (round, node) in own {
            guard let bound = results[other]?[round] else { continue }
            figure.add(node: value(node), limit: value(bound))
        }
        if figure.ratio.count > 0 { bench.report.add(figure) }
    }
    let best = [ContentWay.libtorrent, .libtorrentTuned, .libtorrent2].min { one, other in
        func median(_ way: ContentWay) -> Double {
            let rounds = results[way] ?? [:]
            return rounds.isEmpty ? .infinity : Spread(rounds.values.map(\.seconds)).median
        }
        return median(one) < median(other)
    }
    if let best { add("per_s", best, rates[fetchers].map { .atLeast($0) } ?? .none) { 1 / $0.seconds } }
    add("per_s", .limit, .atLeast(fetchers == 1 ? 0.7 : 0.67)) { 1 / $0.seconds }
    add("cpu_s", .aria2, .atMost(1)) { $0.processor }
    add("cpu_s", .limit, .atMost(1.35)) { $0.processor }
    bench.report.add(.target(job, "anonymous_mib", mostMebibytes, own.map(\.value.anonymous)))
    if fetchers >= 8 { bench.report.add(.target(job, "copies", mostCopies, own.map(\.value.copies))) }
}

/// Milliseconds from the command to the first octets that are proved and stored.
private let mostFirst = 5.0

private func firstOctet(_ bench: Bench) throws {
    let place = try ContentPlace(bench, mebibytes: bench.size(64, quick: 4))
    defer { place.remove() }
    var values: [Double] = []
    for _ in 0..<bench.options.rounds { values.append(try ContentNodes.first(place, bench)) }
    bench.report.add(.target("content.first", "ms", mostFirst, values, note: "proved and stored, after the command"))
}
