// swift-tools-version: 6.2
import PackageDescription

// The toolchain's strictest reading of every target.
let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("ExistentialAny"),
]

/// Everything but `UV` is also checked for unsafe memory access.
let safe = strict + [.strictMemorySafety()]

/// A release program brings Swift's own libraries along: it starts in two thirds of the time, since nothing of them has
/// to be found by name, and runs where no toolchain is.
let selfContained = LinkerSetting.unsafeFlags(["-static-stdlib"], .when(configuration: .release))

/// A C library of the system: module map and shim in `Modules/`, installed by `Modules/setup`.
func library(_ name: String, _ package: String, apt: String) -> Target {
    .systemLibrary(name: name, path: "Modules/\(name)", pkgConfig: package, providers: [.apt([apt])])
}

func target(_ name: String, _ dependencies: [Target.Dependency] = [], settings: [SwiftSetting] = safe) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func program(
    _ name: String, _ dependencies: [Target.Dependency], settings: [SwiftSetting] = safe, linking: [LinkerSetting] = []
) -> Target {
    .executableTarget(name: name, dependencies: dependencies, swiftSettings: settings, linkerSettings: linking)
}

func tests(
    _ name: String, _ dependencies: [Target.Dependency], excluding: [String] = [], resources: [Resource] = []
) -> Target {
    .testTarget(
        name: name, dependencies: dependencies, exclude: excluding, resources: resources, swiftSettings: strict)
}

