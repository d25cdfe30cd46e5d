internal import PeerCore
internal import PeerCrypto
internal import PeerRuntime

let keygenCommand = Subcommand(
    name: "keygen", synopsis: "[--force]", summary: "makes the identity of the node",
    options: [Option("force", nil, nil, "replace the identity that is there: peers will not know this node any more")]
) { options in
    let directory = try openDirectory(loadConfiguration(options))
    let lock = try state { () throws(StateError) in try directory.lock() }
    let identity = try state { () throws(StateError) in try directory.makeIdentity(replacing: options.has("force")) }
    withExtendedLifetime(lock) { write(identity.peerID.hex) }
    return .done
}

let idCommand = Subcommand(
    name: "id", synopsis: "", summary: "prints the peer ID (64 hexadecimal digits), then the IDs of the other protocols"
) { options in
    let directory = try openDirectory(loadConfiguration(options))
    guard let identity = try state({ () throws(StateError) in try directory.loadIdentity() }) else {
        throw Failure(.no, "\(directory.path) has no identity yet. Make one: peernode keygen, or peernode run")
    }
    write(identity.peerID.hex)
    write("replication \(identity.bePeerID)")
    write("content \(identity.contentKey.hex)")
    return .done
}
