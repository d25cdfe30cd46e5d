/// The timers of a core. It shows the world only the next one.
///
/// `Timer` names them: an enum with a case for each purpose. Equal deadlines fire in the order in which they were set.
public struct Deadlines<Timer: Hashable> {
    fileprivate struct Entry {
        let instant: Instant
        let order: UInt64
        let timer: Timer

        func isBefore(_ other: Entry) -> Bool {
            instant == other.instant ? order < other.order : instant < other.instant
        }
    }

    /// A binary heap. An entry whose order is not the timer's current one was moved or cancelled and is skipped.
    private var heap: [Entry] = []
    private var current: [Timer: UInt64] = [:]
    private var lastOrder: UInt64 = 0

    /// No timers.
    public init() {}

    /// Number of timers that are set.
    public var count: Int { current.count }

    /// The earliest deadline.
    public var next: Instant? { heap.first?.instant }

    /// Whether `timer` is set.
    public func isSet(_ timer: Timer) -> Bool { current[timer] != nil }

    /// Sets `timer`, or moves it when it is set already.
    public mutating func set(_ timer: Timer, at instant: Instant) {
        lastOrder += 1
        current[timer] = lastOrder
        push(Entry(instant: instant, order: lastOrder, timer: timer))
        dropStale()
    }

    /// Takes `timer` out; nothing happens when it is not set.
    public mutating func cancel(_ timer: Timer) {
        guard current.removeValue(forKey: timer) != nil else { return }
        dropStale()
    }

    /// Takes out the earliest timer that is due at `now`, or gives nil.
    public mutating func pop(due now: Instant) -> Timer? {
        guard let first = heap.first, first.instant <= now else { return nil }
        current[first.timer] = nil
        removeFirst()
        dropStale()
        return first.timer
    }

    private func isStale(_ entry: Entry) -> Bool { current[entry.timer] != entry.order }

    private mutating func dropStale() {
        // Rebuild when most of the heap is stale, so that timers which only ever move do not fill memory.
        if heap.count > 64, heap.count > current.count * 2 {
            let live = heap.filter { !isStale($0) }
            heap.removeAll(keepingCapacity: true)
            for entry in live { push(entry) }
        }
        while let first = heap.first, isStale(first) { removeFirst() }
    }

    private mutating func push(_ entry: Entry) {
        heap.append(entry)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].isBefore(heap[parent]) else { return }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    private mutating func removeFirst() {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [parent * 2 + 1, parent * 2 + 2]
            where child < heap.count && heap[child].isBefore(heap[least]) {
                least = child
            }
            guard least != parent else { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}

extension Deadlines: Sendable where Timer: Sendable {}
extension Deadlines.Entry: Sendable where Timer: Sendable {}
