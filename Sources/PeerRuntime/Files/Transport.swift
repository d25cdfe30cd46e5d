internal import PeerCore

/// Octets copied at once where the kernel cannot: large enough that calls do not count, small enough for any cache.
let pieceOctets = 256 << 10

extension Descriptor {
    /// Copies `count` octets to `place` in `target`: by the kernel where it can, else piece by piece.
    /// Fails with `.endOfFile` when the source is shorter, before anything is copied.
    func copy(
        _ count: UInt64, from offset: UInt64, to target: borrowing Descriptor, at place: UInt64
    ) throws(SystemError) {
        let (source, destination) = (try status(), try target.status())
        guard offset <= source.size, count <= source.size - offset else { throw .endOfFile }
        guard place <= UInt64(Int64.max), count <= UInt64(Int64.max) - place else { throw .fileTooBig }
        let distance = max(offset, place) - min(offset, place)
        if source.isSame(as: destination), distance < count { throw .invalidArgument }
        let copied = copyInKernel(count, from: offset, to: target, at: place)
        try copyPieces(count - copied, from: offset + copied, to: target, at: place + copied)
    }

    private func copyPieces(
        _ count: UInt64, from offset: UInt64, to target: borrowing Descriptor, at place: UInt64
    ) throws(SystemError) {
        var done: UInt64 = 0
        while done < count {
            let piece = try read(count: Int(min(count - done, UInt64(pieceOctets))), at: offset + done)
            // Cut meanwhile by somebody else.
            guard piece.count > 0 else { throw .endOfFile }
            try target.write(piece, at: place + done)
            done += UInt64(piece.count)
        }
    }

    /// Moves the file or folder `name` to `target`; a file also to another file system, by copying. Over a regular
    /// file when `replacing`, else over nothing.
    func move(
        _ name: String, to target: borrowing Descriptor, _ newName: String, replacing: Bool
    ) throws(SystemError) {
        let status = try status(of: name)
        try status.requireFileOrFolder()
        do throws(SystemError) {
            try rename(name, to: target, newName, replacing: replacing)
        } catch  where error == .other("EXDEV") && status.kind == .file {
            let source = try openFile(name, .read)
            try target.makeFile(newName, permissions: status.permissions, replacing: replacing) {
                (file) throws(SystemError) in
                try source.copy(source.status().size, from: 0, to: file, at: 0)
                try file.setModified(status.modified)
            }
            // The copy must be safe before the original goes.
            try target.syncFolder()
            try remove(name)
        }
    }
}
