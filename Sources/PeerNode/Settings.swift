public import PeerCore
public import PeerRuntime

extension Limits.Values {
    /// Descriptors that connections must leave: the log, the state, the admin socket, files being moved.
    private static let reservedDescriptors = 128

    /// The section `limits`, within what the system's limit of descriptors allows.
    init(_ settings: LimitsConfiguration, descriptors: Int) {
        self.init()
        let room = max(16, descriptors - Self.reservedDescriptors)
        maxConnections = min(settings.maxConnections ?? room, room)
        maxConnectionsPerAddress = settings.maxConnectionsPerAddress
        maxConnectionsPerPrefix = settings.maxConnectionsPerPrefix
        acceptsPerSecond = settings.acceptsPerSecond
        dialsPerSecond = settings.dialsPerSecond
        downloadBytesPerSecond = settings.downloadBytesPerSecond
        uploadBytesPerSecond = settings.uploadBytesPerSecond
        maxBufferedBytes = settings.maxBufferedBytes
        loopbackCongestionControl = settings.loopbackCongestionControl.map { [$0, "cubic"] } ?? []
    }
}

extension Log {
    /// Takes over the settings that can change while the node runs.
    public func apply(_ settings: LogConfiguration) {
        setLevels(standard: settings.level, settings.categories)
        addresses = AddressPrivacy(rawValue: settings.addresses.rawValue) ?? .full
    }

    /// The log that the settings describe.
    public convenience init(_ settings: LogConfiguration, isTerminal: Bool, constant: Record = [:]) throws(SystemError)
    {
        let isText = settings.format == .text || (settings.format == .auto && isTerminal && settings.file == nil)
        self.init(format: isText ? .text : .json, constant: constant)
        apply(settings)
        if let file = settings.file { try open(file: file) }
    }
}
