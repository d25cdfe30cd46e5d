import PeerCore
import TestSupport
import Testing

@testable import BePeer

/// The pure functions: paths, targets, ranges, versions, conflicts, blocks.
struct ValueVectorTests {
    @Test func `paths are taken or refused`() throws {
        for vector in try vectors("path") {
            let octets = try vector.bytes("input")
            let expected = try vector.value("expect")
            let isAccepted = try expected.flag("accepted")
            let result = Result { () throws(PathRefusal) in try Path(octets: octets) }
            switch result {
            case .success(let path):
                #expect(isAccepted && path.relative.description == path.text, "\(vector)")
            case .failure(let refusal):
                #expect(try !isAccepted && refusal.rawValue == expected.text("reason"), "\(vector)")
            }
        }
    }

    @Test func `names become targets`() throws {
        for vector in try vectors("url") {
            let input = try vector.value("input")
            let target = Target.path(try input.text("folder"), try Path(try input.text("path")))
            let url = "http://\(try input.text("ip")):\(try input.number("port"))" + (target.text ?? "")
            #expect(url == (try vector.value("expect").text("url")), "\(vector)")
            #expect(
                Target.components(target)
                    == [try input.text("folder")] + (try input.text("path")).split(separator: "/").map(String.init),
                "\(vector)")
        }
    }

    @Test func `targets are decoded once`() throws {
        for vector in try vectors("target") {
            let expected = try vector.value("expect")
            let components = Target.components(try vector.bytes("input"))
            guard expected.has("components") else {
                #expect(components == nil, "\(vector)")
                continue
            }
            #expect(components == (try expected.elements("components").map { try $0.text() }), "\(vector)")
        }
    }

    @Test func `ranges are cut to the file, and nonsense is ignored`() throws {
        for vector in try vectors("range") {
            let size = UInt64(try vector.value("input").number("size"))
            let expected = try vector.value("expect")
            switch HTTPRange(try vector.value("input").text("range"), size: size) {
            case .whole:
                #expect(try expected.number("status") == 200 && expected.number("content_length") == Int(size))
            case .octets(let range):
                let text = "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(size)"
                #expect(try expected.number("status") == 206 && expected.text("content_range") == text, "\(vector)")
                #expect(try expected.number("content_length") == range.count, "\(vector)")
                #expect(HTTPRange.content(text)?.octets == range)
            case .unsatisfiable:
                #expect(try expected.number("status") == 416, "\(vector)")
                #expect(try expected.text("content_range") == "bytes */\(size)", "\(vector)")
            }
        }
    }

    @Test func `versions are put in order`() throws {
        for vector in try vectors("version") {
            let local = try vector.value("input").version("local")
            let remote = try vector.value("input").version("remote")
            let order = try vector.value("expect").text("local_is")
            #expect(local.compared(to: remote).rawValue == order, "\(vector)")
            let merged = local.merged(with: remote)
            #expect([.equal, .newer].contains(merged.compared(to: local)), "\(vector)")
            #expect(merged == remote.merged(with: local), "\(vector)")
            #expect(VersionVector(rowText: local.rowText) == local, "\(vector)")
        }
    }

    @Test func `the later change wins, then the larger hash`() throws {
        for vector in try vectors("winner") {
            func side(_ key: String) throws -> (modified: Int64, hash: Bytes) {
                let side = try vector.value("input").value(key)
                return (Int64(try side.number("mtime")), try side.octets("hash"))
            }
            let expected: Conflict.Winner =
                switch try vector.value("expect").text("winner") {
                case "local": .local
                case "remote": .remote
                default: .both
                }
            #expect(Conflict.winner(local: try side("local"), remote: try side("remote")) == expected, "\(vector)")
        }
    }

    @Test func `a losing content has a name of its own`() throws {
        for vector in try vectors("conflict-name") {
            let input = try vector.value("input")
            let path = try Path(try input.text("path"))
            let name = Conflict.name(
                for: path, modified: WallClock(seconds: Int64(try input.number("mtime_utc"))),
                hash: try input.text("loser_hash"))
            #expect(name.text == (try vector.value("expect").text("path")), "\(vector)")
            #expect(Conflict.isCopy(name) && Conflict.isCopy(name, of: path) && !Conflict.isCopy(path), "\(vector)")
        }
    }

    @Test func `a name of full length stays one`() throws {
        let path = try Path("d/" + String(repeating: "é", count: 124) + ".tar.gz")
        let name = Conflict.name(for: path, modified: WallClock(seconds: 0), hash: "0123456789")
        #expect(throws: Never.self) { try Path(name.text) }
    }

    @Test func `blocks are as small as fewer than two thousand allow`() throws {
        for vector in try vectors("blocksize") {
            let size = Blocks.size(of: UInt64(try vector.number("input")))
            #expect(size == UInt64(try vector.value("expect").number("block")), "\(vector)")
        }
    }

    @Test func `times are written as HTTP has them`() {
        let clock = WallClock(seconds: 784_111_777)
        #expect(clock.httpDate == "Sun, 06 Nov 1994 08:49:37 GMT")
        for seconds: Int64 in [0, 1, 951_782_400, 1_795_000_000, 4_102_444_799, 68_169_600] {
            #expect(WallClock(httpDate: WallClock(seconds: seconds).httpDate) == WallClock(seconds: seconds))
        }
        #expect(WallClock(httpDate: "yesterday") == nil)
    }

    @Test func `patterns leave names out; the first match counts`() throws {
        let patterns = IgnorePatterns(
            Bytes(utf8: "// notes\n!keep.tmp\n*.tmp\n/build\nlogs/**/*.log\ncache/\n[a-c]?.txt\n**/deep\n"))
        let ignored = [
            "x.tmp", "a/b.tmp", "build/x", "logs/a.log", "logs/1/2/a.log", "x/cache/y", "b1.txt", "x/y/deep/z", "deep",
        ]
        for name in ignored { #expect(patterns.ignores(try Path(name)), "\(name)") }
        for name in ["keep.tmp", "sub/build", "logs/a.txt", "d1.txt", "b12.txt", "cached"] {
            #expect(!patterns.ignores(try Path(name)), "\(name)")
        }
        // A pattern with many stars comes to an end.
        let stars = IgnorePatterns(Bytes(utf8: String(repeating: "*a", count: 40) + "b\n"))
        #expect(!stars.ignores(try Path(String(repeating: "a", count: 200))))
    }

    @Test func `a manifest is read as it was written, in pieces of any size`() throws {
        var file = RemoteFile(path: try Path("sub/résumé \"1\".pdf"))
        (file.size, file.modified) = (7, WallClock(milliseconds: 1_700_000_000_123))
        file.hash = Bytes32.zero
        file.version = VersionVector([(node: 1, count: 2), (node: .max, count: 3)])
        (file.sequence, file.isExecutable) = (9, true)
        var folder = RemoteFile(path: try Path("empty"))
        folder.isFolder = true
        let lines: [ManifestLine] = [
            .head(folder: "a", node: 5, sequence: 11), .file(file), .file(folder), .tail(count: 2, sequence: 11),
        ]
        var text: [UInt8] = []
        for line in lines { line.write(to: &text) }
        for size in [1, 5, text.count] {
            var reader = ManifestReader()
            for start in stride(from: 0, to: text.count, by: size) {
                #expect(reader.end == nil)
                try reader.append(Bytes(Array(text[start..<min(text.count, start + size)])))
            }
            #expect(reader.files == [file, folder] && reader.end == 11 && reader.node == 5)
        }
    }
}
