import PeerCore
import PeerCrypto
import TestSupport
import Testing

@testable import PPSP

/// Maps of chunks on the wire (PPSP section 4).
@Suite struct AvailabilityTests {
    private func set(_ chunks: some Sequence<UInt64>, limit: UInt64) -> ChunkSet {
        var set = ChunkSet(limit: limit)
        for chunk in chunks { set.insert(chunk) }
        return set
    }

    /// What a peer knows after all parts of a map have come over the wire.
    private func received(_ maps: [Availability], by set: ChunkSet) throws -> ChunkSet {
        var set = set
        for map in maps {
            let read = try Availability(decoding: map.bytes)
            #expect(read == map)
            set.apply(read)
        }
        return set
    }

    @Test func `a map is ALL or NONE when that is true, else the smaller of a bitmap and ranges`() {
        func form(_ set: ChunkSet) -> UInt8 { Availability.map(of: set, chunkSize: 1024)[0].form.code }
        #expect(form(ChunkSet(limit: 100)) == 0)
        #expect(form(ChunkSet(all: 100)) == 3)
        // 13 octets of bits against 20 of one range; 30 against 20.
        #expect(form(set(0..<50, limit: 100)) == 1)
        #expect(form(set(0..<50, limit: 240)) == 2)
        #expect(form(set(stride(from: 0, to: 240, by: 2), limit: 240)) == 1)
    }

    @Test func `a map of any chunks arrives as it is, whole and in parts`() throws {
        var random = SeededRandom(4)
        for limit: UInt64 in [1, 7, 8, 64, 65, 1000, 9999] {
            for step: UInt64 in [1, 2, 3, 50] {
                let sent = set((0..<limit).filter { _ in random.next() % step == 0 }, limit: limit)
                for maximumBytes in [40, 100, 100_000] {
                    let maps = Availability.map(of: sent, chunkSize: nil, maximumBytes: maximumBytes)
                    #expect(maps.count == 1 || maps.allSatisfy { $0.bytes.count <= maximumBytes })
                    #expect(maps.map(\.change) == [.replace] + maps.dropFirst().map { _ in .add })
                    #expect(try received(maps, by: ChunkSet(all: limit)) == sent)
                    let other = set((0..<limit).filter { _ in random.next() % 2 == 0 }, limit: limit)
                    let new = Availability.map(.add, of: sent, chunkSize: 512, maximumBytes: maximumBytes)
                    var union = other
                    union.formUnion(sent)
                    #expect(try received(new, by: other) == union)
                    let gone = Availability.map(.remove, of: sent, chunkSize: 512, maximumBytes: maximumBytes)
                    var rest = other
                    rest.subtract(sent)
                    #expect(try received(gone, by: other) == rest)
                }
            }
        }
    }

    @Test func `a bitmap may begin anywhere and reach beyond what is known`() throws {
        var random = SeededRandom(5)
        for base: UInt64 in [0, 1, 63, 64, 100, 4095] {
            var octets = random.bytes(300).array
            octets[299] &= 0xf0
            let map = Availability(.add, chunkSize: nil, base: base, count: 2396, .bitmap(Bytes(octets)))
            let isThere = (0..<2396).map { (index: Int) in octets[index / 8] & (0x80 >> UInt8(index % 8)) != 0 }
            let chunks = isThere.indices.filter { isThere[$0] }.map { base + UInt64($0) }
            for limit: UInt64 in [10, 2000, 3000, 10_000, ChunkRange.highest + 1] {
                #expect(try received([map], by: ChunkSet(limit: limit)) == set(chunks, limit: limit))
            }
        }
    }

    @Test func `a map of two mebioctets is made and read in a moment`() throws {
        let limit = UInt64(Availability.maximumBytes - 24) * 8
        let pattern = Bytes([UInt8](repeating: 0x55, count: Availability.maximumBytes - 24))
        let map = Availability(.replace, chunkSize: 1024, base: 0, count: limit, .bitmap(pattern))
        var set = ChunkSet(limit: limit)
        set.apply(map)
        #expect(set.count == limit / 2)
        #expect(Availability.map(of: set, chunkSize: 1024) == [map])
        var strange = ChunkSet()
        strange.apply(map)
        #expect(strange.count == 4096)
    }

    @Test func `a map that is cut or longer is refused`() throws {
        let sets = [set(0..<50, limit: 100), set(0..<50, limit: 240), ChunkSet(all: 9), ChunkSet(limit: 9)]
        for set in sets {
            let octets = Availability.map(of: set, chunkSize: 1)[0].bytes
            for count in 0..<octets.count {
                #expect(throws: DecodeError.self) { try Availability(decoding: octets.slice(0..<count)) }
            }
            #expect(throws: DecodeError.trailing(count: 1)) { try Availability(decoding: Bytes(octets.array + [0])) }
        }
    }

    @Test func `a window beyond 2^63, or counts above what is there, reserve nothing`() throws {
        func body(_ form: UInt8, base: UInt64, count: UInt64, ranges: UInt32? = nil) -> Bytes {
            var writer = ByteWriter()
            writer.write(UInt64(form) << 56)
            writer.write(base)
            writer.write(count)
            if let ranges { writer.write(ranges) }
            return writer.bytes
        }
        #expect(try Availability(decoding: body(3, base: 1, count: ChunkRange.highest)).form == .all)
        for (base, count): (UInt64, UInt64) in [(1, 1 << 63), (.max, .max), (1 << 63 + 1, 0), (0, .max)] {
            #expect(throws: DecodeError.invalid(field: "count")) {
                try Availability(decoding: body(3, base: base, count: count))
            }
        }
        #expect(throws: DecodeError.truncated(field: "bitmap")) {
            try Availability(decoding: body(1, base: 0, count: 1 << 63))
        }
        #expect(throws: DecodeError.truncated(field: "ranges")) {
            try Availability(decoding: body(2, base: 0, count: 1 << 63, ranges: .max))
        }
        var set = ChunkSet(limit: 5)
        set.apply(try Availability(decoding: body(3, base: 1 << 63, count: 0)))
        #expect(set.isEmpty)
        set.apply(try Availability(decoding: body(3, base: 3, count: 1 << 62)))
        #expect(set.ranges().elementsEqual([ChunkRange(3, 4)]))
    }
}
