import PeerCore
import Testing

@Suite struct ValuesTests {
    @Test func `a record is compact JSON in the order of its fields`() {
        let record: Record = [
            "text": "a\"b\\c\n\r\t\u{0}\u{1b}\u{7f}\u{85}\u{202e}é😀", "whole": -5, "half": 0.5, "no": false,
            "none": nil,
            "list": [1, "x", .list([])], "inner": .record(["z": 1, "a": 2]),
        ]
        #expect(
            record.json
                == #"{"text":"a\"b\\c\n\r\t\u0000\u001b\u007f\u0085\u202eé😀","whole":-5,"half":0.5,"no":false,"#
                + #""none":null,"list":[1,"x",[]],"inner":{"z":1,"a":2}}"#)
        #expect(Record.Value.double(.infinity).json == "null")
        #expect("plain\u{1b}[1m".escapedForTerminal == "plain\\u{1b}[1m")
    }

    @Test func `setting a field replaces it in its place, or appends it`() {
        var record: Record = ["a": 1, "b": 2]
        record["a"] = 3
        record["c"] = 4
        record["b"] = nil
        #expect(record == ["a": 3, "c": 4])
    }

    @Test func `times are RFC 3339`() {
        let cases: [(Int64, String)] = [
            (0, "1970-01-01T00:00:00.000Z"), (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"), (1_795_000_000_123, "2026-11-18T11:06:40.123Z"),
            (4_294_967_295_000, "2106-02-07T06:28:15.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
        ]
        for (milliseconds, text) in cases { #expect(WallClock(milliseconds: milliseconds).timestamp == text) }
    }

    @Test func `a path cannot leave its folder`() {
        let good = ["a", "a/b/c", "a b/ü", String(repeating: "x", count: 255), "..a", "a.", "a/...b"]
        let bad = [
            "", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a\0b", ".hidden", "a/.hidden", "...",
            String(repeating: "x", count: 256), String(repeating: "a/", count: 2100) + "a",
        ]
        for text in good where !text.hasPrefix(".") && !text.contains("/.") {
            #expect(RelativePath(text)?.description == text)
        }
        for text in bad { #expect(RelativePath(text) == nil, "\(text.prefix(20))") }
        #expect(RelativePath(".part/x", allowHidden: true)?.parent?.description == ".part")
        #expect(RelativePath("..", allowHidden: true) == nil)
        #expect(RelativePath("x")?.parent == nil)
    }

    @Test func `time arithmetic stays at its ends`() {
        let end = Instant(nanoseconds: .max)
        #expect(end + .seconds(1) == end)
        #expect(Instant(nanoseconds: .min) - .seconds(1) == Instant(nanoseconds: .min))
        #expect(Instant(nanoseconds: 5) - Instant(nanoseconds: 2) == .nanoseconds(3))
        // Whoever waits until then has waited long enough.
        let long = Duration(secondsComponent: 1, attosecondsComponent: 1)
        #expect(Instant(nanoseconds: 5) + long == Instant(nanoseconds: 1_000_000_006))
        #expect(Instant(nanoseconds: 5) + long - Instant(nanoseconds: 5) >= long)
        #expect(Duration.seconds(1 << 60).nanoseconds == .max)
    }

    @Test func `32 octets are ordered and shown as octets`() {
        let a = Bytes32(hex: String(repeating: "00", count: 31) + "01")!
        let b = Bytes32(hex: "01" + String(repeating: "00", count: 31))!
        #expect(a < b)
        #expect(Bytes32(b.array) == b)
        #expect(Bytes32(hex: "0") == nil && Bytes32(hex: String(repeating: "g", count: 64)) == nil)
    }
}
