internal import CUV
internal import Glibc
internal import PeerCore

/// Datagrams that go out with one system call. They are copied into memory of its own, which is made once.
final class DatagramBatch {
    /// Datagrams of one call; more gain nothing.
    private static let capacity = 64
    /// Octets of all of them: a mean of 8 KiB for each, and several of the largest.
    private static let room = 512 << 10

    private let datagrams: UnsafeMutablePointer<peernode_datagram>
    private let parts: UnsafeMutablePointer<iovec>
    private let addresses: UnsafeMutablePointer<sockaddr_in6>
    private let octets: UnsafeMutableRawPointer
    /// Datagrams that wait.
    private(set) var count = 0
    /// Octets of those.
    private var used = 0

    init() {
        datagrams = .allocate(capacity: Self.capacity)
        parts = .allocate(capacity: Self.capacity)
        addresses = .allocate(capacity: Self.capacity)
        octets = .allocate(byteCount: Self.room, alignment: 64)
        for index in 0..<Self.capacity {
            parts[index] = iovec(iov_base: octets, iov_len: 0)
            addresses[index] = sockaddr_in6()
            var datagram = peernode_datagram()
            datagram.header.msg_name = UnsafeMutableRawPointer(addresses + index)
            datagram.header.msg_iov = parts + index
            datagram.header.msg_iovlen = 1
            datagrams[index] = datagram
        }
    }

    deinit {
        datagrams.deallocate()
        parts.deallocate()
        addresses.deallocate()
        octets.deallocate()
    }

    /// Takes a datagram; gives whether there was room.
    func add(_ bytes: Bytes, _ more: Bytes, to address: SocketAddress) -> Bool {
        let size = bytes.count + more.count
        guard count < Self.capacity, size <= Self.room - used else { return false }
        parts[count].iov_base = octets + used
        parts[count].iov_len = size
        copy(bytes)
        copy(more)
        datagrams[count].header.msg_namelen = address.write(to: addresses + count)
        count += 1
        return true
    }

    private func copy(_ bytes: Bytes) {
        let place = octets + used
        bytes.storage.withUnsafeBytes { source in
            if let base = source.baseAddress, !bytes.isEmpty {
                place.copyMemory(from: base + bytes.range.lowerBound, byteCount: bytes.count)
            }
        }
        used += bytes.count
    }

    /// Hands all to the system. What it has no room for now is given back; what it refuses is lost.
    func send(on descriptor: Int32, later: (Bytes, SocketAddress) -> Void) {
        var done = 0
        while done < count {
            let sent = peernode_send_datagrams(descriptor, datagrams + done, UInt32(count - done))
            if sent > 0 {
                done += sent
            } else if sent < 0, errno == EAGAIN || errno == ENOBUFS {
                for index in done..<count { giveBack(index, later) }
                done = count
            } else if errno != EINTR {
                // The first of them was refused: the others may fare better.
                done += 1
            }
        }
        count = 0
        used = 0
    }

    private func giveBack(_ index: Int, _ later: (Bytes, SocketAddress) -> Void) {
        let octets = UnsafeRawBufferPointer(start: parts[index].iov_base, count: parts[index].iov_len)
        let address = (addresses + index).withMemoryRebound(to: sockaddr.self, capacity: 1) { SocketAddress($0) }
        if let address { later(Bytes(Array(octets)), address) }
    }
}
