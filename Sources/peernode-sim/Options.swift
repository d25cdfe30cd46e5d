/// What the command line says about a run.
struct Options {
    /// Virtual seconds, and number of nodes.
    var seconds: Int64 = 120
    var nodes = 50
    /// All else is drawn from it.
    var seed: UInt64 = 1

    /// The options behind the scenario's name; nil when they cannot be understood.
    init?(_ arguments: ArraySlice<String>) {
        var rest = arguments
        while let name = rest.popFirst() {
            guard let text = rest.popFirst(), let value = UInt32(text) else { return nil }
            switch name {
            case "--seconds": seconds = Int64(value)
            case "--nodes": nodes = Int(value)
            case "--seed": seed = UInt64(value)
            default: return nil
            }
        }
    }
}

/// Runs the scenario that the arguments name; gives the exit code (program.md section 1).
func runScenario(_ arguments: [String], _ scenarios: [String: (Options) throws -> Void]) -> Int32 {
    let name = arguments.dropFirst().first
    guard let scenario = name.flatMap({ scenarios[$0] }), let options = Options(arguments.dropFirst(2)) else {
        let names = scenarios.keys.sorted().joined(separator: "|")
        print("usage: peernode-sim \(names) [--seconds N] [--nodes N] [--seed N]")
        return name == "--help" ? 0 : 64
    }
    do { try scenario(options) } catch {
        print(error)
        return 1
    }
    return 0
}
