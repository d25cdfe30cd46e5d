/// A queue: in at the end, out at the front.
struct Fifo<Element> {
    private var list: [Element] = []
    private var head = 0

    var first: Element? { head < list.count ? list[head] : nil }
    var count: Int { list.count - head }

    mutating func append(_ element: Element) { list.append(element) }

    mutating func removeFirst() {
        head += 1
        if head == list.count {
            list.removeAll(keepingCapacity: true)
            head = 0
        } else if head > 256, head > list.count / 2 {
            list.removeFirst(head)
            head = 0
        }
    }
}
