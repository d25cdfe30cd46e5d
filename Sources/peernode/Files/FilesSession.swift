internal import Glibc
internal import PPlusTwo
internal import PeerCore
internal import UV

/// The interactive session of P+2 (its section 7): a query, what the peers name, a choice, downloads, and again.
final class FilesSession {
    /// How matches are shown.
    struct Manner {
        /// Sorted, after all peers have answered; else as they come.
        var order: MatchOrder?
        /// All queries as with `-i`.
        var ignoresCase = false
    }

    private let requester: any Requester
    private let manner: Manner
    private let input = LineInput(history: "files_history")
    private var isOver = false

    init(_ requester: any Requester, _ manner: Manner) {
        (self.requester, self.manner) = (requester, manner)
    }

    /// Until the input ends, or the user does.
    func run() -> ExitCode {
        if input.isTerminal {
            write("Type a part of a name; an empty line asks for all files. Ctrl-D ends.")
        }
        while !isOver, let line = input.next("query> ", remembered: true) {
            attempt { try answer(Query(line: line, ignoresCase: manner.ignoresCase)) }
        }
        requester.close()
        return .done
    }

    /// What fails is told; the session goes on.
    private func attempt(_ body: () throws -> Void) {
        do {
            try body()
        } catch let failure as Failure {
            complain(RemoteName.shown(Bytes(utf8: failure.message)))
        } catch {
            complain("\(error)")
        }
    }

    private func answer(_ query: Query) throws {
        let matches = try search(query)
        guard !isOver, !matches.isEmpty else { return }
        guard let choice = choose(of: matches.count) else {
            isOver = true
            return
        }
        for number in choice.numbers {
            var goesOn = true
            attempt { goesOn = try fetch(matches[number - 1]) }
            guard goesOn else { return }
        }
    }

    /// The files that were shown, by number from 1.
    private func search(_ query: Query) throws -> [Match] {
        var matches: [Match] = []
        var summary: SearchSummary?
        var lines = MatchLines()
        var arguments = query.arguments
        arguments["limit"] = .int(mostShown)
        defer { LineInput.endOnSignals() }
        let interruption = try requester.askInterruptibly("search", arguments, watchesInput: input.isTerminal) {
            [order = manner.order] row in
            if let match = Match(row) {
                matches.append(match)
                if order == nil { write(lines.line(Int64(matches.count), match)) }
            } else if let failure = peerFailure(row) {
                write(failure)
            } else if let last = SearchSummary(row) {
                summary = last
            }
        }
        input.typedAhead += interruption.typed
        if let order = manner.order {
            matches = order.sorted(matches)
            for (index, match) in matches.enumerated() {
                write(lines.line(Int64(index + 1), match, grouping: order == .name))
            }
        }
        if interruption.hasCome {
            write("not all peers were asked")
            isOver = interruption.isEnd
        }
        if let summary { write(summary.text) }
        return matches
    }

    /// Asks until there is an answer; nil when the input has ended.
    private func choose(of count: Int) -> Choice? {
        while let line = input.next("file (0 = none)> ", remembered: false) {
            if let choice = Choice(line, of: count) { return choice }
            if input.isTerminal { write("a number from 1 to \(count), several such as 1 3 5-7, or 0 for none") }
        }
        return nil
    }

    /// Whether to go on with the next one.
    private func fetch(_ match: Match) throws -> Bool {
        defer { LineInput.endOnSignals() }
        let fetch = Fetch(requester: requester, style: .standard)
        switch try fetch.run(match.arguments, title: match.shown) {
        case .done(let result):
            write(Fetch.text(result))
            return true
        case .cancelled(let isEnd):
            write("\(match.shown): broken off; fetch it again to go on, if its peer can tell where")
            isOver = isEnd
            return false
        }
    }
}

/// Matches that are shown at most (P+2 section 7.1).
let mostShown: Int64 = 1000
