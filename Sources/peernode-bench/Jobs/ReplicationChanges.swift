internal import Foundation
internal import Glibc
internal import PeerCore

// The rest of the job `replication`: what a change costs two nodes that are equal, a look through a large folder, and
// the file server under load.

/// A figure with a target and no other system beside it.
private func add(
    _ bench: Bench, _ metric: String, atMost limit: Double, _ values: [Double], note: String = ""
) {
    bench.report.add(.target("replication.change", metric, limit, values, note: note))
}

/// Seconds in which a change must show; the targets are far below.
private let changeLimit = 60.0

private func waitFor(_ what: String, _ holds: () throws -> Bool) throws -> Double {
    let clock = ContinuousClock()
    let begin = clock.now
    while try !holds() {
        guard (clock.now - begin) / .seconds(1) < changeLimit else { throw BenchFailure("\(what) does not come") }
        usleep(1000)
    }
    return (clock.now - begin) / .seconds(1)
}

/// Octets of a file from an offset.
private func read(_ file: URL, at offset: Int, _ count: Int) throws -> Data {
    let handle = try FileHandle(forReadingFrom: file)
    defer { try? handle.close() }
    try handle.seek(toOffset: UInt64(offset))
    return try handle.read(upToCount: count) ?? Data()
}

private func write(_ data: Data, to file: URL, at offset: Int) throws {
    let handle = try FileHandle(forWritingTo: file)
    defer { try? handle.close() }
    try handle.seek(toOffset: UInt64(offset))
    try handle.write(contentsOf: data)
}

/// Changes of two nodes that are equal: a small file, one octet of a large one, its name.
func changes(_ bench: Bench) throws {
    let folder = try bench.folder("source")
    let place = try bench.folder("joined")
    defer { for url in [folder, place] { try? FileManager.default.removeItem(at: url) } }
    let (_, size) = try ReplicatedContent.big.make(in: folder, bench)
    let owner = try ReplicationNodes.owner(bench, folder: folder, files: 1)
    let joiner = try ReplicationNodes.joiner(bench, number: 0)
    defer { for node in [owner, joiner] { node.stop() } }
    try ReplicationNodes.join(joiner, into: place)
    func settled() throws {
        var before = -1
        _ = try waitFor("quiet") {
            let now = try ReplicationNodes.traffic(of: joiner)
            defer { before = now }
            usleep(300_000)
            return now == before
        }
    }
    var latencies: [Double] = []
    for number in 0..<bench.size(10, quick: 1) {
        let (there, text) = (place.appendingPathComponent("touched\(number)"), Data("version \(number)".utf8))
        try text.write(to: folder.appendingPathComponent("touched\(number)"))
        latencies.append(try waitFor("a new file") { FileManager.default.contents(atPath: there.path) == text })
    }
    add(bench, "latency_s", atMost: 3, latencies, note: "a new file, from written to there; 2 s of it are the debounce")
    var (moved, seconds): ([Double], [Double]) = ([], [])
    for number in 0..<bench.size(3, quick: 1) {
        try settled()
        let before = try ReplicationNodes.traffic(of: joiner)
        let offset = size / 2 + number * 4099
        let octet = Data([try read(folder.appendingPathComponent("f00000"), at: offset, 1)[0] ^ 0xff])
        try write(octet, to: folder.appendingPathComponent("f00000"), at: offset)
        seconds.append(
            try waitFor("the changed octet") {
                try read(place.appendingPathComponent("f00000"), at: offset, 1) == octet
            })
        try settled()
        moved.append(Double(try ReplicationNodes.traffic(of: joiner) - before) / Double(1 << 20))
    }
    add(bench, "one_octet_moves_mib", atMost: 1.25, moved, note: "of \(size >> 20) MiB, both ways, verified")
    bench.report.say("VALUE job=replication.change one_octet_s=\(shown(Spread(seconds).median))")
    try settled()
    let before = try ReplicationNodes.traffic(of: joiner)
    rename(folder.appendingPathComponent("f00000").path, folder.appendingPathComponent("renamed").path)
    let renamed = try waitFor("the new name") {
        let names = try FileManager.default.contentsOfDirectory(atPath: place.path)
        return names.contains("renamed") && !names.contains("f00000")
    }
    try settled()
    let messages = Double(try ReplicationNodes.traffic(of: joiner) - before) / 1024
    add(bench, "rename_moves_kib", atMost: 16, [messages], note: "messages only; took \(shown(renamed)) s")
}

