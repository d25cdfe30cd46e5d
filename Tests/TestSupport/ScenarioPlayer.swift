internal import PeerCore

/// Plays `scenario`; nil when everything went as it says, else what did not.
public func play(_ scenario: Scenario, on runner: some ScenarioRunner) -> String? {
    let player = Player(runner)
    do throws(Mismatch) {
        try player.start()
        for (index, step) in scenario.steps.enumerated() {
            do throws(Mismatch) {
                try player.play(step)
            } catch {
                throw Mismatch(what: "step \(index + 1), \(step): \(error.what)")
            }
        }
        try player.expectSilence()
        return nil
    } catch {
        return error.what
    }
}

struct Mismatch: Error {
    let what: String
}

private final class Player<Runner: ScenarioRunner> {
    private let runner: Runner
    private var names: NamesOfScenario
    private var strings: [PuppetName: Puppet.Strings] = [:]
    /// What each puppet heard and no step has asked for yet.
    private var unasked: [PuppetName: [Input]] = [:]
    private var taken: [PuppetName: Int] = [:]
    private var questions: [PuppetName: [any ScenarioQuestion]] = [:]
    private var ignored: Set<PuppetName> = []
    private var question: (any ScenarioQuestion)?
    private var socket: (any ScenarioSocket)?
    private var socketHasRead = 0
    /// Told as changed before; another program's write may be told more than once.
    private var changed: Set<RelativePath> = []

    /// How long something that must come may take.
    private let patience = Duration.seconds(20)
    /// How long nothing more must come for.
    private let silence = Duration.milliseconds(200)

    init(_ runner: Runner) {
        self.runner = runner
        names = NamesOfScenario(unixPath: runner.unixPath)
    }

    func start() throws(Mismatch) {
        names.reset()
        var puppets: [PuppetName: Puppet] = [:]
        for name in PuppetName.allCases {
            let own = Puppet.Strings()
            strings[name] = own
            (unasked[name], taken[name]) = ([], 0)
            puppets[name] = Puppet(own)
        }
        runner.start(puppets)
        for name in PuppetName.allCases { try hear(name, [.start, .interfaces([])]) }
    }

    func play(_ step: Step) throws(Mismatch) {
        switch step {
        case .give(let name, let effects): pull(name, effects)
        case .wake(let name, let delay): pull(name, [], wakeAfter: delay)
        case .hear(let name, let inputs): try hear(name, inputs)
        case .ignore(let name): ignored.insert(name)
        case .hearAtLast(let name, let input): try hearAtLast(name, input)
        case .logged(let name, let lines):
            try wait("the log is \(runner.log(of: name))") { runner.log(of: name) == lines }
        case .restart: try start()
        case .stop: runner.stop()
        case .ask(let name, let command): question = runner.ask(name, command)
        case .answers(let replies): try wait("answers") { question?.replies == replies }
        case .cancel: question?.cancel()
        default: try playOutside(step)
        }
    }

    /// The bare socket and the other program.
    private func playOutside(_ step: Step) throws(Mismatch) {
        switch step {
        case .open(let address, let reading):
            socket = runner.openSocket(to: names.outgoing(address), reading: reading)
            socketHasRead = 0
        case .write(let bytes): socket?.send(bytes)
        case .shut: socket?.finish()
        case .reset: socket?.reset()
        case .hasRead(let bytes):
            socketHasRead += bytes.count
            try wait("bare socket") { (socket?.received.count ?? 0) >= socketHasRead }
            let read = Bytes(Array((socket?.received ?? []).suffix(bytes.count)))
            guard read == bytes, socket?.received.count == socketHasRead else {
                throw Mismatch(what: "it read \(read)")
            }
        case .hasReadOctets(let count): try wait("bare socket") { (socket?.received.count ?? 0) >= count }
        case .hasEnded: try wait("bare socket") { socket?.hasEnded ?? false }
        case .wasReset: try wait("bare socket") { socket?.wasReset ?? false }
        case .change(let path, let bytes): runner.change(path, bytes)
        case .link(let path): runner.link(path)
        default: preconditionFailure("\(step) is played elsewhere")
        }
    }

    private func wait(_ what: @autoclosure () -> String, _ condition: () -> Bool) throws(Mismatch) {
        runner.run(atMost: patience, until: condition)
        guard condition() else { throw Mismatch(what: "waited in vain: \(what())") }
    }

    private func pull(_ name: PuppetName, _ effects: [Effect], wakeAfter delay: Duration? = nil) {
        strings[name]?.prepare(effects.map { names.outgoing($0, of: name) }, wakeAfter: delay)
        questions[name, default: []].append(runner.ask(name, Puppet.pull))
    }
}

