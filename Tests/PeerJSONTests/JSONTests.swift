import PeerCore
import PeerCrypto
import PeerJSON
import Testing

@Suite struct JSONTests {
    private func parse(_ text: String, limit: Int = 65536) -> Result<Record.Value, JSONError> {
        Result { () throws(JSONError) in try JSON.parse(Bytes(utf8: text), limit: limit) }
    }

    @Test func `a text becomes the value that it describes, fields in their order`() {
        let cases: [(String, Record.Value)] = [
            ("null", .null), ("true", true), (" false\n", false), (#""""#, ""), ("[]", []), ("{ }", .record([:])),
            ("[1, -2, 0]", [1, -2, 0]), ("[1.5, -0.25, 1e-3]", [1.5, -0.25, 0.001]),
            (#"{"b": 1, "a": {"d": [], "c": null}}"#, .record(["b": 1, "a": .record(["d": [], "c": nil])])),
            (#""q\"b\\s\/n\nu\u00e9p\ud83d\ude00""#, "q\"b\\s/n\nuép😀"),
            (#"{"\u0061/b": "é"}"#, .record(["a/b": "é"])),
            ("\r\n\t [\t]", []), (#""\u0000""#, "\0"),
        ]
        for (text, value) in cases { #expect(parse(text) == .success(value), "\(text)") }
    }

    @Test func `a whole number of 64 bits is an int however it is written, every other one a double`() {
        let cases: [(String, Record.Value)] = [
            ("1.0", 1), ("1e3", 1000), ("1.5e1", 15), ("-0", 0), ("-0.0", 0),
            ("9007199254740993", 9_007_199_254_740_993),
            ("9223372036854775807", .int(.max)), ("-9223372036854775808", .int(.min)),
            ("9223372036854775808", .double(0x1p63)), ("1.2345678901234568e+16", 12_345_678_901_234_568),
            ("1e19", 1e19), ("0.1", 0.1), ("1e308", 1e308),
        ]
        for (text, value) in cases { #expect(parse(text) == .success(value), "\(text)") }
    }

    @Test func `what is not JSON is refused with line, column, what was found and what is expected`() {
        let escape = #"an escape: \" \\ \/ \b \f \n \r \t or \u and four hexadecimal digits"#
        let cases = [
            ("", "line 1, column 1: found the end of the text, expected a value"),
            (" \n ", "line 2, column 2: found the end of the text, expected a value"),
            (#"{"a": 1,}"#, #"line 1, column 9: found "}", expected a key in quotes"#),
            ("[1,\n 2,\n]", #"line 3, column 1: found "]", expected a value"#),
            ("[1 2]", #"line 1, column 4: found "2", expected "," or "]""#),
            (#"{"a": 1 "b": 2}"#, #"line 1, column 9: found "\"", expected "," or "}""#),
            (#"{"a" 1}"#, #"line 1, column 6: found "1", expected ":""#),
            ("{a: 1}", #"line 1, column 2: found "a", expected a key in quotes"#),
            ("{'a': 1}", #"line 1, column 2: found "'", expected a key in quotes"#),
            (#"{"a": 1"#, #"line 1, column 8: found the end of the text, expected "," or "}""#),
            (#"{"é": tru}"#, #"line 1, column 7: found "tru", expected a value"#),
            ("[NaN]", #"line 1, column 2: found "NaN", expected a value"#),
            ("[True]", #"line 1, column 2: found "True", expected a value"#),
            ("01", #"line 1, column 1: found "01", expected a number such as 0, 12, -1.5 or 1e3"#),
            ("[+1]", #"line 1, column 2: found "+1", expected a number such as 0, 12, -1.5 or 1e3"#),
            ("[.5]", #"line 1, column 2: found ".5", expected a number such as 0, 12, -1.5 or 1e3"#),
            ("[1.]", #"line 1, column 2: found "1.", expected a number such as 0, 12, -1.5 or 1e3"#),
            ("[1e]", #"line 1, column 2: found "1e", expected a number such as 0, 12, -1.5 or 1e3"#),
            ("[0x10]", #"line 1, column 2: found "0x10", expected a number such as 0, 12, -1.5 or 1e3"#),
            ("{} {}", #"line 1, column 4: found "{", expected the end of the text"#),
            ("// no\n{}", #"line 1, column 1: found "/" (JSON has no comments), expected a value"#),
            ("\u{feff}{}", #"line 1, column 1: found "\ufeff", expected a value"#),
            ("\"abc", "line 1, column 5: found the end of the text, expected a closing quote"),
            (
                "\"abc\n\"",
                #"line 1, column 5: found the end of the line, expected a closing quote or an escape such as \n"#
            ),
            ("\"a\tb\"", #"line 1, column 3: found "\t", expected a closing quote or an escape such as \n"#),
            (
                #""\x""#,
                #"line 1, column 2: found "\\", expected \#(escape)"#
            ),
            (
                #"["\u12g4"]"#,
                #"line 1, column 3: found "\\", expected \#(escape)"#
            ),
            (#"{"a": 1,"# + "\n " + #""a": 2}"#, #"line 2, column 2: the key "a" is there twice"#),
            (#"{"a": {"b": 1, "\u0062": 2}}"#, #"line 1, column 16: the key "b" is there twice"#),
            (#"{"a": [1, {"b": 1e999}]}"#, "line 1, column 17: a number of this size cannot be kept"),
            ("[[1,\n\"\\ud800\"]]", "line 2, column 1: half a surrogate pair is no character"),
            (#"{"\udc00": 1}"#, "line 1, column 2: half a surrogate pair is no character"),
            (
                String(repeating: "[", count: 17),
                "line 1, column 17: objects and lists lie in each other more than 16 deep"
            ),
        ]
        for (text, message) in cases {
            #expect(parse(text).failure?.description == message, "\(text)")
        }
    }

    @Test func `a text above the limit is not read, and octets that are no UTF-8 are refused where they are`() {
        #expect(parse("[1]", limit: 3) == .success([1]))
        #expect(parse("[1] ", limit: 3) == .failure(.tooLong(octets: 4, limit: 3)))
        #expect(throws: JSONError.notUTF8(JSONPosition(line: 2, column: 3))) {
            try JSON.parse(Bytes(Array("\n\"é".utf8) + [0xc3, 0x28, 0x22]), limit: 100)
        }
        let utf16 = Bytes(Array("{}".utf16).flatMap { [UInt8($0), 0] })
        #expect(throws: JSONError.self) { try JSON.parse(utf16, limit: 100) }
    }

    @Test func `the outline knows where every value and every key is`() throws {
        let text = """
            { "log": {"level": "info",
                      "a/b": [10, {"c~d": true}]},
              "é": 1, "f": 2 }
            """
        let outline = try JSONDocument(Bytes(utf8: text), limit: 1000).outline
        let cases: [([String], value: (Int, Int), key: (Int, Int)?)] = [
            ([], (1, 1), nil), (["log"], (1, 10), (1, 3)), (["log", "level"], (1, 20), (1, 11)),
            (["log", "a/b", "0"], (2, 19), nil), (["log", "a/b", "1", "c~d"], (2, 31), (2, 24)),
            (["f"], (3, 16), (3, 11)),
        ]
        for (path, value, key) in cases {
            let pointer = JSONPointer(path)
            #expect(outline.position(of: pointer) == JSONPosition(line: value.0, column: value.1), "\(pointer)")
            #expect(
                outline.position(ofKeyOf: pointer) == key.map { JSONPosition(line: $0.0, column: $0.1) }, "\(pointer)")
        }
        #expect(outline.position(of: JSONPointer(["log", "a/b", "2"])) == nil)
        #expect(JSONPointer(["log", "a/b", "1", "c~d"]).description == "/log/a~1b/1/c~0d")
    }

    @Test func `any octets are either refused or read, and what was read, written and read again is equal`() throws {
        var random = SeededRandom(seed: Bytes32.zero)
        let seeds = [
            #"{"a":[1,2.5,-3e2,{"b":null,"c":"x\u00e9\n\ud83d\ude00"}],"d":{"e":true,"f":false}}"#,
            #"[[[[]]],"",{"":{"":[]}},0.1,1e300,"\\\"",123456789012345678901234567890]"#,
        ]
        let alphabet = Array(#"{}[],:"\u0123456789abcdefnrtlsE+-. "#.utf8) + [0x0a, 0x00, 0x7f, 0x80, 0xc3, 0xa9, 0xff]
        var read = 0
        for round in 0..<1500 {
            var octets = Array(seeds[round % seeds.count].utf8)
            for _ in 0..<Int.random(in: 0...4, using: &random) {
                let index = Int.random(in: 0..<octets.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: octets[index] = alphabet.randomElement(using: &random) ?? 0
                case 1: octets.remove(at: index)
                default: octets.insert(alphabet.randomElement(using: &random) ?? 0, at: index)
                }
            }
            guard let value = try? JSON.parse(Bytes(octets), limit: 1000) else { continue }
            read += 1
            let again = try JSON.parse(Bytes(utf8: value.json), limit: 10000)
            if again != value { Issue.record("\(value.json) became \(again.json)") }
        }
        #expect(read > 300)
    }
}

extension Result {
    fileprivate var failure: Failure? {
        if case .failure(let failure) = self { failure } else { nil }
    }
}
