/// The open questions of one local program: which vote a message ID stands for (gossip section 3.5).
///
/// Message IDs are random, so an ID is its own hash: a table with linear probing.
struct Questions {
    private struct Entry {
        var messageID: UInt16
        /// The low half of the vote's number.
        var vote: UInt32
    }

    private var table: [Entry] = []
    private(set) var count = 0

    /// The first size of the table.
    private static let smallest = 16
    /// Not a message ID (gossip section 3.5), so it marks a free place.
    private static let free: UInt16 = 0

    /// Whether there is room for another question.
    var isFull: Bool { count * 2 >= table.count }

    /// Enters a question under `messageID`; false when a question has that ID already, or there is no room.
    @inline(__always)
    mutating func insert(_ messageID: UInt16, vote: UInt64) -> Bool {
        guard count * 2 < table.count else { return false }
        let mask = table.count - 1
        var place = Int(messageID) & mask
        while table[place].messageID != Self.free {
            if table[place].messageID == messageID { return false }
            place = (place + 1) & mask
        }
        table[place] = Entry(messageID: messageID, vote: UInt32(truncatingIfNeeded: vote))
        count += 1
        return true
    }

    /// Takes a question out; nil when there is none of that ID.
    @inline(__always)
    mutating func remove(_ messageID: UInt16) -> UInt32? {
        guard !table.isEmpty, messageID != Self.free else { return nil }
        let mask = table.count - 1
        var hole = Int(messageID) & mask
        while table[hole].messageID != messageID {
            guard table[hole].messageID != Self.free else { return nil }
            hole = (hole + 1) & mask
        }
        let vote = table[hole].vote
        var other = (hole + 1) & mask
        while table[other].messageID != Self.free {
            let home = Int(table[other].messageID) & mask
            if (other - home) & mask >= (other - hole) & mask {
                table[hole] = table[other]
                hole = other
            }
            other = (other + 1) & mask
        }
        table[hole].messageID = Self.free
        count -= 1
        return vote
    }

    /// The votes in which an answer is awaited.
    var votes: [UInt32] { table.lazy.filter { $0.messageID != Self.free }.map(\.vote) }

    /// Forgets questions whose vote is over, and makes room.
    mutating func forget(_ votes: Votes) {
        let live = table.filter { $0.messageID != Self.free && votes.isOpen(whole($0.vote, below: votes.next)) }
        var size = Self.smallest
        while size < live.count * 4 { size *= 2 }
        table = Array(repeating: Entry(messageID: Self.free, vote: 0), count: size)
        count = live.count
        for entry in live {
            var place = Int(entry.messageID) & (size - 1)
            while table[place].messageID != Self.free { place = (place + 1) & (size - 1) }
            table[place] = entry
        }
    }
}