// Hearing.
extension Player {
    /// Takes over what the puppet has heard since the last time.
    private func listen(_ name: PuppetName) {
        let heard = strings[name]?.heard ?? []
        for input in heard[(taken[name] ?? 0)...] {
            unasked[name, default: []].append(names.incoming(input, name))
        }
        taken[name] = heard.count
    }

    private func next(_ name: PuppetName, instead expected: Input) throws(Mismatch) -> Input {
        while true {
            listen(name)
            if let first = unasked[name]?.first {
                unasked[name]?.removeFirst()
                if !isStale(first) || first.isAbout(expected) { return first }
                continue
            }
            let count = strings[name]?.heard.count
            try wait("\(name) heard nothing instead of \(expected)") { strings[name]?.heard.count != count }
        }
    }

    private func isStale(_ input: Input) -> Bool {
        switch input {
        case .changed(_, let paths): changed.isSuperset(of: paths)
        // A machine that is busy with other tests is late now and then.
        case .resumed: true
        // How much the system takes differs from run to run.
        case .stalled: true
        default: false
        }
    }

    private func hear(_ name: PuppetName, _ inputs: [Input]) throws(Mismatch) {
        for expected in inputs {
            switch expected {
            case .received(let bytes, let connection): try hear(name, bytes, on: connection)
            case .changed(let folder, let paths): try hearChanges(name, folder, Set(paths))
            default:
                let input = try next(name, instead: expected)
                guard input.matches(expected) else { throw Mismatch(what: "\(name) heard \(input), not \(expected)") }
            }
        }
    }

    /// Octets in as many pieces as they like.
    private func hear(_ name: PuppetName, _ bytes: Bytes, on connection: ConnectionID) throws(Mismatch) {
        var rest = bytes
        while rest.count > 0 {
            let input = try next(name, instead: .received(rest, on: connection))
            guard case .received(let piece, connection) = input,
                piece.slice(0..<min(rest.count, piece.count)) == rest.slice(0..<min(rest.count, piece.count))
            else { throw Mismatch(what: "\(name) heard \(input), not \(rest) on \(connection)") }
            if piece.count > rest.count {
                unasked[name]?.insert(.received(piece.dropping(rest.count), on: connection), at: 0)
            }
            rest = rest.dropping(min(rest.count, piece.count))
        }
    }

    private func hearChanges(_ name: PuppetName, _ folder: FolderID, _ paths: Set<RelativePath>) throws(Mismatch) {
        var told: Set<RelativePath> = []
        while told != paths {
            let input = try next(name, instead: .changed(folder, []))
            guard case .changed(folder, let more) = input, paths.union(changed).isSuperset(of: more) else {
                throw Mismatch(what: "\(name) heard \(input), not of changes of \(paths)")
            }
            told.formUnion(paths.intersection(more))
        }
        changed.formUnion(told)
    }

    private func hearAtLast(_ name: PuppetName, _ expected: Input) throws(Mismatch) {
        while try !next(name, instead: expected).matches(expected) {}
    }

    func expectSilence() throws(Mismatch) {
        runner.run(atMost: silence) { false }
        for name in PuppetName.allCases where !ignored.contains(name) {
            listen(name)
            let rest = (unasked[name] ?? []).filter { !isStale($0) }
            guard rest.isEmpty else { throw Mismatch(what: "\(name) heard more than was said: \(rest)") }
        }
    }
}

extension Input {
    /// Stands for any octets in an expected `closed`.
    static let anyTraffic = Traffic(received: .max, sent: .max)
    /// Stands for any number of octets in an expected `transferred`.
    static let anyOctets = UInt64.max

    fileprivate func matches(_ expected: Input) -> Bool {
        switch (self, expected) {
        case (.closed(let connection, let reason, _), .closed(let wanted, let wantedReason, Self.anyTraffic)):
            connection == wanted && reason == wantedReason
        case (
            .transferred(let connection, let file, .failed(let error, _)),
            .transferred(let wanted, let wantedFile, .failed(let wantedError, Self.anyOctets))
        ):
            connection == wanted && file == wantedFile && error == wantedError
        case (.answered(let id, let reply), .answered(let wanted, Reply([], .refused("")))):
            // The words of a refusal are for a person.
            if case .refused = reply.outcome { id == wanted && reply.records.isEmpty } else { false }
        default: self == expected
        }
    }

    fileprivate func isAbout(_ other: Input) -> Bool {
        switch (self, other) {
        case (.changed, .changed), (.resumed, .resumed), (.stalled, .stalled): true
        default: false
        }
    }
}
