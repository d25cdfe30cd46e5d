internal import PeerCore
internal import UV

// The system's congestion control may be paced (BBR), which slows loopback to a third (decision 9). A connection that
// has begun with it stays paced whatever is chosen afterwards. So sockets get theirs before they dial or listen, and
// callers from elsewhere go back to the system's.
extension Host {
    /// For a socket that will dial this address.
    func chooseCongestionControl(of descriptor: Int32, towards ip: IPAddress) {
        if ip.isLoopback { chooseLoopbackCongestionControl(of: descriptor) }
    }

    /// For a socket that will listen there.
    func chooseCongestionControl(of socket: TCP, listeningAt ip: IPAddress) {
        streams.systemCongestionControl = congestionControl(of: socket.descriptor)
        if ip.isLoopback || ip.isUnspecified { chooseLoopbackCongestionControl(of: socket.descriptor) }
    }

    /// For a connection that a listener has accepted.
    func chooseCongestionControl(of socket: TCP, from ip: IPAddress) {
        if ip.isLoopback, !runtime.limits.values.loopbackCongestionControl.isEmpty {
            chooseLoopbackCongestionControl(of: socket.descriptor)
        } else if let name = streams.systemCongestionControl {
            _ = setCongestionControl(name, of: socket.descriptor)
        }
    }

    private func chooseLoopbackCongestionControl(of descriptor: Int32) {
        _ = runtime.limits.values.loopbackCongestionControl.first { setCongestionControl($0, of: descriptor) }
    }
}
