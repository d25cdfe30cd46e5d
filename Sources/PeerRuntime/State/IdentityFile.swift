public import PeerCore
public import PeerCrypto

extension DataDirectory {
    private static let identityName = "identity"

    /// Where the identity is.
    public var identityPath: String { path(of: Self.identityName) }

    /// The identity in the folder, nil when there is none. The file may be a link to where the operator keeps secrets.
    ///
    /// Refused when group or others may use the file, or when it is anything but the 32 octets of a key.
    public func loadIdentity() throws(StateError) -> Identity? {
        let path = identityPath
        let found = try refusing(path, "read the identity in") { () throws(SystemError) -> (FileStatus, Bytes)? in
            do throws(SystemError) {
                let file = try open().openFollowing(Self.identityName)
                // One octet more than fits, to see that there is no more.
                return (try file.status(), try file.read(count: 33, at: 0))
            } catch .notFound {
                return nil
            }
        }
        guard let (status, octets) = found else { return nil }
        if status.permissions & 0o077 != 0 {
            throw .identityExposed(path: path, permissions: UInt32(status.permissions))
        }
        guard octets.count == 32, let identity = Identity(secret: Bytes32(octets)) else {
            throw .identityDamaged(path: path)
        }
        return identity
    }

    /// Makes an identity from `secret`, or from the system's random numbers, and writes it: whole, mode 0600, on the
    /// disk when this returns. There must be none, or it must be `replacing`: the old one is lost then.
    public func makeIdentity(secret: Bytes32? = nil, replacing: Bool = false) throws(StateError) -> Identity {
        let (secret, identity) = Self.newIdentity(secret)
        let path = identityPath
        do throws(StateError) {
            try refusing(path, "write the identity to") { () throws(SystemError) in
                let folder = try open()
                try folder.makeFile(Self.identityName, permissions: 0o600, replacing: replacing) {
                    (file) throws(SystemError) in try file.write(Bytes(secret.array), at: 0)
                }
                try folder.syncFolder()
            }
        } catch .refused(.exists, _, _) {
            throw .identityExists(path: path)
        }
        return identity
    }

    /// The identity in the folder; made when there is none.
    public func identity() throws(StateError) -> (identity: Identity, isNew: Bool) {
        if let identity = try loadIdentity() { return (identity, false) }
        return (try makeIdentity(), true)
    }

    /// A secret that is a key. Of all numbers of 32 octets only one in 2^128 is none.
    private static func newIdentity(_ wanted: Bytes32?) -> (Bytes32, Identity) {
        if let wanted {
            guard let identity = Identity(secret: wanted) else { preconditionFailure("the secret given is no key") }
            return (wanted, identity)
        }
        var system = SystemRandomNumberGenerator()
        while true {
            let secret = Bytes32((0..<32).map { _ in UInt8.random(in: 0...255, using: &system) })
            if let identity = Identity(secret: secret) { return (secret, identity) }
        }
    }
}
