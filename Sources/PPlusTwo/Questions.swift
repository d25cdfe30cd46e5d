internal import PeerCore

/// A line that we say to a peer's port p + 1, and what comes back (P+2 sections 5 and 8).
struct Question {
    /// Who wants to know.
    enum Asker: Equatable {
        case search(CommandID)
        case download(UInt64)
    }

    enum Kind {
        /// A text; the answer is names.
        case plain
        /// A line of the extension; the answer begins with its banner.
        case hello
        case find
        case stat
    }

    let peer: PeerIdentity
    let line: Bytes
    let kind: Kind
    let asker: Asker
    let began: Instant
    var isConnected = false
    var lines: AnswerLines
    /// What came: of an answer to `plain` and `find` only what was not handed on yet.
    var answer: [Bytes] = []
    /// Whether the banner has come first.
    var isExtended: Bool?
}

extension PPlusTwo {
    mutating func ask(
        _ peer: PeerIdentity, _ kind: Question.Kind, _ line: Bytes, for asker: Question.Asker, at now: Moment,
        into effects: inout Effects
    ) {
        let connection = effects.connect(
            to: .address(peer.address(of: .query)), from: sourceAddress,
            timeout: configuration.limits(of: .query).connectTimeout)
        questions[connection] = Question(
            peer: peer, line: line, kind: kind, asker: asker, began: now.instant,
            lines: AnswerLines(configuration.acceptedQuery))
        counters.queriesAsked += 1
    }

    mutating func questionConnected(_ connection: ConnectionID, at now: Moment, into effects: inout Effects) {
        guard let question = questions[connection] else { return }
        questions[connection]?.isConnected = true
        met(question.peer, at: now, into: &effects)
        // One write, one LF, nothing behind it.
        effects.send(Bytes(question.line.array + [UInt8(ascii: "\n")]), on: connection)
        timers.set(.answer(connection), at: now.instant + configuration.answerTimeout)
    }

    mutating func answerCame(
        _ bytes: Bytes, _ connection: ConnectionID, at now: Moment, into effects: inout Effects
    ) {
        guard var question = questions[connection] else { return }
        question.answer += question.lines.take(bytes)
        let isFull = question.lines.isFull
        questions[connection] = question
        handOn(connection, into: &effects)
        if isFull { questionEnded(connection, nil, at: now, into: &effects) }
    }

    /// Gives names to a search as they come.
    private mutating func handOn(_ connection: ConnectionID, into effects: inout Effects) {
        guard var question = questions[connection], !question.answer.isEmpty else { return }
        if question.kind != .plain, question.isExtended == nil {
            question.isExtended = question.answer[0] == ExtensionRequest.banner
            if question.kind == .find { question.answer.removeFirst() }
        }
        if case .search(let id) = question.asker, question.kind == .plain || question.kind == .find {
            let files = question.answer.compactMap { line -> Match? in
                if question.kind == .plain { return Match(name: line, peer: question.peer) }
                guard question.isExtended == true else { return nil }
                return FoundFile(line: line).map { Match($0, peer: question.peer) }
            }
            question.answer = []
            found(files, for: id, into: &effects)
        }
        questions[connection] = question
    }

    /// The answer is over, or the connection broke for `reason`.
    mutating func questionEnded(
        _ connection: ConnectionID, _ reason: CloseReason?, at now: Moment, into effects: inout Effects
    ) {
        if reason == nil, let line = questions[connection]?.lines.atEnd() {
            // A last line without its end counts here (P+2 section 3).
            questions[connection]?.answer.append(line)
            handOn(connection, into: &effects)
        }
        guard let question = questions.removeValue(forKey: connection) else { return }
        timers.cancel(.answer(connection))
        if reason == nil {
            effects.append(question.lines.isFull ? .abort(connection, .limit) : .finish(connection))
        } else if !question.isConnected, let reason {
            failed(question.peer, reason, at: now, into: &effects)
        }
        if question.kind != .plain, reason == nil {
            peers.learnExtension(question.isExtended ?? false, of: question.peer, at: now.instant)
        }
        var fields: Record = [
            "target": .text(question.peer), "bytes": .count(question.line.count),
            "ms": .milliseconds(now.instant - question.began),
        ]
        if let reason { fields["reason"] = .string(reason.rawValue) }
        effects.log(.info, "query_out", fields)
        switch question.asker {
        case .search(let id): interrogated(question, reason, for: id, at: now, into: &effects)
        case .download(let number): told(question, reason, for: number, at: now, into: &effects)
        }
    }
}
