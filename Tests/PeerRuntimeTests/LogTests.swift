import Foundation
import PeerCore
import PeerRuntime
import Testing

@Suite struct LogTests {
    private let clock = WallClock(milliseconds: 1_795_000_000_123)

    /// What `body` writes to a log, line by line.
    private func lines(_ format: Log.Format = .json, _ body: (Log) -> Void) throws -> [String] {
        let path = NSTemporaryDirectory() + "peernode-log-\(UInt64.random(in: 0 ... .max)).log"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let log = Log(format: format)
        try log.open(file: path)
        body(log)
        return try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map(String.init)
    }

    @Test func `a line is one JSON object: ts, level, cat, event, own fields, msg`() throws {
        let lines = try lines { log in
            log.write(
                LogRecord(.info, "peer_up", ["peer": "ab\"\n\u{1b}[31m", "n": 3, "ok": true], "hello"),
                category: "ddrp",
                at: clock)
        }
        #expect(
            lines == [
                #"{"ts":"2026-11-18T11:06:40.123Z","level":"info","cat":"ddrp","event":"peer_up","#
                    + #""peer":"ab\"\n\u001b[31m","n":3,"ok":true,"msg":"hello"}"#
            ])
    }

    @Test func `levels hold for a category or for all`() throws {
        let lines = try lines { log in
            log.setLevels(standard: .warn, ["ddrp": .debug])
            for (category, level) in [("ddrp", LogLevel.debug), ("ddrp", .trace), ("node", .info), ("node", .error)] {
                log.write(LogRecord(level, "x"), category: category, at: clock)
            }
        }
        #expect(lines.count == 2)
        #expect(lines[0].contains(#""level":"debug","cat":"ddrp""#))
        #expect(lines[1].contains(#""level":"error","cat":"node""#))
    }

    @Test func `a burst of one event from one peer is cut, and the next line says how many were left out`() throws {
        let lines = try lines { log in
            for index in 0..<100 {
                log.write(
                    LogRecord(.info, "noise", ["address": .string("192.0.2.1:\(1000 + index)")]), category: "ddrp",
                    at: clock)
            }
            log.write(LogRecord(.info, "noise", ["address": "192.0.2.2:1"]), category: "ddrp", at: clock)
            let later = clock + .seconds(5)
            log.write(LogRecord(.info, "noise", ["address": "192.0.2.1:1"]), category: "ddrp", at: later)
        }
        #expect(lines.count == 22)
        #expect(lines[20].contains("192.0.2.2"))
        #expect(lines[21].contains(#""leftOut":80"#))
    }

    @Test(arguments: [
        (AddressPrivacy.full, "203.0.113.77:9097"), (.prefix, "203.0.113.0/24"),
    ]) func `addresses are shown as the setting says`(privacy: AddressPrivacy, shown: String) throws {
        let lines = try lines { log in
            log.addresses = privacy
            log.write(LogRecord(.info, "x", ["address": "203.0.113.77:9097"]), category: "ddrp", at: clock)
        }
        #expect(lines.first?.contains("\"address\":\"\(shown)\"") == true)
    }

    @Test func `a hashed address says nothing, and is the same in every line`() throws {
        let lines = try lines { log in
            log.addresses = .hash
            for _ in 0..<2 {
                log.write(LogRecord(.info, "x", ["address": "203.0.113.77:9097"]), category: "ddrp", at: clock)
            }
        }
        #expect(lines[0] == lines[1])
        #expect(!lines[0].contains("203.0.113"))
    }

    @Test func `text for people escapes what could steer a terminal`() throws {
        let lines = try lines(.text) { log in
            log.write(LogRecord(.warn, "x", ["agent": "a\u{1b}[2J", "n": 1], "note"), category: "ddrp", at: clock)
        }
        #expect(lines == ["11:06:40.123 warn  ddrp      x agent=a\\u{1b}[2J n=1  # note"])
    }

    @Test func `a file that was moved away is opened anew`() throws {
        let path = NSTemporaryDirectory() + "peernode-log-\(UInt64.random(in: 0 ... .max)).log"
        defer { for name in [path, path + ".1"] { try? FileManager.default.removeItem(atPath: name) } }
        let log = Log()
        try log.open(file: path)
        log.write(LogRecord(.info, "before"), category: "node", at: clock)
        try FileManager.default.moveItem(atPath: path, toPath: path + ".1")
        try log.reopen()
        log.write(LogRecord(.info, "after"), category: "node", at: clock)
        #expect(try String(contentsOfFile: path, encoding: .utf8).contains("after"))
        #expect(try String(contentsOfFile: path + ".1", encoding: .utf8).contains("before"))
    }

    @Test func `the last lines are kept for the operator`() {
        let log = Log(descriptor: -1)
        for number in 0..<1700 { log.write(LogRecord(.info, "x", ["n": .count(number)]), category: "node", at: clock) }
        #expect((500...1000).contains(log.recent.count))
        #expect(log.recent.last?.record.int("n") == 1699)
    }
}
