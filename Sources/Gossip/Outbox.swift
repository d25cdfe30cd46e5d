internal import PeerCore

/// What one connection is to be sent: all messages of a turn go out as one write, and what the other side does not take
/// waits here, up to a limit.
///
/// Small messages are copied together; the data of a large one is shared by all outboxes.
struct Outbox {
    /// What must not be cut when something has to make room: whole messages.
    private struct Block {
        var octets: [UInt8]
        /// The data of the last message, in the buffer in which it came.
        var data: Bytes?
        var items: Int

        var count: Int { octets.count + (data?.count ?? 0) }
    }

    /// From this size on, data is shared instead of copied: a copy of less costs less than one more part of a write.
    private static let sharedBytes = 2048
    /// Blocks are closed at this size, so that little is lost when one is dropped.
    private static let blockBytes = 32 << 10
    /// Handed over at once: less than the host's low mark, so that the answer comes in time.
    private static let portionBytes = 192 << 10

    private var filling = Block(octets: [], data: nil, items: 0)
    private var waiting: [Block] = []
    private var head = 0
    private var waitingOctets = 0
    /// Control messages while the items wait; they go first.
    private var urgent: [UInt8] = []
    /// Of several heartbeats that wait only the last one matters.
    private var heartbeat: [UInt8] = []
    /// Octets handed over so far.
    private(set) var sent = 0
    private(set) var isStalled = false
    /// Whether it is noted for the end of the turn.
    var isListed = false

    /// Octets that wait.
    var octets: Int { waitingOctets + filling.count + urgent.count + heartbeat.count }
    /// Whether anything waits.
    var isEmpty: Bool { octets == 0 }

    /// A message that is an item: `message` with another fourth, fifth and sixth octet.
    @inline(__always)
    mutating func write(item message: Bytes, _ three: UInt8, _ four: UInt8, _ five: UInt8) {
        let start = filling.octets.count
        if message.count < Self.sharedBytes {
            filling.octets.append(message)
        } else {
            filling.octets.append(message.slice(0..<Announce.headBytes))
            filling.data = message.dropping(Announce.headBytes)
        }
        filling.octets[start + 3] = three
        filling.octets[start + 4] = four
        filling.octets[start + 5] = five
        filling.items += 1
        if filling.data != nil || isStalled && filling.octets.count >= Self.blockBytes { closeBlock() }
    }

    /// A message that is not dropped for items. Whoever lets too many of them wait gets no more.
    mutating func write(control message: Bytes) {
        if isStalled || head < waiting.count {
            guard urgent.count < Self.urgentBytes else { return }
            urgent.append(message)
        } else {
            filling.octets.append(message)
        }
    }

    /// A message that says how things stand: a later one makes an earlier one needless.
    mutating func write(heartbeat message: Bytes) {
        if isStalled || head < waiting.count { heartbeat = message.array } else { write(control: message) }
    }

    /// Control messages that may wait.
    private static let urgentBytes = 256 << 10

    private mutating func closeBlock() {
        guard filling.count > 0 else { return }
        waitingOctets += filling.count
        waiting.append(filling)
        filling = Block(octets: [], data: nil, items: 0)
    }

    /// Sends what may be sent now; gives whether more waits for the next turn.
    mutating func flush(on connection: ConnectionID, into effects: inout Effects) -> Bool {
        guard !isStalled else { return false }
        if head == waiting.count, urgent.isEmpty, heartbeat.isEmpty {
            let room = filling.octets.count
            guard room > 0 else { return false }
            sent += room
            effects.send(Bytes(filling.octets), on: connection)
            filling.octets = []
            filling.items = 0
            filling.octets.reserveCapacity(min(room, Self.blockBytes * 2))
            return false
        }
        closeBlock()
        urgent += heartbeat
        heartbeat = []
        if !urgent.isEmpty {
            sent += urgent.count
            effects.send(Bytes(urgent), on: connection)
            urgent = []
        }
        var portion = 0
        while head < waiting.count, portion < Self.portionBytes {
            let block = waiting[head]
            effects.send(Bytes(block.octets), on: connection)
            if let data = block.data { effects.send(data, on: connection) }
            portion += block.count
            head += 1
        }
        sent += portion
        waitingOctets -= portion
        compact()
        return head < waiting.count
    }

    /// Sends all that waits, before the end.
    mutating func flushAll(on connection: ConnectionID, into effects: inout Effects) {
        isStalled = false
        while flush(on: connection, into: &effects) {}
    }

    private mutating func compact() {
        if head == waiting.count {
            waiting.removeAll(keepingCapacity: waiting.count <= 64)
            head = 0
        } else if head > 64, head > waiting.count / 2 {
            waiting.removeFirst(head)
            head = 0
        }
    }

    /// The host says that the other side does not keep up.
    mutating func stall() { isStalled = true }

    /// The host has room again.
    mutating func drain() { isStalled = false }

    /// Drops the oldest items until at most `limit` octets wait; gives how many were lost.
    mutating func trim(to limit: Int) -> Int {
        var lost = 0
        while octets > limit, head < waiting.count {
            waitingOctets -= waiting[head].count
            lost += waiting[head].items
            waiting[head] = Block(octets: [], data: nil, items: 0)
            head += 1
        }
        compact()
        return lost
    }

    /// Forgets all that waits.
    mutating func clear() {
        self = Outbox()
    }
}
