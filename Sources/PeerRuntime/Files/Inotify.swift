internal import Glibc
internal import PeerCore

/// What the system reports about one watched folder.
struct WatchEvent {
    /// The watch; -1 when the system's queue overflowed.
    let watch: Int32
    /// What happened, and to what.
    let mask: UInt32
    /// The name in the folder; nil when it is about the folder itself, or not UTF-8.
    let name: String?

    /// Events were lost.
    var isOverflow: Bool { mask & UInt32(IN_Q_OVERFLOW) != 0 }
    /// The watch is no more: removed by us or with its folder.
    var isEnd: Bool { mask & UInt32(IN_IGNORED) != 0 }
    /// The watched folder itself was removed, moved away or unmounted.
    var isLoss: Bool { mask & UInt32(IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT) != 0 }
    /// It is about a folder in the watched one.
    var isAboutFolder: Bool { mask & UInt32(IN_ISDIR) != 0 }
    /// The name is new in the watched folder.
    var isArrival: Bool { mask & UInt32(IN_CREATE | IN_MOVED_TO) != 0 }
    /// The name is no more in the watched folder.
    var isDeparture: Bool { mask & UInt32(IN_DELETE | IN_MOVED_FROM) != 0 }
}

/// inotify(7), the system's notice of changes.
extension Descriptor {
    /// A queue of events that never blocks.
    static func inotify() throws(SystemError) -> Descriptor {
        Descriptor(owning: try attempt { inotify_init1(Int32(IN_NONBLOCK | IN_CLOEXEC)) })
    }

    /// Reports what changes in `folder` from now on; the number of the watch.
    func watch(_ folder: borrowing Descriptor) throws(SystemError) -> Int32 {
        let changes = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB
        let mask = UInt32(changes | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK)
        // By its descriptor: the path might lead elsewhere by now.
        let path = "/proc/self/fd/\(folder.number)"
        return try attempt { unsafe inotify_add_watch(number, path, mask) }
    }

    /// No more reports about the watch; one that has ended by itself is as good.
    func unwatch(_ watch: Int32) {
        inotify_rm_watch(number, watch)
    }

    /// Events that wait, 64 KiB of them at most; none when nothing does.
    func readEvents() throws(SystemError) -> [WatchEvent] {
        var events: [WatchEvent] = []
        do throws(SystemError) {
            let octets = try readOctets(64 << 10)
            let header = MemoryLayout<inotify_event>.size
            var position = 0
            while octets.count - position >= header {
                let event = unsafe octets.withUnsafeBytes {
                    unsafe $0.loadUnaligned(fromByteOffset: position, as: inotify_event.self)
                }
                position += header
                let name = octets[position..<min(octets.count, position + Int(event.len))].prefix { $0 != 0 }
                events.append(
                    WatchEvent(
                        watch: event.wd, mask: event.mask,
                        name: name.isEmpty ? nil : String(validating: name, as: UTF8.self)))
                position += Int(event.len)
            }
        } catch SystemError(code: EAGAIN) {
            return []
        }
        return events
    }

    private func readOctets(_ limit: Int) throws(SystemError) -> [UInt8] {
        try unsafe [UInt8](unsafeUninitializedCapacity: limit) { (buffer, count) throws(SystemError) in
            let memory = UnsafeMutableRawBufferPointer(buffer)
            count = try attempt { unsafe Glibc.read(number, memory.baseAddress, limit) }
        }
    }
}
