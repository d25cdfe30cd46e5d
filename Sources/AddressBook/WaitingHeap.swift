internal import PeerCore

/// Slots of the entries that rest, earliest first: a binary heap from which any slot can be taken out.
struct WaitingHeap: Sendable {
    private struct Item: Sendable {
        let instant: Instant
        let slot: Int
    }

    private var heap: [Item] = []
    /// Place of a slot in the heap.
    private var places: [Int: Int] = [:]

    mutating func insert(_ slot: Int, at instant: Instant) {
        heap.append(Item(instant: instant, slot: slot))
        places[slot] = heap.count - 1
        siftUp(heap.count - 1)
    }

    mutating func remove(_ slot: Int) {
        guard let place = places.removeValue(forKey: slot) else { return }
        let last = heap.removeLast()
        guard place < heap.count else { return }
        heap[place] = last
        places[last.slot] = place
        siftUp(place)
        siftDown(place)
    }

    /// Takes out the earliest slot when its time has come at `now`.
    mutating func pop(due now: Instant) -> Int? {
        guard let first = heap.first, first.instant <= now else { return nil }
        remove(first.slot)
        return first.slot
    }

    /// The earliest time of a slot that is `good`. Looks below a slot only when it is not.
    func earliest(where good: (Int) -> Bool) -> Instant? {
        var best: Instant?
        var open = heap.isEmpty ? [] : [0]
        while let place = open.popLast() {
            let item = heap[place]
            if let best, best <= item.instant { continue }
            if good(item.slot) {
                best = item.instant
            } else {
                open += [place * 2 + 1, place * 2 + 2].filter { $0 < heap.count }
            }
        }
        return best
    }

    private mutating func swap(_ a: Int, _ b: Int) {
        heap.swapAt(a, b)
        places[heap[a].slot] = a
        places[heap[b].slot] = b
    }

    private mutating func siftUp(_ place: Int) {
        var child = place
        while child > 0, heap[child].instant < heap[(child - 1) / 2].instant {
            swap(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private mutating func siftDown(_ place: Int) {
        var parent = place
        while true {
            var least = parent
            for child in [parent * 2 + 1, parent * 2 + 2]
            where child < heap.count && heap[child].instant < heap[least].instant {
                least = child
            }
            guard least != parent else { return }
            swap(parent, least)
            parent = least
        }
    }
}
