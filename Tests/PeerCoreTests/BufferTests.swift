import PeerCore
import Testing

@Suite struct BufferTests {
    @Test func `a slice shares its buffer and counts from 0`() {
        let bytes = Bytes([0, 1, 2, 3, 4, 5])
        let slice = bytes.slice(2..<5)
        #expect(Array(slice) == [2, 3, 4])
        #expect(slice[0] == 2)
        #expect(slice.slice(1..<3) == [3, 4])
        #expect(slice.dropping(3).count == 0)
        #expect(slice.hex == "020304")
        #expect(slice.hashValue == Bytes([2, 3, 4]).hashValue)
    }

    @Test func `what waits is the same whatever the pieces are`() {
        let octets = (0..<200).map { UInt8($0) }
        for piece in [1, 3, 64, 200] {
            var buffer = ReceiveBuffer()
            var read: [UInt8] = []
            var sent = 0
            while read.count < octets.count {
                if sent < octets.count {
                    let end = min(octets.count, sent + piece)
                    buffer.append(Bytes(octets).slice(sent..<end))
                    sent = end
                }
                // A message of seven octets at a time, as far as there is one.
                while buffer.count >= 7 || (sent == octets.count && buffer.count > 0) {
                    let size = min(7, buffer.count)
                    read += buffer.waiting.slice(0..<size)
                    buffer.consume(size)
                }
            }
            #expect(read == octets, "\(piece)")
            #expect(buffer == ReceiveBuffer())
        }
    }

    @Test func `lines end with LF, a CR before it is dropped, and a long one is refused`() throws {
        let text = "one\r\ntwo\n\nfour\r\r\nfive"
        for piece in [1, 2, 100] {
            var buffer = LineBuffer(maximumLineBytes: 6)
            var lines: [String] = []
            var rest = Bytes(utf8: text)
            while rest.count > 0 {
                let size = min(piece, rest.count)
                buffer.append(rest.slice(0..<size))
                rest = rest.dropping(size)
                while let line = try buffer.next() { lines.append(line.text ?? "?") }
            }
            #expect(lines == ["one", "two", "", "four\r"])
            #expect(buffer.count == 4)
        }
        for text in ["1234567\n", "1234567\r\n", "12345678"] {
            var buffer = LineBuffer(maximumLineBytes: 6)
            buffer.append(Bytes(utf8: text))
            #expect(throws: DecodeError.self) { while try buffer.next() != nil {} }
        }
    }

    @Test func `a reader never reads past the end`() throws {
        var reader = ByteReader([1, 2, 3, 4, 5, 6, 7, 8, 9])
        #expect(try reader.readUInt8("a") == 1)
        #expect(try reader.read(UInt16.self, "b") == 0x0203)
        #expect(try reader.read(UInt32.self, "c") == 0x0405_0607)
        #expect(throws: DecodeError.truncated(field: "d")) { try reader.read(UInt64.self, "d") }
        #expect(throws: DecodeError.truncated(field: "e")) { try reader.read(count: 3, "e") }
        #expect(throws: DecodeError.truncated(field: "f")) { try reader.read(count: -1, "f") }
        #expect(throws: DecodeError.trailing(count: 2)) { try reader.expectEnd() }
        #expect(reader.readRest() == [8, 9])
        try reader.expectEnd()
    }

    @Test func `what is written is read back`() throws {
        var writer = ByteWriter()
        writer.write(UInt8(1))
        writer.write(UInt16(2))
        writer.write(UInt64.max)
        writer.write(Bytes32.zero)
        #expect(writer.bytes.hex == "010002ffffffffffffffff" + String(repeating: "00", count: 32))
    }
}
