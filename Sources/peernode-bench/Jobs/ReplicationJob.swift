internal import Foundation
internal import Glibc
internal import PeerCore

/// `replication`: BePeer beside syncthing, rsync, and nginx with curl where these are installed.
let replicationJob = Job(
    name: "replication",
    summary:
        "folders beside syncthing, rsync, nginx with curl; some: REPLICATION_PARTS=big,small,mixed,change,rescan,serve"
) { bench in
    let named = ProcessInfo.processInfo.environment["REPLICATION_PARTS"]?.split(separator: ",").map(String.init)
    for part in named ?? ReplicatedContent.allCases.map(\.rawValue) + ["change", "rescan", "serve"] {
        do {
            switch part {
            case "change": try changes(bench)
            case "rescan": try rescan(bench)
            case "serve": try serving(bench)
            default:
                guard let content = ReplicatedContent(rawValue: part) else {
                    throw BenchFailure("there is no such part")
                }
                try replication(of: content, bench)
            }
        } catch {
            bench.report.failed("replication.\(part)", error)
        }
    }
}

/// MiB that one node may occupy while it replicates.
private let mostMebibytes = 64.0

// MARK: - From nothing to equal

/// A way to get a folder to another machine.
private enum ReplicationWay: String, CaseIterable {
    case node = "peernode"
    case syncthing
    case rsync
    case nginx = "nginx>curl"

    /// The programs that it needs.
    var programs: [String] {
        switch self {
        case .node: []
        case .syncthing: ["syncthing"]
        case .rsync: ["rsync"]
        case .nginx: ["nginx", "curl"]
        }
    }
}

private func replication(of content: ReplicatedContent, _ bench: Bench) throws {
    let job = "replication.\(content.rawValue)"
    let folder = try bench.folder("source")
    defer { try? FileManager.default.removeItem(at: folder) }
    let (files, octets) = try content.make(in: folder, bench)
    var results: [ReplicationWay: [Int: Replicated]] = [:]
    var ways = ReplicationWay.allCases.filter { way in
        let missing = way.programs.filter { PubSubSystem.path(of: $0) == nil }
        for program in missing { bench.report.say("absent \(program): not installed") }
        return missing.isEmpty
    }
    let nginx =
        try ways.contains(.nginx)
        ? PubSubSystem.path(of: "nginx").map { try FilesPlace.startNginx(bench, $0, folder: folder) } : nil
    defer { nginx?.end() }
    for round in 0..<min(mostReplicationRounds, bench.options.rounds) {
        for way in ways.indices.map({ ways[($0 + round) % ways.count] }) {
            do {
                results[way, default: [:]][round] = try replicate(way, folder, files, round, bench)
            } catch {
                bench.report.failed("\(job).\(way.rawValue)", error)
                // What is broken would only cost time.
                ways.removeAll { $0 == way }
            }
        }
    }
    for way in ReplicationWay.allCases { say(job, way, Array((results[way] ?? [:]).values), octets, bench) }
    func add(
        _ metric: String, _ other: ReplicationWay, _ target: Figure.Target, _ value: KeyPath<Replicated, Double>,
        note: String = ""
    ) {
        var figure = Figure(job, metric, limit: other.rawValue, target)
        figure.note = note
        for (round, own) in (results[.node] ?? [:]).sorted(by: { $0.key < $1.key }) {
            guard let bound = results[other]?[round] else { continue }
            figure.add(node: own[keyPath: value], limit: bound[keyPath: value])
        }
        if figure.ratio.count > 0 { bench.report.add(figure) }
    }
    add("verified_s", .syncthing, .atMost(content == .mixed ? 0.12 : 0.5), \.seconds)
    add("cpu_s", .syncthing, .none, \.processor)
    add("verified_s", .rsync, content == .mixed ? .atMost(1.4) : .none, \.seconds)
    add("transfer_s", .nginx, .atMost(1.5), \.transfer)
    let peaks = (results[.node] ?? [:]).values.map(\.peak)
    bench.report.add(.target(job, "peak_rss_mib", mostMebibytes, peaks, note: "the larger of both nodes"))
}

/// A round of all ways takes a minute for the largest content.
private let mostReplicationRounds = 5

private func replicate(
    _ way: ReplicationWay, _ folder: URL, _ files: Int, _ round: Int, _ bench: Bench
) throws -> Replicated {
    func program(_ name: String) throws -> String {
        guard let path = PubSubSystem.path(of: name) else { throw BenchFailure("\(name) is not installed") }
        return path
    }
    // What the node before has put into the folder.
    try? FileManager.default.removeItem(at: folder.appendingPathComponent(".bepeer"))
    return switch way {
    case .node: try ReplicationNodes.replicate(bench, folder, files: files, number: round)
    case .syncthing: try Syncthing(bench, program("syncthing"), folder).replicate(files: files)
    case .rsync: try ReplicationTools.rsync(bench, program("rsync"), folder)
    case .nginx: try ReplicationTools.curl(bench, program("curl"), files: files)
    }
}

private func say(_ job: String, _ way: ReplicationWay, _ rounds: [Replicated], _ octets: Int, _ bench: Bench) {
    guard !rounds.isEmpty else { return }
    func text(_ metric: String, _ value: KeyPath<Replicated, Double>) -> String {
        let spread = Spread(rounds.map { $0[keyPath: value] })
        guard !spread.median.isNaN else { return "" }
        return " \(metric)=\(shown(spread.median)) [\(shown(spread.least))-\(shown(spread.most))]"
    }
    bench.report.say(
        "VALUE job=\(job) way=\(way.rawValue) MB=\(octets / 1_000_000)" + text("verified_s", \.seconds)
            + text("transfer_s", \.transfer) + text("cpu_s", \.processor) + text("peak_rss_mib", \.peak)
            + " n=\(rounds.count)")
}
