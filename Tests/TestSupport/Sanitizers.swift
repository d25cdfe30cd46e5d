/// What the address sanitizer of this process asks for its options, before anything else runs. Leaks are not looked
/// for: it cannot see the pointers in Swift's tagged words, and takes living strings and arrays for lost.
@c(__asan_default_options)
public func addressSanitizerDefaults() -> UnsafePointer<CChar> {
    let options: StaticString = "detect_leaks=0"
    return UnsafeRawPointer(options.utf8Start).assumingMemoryBound(to: CChar.self)
}

/// The same for the programs that tests start.
let sanitizerEnvironment = ["ASAN_OPTIONS": "detect_leaks=0"]
