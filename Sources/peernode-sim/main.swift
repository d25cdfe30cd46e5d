internal import Glibc

/// Every scenario by its name. A new one is a file with a function, and a line here.
let scenarios: [String: (Options) throws -> Void] = [
    "echo": echo,
    "ddrp": ddrp,
    "partition": partition,
    "gossip": gossip,
]

exit(runScenario(CommandLine.arguments, scenarios))
