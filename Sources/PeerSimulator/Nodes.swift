public import PeerCore
internal import PeerCrypto

/// A core of a node: the name of its section, and how a fresh one is made.
public struct CoreBlueprint {
    /// The name by which other cores and the operator ask for it.
    public let name: String
    /// Makes the core from its 32-byte seed; called at the start and at each restart.
    public let make: (Bytes32) -> any PeerProtocol

    /// A core called `name`.
    public init(_ name: String, _ make: @escaping (Bytes32) -> any PeerProtocol) {
        self.name = name
        self.make = make
    }
}

/// How a node goes down.
public enum Death: Sendable {
    /// Its process dies; the system closes its connections, with a reset where something was not read.
    case process
    /// Its machine loses power: the others hear nothing, until it is up again and answers with resets.
    case power
}

// Nodes come and go.
extension Simulator {
    /// Adds a node with its own loopback network, and starts it at once. Its cores' seeds come from its name.
    @discardableResult
    public func addNode(_ name: String, at addresses: IPAddress..., cores: [CoreBlueprint]) -> NodeID {
        precondition(!world.machines.contains { $0.id.name == name }, "there is a node called \(name) already")
        let id = NodeID(index: world.machines.count, name: name)
        let machine = Machine(id, world, addresses, cores)
        world.machines.append(machine)
        for address in addresses {
            precondition(world.machineOfAddress.updateValue(machine, forKey: address) == nil, "\(address) is taken")
        }
        world.parts?.append(0)
        machine.start()
        return id
    }

    /// Adds a node with one core.
    @discardableResult
    public func addNode(
        _ name: String, at address: IPAddress, _ core: String, _ make: @escaping (Bytes32) -> any PeerProtocol
    ) -> NodeID {
        addNode(name, at: address, cores: [CoreBlueprint(core, make)])
    }

    /// Whether the node's process runs; a paused one does.
    public func isRunning(_ node: NodeID) -> Bool { machine(node).process != nil }

    /// Ends a node in order: its cores hear `stop`; what is still open at the end of `limits.stop` is cut.
    public func stop(_ node: NodeID) {
        machine(node).process?.stop()
    }

    /// Ends a node without a word to its cores. Effects of the turn that runs are lost if they are not carried out.
    public func kill(_ node: NodeID, _ death: Death = .process) {
        machine(node).die(death)
    }

    /// Lets the node die when it has carried out `count` more effects, in the middle of a turn if it so happens.
    public func kill(_ node: NodeID, afterEffects count: Int, _ death: Death = .process) {
        machine(node).process?.effectsUntilDeath = (count, death)
    }

    /// Starts a node again with fresh cores; rows, bans and folders are as they were. A running one is killed before.
    public func restart(_ node: NodeID) {
        let machine = machine(node)
        machine.die(.process)
        machine.start()
        world.waysChanged()
    }

    /// Stops a node as SIGSTOP does: it neither reads nor fires timers, while its system answers for it.
    public func pause(_ node: NodeID) {
        machine(node).process?.pause()
    }

    /// Lets a paused node go on. Its cores hear `resumed` when the pause was long enough to be noticed.
    public func unpause(_ node: NodeID) {
        machine(node).process?.unpause()
    }

    /// Sets the node's wall clock ahead of true time; behind when `offset` is negative.
    public func setClock(of node: NodeID, ahead offset: Duration) {
        machine(node).clockAhead = offset.nanoseconds
    }

    /// Gives the node other addresses; its cores hear of them. Connections over the old ones get nothing through.
    public func setAddresses(of node: NodeID, to addresses: [IPAddress]) {
        let machine = machine(node)
        for address in machine.addresses { world.machineOfAddress[address] = nil }
        for address in addresses { world.machineOfAddress[address] = machine }
        machine.addresses = addresses
        machine.hasMoved = true
        machine.process?.tellInterfaces()
        world.waysChanged()
    }

    /// A folder of the node, made when it is not there; all its cores know it by this name.
    @discardableResult
    public func folder(_ name: String, of node: NodeID, quota: UInt64 = 1 << 30) -> Folder {
        machine(node).folder(FolderID(name), quota: quota)
    }

    /// The folder at a path of the node's machine, made when it is not there; cores open it by names of their own.
    @discardableResult
    public func folder(at path: String, of node: NodeID, quota: UInt64 = 1 << 30) -> Folder {
        machine(node).folder(at: path, quota: quota)
    }

    func machine(_ node: NodeID) -> Machine { world.machines[node.index] }
}

// The network breaks and heals.
extension Simulator {
    /// Cuts the network into these parts; nodes that are in none of them form one more. Nothing crosses.
    public func partition(_ groups: [Set<NodeID>]) {
        world.parts = world.machines.map { machine in
            groups.firstIndex { $0.contains(machine.id) }.map { $0 + 1 } ?? 0
        }
        world.waysChanged()
    }

    /// Makes the network whole again. What streams lost is sent again within a second.
    public func heal() {
        world.parts = nil
        world.waysChanged()
    }
}

// Looking into a node.
extension Simulator {
    /// The core as it stands, when it is of that type and its node runs.
    public func core<Core: PeerProtocol>(_ type: Core.Type, _ name: String, of node: NodeID) -> Core? {
        machine(node).process?.seat(name)?.core as? Core
    }

    /// What the core shows the operator; nothing when the node does not run.
    public func status(_ name: String, of node: NodeID) -> [Record] {
        machine(node).process?.seat(name)?.core.status() ?? []
    }

    /// When the core wants to hear `deadline`.
    public func nextDeadline(_ name: String, of node: NodeID) -> Instant? {
        machine(node).process?.seat(name)?.core.nextDeadline
    }

    /// Connections of the core that are open or being dialled.
    public func connections(_ name: String, of node: NodeID) -> Int {
        machine(node).process?.seat(name)?.connections.count ?? 0
    }

    /// Blocks of addresses that the node keeps away, in order.
    public func bans(of node: NodeID) -> [IPPrefix] {
        machine(node).liveBans.map(\.prefix).sorted { $0.base < $1.base }
    }

    /// The durable rows of a table.
    public func rows(_ table: String, of node: NodeID) -> [Row] {
        machine(node).rows.rows(table, after: nil, limit: .max).rows
    }

    /// Gives a running core new settings, as SIGHUP does; tells which only a restart can change.
    @discardableResult
    public func reconfigure<Core: PeerProtocol>(
        _ type: Core.Type, _ name: String, of node: NodeID, _ configuration: Core.Configuration
    ) -> [RestartNeeded] {
        guard let process = machine(node).process, let seat = process.seat(name), var core = seat.core as? Core else {
            preconditionFailure("\(node) runs no \(type) called \(name)")
        }
        let moment = process.machine.moment
        let restarts = core.reconfigure(configuration, at: moment, into: &seat.effects)
        seat.core = core
        process.finishTurn(of: seat, nil, at: moment)
        process.drain()
        return restarts
    }
}
