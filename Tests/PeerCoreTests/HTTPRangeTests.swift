import PeerCore
import Testing

/// Header fields of ranges and of what a client has already (RFC 9110 sections 13 and 14).
struct HTTPRangeTests {
    @Test func `a range means octets, all, or nothing that is there`() {
        let expected: [(String?, HTTPRange)] = [
            (nil, .whole), ("bytes=0-499", .octets(0..<500)), ("bytes=900-2000", .octets(900..<1000)),
            ("bytes=900-", .octets(900..<1000)), ("bytes=-100", .octets(900..<1000)), ("bytes=-0", .unsatisfiable),
            ("bytes=-99999999999999999999", .octets(0..<1000)), ("bytes=1000-", .unsatisfiable),
            ("bytes=1000-1001", .unsatisfiable), ("bytes=5-4", .whole), ("bytes=0-1,4-5", .whole), ("bytes=", .whole),
            ("bytes=-", .whole), ("bytes=a-b", .whole), ("lines=0-1", .whole),
            ("bytes=0-99999999999999999999", .octets(0..<1000)),
        ]
        for (field, meaning) in expected { #expect(HTTPRange(field, size: 1000) == meaning, "\(field ?? "none")") }
        #expect(HTTPRange("bytes=0-499", size: nil) == .octets(0..<500))
        #expect(HTTPRange("bytes=-5", size: nil) == .whole && HTTPRange("bytes=5-", size: nil) == .whole)
    }

    @Test func `a content range tells octets, and the size of all when that is known`() {
        let good = HTTPRange.content("bytes 400-999/1000")
        #expect(good?.octets == 400..<1000 && good?.size == 1000)
        let open = HTTPRange.content("bytes 0-99/*")
        #expect(open?.octets == 0..<100 && open?.size == nil)
        for text in [
            nil, "", "bytes 5-4/10", "bytes 0-10/10", "bytes */10", "bytes 0-9", "bytes -9/10", "0-9/10",
            "bytes 0-18446744073709551615/*", "bytes 0-99999999999999999999/*",
        ] {
            #expect(HTTPRange.content(text) == nil, "\(text ?? "none")")
        }
    }

    @Test func `a size is told alone when nothing of a range is there`() {
        #expect(HTTPRange.wholeSize("bytes */1000") == 1000)
        for text in [nil, "", "bytes */", "bytes 0-9/10", "bytes */a"] { #expect(HTTPRange.wholeSize(text) == nil) }
    }

    @Test(arguments: [
        ("\"a\"", true), ("W/\"a\"", true), ("\"b\", \"a\" ", true), ("*", true), ("\"b\"", false), ("", false),
    ])
    func `a client knows what its field names`(field: String, isKnown: Bool) {
        let request = HTTPRequest(.get, Bytes(utf8: "/"), fields: [HTTPField("If-None-Match", field)])
        #expect(request.knows("\"a\"") == isKnown)
    }
}
