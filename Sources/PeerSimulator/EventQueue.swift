internal import PeerCore

/// What will happen, in order of time; things of one instant in the order in which they were planned.
struct EventQueue {
    /// Small and without references, so that the heap moves words; the action lies in its slot.
    private struct Key {
        let instant: Instant
        let order: UInt64
        let slot: Int

        func isBefore(_ other: Key) -> Bool {
            instant == other.instant ? order < other.order : instant < other.instant
        }
    }

    /// In a struct of its own: a bare closure in a generic container is wrapped anew each time it is touched.
    private struct Event {
        let action: () -> Void
    }

    private var heap: [Key] = []
    private var events: [Event] = []
    private var freeSlots: [Int] = []
    private var lastOrder: UInt64 = 0

    /// When the next event happens; nil when nothing will ever happen again.
    var next: Instant? { heap.first?.instant }

    mutating func add(at instant: Instant, _ action: @escaping () -> Void) {
        lastOrder += 1
        let slot: Int
        if let free = freeSlots.popLast() {
            slot = free
            events[slot] = Event(action: action)
        } else {
            slot = events.count
            events.append(Event(action: action))
        }
        heap.append(Key(instant: instant, order: lastOrder, slot: slot))
        rise()
    }

    /// Takes out the next event.
    mutating func pop() -> (instant: Instant, action: () -> Void)? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty { sink(last) }
        let event = events[first.slot]
        events[first.slot] = Event {}
        freeSlots.append(first.slot)
        return (first.instant, event.action)
    }

    private mutating func rise() {
        var child = heap.count - 1
        let key = heap[child]
        while child > 0 {
            let parent = (child - 1) / 2
            guard key.isBefore(heap[parent]) else { break }
            heap[child] = heap[parent]
            child = parent
        }
        heap[child] = key
    }

    /// Puts `key` in the place of the first and lets it sink to where it belongs.
    private mutating func sink(_ key: Key) {
        var parent = 0
        while true {
            var child = parent * 2 + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].isBefore(heap[child]) { child += 1 }
            guard heap[child].isBefore(key) else { break }
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = key
    }
}
