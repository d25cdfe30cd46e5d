internal import Foundation
internal import Glibc

/// libtorrent and aria2, as they do the same work.
enum Torrents {
    /// The Python that has libtorrent; nil: none.
    static let python: String? = ["/usr/bin/python3", PubSubSystem.path(of: "python3")].compactMap(\.self).first {
        let words = [$0, "-c", "import libtorrent"]
        let log = URL(fileURLWithPath: "/dev/null")
        return FileManager.default.isExecutableFile(atPath: $0) && (try? FilesPlace.start(words, log: log).wait()) == 0
    }

    /// Octets of a piece, in KiB.
    private static let piece = 256
    /// The ports from here on, at 127.0.0.1.
    private static let firstPort = 28_810

    /// Makes the description of a content; one for all rounds.
    private static func describe(_ place: ContentPlace, _ version: String) throws -> URL {
        let (own, file) = (place.folder, place.folder.appendingPathComponent("\(version).torrent"))
        if FileManager.default.fileExists(atPath: file.path) { return file }
        let script = own.appendingPathComponent("peer.py")
        try Data(program.utf8).write(to: script)
        let log = own.appendingPathComponent("make")
        let words = [python ?? "", script.path, "make", place.file.path, file.path, "\(piece)", version]
        guard try FilesPlace.start(words, log: log).wait() == 0 else {
            throw BenchFailure("libtorrent: \(Machine.text(of: log.path).suffix(300))")
        }
        return file
    }

    private static func folders(_ count: Int, _ bench: Bench) throws -> [URL] {
        try (0..<count).map { try bench.folder("torrent\($0)") }
    }

    // MARK: - libtorrent

    static func libtorrent(
        _ place: ContentPlace, to fetchers: Int, _ version: String, _ settings: String, _ bench: Bench
    ) throws -> Spreading {
        let torrent = try describe(place, version)
        let folders = try folders(fetchers + 1, bench)
        defer { for folder in folders { try? FileManager.default.removeItem(at: folder) } }
        let logs = folders.map { $0.appendingPathComponent("log") }
        let word = folders[0].appendingPathComponent("go")
        let peers = try folders.indices.map { number in
            try FilesPlace.start(
                [
                    python ?? "", place.folder.appendingPathComponent("peer.py").path, "run", torrent.path,
                    (number == 0 ? place.folder : folders[number]).path, word.path, settings, "\(number)",
                    "\(firstPort)",
                ], log: logs[number])
        }
        defer { for peer in peers { peer.end() } }
        try ContentPlace.wait("libtorrent starts") { logs.allSatisfy { Machine.text(of: $0.path).contains("ready") } }
        Child.settle()
        let (before, clock) = (peers.reduce(0) { $0 + $1.processorTime }, ContinuousClock())
        let begin = clock.now
        try Data().write(to: word)
        try ContentPlace.wait("libtorrent fetches") {
            logs.dropFirst().allSatisfy { Machine.text(of: $0.path).contains("done") }
        }
        return try result((clock.now - begin) / .seconds(1), before, peers, place, Array(folders.dropFirst()))
    }

    private static func result(
        _ seconds: Double, _ before: Double, _ peers: [Child], _ place: ContentPlace, _ folders: [URL]
    ) throws -> Spreading {
        var result = Spreading(seconds: seconds)
        Child.settle()
        result.processor = (peers.reduce(0) { $0 + $1.processorTime } - before) / 1e9
        result.peak = peers.map(\.peakMebibytes).max() ?? .nan
        result.anonymous = peers.map(\.anonymousMebibytes).max() ?? .nan
        for folder in folders { try place.check(folder.appendingPathComponent(ContentPlace.name)) }
        return result
    }

    // MARK: - aria2

