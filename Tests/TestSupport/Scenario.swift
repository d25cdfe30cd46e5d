public import PeerCore

/// A dialogue of two puppets, A and B, on one node: what they want done, and what they must hear.
///
/// Scenarios are data, and hold for the simulator and for the real host alike. They name things so that both can:
/// * ports below 100 stand for listeners: the listener called "7" gets port 7 wherever it is named, whatever its real
///   port is; a port of the system's choice is 0; port 99 has no listener;
/// * connections and commands that a puppet makes have numbers above 1000, those that come to it are 1, 2, 3 …;
/// * octets that come in pieces count as one piece; interfaces are an empty list; free space is 1;
/// * times of change are 0, unless they were set to the years before 2010.
public struct Scenario: Sendable, CustomStringConvertible {
    /// A sentence of the vocabulary's specification.
    public let name: String
    /// What happens, in order.
    public let steps: [Step]

    init(_ name: String, _ steps: [Step]) {
        self.name = name
        self.steps = steps
    }

    /// The sentence.
    public var description: String { name }
}

/// Which of the two.
public enum PuppetName: String, Sendable, CaseIterable {
    /// The first.
    case a
    /// The second.
    case b
}

/// One step of a scenario.
public enum Step: Sendable {
    // The puppets.
    /// The puppet wants these effects, in one turn.
    case give(PuppetName, [Effect])
    /// The puppet hears exactly this next, in this order.
    case hear(PuppetName, [Input])
    /// The puppet hears this at last; what came before it does not matter.
    case hearAtLast(PuppetName, Input)
    /// What the puppet hears from now on does not matter.
    case ignore(PuppetName)
    /// The puppet wants a deadline.
    case wake(PuppetName, after: Duration)
    /// The puppet's lines of the log so far are these.
    case logged(PuppetName, [LogRecord])

    // The node.
    /// Everything ends without a word, and both puppets start again, with the rows that were remembered.
    case restart
    /// The node stops in order.
    case stop

    // The operator.
    /// Gives a command.
    case ask(PuppetName, Command)
    /// The answers to the last command so far are these.
    case answers([Reply])
    /// Does not wait for the answer to the last command any more.
    case cancel

    // A bare socket on the same machine, one at a time.
    /// Connects it.
    case open(to: ListenAddress, reading: Bool)
    /// Sends octets.
    case write(Bytes)
    /// Ends its side only.
    case shut
    /// Closes it with a reset.
    case reset
    /// It has read so many octets by now.
    case hasRead(Bytes)
    /// It has read at least so many octets by now.
    case hasReadOctets(Int)
    /// The other side has ended.
    case hasEnded
    /// It was reset.
    case wasReset

    // Another program's hands on the folder `files`.
    /// Writes a file; removes it when there are no octets given.
    case change(path: String, Bytes?)
    /// Makes a symbolic link.
    case link(path: String)
}

/// What plays scenarios: the simulator, or the real host with real sockets and files on loopback.
///
/// It has two folders, `files` and `other`, that are empty at first.
public protocol ScenarioRunner: AnyObject {
    /// Starts a node with the two puppets as cores called `a` and `b`. A second call kills that node and starts it
    /// again with these, on the same rows and folders.
    func start(_ puppets: [PuppetName: Puppet])
    /// Stops the node in order.
    func stop()
    /// Gives a command to a puppet.
    func ask(_ name: PuppetName, _ command: Command) -> any ScenarioQuestion
    /// Connects a bare socket.
    func openSocket(to address: ListenAddress, reading: Bool) -> any ScenarioSocket
    /// Writes a file in the folder `files`; removes it when `bytes` is nil.
    func change(_ path: String, _ bytes: Bytes?)
    /// Makes a symbolic link in the folder `files`.
    func link(_ path: String)
    /// The lines of the log that the puppet wrote.
    func log(of name: PuppetName) -> [LogRecord]
    /// Where a Unix socket of that name may stand.
    func unixPath(_ name: String) -> String
    /// Lets everything run until `condition` holds, at most for `limit`.
    func run(atMost limit: Duration, until condition: () -> Bool)
}

/// A command on its way.
public protocol ScenarioQuestion: AnyObject {
    /// The answers so far.
    var replies: [Reply] { get }
    /// Nobody waits any more.
    func cancel()
}

/// A stream socket without a host.
public protocol ScenarioSocket: AnyObject {
    /// What was read so far.
    var received: [UInt8] { get }
    /// Whether the other side has ended.
    var hasEnded: Bool { get }
    /// Whether it was reset.
    var wasReset: Bool { get }
    /// Sends octets.
    func send(_ bytes: Bytes)
    /// Ends its side only.
    func finish()
    /// Closes it with a reset.
    func reset()
}
