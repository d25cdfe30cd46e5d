import PeerCore
import PeerCrypto
import Testing

@testable import Gossip

/// Votes, questions, the cache, queues, sets of neighbours and candidates against simple models.
@Suite struct VotesTests {
    private static let start = Instant(nanoseconds: 0)

    private func vote(_ number: Int, waiting: Int = 1) -> Vote {
        Vote(
            message: item("\(number)"), seen: UInt64(number), end: Self.start + .seconds(number), copies: LinkSet(),
            waiting: Int32(waiting), source: Int16(number % 100))
    }

    // MARK: - Votes

    /// Whether an outcome is the expected one of a vote: nil: none; true: accepted.
    private func check(_ outcome: Votes.Outcome, _ expected: Bool?, _ number: UInt64, _ votes: inout Votes) {
        switch (outcome, expected) {
        case (.none, nil): break
        case (.accepted, true?), (.dropped, false?): #expect(votes.end(number).seen == number)
        default: Issue.record("vote \(number): \(outcome), not \(String(describing: expected))")
        }
    }

    @Test func `20,000 random answers lead to what a dictionary of votes says`() {
        var random = SeededRandom(seed: seed(5))
        var votes = Votes()
        var model: [UInt64: (waiting: Int, isApproved: Bool)] = [:]
        var next: UInt64 = 0
        for _ in 0..<20_000 {
            let number = UInt64.random(in: (next > 300 ? next - 300 : 0)...next, using: &random)
            let known = model[number]
            switch UInt8.random(in: 0..<10, using: &random) {
            case 0...4:
                let waiting = Int.random(in: 1...4, using: &random)
                #expect(votes.begin(vote(Int(next), waiting: waiting)) == next)
                model[next] = (waiting, false)
                next += 1
            case 5, 6:
                let (isValid, isFirst) = (Bool.random(using: &random), UInt8.random(in: 0..<4, using: &random) == 0)
                let isLast = known?.waiting == 1
                let expected: Bool? = known == nil ? nil : !isValid ? false : isFirst || isLast ? true : nil
                check(votes.answer(number, isValid: isValid, isFirst: isFirst), expected, number, &votes)
                if known != nil { model[number] = expected == nil ? (known!.waiting - 1, true) : nil }
            case 7:
                let expected = known?.waiting == 1 ? known?.isApproved : nil
                check(votes.leave(number), expected, number, &votes)
                if known != nil { model[number] = expected == nil ? (known!.waiting - 1, known!.isApproved) : nil }
            case 8:
                let oldest = votes.oldest
                check(votes.silence(oldest), model[oldest].map(\.isApproved), oldest, &votes)
                model = model.filter { votes.isOpen($0.key) }
            default:
                #expect(votes.isOpen(number) == (known != nil))
                if votes.isOpen(number) { #expect(votes.end(number).seen == number) }
                model[number] = nil
            }
            #expect(votes.isOpen(number) == (model[number] != nil))
            #expect(votes.open == model.count && votes.next == next)
            #expect(votes.oldest == model.keys.min() ?? next)
            #expect(votes.nextEnd == model.keys.min().map { Self.start + .seconds(Int($0)) })
        }
        #expect(next > 5000)
    }

    @Test func `a neighbour that leaves is forgotten in all votes, and its items are still to be spread`() {
        var votes = Votes()
        for number in 0..<200 { _ = votes.begin(vote(number)) }
        for number in 0..<200 as Range<UInt64> { votes.update(number) { $0.copies.insert(7) } }
        _ = votes.end(50)
        votes.closed(7)
        for number in 0..<200 as Range<UInt64> where number != 50 {
            #expect(votes[number]?.copies.isEmpty == true && votes[number]?.source != 7)
        }
        #expect(votes[50] == nil && votes.open == 199)
    }

    // MARK: - Questions

    @Test func `20,000 random questions lead to what a dictionary of questions says`() {
        var random = SeededRandom(seed: seed(6))
        var votes = Votes()
        var questions = Questions()
        var model: [UInt16: UInt64] = [:]
        for _ in 0..<20_000 {
            // IDs that meet in the same places.
            let id = UInt16.random(in: 1...40, using: &random) << 8 | UInt16.random(in: 1...4, using: &random)
            switch UInt8.random(in: 0..<4, using: &random) {
            case 0, 1:
                if questions.isFull {
                    questions.forget(votes)
                    model = model.filter { votes.isOpen($0.value) }
                }
                let isFree = model[id] == nil
                let number = votes.begin(vote(Int(votes.next)))
                #expect(questions.insert(id, vote: number) == isFree)
                if isFree { model[id] = number } else { _ = votes.end(number) }
            case 2:
                let found = questions.remove(id)
                #expect(found == model[id].map { UInt32($0) })
                model[id] = nil
            default:
                let number = UInt64.random(in: 0...votes.next, using: &random)
                if votes.isOpen(number) { _ = votes.end(number) }
            }
            #expect(questions.count == model.count)
        }
        let open = Set(model.values.filter { votes.isOpen($0) }.map { UInt32($0) })
        #expect(open.isSubset(of: questions.votes) && !open.isEmpty)
        #expect(questions.remove(0) == nil)
    }

    // MARK: - Cache

    @Test func `20,000 random operations leave in the cache what a list leaves`() {
        var random = SeededRandom(seed: seed(7))
        var cache = Cache(capacity: 50)
        var model: [Bytes?] = []
        var first: UInt64 = 0
        func tidy() {
            while let item = model.first, item == nil { (model, first) = (Array(model.dropFirst()), first + 1) }
        }
        for step in 0..<20_000 {
            if UInt8.random(in: 0..<3, using: &random) < 2 {
                let surplus = cache.takeSurplus(isPromised: false, at: Self.start)
                #expect(surplus == (model.count >= 50 ? first * 2 : nil))
                if surplus != nil { model[0] = nil }
                tidy()
                let message = item(octets: Int.random(in: 0...100, using: &random))
                let number = cache.keep(Cache.Item(message: message, ttl: 0, seen: cache.next * 2, since: Self.start))
                #expect(number == first + UInt64(model.count))
                model.append(message)
            } else {
                let number = UInt64.random(in: (first > 5 ? first - 5 : 0)...first + 60, using: &random)
                cache.drop(number)
                if number >= first, number < first + UInt64(model.count) { model[Int(number - first)] = nil }
                tidy()
            }
            #expect(cache.count == model.count && cache.octets == model.reduce(0) { $0 + ($1?.count ?? 0) }, "\(step)")
            for (index, message) in model.enumerated() { #expect(cache[first + UInt64(index)]?.message == message) }
        }
    }

    @Test func `what neighbours were told of is kept 5 s beyond the number of items`() {
        var cache = Cache(capacity: 2)
        for number in 0..<5 as Range<UInt64> {
            #expect(cache.takeSurplus(isPromised: true, at: Self.start + .seconds(1)) == nil)
            _ = cache.keep(Cache.Item(message: item("\(number)"), ttl: 0, seen: number, since: Self.start))
        }
        #expect(cache.count == 5 && cache.takeSurplus(isPromised: true, at: Self.start + .seconds(5)) == 0)
        #expect(cache.takeSurplus(isPromised: false, at: Self.start) == 1)
    }

    // MARK: - Queues

    @Test func `what an outbox sends is what was written, whatever is stalled meanwhile`() {
        for round in 0..<10 as Range<UInt64> {
            var random = SeededRandom(seed: seed(round))
            var outbox = Outbox()
            var effects = Effects()
            let connection = ConnectionID(1)
            var (expected, sent): ([Bytes], [UInt8]) = ([], [])
            for number in 0..<500 {
                switch UInt8.random(in: 0..<10, using: &random) {
                case 0...6:
                    let size = [0, 100, 2040, 2041, 5000, 20_000].randomElement(using: &random) ?? 0
                    let message = item("\(number) " + String(repeating: "x", count: size), ttl: 3)
                    outbox.write(item: message, 1, 2, 3)
                    var octets = message.array
                    octets.replaceSubrange(3..<6, with: [1, 2, 3])
                    expected.append(Bytes(octets))
                case 7: if Bool.random(using: &random) { outbox.stall() } else { outbox.drain() }
                case 8: #expect(expected.reduce(0) { $0 + $1.count } == sent.count + outbox.octets)
                default:
                    let before = sent.count
                    while outbox.flush(on: connection, into: &effects) {}
                    for case .send(let bytes, connection) in effects.take() { sent += bytes.array }
                    #expect(!outbox.isStalled || sent.count == before)
                    #expect(outbox.isStalled || outbox.isEmpty)
                }
            }
            #expect(Bytes(expected.flatMap(\.array)).slice(0..<sent.count) == Bytes(sent) && outbox.sent == sent.count)
        }
    }

    @Test func `an outbox above its limit loses the oldest items, whole, and no others`() {
        for size in [50, 3000] {
            var outbox = Outbox()
            var effects = Effects()
            outbox.stall()
            var lost = 0
            for number in 0..<3000 {
                outbox.write(item: item("\(number) " + String(repeating: "x", count: size)), 1, 0xf4, 0)
                lost += outbox.trim(to: 100_000)
                #expect(outbox.octets <= 100_000)
            }
            outbox.drain()
            while outbox.flush(on: ConnectionID(1), into: &effects) {}
            var waiting = effects.take().octets(on: ConnectionID(1))
            var numbers: [Int] = []
            while waiting.count >= 8 {
                let octets = Int(waiting.uint16(at: 0))
                numbers +=
                    waiting.slice(8..<octets).text?.split(separator: " ").first.flatMap { Int($0) }.map { [$0] } ?? []
                waiting = waiting.dropping(octets)
            }
            #expect(numbers == Array(lost..<3000) && lost > 0 && waiting.isEmpty && outbox.isEmpty)
        }
    }

    @Test func `control messages are never lost, and go before the items that wait`() {
        for items in [0, 3, 2000] {
            var outbox = Outbox()
            var effects = Effects()
            outbox.stall()
            for number in 0..<items { outbox.write(item: item("\(number)"), 1, 0xf4, 0) }
            outbox.write(control: Guest(2).heartbeat)
            _ = outbox.trim(to: 0)
            outbox.drain()
            while outbox.flush(on: ConnectionID(1), into: &effects) {}
            let said = effects.take().said(on: ConnectionID(1))
            #expect(said.first == .neighbors(Neighbors(id: 2, entries: [])), "\(items) items")
            #expect(outbox.isEmpty, "\(items) items")
        }
    }

    // MARK: - Sets of neighbours

    @Test func `a set of neighbours is a set of numbers`() {
        var random = SeededRandom(seed: seed(8))
        var (set, model): (LinkSet, Set<Int>) = (LinkSet(), [])
        for _ in 0..<5000 {
            let place = Int.random(in: 0..<LinkSet.capacity, using: &random)
            switch UInt8.random(in: 0..<8, using: &random) {
            case 0...3:
                set.insert(place)
                model.insert(place)
            case 4, 5:
                set.remove(place)
                model.remove(place)
            case 6:
                let first = set.popFirst()
                #expect(first == model.min())
                if let first { model.remove(first) }
            default:
                let other = LinkSet(place)
                #expect(set.intersection(other).places == (model.contains(place) ? [place] : []))
                #expect(set.subtracting(other).places == model.subtracting([place]).sorted())
                set.formUnion(other)
                model.insert(place)
            }
            #expect(set.places == model.sorted() && set.count == model.count && set.isEmpty == model.isEmpty)
            #expect(set.contains(place) == model.contains(place))
            #expect(set.firstFree == (0..<LinkSet.capacity).first { !model.contains($0) })
        }
        for place in 0..<LinkSet.capacity { set.insert(place) }
        #expect(set.firstFree == nil && !set.contains(-1))
    }

    // MARK: - Candidates

    private func address(_ number: Int) -> SocketAddress { Guest(UInt16(number)).endpoint }

    @Test func `a candidate that fails rests 60 s, doubling to 1 h, until it succeeds`() {
        var candidates = Candidates(capacity: 10)
        candidates.add(address(1), id: 1, .neighbour, at: Self.start)
        for seconds in [60, 120, 240, 480, 960, 1920, 3600, 3600] {
            #expect(candidates.failed(address(1), isLonely: false, at: Self.start) == .seconds(seconds))
            let due = Self.start + .seconds(min(seconds, 599))
            #expect(candidates.due(at: due - .nanoseconds(1)).isEmpty)
            #expect(candidates.due(at: due) == (seconds < 599 ? [address(1)] : []))
        }
        candidates.succeeded(address(1), id: 1, at: Self.start)
        #expect(candidates.failed(address(1), isLonely: false, at: Self.start) == .seconds(60))
        #expect(candidates.failed(address(2), isLonely: false, at: Self.start) == nil)
    }

    @Test func `the table is bounded, configured peers stay, and those that failed most leave first`() {
        var candidates = Candidates(capacity: 16)
        candidates.add(address(1), id: nil, .configured, at: Self.start)
        for number in 2...16 { candidates.add(address(number), id: nil, .neighbour, at: Self.start + .seconds(number)) }
        for _ in 0..<9 { _ = candidates.failed(address(1), isLonely: false, at: Self.start) }
        _ = candidates.failed(address(9), isLonely: false, at: Self.start)
        let isNew = candidates.add(address(17), id: 17, .neighbour, at: Self.start + .seconds(17))
        #expect(isNew && candidates.count == 16 && candidates.table[address(9)] == nil)
        candidates.add(address(18), id: 18, .neighbour, at: Self.start + .seconds(18))
        #expect(candidates.table[address(2)] == nil && candidates.table[address(1)] != nil)
        candidates.expire(at: Self.start + .seconds(610))
        #expect(candidates.table[address(10)] == nil && candidates.table[address(11)] != nil)
        candidates.expire(at: Self.start + .seconds(100_000))
        #expect(candidates.table.keys.sorted() == [address(1)])
    }
}
