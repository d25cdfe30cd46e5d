import Foundation
import PeerCore

#if FUZZER

    /// The entry that libFuzzer calls. The target is the one that PEERNODE_FUZZ_TARGET names.
    @_cdecl("LLVMFuzzerTestOneInput")
    func testOneInput(_ octets: UnsafePointer<UInt8>, _ count: Int) -> CInt {
        let input = unsafe Bytes(Array(UnsafeBufferPointer(start: octets, count: count)))
        do throws(Violation) {
            try chosenTarget.run(input)
        } catch {
            fatalError("\(chosenTarget): \(error)")
        }
        return 0
    }

    private let chosenTarget: FuzzTarget = {
        let name = ProcessInfo.processInfo.environment["PEERNODE_FUZZ_TARGET"] ?? ""
        guard let target = FuzzTarget(rawValue: name) else {
            fatalError("PEERNODE_FUZZ_TARGET must be one of \(FuzzTarget.names)")
        }
        return target
    }()

#else

    /// Replays inputs that the fuzzer found: `peernode-fuzz TARGET FILE…`.
    @main struct Program {
        static func main() {
            var arguments = CommandLine.arguments.dropFirst()
            guard let name = arguments.popFirst(), name != "--help" else { return usage() }
            if name == "--list" { return print(FuzzTarget.names) }
            guard let target = FuzzTarget(rawValue: name), !arguments.isEmpty else { return usage() }
            let failures = arguments.count { !replays($0, through: target) }
            exit(failures == 0 ? 0 : 1)
        }

        private static func usage() {
            print("usage: peernode-fuzz TARGET FILE…\n       peernode-fuzz --list\ntargets:\n\(FuzzTarget.names)")
            exit(2)
        }

        private static func replays(_ path: String, through target: FuzzTarget) -> Bool {
            do {
                try target.run(Bytes(try Data(contentsOf: URL(filePath: path))))
                print("ok \(path)")
                return true
            } catch {
                print("FAILED \(path): \(error)")
                return false
            }
        }
    }

#endif
