internal import PeerCore
internal import PeerNode
internal import PeerRuntime

/// The configuration that the options name, checked.
func loadConfiguration(_ options: Options) throws(Failure) -> EffectiveConfiguration {
    do throws(ConfigurationError) {
        return try ConfigurationLoader(environment: environmentVariables()).load(options.value("config"))
    } catch {
        switch error {
        case .notFound, .invalid: throw Failure(.configuration, error.description)
        case .unreadable(_, .notPermitted): throw Failure(.noPermission, error.description)
        case .unreadable(_, .notFound): throw Failure(.configuration, error.description)
        case .unreadable: throw Failure(.inputOutput, error.description)
        }
    }
}

/// The data directory of the configuration, made when it is missing.
func openDirectory(_ configuration: EffectiveConfiguration) throws(Failure) -> DataDirectory {
    try state { () throws(StateError) in try DataDirectory(configuration.node.dataDirectory) }
}

/// Does something with the state of the node; what it refuses ends the program with the right code.
func state<Value>(_ body: () throws(StateError) -> Value) throws(Failure) -> Value {
    do throws(StateError) {
        return try body()
    } catch {
        switch error {
        case .inUse: throw Failure(.unavailable, error.description)
        case .identityExists: throw Failure(.no, error.description)
        case .identityExposed, .refused(.notPermitted, _, _): throw Failure(.noPermission, error.description)
        case .identityDamaged, .refused: throw Failure(.inputOutput, error.description)
        }
    }
}
