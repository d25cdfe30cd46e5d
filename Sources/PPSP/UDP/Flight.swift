internal import PeerCore

/// A chunk that is, or was, on its way to the other side of a channel.
struct Piece {
    let chunk: UInt64
    let payload: Bytes
    /// How often it was sent.
    var times = 0
}

/// Chunks that were sent and not acknowledged, in the order of sending.
struct Flight {
    /// A chunk counts as lost when so many that were sent later have arrived (RFC 5681 section 3.2), and it had time.
    private static let laterOnes = 3
    /// Round trips that it has had then: datagrams may overtake each other.
    private static let patience = 1.25

    private struct Sent {
        var piece: Piece
        let octets: Int
        let at: Instant
        var isHere: Bool
    }

    private var list: [Sent] = []
    private var head = 0
    /// The number of the first of the list.
    private var base = 0
    private var places: [UInt64: Int] = [:]
    private var newestArrived = -1
    /// Octets under way.
    private(set) var octets = 0

    var isEmpty: Bool { places.isEmpty }
    var count: Int { places.count }

    /// When the oldest chunk under way was sent.
    var oldest: Instant? { head < list.count ? list[head].at : nil }

    func contains(_ chunk: UInt64) -> Bool { places[chunk] != nil }

    mutating func send(_ piece: Piece, octets: Int, at now: Instant) {
        places[piece.chunk] = base + list.count
        list.append(Sent(piece: piece, octets: octets, at: now, isHere: false))
        self.octets += octets
    }

    /// These chunks have arrived. Gives those that were under way, their octets, and how long the newest of them took
    /// if it was sent once only.
    mutating func arrive(_ range: ChunkRange, at now: Instant) -> (chunks: [UInt64], octets: Int, time: Duration?) {
        var found: [UInt64] = []
        if range.count <= UInt64(places.count) {
            for chunk in range.first...range.last where places[chunk] != nil { found.append(chunk) }
        } else {
            for chunk in places.keys where range.contains(chunk) { found.append(chunk) }
            found.sort()
        }
        var (sum, time): (Int, Duration?) = (0, nil)
        for chunk in found {
            guard let place = places.removeValue(forKey: chunk) else { continue }
            let sent = list[place - base]
            list[place - base].isHere = true
            sum += sent.octets
            if place > newestArrived {
                newestArrived = place
                time = sent.piece.times == 1 ? now - sent.at : nil
            }
        }
        octets -= sum
        shorten()
        return (found, sum, time)
    }

    /// Takes out what others have overtaken.
    mutating func takeLost(at now: Instant, roundTrip: Duration) -> [Piece] {
        var lost: [Piece] = []
        var index = head
        while index < list.count, base + index + Self.laterOnes <= newestArrived {
            let sent = list[index]
            guard now - sent.at >= roundTrip * Self.patience else { break }
            if !sent.isHere { lost.append(take(index)) }
            index += 1
        }
        shorten()
        return lost
    }

    /// Takes out everything: nothing was heard for too long.
    mutating func takeAll() -> [Piece] {
        let lost = (head..<list.count).filter { !list[$0].isHere }.map { list[$0].piece }
        base += list.count
        (list, head, places, octets) = ([], 0, [:], 0)
        return lost
    }

    private mutating func take(_ index: Int) -> Piece {
        let sent = list[index]
        list[index].isHere = true
        places[sent.piece.chunk] = nil
        octets -= sent.octets
        return sent.piece
    }

    private mutating func shorten() {
        while head < list.count, list[head].isHere { head += 1 }
        // What is done with leaves in large steps.
        guard head > 64, head * 2 > list.count else { return }
        list.removeFirst(head)
        base += head
        head = 0
    }
}