/// A look through 100,000 files that have not changed.
func rescan(_ bench: Bench) throws {
    let folder = try bench.folder("source")
    defer { try? FileManager.default.removeItem(at: folder) }
    let count = bench.size(100_000, quick: 2000)
    for number in 0..<count {
        // A thousand in each folder.
        let path = folder.appendingPathComponent("d\(number / 1000)")
        if number.isMultiple(of: 1000) {
            try FileManager.default.createDirectory(at: path, withIntermediateDirectories: true)
        }
        let file = path.appendingPathComponent("f\(number)").path
        guard FileManager.default.createFile(atPath: file, contents: Data("content \(number)".utf8)) else {
            throw BenchFailure("\(file) cannot be written")
        }
    }
    // A scan that has found nothing is told of at that level.
    let node = try ReplicationNodes.owner(bench, folder: folder, files: count, level: "debug")
    defer { node.stop() }
    let clock = ContinuousClock()
    func scans() -> Int { node.log.components(separatedBy: "\"event\":\"scan_done\"").count - 1 }
    var values: [Double] = []
    for _ in 0..<bench.options.rounds {
        let (before, begin) = (scans(), clock.now)
        _ = try node.ask("replication.rescan", [:])
        _ = try waitFor("the end of the scan") { scans() > before }
        values.append((clock.now - begin) / .seconds(1))
    }
    bench.report.add(.target("replication.rescan", "s", 2, values, note: "\(count) files, nothing changed"))
}

/// The file server under wrk: no error, and a loop that answers others meanwhile.
func serving(_ bench: Bench) throws {
    guard let wrk = PubSubSystem.path(of: "wrk") else { return bench.report.say("absent wrk: not installed") }
    let folder = try bench.folder("source")
    defer { try? FileManager.default.removeItem(at: folder) }
    let content = Data((0..<4096).map { _ in UInt8.random(in: .min ... .max) })
    try content.write(to: folder.appendingPathComponent("file"))
    let node = try ReplicationNodes.owner(bench, folder: folder, files: 1)
    defer { node.stop() }
    let server = FilesPlace.text(ReplicationNodes.address, ReplicationNodes.httpPort)
    let log = try bench.folder("wrk").appendingPathComponent("log")
    let seconds = bench.size(10, quick: 2)
    let load = try FilesPlace.start(
        [wrk, "-t1", "-c64", "-d\(seconds)s", "http://\(server)/\(ReplicationNodes.name)/file"], log: log)
    var lags: [Double] = []
    let clock = ContinuousClock()
    let end = clock.now + .seconds(seconds)
    while clock.now < end {
        // What somebody else waits who asks the same loop.
        lags.append(try node.ask("status", [:]).seconds)
        usleep(20_000)
    }
    guard load.wait() == 0 else { throw BenchFailure("wrk: \(Machine.text(of: log.path))") }
    let text = Machine.text(of: log.path)
    let rate = text.components(separatedBy: "Requests/sec:").last?.split(separator: "\n").first ?? ""
    bench.report.say("VALUE job=replication.serve requests_per_s=\(rate.trimmingCharacters(in: .whitespaces))")
    guard !text.contains("Socket errors"), !text.contains("Non-2xx") else {
        throw BenchFailure("wrk saw errors: \(text)")
    }
    lags.sort()
    let slow = lags[lags.count * 99 / 100] * 1000
    let note = "99th of \(lags.count) commands answered meanwhile"
    bench.report.add(.target("replication.serve", "loop_lag_ms", 50, [slow], note: note))
}
