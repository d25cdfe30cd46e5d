/// The types of messages (PPSP section 2).
public enum MessageType: UInt8, Hashable, Sendable, CaseIterable {
    /// REQUEST
    case request = 1
    /// RESPONSE
    case response = 2
    /// ADVERTISE
    case advertise = 3
    /// TRANSFER: chunk messages, no methods.
    case transfer = 4

    /// Octets of the longest content of a message, unless configured otherwise (PPSP section 3).
    public static let contentLimit = 2_097_152
}

/// The methods (PPSP section 2).
public enum Method: UInt8, Hashable, Sendable, CaseIterable {
    /// DATA_AVAILABILITY
    case dataAvailability = 1
    /// DATA_AVAIL_QUERY
    case dataAvailQuery = 2
    /// PROPERTY_PROVISION
    case propertyProvision = 3
    /// PROPERTY_QUERY
    case propertyQuery = 4
    /// PEERLIST_PROVISION
    case peerListProvision = 5
    /// PEERLIST_QUERY
    case peerListQuery = 6
    /// TRANSPORT_PARAMETER
    case transportParameter = 7
    /// TRANSPORT_MANDATORY
    case transportMandatory = 8

    /// Whether a message of that type may have it.
    func isPermitted(in type: MessageType) -> Bool {
        switch self {
        case .dataAvailability, .propertyProvision, .transportParameter, .transportMandatory: type != .transfer
        case .dataAvailQuery, .propertyQuery, .peerListQuery: type == .request
        case .peerListProvision: type == .response || type == .advertise
        }
    }

    /// Whether it may stand with a body, and without one.
    var body: (mayBePresent: Bool, mayBeAbsent: Bool) {
        switch self {
        case .dataAvailability, .propertyProvision, .peerListQuery, .transportMandatory: (true, false)
        case .dataAvailQuery, .propertyQuery: (false, true)
        case .peerListProvision, .transportParameter: (true, true)
        }
    }
}

/// What a RESPONSE says of the request (PPSP section 7).
public enum ResponseCode: UInt8, Hashable, Sendable, CaseIterable {
    /// Processed.
    case successful = 0
    /// Malformed, wrong length, method not permitted, body rule broken.
    case invalidSyntax = 1
    /// Not a version that we speak.
    case versionNotSupported = 2
    /// Unknown message type, or unknown method in a REQUEST.
    case messageNotSupported = 3
    /// Limits reached.
    case temporarilyOverloaded = 4
    /// Local failure.
    case internalError = 5
    /// Policy: banned peer, PUSH not accepted, swarm not served to this peer.
    case messageForbidden = 6
    /// Unknown swarm, chunk gone, metadata mismatch.
    case objectNotFound = 7
    /// Section 10.2 first.
    case authenticationRequired = 8

    /// Whether the connection ends after it: the place in the stream can no longer be trusted.
    public var endsConnection: Bool { self == .invalidSyntax || self == .versionNotSupported }
}