    static func aria2(_ place: ContentPlace, to fetchers: Int, _ bench: Bench) throws -> Spreading {
        guard let aria2 = PubSubSystem.path(of: "aria2c") else { throw BenchFailure("aria2 is not installed") }
        let torrent = try describe(place, "v1")
        let folders = try folders(fetchers + 1, bench)
        defer { for folder in folders { try? FileManager.default.removeItem(at: folder) } }
        let logs = folders.map { $0.appendingPathComponent("log") }
        let tracking = folders[0].appendingPathComponent("tracker")
        let tracker = try FilesPlace.start(
            [python ?? "", place.folder.appendingPathComponent("peer.py").path, "track", "\(firstPort)"], log: tracking)
        defer { tracker.end() }
        try ContentPlace.wait("the tracker starts") { Machine.text(of: tracking.path).contains("ready") }
        let mark = folders[0].appendingPathComponent("mark")
        try Data("#!/bin/sh\n: > \"$3.done\"\n".utf8).write(to: mark)
        try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: mark.path)
        let words = [
            aria2, "--no-conf", "--enable-dht=false", "--enable-dht6=false", "--disable-ipv6=true",
            "--interface=127.0.0.1", "--bt-tracker=http://127.0.0.1:\(firstPort)/announce", "--bt-tracker-interval=1",
            "--file-allocation=none", "--seed-ratio=0", "--bt-max-peers=0", "--bt-request-peer-speed-limit=0",
            "--console-log-level=warn", "--summary-interval=0", "--bt-enable-lpd=false",
        ]
        func start(_ number: Int) throws -> Child {
            let own = [
                "--listen-port=\(firstPort + 1 + number)", "-d", (number == 0 ? place.folder : folders[number]).path,
            ]
            let more = number == 0 ? ["-V"] : ["--on-bt-download-complete=\(mark.path)"]
            return try FilesPlace.start(words + own + more + [torrent.path], log: logs[number])
        }
        var peers = [try start(0)]
        defer { for peer in peers { peer.end() } }
        // It checks its file, and tells the tracker.
        try ContentPlace.wait("aria2 starts") { Machine.text(of: tracking.path).contains("announced") }
        Child.settle()
        let (before, clock) = (peers[0].processorTime, ContinuousClock())
        let begin = clock.now
        for number in 1...fetchers { peers.append(try start(number)) }
        let others = Array(folders.dropFirst())
        try ContentPlace.wait("aria2 fetches") {
            others.allSatisfy {
                FileManager.default.fileExists(atPath: $0.appendingPathComponent("\(ContentPlace.name).done").path)
            }
        }
        return try result((clock.now - begin) / .seconds(1), before, peers, place, others)
    }

    // MARK: - What Python does

    /// `make FILE TORRENT KIB VERSION`; `run TORRENT FOLDER GO SETTINGS NUMBER PORT`: waits until there is a file GO;
    /// `track PORT`: a tracker for one content.
    private static let program = """
        import os, socketserver, struct, sys, time, http.server, urllib.parse

        def make(path, out, kib, version):
            import libtorrent as lt
            files = lt.file_storage()
            lt.add_files(files, path)
            torrent = lt.create_torrent(files, int(kib) * 1024, flags={"v1": 64, "v2": 32}[version])
            lt.set_piece_hashes(torrent, os.path.dirname(path))
            with open(out, "wb") as file:
                file.write(lt.bencode(torrent.generate()))

        TUNED = {
            "unchoke_slots_limit": 32, "max_out_request_queue": 3000, "max_allowed_in_request_queue": 4000,
            "send_buffer_watermark": 8 << 20, "send_buffer_watermark_factor": 150,
            "send_buffer_low_watermark": 1 << 20, "max_queued_disk_bytes": 64 << 20, "request_queue_time": 10,
            "aio_threads": 2, "hashing_threads": 1, "mixed_mode_algorithm": 0, "seed_choking_algorithm": 1,
            "recv_socket_buffer_size": 4 << 20, "send_socket_buffer_size": 4 << 20, "allowed_fast_set_size": 0,
            "close_redundant_connections": False}

        def run(torrent, folder, word, tune, number, port):
            import libtorrent as lt
            number, port, others = int(number), int(port), []
            settings = {
                "listen_interfaces": "127.0.0.1:%d" % (port + number), "enable_dht": False, "enable_lsd": False,
                "enable_upnp": False, "enable_natpmp": False, "allow_multiple_connections_per_ip": True,
                "enable_outgoing_utp": tune == "utp", "enable_incoming_utp": tune == "utp",
                "enable_outgoing_tcp": tune != "utp", "enable_incoming_tcp": tune != "utp", "alert_mask": 0,
                "rate_limit_ip_overhead": False, "in_enc_policy": 2, "out_enc_policy": 2}
            session = lt.session(settings | (TUNED if tune == "tuned" else {}))
            wanted = lt.add_torrent_params()
            wanted.ti, wanted.save_path = lt.torrent_info(torrent), folder
            wanted.flags = lt.torrent_flags.default_flags if number else lt.torrent_flags.seed_mode
            wanted.flags &= ~lt.torrent_flags.auto_managed & ~lt.torrent_flags.paused
            handle = None if number else session.add_torrent(wanted)
            print("ready", flush=True)
            while not os.path.exists(word):
                time.sleep(0.001)
            handle = handle or session.add_torrent(wanted)
            ticks = 0
            while True:
                # A connection that was refused is tried again.
                for other in range(number) if ticks % 100 == 0 else ():
                    handle.connect_peer(("127.0.0.1", port + other))
                if number and handle.status().is_seeding:
                    break
                ticks += 1
                time.sleep(0.01)
            print("done", flush=True)
            time.sleep(240)

        PEERS = {}

        class Tracker(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
                PEERS[query["port"][0]] = bytes((127, 0, 0, 1)) + struct.pack(">H", int(query["port"][0]))
                peers = b"".join(PEERS.values())
                body = b"d8:intervali1e12:min intervali1e5:peers%d:%se" % (len(peers), peers)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                print("announced", flush=True)

            def log_message(self, *words):
                pass

        def track(port):
            socketserver.ThreadingTCPServer.allow_reuse_address = True
            with socketserver.ThreadingTCPServer(("127.0.0.1", int(port)), Tracker) as server:
                print("ready", flush=True)
                server.serve_forever()

        {"make": make, "run": run, "track": track}[sys.argv[1]](*sys.argv[2:])
        """
}
