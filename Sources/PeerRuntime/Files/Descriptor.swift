internal import CLinux
internal import Glibc
internal import PeerCore

/// An open file or folder, closed when the value ends.
///
/// With the extensions beside it, the only place where file work calls the C library.
struct Descriptor: ~Copyable, Sendable {
    /// The system's number for it.
    let number: Int32

    /// Takes over a descriptor that nobody else closes.
    init(owning number: Int32) {
        self.number = number
    }

    deinit { close(number) }

    /// What is open.
    func status() throws(SystemError) -> FileStatus {
        var result = stat()
        _ = try attempt { unsafe fstat(number, &result) }
        return FileStatus(result)
    }

    /// At most `buffer.count` octets from `offset`; 0 at the end of the file.
    @unsafe func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(SystemError) -> Int {
        guard let offset = off_t(exactly: offset) else { return 0 }
        return try attempt { unsafe pread(number, buffer.baseAddress, buffer.count, offset) }
    }

    /// At most `count` octets from `offset`; fewer at the end of the file.
    func read(count: Int, at offset: UInt64) throws(SystemError) -> Bytes {
        // No more is reserved than the file can give.
        let size = try status().size
        let wanted = Int(clamping: min(UInt64(clamping: count), size > offset ? size - offset : 0))
        guard wanted > 0 else { return Bytes() }
        return Bytes(
            try unsafe [UInt8](unsafeUninitializedCapacity: wanted) { (buffer, done) throws(SystemError) in
                while done < wanted {
                    let rest = unsafe UnsafeMutableRawBufferPointer(buffer)[done..<wanted]
                    let count = try unsafe read(
                        into: UnsafeMutableRawBufferPointer(rebasing: rest), at: offset + UInt64(done))
                    if count == 0 { break }
                    done += count
                }
            })
    }

    /// All of `octets`, at `offset`.
    func write(_ octets: Bytes, at offset: UInt64) throws(SystemError) {
        try unsafe octets.withUnsafeOctets { (buffer) throws(SystemError) in
            try unsafe write(buffer, at: offset)
        }
    }

    /// All of `octets`, at `offset`.
    @unsafe func write(_ octets: UnsafeRawBufferPointer, at offset: UInt64) throws(SystemError) {
        let start = try fileOffset(offset, plus: UInt64(octets.count))
        var done = 0
        while done < octets.count {
            let rest = unsafe UnsafeRawBufferPointer(rebasing: octets[done...])
            done += try attempt { unsafe pwrite(number, rest.baseAddress, rest.count, start + off_t(done)) }
        }
    }

    /// Cuts or extends the file.
    func truncate(to size: UInt64) throws(SystemError) {
        let size = try fileOffset(size)
        _ = try attempt { ftruncate(number, size) }
    }

    /// Reserves space for the first `size` octets; the file grows to that. As it was when there is not enough.
    func allocate(_ size: UInt64) throws(SystemError) {
        guard size > 0 else { return }
        let count = try fileOffset(size)
        let before = try status().size
        var code: Int32
        repeat { code = posix_fallocate(number, 0, count) } while code == EINTR
        guard code != 0 else { return }
        try truncate(to: before)
        throw SystemError(code: code)
    }

    /// Makes sure that an open file is on the disk.
    func sync() throws(SystemError) {
        _ = try attempt { fsync(number) }
    }

    /// Makes sure that all of the file system is on the disk.
    func syncFileSystem() throws(SystemError) {
        _ = try attempt { syncfs(number) }
    }

    /// Sets the permission bits.
    func setPermissions(_ permissions: mode_t) throws(SystemError) {
        _ = try attempt { fchmod(number, permissions) }
    }

    /// Sets the time of last change.
    func setModified(_ modified: WallClock) throws(SystemError) {
        _ = try attempt { unsafe futimens(number, fileTimes(modified)) }
    }

    /// Octets that an ordinary user may still write to the file system.
    func freeSpace() throws(SystemError) -> UInt64 {
        var result = statvfs()
        _ = try attempt { unsafe fstatvfs(number, &result) }
        let (octets, overflow) = UInt64(result.f_bavail).multipliedReportingOverflow(by: UInt64(result.f_frsize))
        return overflow ? .max : octets
    }

    /// Copies by the kernel, which may share the blocks instead. The number of octets copied: less than `count` when
    /// the two file systems cannot do it among themselves, or the source ends.
    func copyInKernel(_ count: UInt64, from offset: UInt64, to target: borrowing Descriptor, at place: UInt64) -> UInt64
    {
        guard var source = off_t(exactly: offset), var destination = off_t(exactly: place) else { return 0 }
        var left = count
        while left > 0 {
            // The kernel takes no more than 2 GiB at once; less lets a signal through.
            let piece = UInt(min(left, 1 << 30))
            let copied = unsafe copy_file_range(number, &source, target.number, &destination, piece, 0)
            guard copied > 0 else { break }
            left -= UInt64(copied)
        }
        return count - left
    }

    /// Moves up to `count` octets from `offset` into a socket; 0 at the end of the file.
    func send(_ count: Int, from offset: UInt64, to socket: Int32) -> Result<Int, SendFailure> {
        guard var place = off_t(exactly: offset) else { return .success(0) }
        while true {
            let sent = unsafe sendfile(socket, number, &place, count)
            if sent >= 0 { return .success(sent) }
            switch errno {
            case EINTR: continue
            case EAGAIN: return .failure(.wouldBlock)
            case let code: return .failure(.failed(SystemError(code: code)))
            }
        }
    }

    /// Takes the lock of the open file for as long as it is open; false when somebody else has it.
    func lock() throws(SystemError) -> Bool {
        do throws(SystemError) {
            _ = try attempt { flock(number, LOCK_EX | LOCK_NB) }
            return true
        } catch SystemError(code: EWOULDBLOCK) {
            return false
        }
    }
}

/// `offset` plus `count` as the system counts, when a file can have such an offset.
private func fileOffset(_ offset: UInt64, plus count: UInt64 = 0) throws(SystemError) -> off_t {
    let (sum, overflow) = offset.addingReportingOverflow(count)
    guard !overflow, off_t(exactly: sum) != nil, let offset = off_t(exactly: offset) else { throw .fileTooBig }
    return offset
}

/// The times of a file as the system takes them: the last access stays, the last change is `modified`.
func fileTimes(_ modified: WallClock) -> [timespec] {
    let (seconds, rest) = modified.milliseconds.quotientAndRemainder(dividingBy: 1000)
    let time = timespec(
        tv_sec: Int(rest < 0 ? seconds - 1 : seconds), tv_nsec: Int(rest < 0 ? rest + 1000 : rest) * 1_000_000)
    return [timespec(tv_sec: 0, tv_nsec: peernode_time_omit), time]
}

extension Bytes {
    /// The octets in place, for a call into C.
    @unsafe func withUnsafeOctets<Result>(
        _ body: (UnsafeRawBufferPointer) throws(SystemError) -> Result
    ) throws(SystemError) -> Result {
        try unsafe storage.withUnsafeBufferPointer { (all) throws(SystemError) -> Result in
            try unsafe body(UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: all[range])))
        }
    }
}
