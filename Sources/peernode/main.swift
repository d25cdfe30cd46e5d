internal import Glibc
internal import PeerRuntime

openStandardDescriptors()
exit(Program.run(CommandLine.arguments).rawValue)
