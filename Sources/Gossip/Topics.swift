internal import PeerCore

/// A data type: who wants it here, and which neighbours only hear of it.
struct Topic {
    let dataType: UInt16
    /// Places of the local programs that have registered it, first come first.
    var subscribers: [Int] = []
    /// Neighbours that are told what there is, instead of being sent it.
    var lazy: LinkSet
    /// Whether neighbours speak of its items by their names.
    var isTold: Bool
    /// When an item came last that was not here before.
    var lastFirst = Instant(nanoseconds: .min)
    /// When another neighbour may be pruned.
    var nextPrune = Instant(nanoseconds: .min)
    /// Copies in a row that each neighbour sent too late.
    var lateCopies: [Int: Int] = [:]
}

/// The data types that matter here: registered by a local program, or told lazily.
struct Topics {
    private var list: [Topic] = []
    private var places: [UInt16: Int] = [:]
    /// Most items come in runs of one data type.
    private var lastType: UInt16 = 0
    private var lastPlace: Int?
    /// Neighbours that are lazy for every data type that is not told apart.
    private(set) var lazy = LinkSet()

    /// Data types that only neighbours speak of: more than an overlay has, and few enough to keep.
    static let maximumTold = 4096

    var count: Int { list.count }

    subscript(place: Int) -> Topic {
        _read { yield list[place] }
        _modify { yield &list[place] }
    }

    /// The place of a data type that matters.
    @inline(__always)
    mutating func find(_ dataType: UInt16) -> Int? {
        if let lastPlace, lastType == dataType { return lastPlace }
        guard let place = places[dataType] else { return nil }
        (lastType, lastPlace) = (dataType, place)
        return place
    }

    /// The place of a data type, made when it has none.
    mutating func make(_ dataType: UInt16) -> Int {
        if let place = find(dataType) { return place }
        list.append(Topic(dataType: dataType, lazy: lazy, isTold: !lazy.isEmpty))
        places[dataType] = list.count - 1
        return list.count - 1
    }

    /// A new neighbour, lazy or not.
    mutating func opened(_ link: Int, isLazy: Bool) {
        guard isLazy else { return }
        lazy.insert(link)
        for place in list.indices {
            list[place].lazy.insert(link)
            list[place].isTold = true
        }
    }

    /// A neighbour is sent everything of which nothing else is known.
    mutating func setEager(_ link: Int) {
        lazy.remove(link)
    }

    /// A neighbour is gone.
    mutating func closed(_ link: Int) {
        lazy.remove(link)
        for place in list.indices {
            list[place].lazy.remove(link)
            list[place].lateCopies[link] = nil
        }
    }

    /// A local program is gone.
    mutating func unsubscribe(_ client: Int, from types: Set<UInt16>) {
        for type in types {
            guard let place = places[type] else { continue }
            list[place].subscribers.removeAll { $0 == client }
        }
    }

    /// Data types with a subscriber, and how many each has.
    var subscriptions: [(dataType: UInt16, count: Int)] {
        list.filter { !$0.subscribers.isEmpty }.map { ($0.dataType, $0.subscribers.count) }
            .sorted { $0.dataType < $1.dataType }
    }
}
