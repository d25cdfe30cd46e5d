internal import CUV

/// What all handles of libuv have in common: memory that libuv knows by its address, and one orderly end.
///
/// libuv holds one retained reference to the object from successful init to the close callback; the memory is freed
/// there and nowhere else. `close()` may be called twice.
public class Handle {
    let raw: UnsafeMutableRawPointer
    /// The loop of the handle.
    public let loop: Loop
    /// Whether `close()` was called.
    public private(set) var isClosed = false

    var handle: UnsafeMutablePointer<uv_handle_t> { raw.assumingMemoryBound(to: uv_handle_t.self) }

    init(_ loop: Loop, _ type: uv_handle_type, _ initialise: (UnsafeMutableRawPointer) -> Int32) throws(UVError) {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: uv_handle_size(type), alignment: 16)
        self.raw = memory
        self.loop = loop
        let status = initialise(memory)
        guard status == 0 else {
            memory.deallocate()
            isClosed = true
            throw UVError(status)
        }
        handle.pointee.data = Unmanaged.passRetained(self).toOpaque()
    }

    /// Ends the handle. Its callbacks are not called any more.
    public func close() {
        guard !isClosed else { return }
        isClosed = true
        dropHandlers()
        uv_close(handle, freeHandle)
    }

    /// Ends a handle that libuv closes in a way of its own.
    func close(by end: (@escaping @convention(c) (UnsafeMutablePointer<uv_handle_t>?) -> Void) -> Int32) {
        guard !isClosed else { return }
        if end(freeHandle) == 0 {
            isClosed = true
            dropHandlers()
        } else {
            close()
        }
    }

    /// Forgets the closures, so that no cycle keeps objects alive.
    func dropHandlers() {}

    /// Lets the loop end although the handle is active.
    public func unreference() {
        uv_unref(handle)
    }

    /// The object that a C callback belongs to.
    static func object(_ handle: UnsafeMutableRawPointer) -> Self {
        let data = handle.assumingMemoryBound(to: uv_handle_t.self).pointee.data
        return unsafeDowncast(Unmanaged<Handle>.fromOpaque(data!).takeUnretainedValue(), to: Self.self)
    }
}

private let freeHandle: @convention(c) (UnsafeMutablePointer<uv_handle_t>?) -> Void = { handle in
    guard let data = handle?.pointee.data else { return }
    let object = Unmanaged<Handle>.fromOpaque(data).takeRetainedValue()
    object.raw.deallocate()
}
