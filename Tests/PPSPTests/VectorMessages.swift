import PeerCore
import TestSupport
import Testing

@testable import PPSP

/// Messages as vectors tell them.
extension Vector {
    /// The message of a vector of control messages.
    func message() throws -> Message {
        let kind: Message.Kind =
            switch try text("type") {
            case "REQUEST": .request
            case "RESPONSE": .response(try responseCode("response"))
            case "ADVERTISE": .advertise
            case let other: throw VectorError("\(description): type \(other)")
            }
        return Message(
            kind, transactionID: try transactionID(), peerID: try octets32("peer_id"), swarmID: try swarmID(),
            methods: try methods())
    }

    func transactionID() throws -> UInt64 {
        try octets("transaction_id").reduce(0) { $0 << 8 | UInt64($1) }
    }

    func swarmID() throws -> SwarmID? { SwarmID(try hex("swarm_id")) }

    /// A code by its name, such as `INVALID_SYNTAX`.
    func responseCode(_ key: String) throws -> ResponseCode {
        let names: [String: ResponseCode] = [
            "SUCCESSFUL": .successful, "INVALID_SYNTAX": .invalidSyntax,
            "VERSION_NOT_SUPPORTED": .versionNotSupported, "MESSAGE_NOT_SUPPORTED": .messageNotSupported,
            "TEMPORARILY_OVERLOADED": .temporarilyOverloaded, "INTERNAL_ERROR": .internalError,
            "MESSAGE_FORBIDDEN": .messageForbidden, "OBJECT_NOT_FOUND": .objectNotFound,
            "AUTHENTICATION_REQUIRED": .authenticationRequired,
        ]
        return try #require(names[try text(key)], "\(self)")
    }

    private func methods() throws -> Methods {
        var methods = Methods()
        for method in try elements("methods") {
            let body = method.has("body") ? try method.value("body") : nil
            switch try method.text("method") {
            case "DATA_AVAILABILITY": methods.availability = try body?.availability()
            case "DATA_AVAIL_QUERY": methods.asksAvailability = true
            case "PROPERTY_PROVISION": methods.properties = try body?.properties()
            case "PROPERTY_QUERY": methods.asksProperties = true
            case "PEERLIST_PROVISION": methods.peers = try body?.elements("peers").map { try $0.peer() } ?? []
            case "PEERLIST_QUERY": methods.peerQuery = try body?.peerQuery()
            case "TRANSPORT_PARAMETER":
                methods.transport = try body.map { .list(try $0.elements("transports").map { try $0.transport() }) }
                methods.transport = methods.transport ?? .ask
            case "TRANSPORT_MANDATORY": methods.transport = .mandatory(try #require(try body?.transport()))
            case let other: throw VectorError("\(description): method \(other)")
            }
        }
        return methods
    }

    private func availability() throws -> Availability {
        let flags = try number("flags")
        let change = try #require([0: Availability.Change.replace, 1: .add, 3: .remove][flags], "\(self)")
        let (base, count) = (try uint64("base"), try uint64("count"))
        let form: Availability.Form
        switch try text("format") {
        case "NONE": form = .none
        case "ALL": form = .all
        case "RANGES":
            form = .ranges(
                try elements("ranges").map { range in
                    let bounds = try range.elements().map { UInt64(try $0.number()) }
                    return ChunkRange(bounds[0], bounds[1])
                })
        case "BITMAP":
            var bits = [UInt8](repeating: 0, count: Int((count + 7) / 8))
            for chunk in try elements("chunks") {
                let place = try chunk.number() - Int(base)
                bits[place / 8] |= 0x80 >> UInt8(place % 8)
            }
            form = .bitmap(Bytes(bits))
        case let other: throw VectorError("\(description): format \(other)")
        }
        let size = try uint32("chunk_size")
        return Availability(change, chunkSize: size == 0 ? nil : size, base: base, count: count, form)
    }

    private func properties() throws -> Properties {
        let names: [String: Properties.Name] = [
            "CachingSize": .cachingSize, "Bandwidth": .bandwidth, "LinkNumber": .linkNumber,
            "Certificate": .certificate, "NAT": .nat, "STUN": .stun, "TURN": .turn, "SumBytes": .sumBytes,
            "AccessMode": .accessMode, "EndDevice": .endDevice, "AvailableBattery": .availableBattery,
            "OnlineTime": .onlineTime, "UploadBandwidth": .uploadBandwidth, "Nonce": .nonce,
            "SoftwareName": .softwareName, "ListenAddress": .listenAddress,
        ]
        var properties = Properties()
        for item in try elements("items") {
            let (key, value) = (try item.elements()[0], try item.elements()[1])
            guard let name = try? key.text() else {
                properties[unknown: UInt16(try key.number())] = try value.octets()
                continue
            }
            switch try #require(names[name], "\(item)") {
            case .certificate: properties.certificate = try value.octets()
            case .nonce: properties.nonce = try value.octets32()
            case .softwareName: properties.softwareName = try value.text()
            case .listenAddress: properties.listenAddress = try value.endpoint()
            case let number: properties[number] = UInt64(try value.number())
            }
        }
        return properties
    }

    private func endpoint() throws -> Endpoint {
        let kinds: [String: Endpoint.Kind] = ["control": .control, "ppspp-udp": .datagrams, "http": .http]
        let ip = try #require(IPAddress(try text("ip")), "\(self)")
        return Endpoint(try #require(kinds[try text("kind")], "\(self)"), SocketAddress(ip, try uint16("port")))
    }

    private func peer() throws -> PeerListEntry {
        PeerListEntry(
            peerID: try octets32("peer_id"), flags: PeerListEntry.Flags(rawValue: try uint8("flags")),
            age: try uint16("age"), endpoints: try cases("addresses").map { try $0.endpoint() })
    }

    private func peerQuery() throws -> PeerListQuery {
        PeerListQuery(
            maximumPeers: try uint16("max_peers"), families: PeerListQuery.Families(rawValue: try uint8("families")),
            onlyComplete: try number("flags") & 1 != 0, lowestChunk: try uint64("min_chunk"))
    }

    private func transport() throws -> TransportEntry {
        var entry = TransportEntry(try uint16("id"))
        for parameter in try elements("params") {
            let (name, value) = (try parameter.elements()[0].text(), try parameter.elements()[1])
            switch name {
            case "chunk_size": entry.chunkSize = UInt32(try value.number())
            case "chunk_addressing": entry.addressing = UInt8(try value.number())
            case "integrity_method": entry.integrityMethod = UInt8(try value.number())
            case "hash_function": entry.hashFunction = UInt8(try value.number())
            case "content_length": entry.contentLength = UInt64(bitPattern: Int64(try value.number()))
            case "address": entry.endpoint = try value.endpoint()
            case "url": entry.url = try value.text()
            case "request_window": entry.requestWindow = UInt32(try value.number())
            case "live_signature_algorithm": entry.liveSignatureAlgorithm = UInt8(try value.number())
            case "live_discard_window": entry.liveDiscardWindow = UInt64(try value.number())
            default: throw VectorError("\(parameter)")
            }
        }
        return entry
    }
}
