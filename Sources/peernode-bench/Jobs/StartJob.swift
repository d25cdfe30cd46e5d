internal import AddressBook
internal import DDRP
internal import Foundation
internal import PeerCore
internal import PeerCrypto
internal import PeerRuntime
internal import UV

/// `start`: a node that knows 20,000 addresses, from exec until it listens and until the book is read.
let startJob = Job(name: "start", summary: "start with 20,000 book entries: listening, and the book read") { bench in
    let count = bench.size(20_000, quick: 1_000)
    var listening = Figure("start", "listening_seconds", limit: "target", .atMost(1))
    var recalled = Figure("start", "book_seconds", limit: "target", .atMost(1))
    recalled.note = "\(count) entries, half of them verified"
    try bench.rounds {
        let folder = try bench.folder("start")
        try makeBook(in: folder, count: count)
        let time = try start(bench, folder, count)
        listening.add(node: time.listening, limit: mostSeconds)
        recalled.add(node: time.recalled, limit: mostSeconds)
    }
    for figure in [listening, recalled] { bench.report.add(figure) }
}

/// Program section 6.
private let mostSeconds = 1.0

/// Makes the rows as the node itself would: by an address book, into its database.
private func makeBook(in folder: URL, count: Int) throws {
    let data = folder.appendingPathComponent("data")
    try FileManager.default.createDirectory(
        at: data, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    let loop = Loop()
    let rows = try RowStore(loop: loop, path: data.appendingPathComponent("peernode.sqlite").path) { _ in }
    var book = AddressBook(AddressPolicy(allowPrivate: true), capacity: count)
    let now = loop.now
    for number in 0..<count {
        // On loopback, where a dial would reach nobody.
        let ip = IPAddress(127, 100, UInt8(number / 250), UInt8(1 + number % 250))
        let address = SocketAddress(ip, 9097)
        let identity = blake2b256(Bytes(utf8: "entry \(number)"))
        _ = book.add(address, identity: identity, from: .operatorRequest, at: now)
        if number.isMultiple(of: 2) { book.succeeded(address, identity: identity, note: "reference", at: now) }
    }
    for (key, record) in book.takeChanges() {
        if let record { rows.remember("ddrp_book", key, record) }
    }
    rows.close {}
    loop.run()
    loop.close()
}

/// Seconds from the start of the process until the lines of its log come.
private func start(_ bench: Bench, _ folder: URL, _ count: Int) throws -> (listening: Double, recalled: Double) {
    let sections: Record = [
        "log": .record(["heartbeatSeconds": 3600, "categories": .record(["ddrp": "debug"])]),
        // It must not dial what is in the book.
        "ddrp": .record(["listen": "127.10.0.4:9097", "targetOutbound": 0]),
    ]
    let clock = Loop()
    let began = clock.instant
    let node = try NodeProcess(bench, "start", sections, folder: folder)
    defer { node.stop() }
    var listening: Double?
    while true {
        let log = node.log
        let time = (clock.instant - began).fractionalSeconds
        if listening == nil, log.contains("\"cat\":\"ddrp\",\"event\":\"listening\"") { listening = time }
        if let listening, log.contains("\"event\":\"book_recalled\",\"known\":\(count)") { return (listening, time) }
        guard time < 10 else { throw BenchFailure("the book was not read: \(log.suffix(500))") }
        usleep(500)
    }
}
