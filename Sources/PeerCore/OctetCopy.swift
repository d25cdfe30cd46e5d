extension [UInt8] {
    /// Copies `bytes` to the end.
    ///
    /// The one place in the pure targets that looks at memory itself: a slice would count its array up and down, which
    /// costs more than to copy a small message.
    @inlinable public mutating func append(_ bytes: Bytes) {
        unsafe bytes.storage.withUnsafeBufferPointer { all in
            unsafe append(contentsOf: UnsafeBufferPointer(rebasing: all[bytes.range]))
        }
    }
}
