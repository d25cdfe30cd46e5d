internal import Foundation
internal import Glibc

/// Two instances of syncthing with one folder, told of each other, without anything that reaches out to others.
final class Syncthing {
    private let program: String
    private let root: URL
    private let folders: [URL]
    private var children: [Child] = []

    /// 127.43.0.1, and the address after it.
    private static let interface: UInt32 = 0x7f2b_0001
    private static let (interfacePort, protocolPort): (UInt16, UInt16) = (8384, 22_000)
    /// Seconds in which one replication must be done.
    private static let limit = 180.0

    init(_ bench: Bench, _ program: String, _ folder: URL) throws {
        self.program = program
        root = try bench.folder("syncthing")
        folders = [folder, root.appendingPathComponent("out")]
        try FileManager.default.createDirectory(at: folders[1], withIntermediateDirectories: true)
        for folder in folders {
            try FileManager.default.createDirectory(
                at: folder.appendingPathComponent(".stfolder"), withIntermediateDirectories: true)
        }
        let devices = try (0..<2).map { try device($0) }
        for number in 0..<2 { try configure(number, devices) }
    }

    deinit {
        for child in children { child.end() }
        try? FileManager.default.removeItem(at: folders[0].appendingPathComponent(".stfolder"))
        try? FileManager.default.removeItem(at: root)
    }

    /// Monitored already, or else it starts itself once more, and its end would not end that.
    private var environment: [String] {
        ["/usr/bin/env", "HOME=\(root.path)", "STNODEFAULTFOLDER=1", "STNOUPGRADE=1", "STMONITORED=1"]
    }

    private func home(_ number: Int) -> URL { root.appendingPathComponent("home\(number)") }

    private func run(_ words: [String], _ name: String) throws -> String {
        let log = root.appendingPathComponent(name)
        guard try FilesPlace.start(environment + [program] + words, log: log).wait() == 0 else {
            throw BenchFailure("syncthing: \(Machine.text(of: log.path).suffix(300))")
        }
        return Machine.text(of: log.path)
    }

    private func device(_ number: Int) throws -> String {
        _ = try run(["generate", "--home=\(home(number).path)"], "generate\(number)")
        return try run(["--device-id", "--home=\(home(number).path)"], "device\(number)")
    }

    private func address(_ number: Int) -> UInt32 { Self.interface + UInt32(number) }

    private func configure(_ number: Int, _ devices: [String]) throws {
        let known = devices.indices.map { index in
            "<device id=\"\(devices[index])\" name=\"d\(index)\" compression=\"never\"><address>tcp://"
                + "\(FilesPlace.text(address(index), Self.protocolPort))</address></device>"
        }
        let off = [
            "globalAnnounceEnabled", "localAnnounceEnabled", "relaysEnabled", "natEnabled", "startBrowser",
            "crashReportingEnabled",
        ].map { "<\($0)>false</\($0)>" }
        let text = """
            <configuration version="36">
            <folder id="f" label="f" path="\(folders[number].path)" type="sendreceive" rescanIntervalS="3600"
            fsWatcherEnabled="false" ignorePerms="true" autoNormalize="true"><filesystemType>basic</filesystemType>
            \(devices.map { "<device id=\"\($0)\"/>" }.joined())<minDiskFree unit="%">0</minDiskFree></folder>
            \(known.joined())
            <gui enabled="true" tls="false"><address>\(FilesPlace.text(address(number), Self.interfacePort))</address>
            <apikey>k</apikey><insecureSkipHostcheck>true</insecureSkipHostcheck></gui>
            <options><listenAddress>tcp://\(FilesPlace.text(address(number), Self.protocolPort))</listenAddress>
            \(off.joined())<urAccepted>-1</urAccepted><autoUpgradeIntervalH>0</autoUpgradeIntervalH>
            <reconnectionIntervalS>1</reconnectionIntervalS></options></configuration>
            """
        try Data(text.utf8).write(to: home(number).appendingPathComponent("config.xml"))
    }

    private func start(_ number: Int) throws {
        let words = [program, "--home=\(home(number).path)", "--no-browser", "--no-restart", "--skip-port-probing"]
        children.append(try FilesPlace.start(environment + words, log: root.appendingPathComponent("log\(number)")))
    }

    /// A number of what one instance says of the folder; -1 while it says nothing.
    private func status(_ number: Int, _ answer: String, _ field: String) -> Int {
        let rest = answer.components(separatedBy: "\"\(field)\": ").dropFirst().first ?? ""
        return Int(rest.prefix { $0.isNumber }) ?? -1
    }

    private func ask(_ number: Int) -> String {
        let request = "GET /rest/db/status?folder=f HTTP/1.0\r\nX-API-Key: k\r\n\r\n"
        let place = root.appendingPathComponent("answer")
        try? FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
        var fetch = FilesFetch(address(number), Self.interfacePort, [request])
        fetch.folder = place
        guard (try? fetch.run()) != nil else { return "" }
        return Machine.text(of: place.appendingPathComponent("0").path)
    }

    private func wait(_ number: Int, _ what: String, until holds: (String) -> Bool) throws {
        let end = Date().addingTimeInterval(Self.limit)
        while !holds(ask(number)) {
            guard Date() < end else { throw BenchFailure("syncthing takes too long: \(what)") }
            usleep(20_000)
        }
    }

    /// From a source that knows its folder to a second instance that is started and has all of it.
    func replicate(files: Int) throws -> Replicated {
        try start(0)
        try wait(0, "scan") {
            status(0, $0, "localFiles") >= files && $0.contains("\"state\": \"idle\"")
        }
        let before = processorTime
        let clock = ContinuousClock()
        let begin = clock.now
        try start(1)
        try wait(1, "replication") {
            status(1, $0, "globalFiles") >= files && status(1, $0, "needFiles") == 0
                && $0.contains("\"state\": \"idle\"")
        }
        var result = Replicated(seconds: (clock.now - begin) / .seconds(1))
        Child.settle()
        result.processor = (processorTime - before) / 1e9
        result.peak = children.map(\.peakMebibytes).max() ?? .nan
        try ReplicationNodes.compare(folders[0], folders[1], files)
        return result
    }

    private var processorTime: Double { children.reduce(0) { $0 + $1.processorTime } }
}
