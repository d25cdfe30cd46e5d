internal import PeerCore

/// One figure: what the node does beside what bounds it, pair by pair in each round.
struct Figure {
    /// What the ratio of node to limit must be.
    enum Target {
        case atLeast(Double)
        case atMost(Double)
        /// Shown for information only.
        case none
    }

    /// The job, and what of it: `handshake`, `join.32`.
    let job: String
    /// What is counted, with its unit at the end: `cpu_us`, `requests_per_s`.
    let metric: String
    /// What the limit is: `c`, `crypto`, `target`.
    let limit: String
    let target: Target
    /// The node's value and the limit's in each round.
    private(set) var rounds: [(node: Double, limit: Double)] = []
    /// How the figure came about: limits that were raised, sizes.
    var note = ""

    init(_ job: String, _ metric: String, limit: String, _ target: Target) {
        self.job = job
        self.metric = metric
        self.limit = limit
        self.target = target
    }

    mutating func add(node: Double, limit: Double) {
        rounds.append((node, limit))
    }

    /// The ratio is taken within each round, so that a slow phase of the machine hits both.
    var ratio: Spread { Spread(rounds.map { $0.node / $0.limit }) }
    var node: Spread { Spread(rounds.map(\.node)) }
    var bound: Spread { Spread(rounds.map(\.limit)) }

    var isMet: Bool {
        switch target {
        case .atLeast(let least): ratio.median >= least
        case .atMost(let most): ratio.median <= most
        case .none: true
        }
    }

    private var verdict: String {
        switch target {
        case .atLeast(let least): "target>=\(shown(least)) \(isMet ? "PASS" : "FAIL")"
        case .atMost(let most): "target<=\(shown(most)) \(isMet ? "PASS" : "FAIL")"
        case .none: "INFO"
        }
    }

    /// The line that is printed.
    var line: String {
        "RATIO job=\(job) metric=\(metric) node=\(shown(node.median)) [\(shown(node.least))-\(shown(node.most))]"
            + " limit=\(limit):\(shown(bound.median)) ratio=\(shown(ratio.median))"
            + " [\(shown(ratio.least))-\(shown(ratio.most))] n=\(ratio.count) \(verdict)"
            + (note.isEmpty ? "" : "  (\(note))")
    }

    /// The same for programs.
    var record: Record {
        [
            "job": .string(job), "metric": .string(metric), "limit": .string(limit), "note": .string(note),
            "node": .list(rounds.map { .double($0.node) }), "bound": .list(rounds.map { .double($0.limit) }),
            "ratio": .double(ratio.median), "verdict": .string(verdict),
        ]
    }
}