let package = Package(
    name: "peernode",
    products: [
        .executable(name: "peernode", targets: ["peernode"])
    ],
    targets: [
        // C libraries.
        library("CUV", "libuv", apt: "libuv1-dev"),
        library("CSodium", "libsodium", apt: "libsodium-dev"),
        library("CSecp256k1", "libsecp256k1", apt: "libsecp256k1-dev"),
        library("CSQLite", "sqlite3", apt: "libsqlite3-dev"),
        library("CCrypto", "libcrypto", apt: "libssl-dev"),
        library("CMicrohttpd", "libmicrohttpd", apt: "libmicrohttpd-dev"),
        library("CEdit", "libedit", apt: "libedit-dev"),
        // Loaded when they are needed first, so that nothing is linked.
        .systemLibrary(name: "CCurl", path: "Modules/CCurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(name: "CIPSecMB", path: "Modules/CIPSecMB", providers: [.apt(["libipsec-mb-dev"])]),
        // Declarations of the C library alone: nothing to install.
        .systemLibrary(name: "CLinux", path: "Modules/CLinux"),

        // What the protocols are made of: pure values.
        target("PeerCore"),
        target("PeerCrypto", ["PeerCore", "CSodium", "CSecp256k1", "CCrypto", "CIPSecMB"]),
        target("PeerJSON", ["PeerCore"]),
        target("AddressBook", ["PeerCore"]),

        // The protocols: cores.
        target("Bootstrap", ["PeerCore", "PeerCrypto"]),
        target("DDRP", ["PeerCore", "PeerCrypto", "AddressBook", "Bootstrap"]),
        target("Gossip", ["PeerCore", "PeerCrypto", "Bootstrap"]),
        target("PPlusTwo", ["PeerCore", "PeerCrypto"]),
        target("BePeer", ["PeerCore", "PeerCrypto", "PeerJSON"]),
        target("PPSP", ["PeerCore", "PeerCrypto"]),
        target("Admin", ["PeerCore", "PeerJSON"]),

        // What carries out effects: on libuv, and in virtual time.
        target("UV", ["PeerCore", "CUV"], settings: strict),
        target(
            "PeerRuntime", ["PeerCore", "PeerCrypto", "UV", "CSQLite", "CMicrohttpd", "CCurl", "CLinux"]),
        target("PeerSimulator", ["PeerCore", "PeerCrypto"]),

        // The program.
        target(
            "PeerNode",
            [
                "PeerCore", "PeerCrypto", "PeerJSON", "PeerRuntime", "UV", "Admin", "AddressBook", "Bootstrap", "DDRP",
                "Gossip", "PPlusTwo", "BePeer", "PPSP",
            ]),
        program(
            "peernode",
            [
                "PeerCore", "PeerCrypto", "PeerJSON", "PeerNode", "PeerRuntime", "Gossip", "PPlusTwo", "UV", "CEdit",
                "CLinux",
            ],
            linking: [selfContained]),

        // Developers' programs.
        program("peernode-sim", ["PeerCore", "PeerCrypto", "PeerSimulator", "Bootstrap", "DDRP", "Gossip"]),
        program(
            "peernode-fuzz",
            [
                "PeerCore", "PeerCrypto", "PeerJSON", "PeerNode", "Admin", "Bootstrap", "DDRP", "Gossip", "PPlusTwo",
                "BePeer", "PPSP",
            ],
            settings: strict),
        // The physical limits in plain C, and the program that holds the node against them. It speaks to C directly.
        .target(name: "CLimits", dependencies: ["CSodium", "CSecp256k1", "CCrypto"]),
        program(
            "peernode-bench", ["CLimits", "PeerCore", "PeerCrypto", "AddressBook", "DDRP", "UV", "PeerRuntime"],
            settings: strict),

        // Tests.
        .target(
            name: "TestSupport", dependencies: ["PeerCore", "PeerJSON"], path: "Tests/TestSupport",
            swiftSettings: strict),
        tests("TidyTests", ["TestSupport"]),
        tests("PeerCoreTests", ["PeerCore"]),
        tests("PeerCryptoTests", ["PeerCore", "PeerCrypto", "TestSupport"]),
        tests("PeerJSONTests", ["PeerCore", "PeerCrypto", "PeerJSON"]),
        tests("AddressBookTests", ["PeerCore", "PeerCrypto", "AddressBook"]),
        tests("BootstrapTests", ["PeerCore", "PeerCrypto", "Bootstrap", "TestSupport"], excluding: ["Vectors"]),
        tests(
            "DDRPTests", ["PeerCore", "PeerCrypto", "AddressBook", "Bootstrap", "DDRP", "TestSupport"],
            excluding: ["Vectors"]),
        tests(
            "GossipTests", ["PeerCore", "PeerCrypto", "Bootstrap", "Gossip", "TestSupport"], excluding: ["Vectors"]),
        tests(
            "PPlusTwoTests", ["PeerCore", "PeerCrypto", "PPlusTwo", "PeerSimulator", "TestSupport"],
            excluding: ["Vectors"]),
        tests(
            "BePeerTests", ["PeerCore", "PeerCrypto", "BePeer", "PeerSimulator", "TestSupport"],
            excluding: ["Vectors"]),
        tests("PPSPTests", ["PeerCore", "PeerCrypto", "PPSP", "PeerSimulator", "TestSupport"], excluding: ["Vectors"]),
        tests("AdminTests", ["PeerCore", "PeerCrypto", "Admin"]),
        tests("UVTests", ["PeerCore", "UV"]),
        tests("PeerRuntimeTests", ["PeerCore", "PeerCrypto", "PeerRuntime", "UV", "CLinux", "TestSupport"]),
        tests("PeerSimulatorTests", ["PeerCore", "PeerCrypto", "PeerSimulator", "TestSupport"]),
        tests(
            "SimulationTests",
            [
                "PeerCore", "PeerCrypto", "AddressBook", "Bootstrap", "DDRP", "Gossip", "PPlusTwo", "PeerRuntime",
                "PeerSimulator",
                "UV", "TestSupport", "peernode-sim",
            ]),
        tests("PeerNodeTests", ["PeerCore", "PeerCrypto", "PeerJSON", "PeerNode", "PeerRuntime"]),
        tests("FuzzTests", ["PeerCore", "PeerCrypto", "TestSupport", "peernode-fuzz"]),
        // Of the real program, whose executable lies beside them.
        tests("EndToEndTests", ["PeerCore", "TestSupport"]),
        tests("InteropTests", ["PeerCore", "TestSupport"], excluding: ["Peers"]),
    ],
    swiftLanguageModes: [.v6]
)
