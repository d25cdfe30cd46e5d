internal import PeerCore

/// One `examine` operation, cut into jobs: `advance` until it gives the answer.
///
/// It may go from one thread to another between two calls; it must never be used by two at once.
final class ExamineWork: @unchecked Sendable {
    /// Files that one job looks at, most of which are not read: some milliseconds.
    private static let filesAtOnce = 256

    private let questions: [FileQuestion]
    private let algorithm: DigestAlgorithm
    private let folders: Folders
    private var findings: [Finding] = []
    /// The file that is being hashed, and what it was before.
    private var digest: (work: DigestWork, before: FileEntry)?

    init(_ questions: [FileQuestion], _ algorithm: DigestAlgorithm, in folders: Folders) {
        self.questions = questions
        self.algorithm = algorithm
        self.folders = folders
    }

    /// Looks at some more. The answer, or nil when there is more to do.
    func advance() -> StoreResult? {
        var files = 0
        var octets: UInt64 = 0
        while findings.count < questions.count {
            guard files < Self.filesAtOnce, octets < UInt64(DigestWork.jobOctets) else { return nil }
            if let (work, before) = digest {
                octets += min(before.size, UInt64(DigestWork.jobOctets))
                guard let result = work.advance() else { continue }
                digest = nil
                findings.append(end(result, before))
            } else {
                files += 1
                begin(questions[findings.count])
            }
        }
        return .examined(findings)
    }

    private func begin(_ question: FileQuestion) {
        do throws(SystemError) {
            let entry = try look(question.file)
            guard !entry.isFolder else { return findings.append(.folder(entry)) }
            guard entry.mark != question.known else { return findings.append(.unchanged) }
            // A range of no octets has no blocks; nothing has a digest too.
            let source: DigestSource =
                entry.size == 0
                ? .bytes(Bytes()) : .blocks(question.file, offset: 0, count: entry.size, block: entry.size)
            digest = (DigestWork(source, algorithm, key: nil, in: folders), entry)
        } catch {
            findings.append(Self.finding(error))
        }
    }

    /// The digest counts when the file is what it was.
    private func end(_ result: StoreResult, _ before: FileEntry) -> Finding {
        let file = questions[findings.count].file
        do throws(SystemError) {
            guard try look(file) == before else { return .unsteady }
        } catch {
            return Self.finding(error)
        }
        switch result {
        case .digests(let digests): return digests.first.map { .file(before, digest: $0) } ?? .unsteady
        case .failed(.endOfFile): return .unsteady
        case .failed(let error): return Self.finding(error)
        default: return .unsteady
        }
    }

    private func look(_ file: FileName) throws(SystemError) -> FileEntry {
        let status = try folders.openFolder(of: file).status(of: file.path.name)
        try status.requireFileOrFolder()
        return FileEntry(path: file.path, status)
    }

    private static func finding(_ error: SystemError) -> Finding {
        error == .notFound || error == .notAFolder || error == .isSpecial ? .missing : .failed(error)
    }
}

/// A file whose lock this process has for as long as the object lives.
final class FileLock: Sendable {
    private let file: Descriptor

    /// Makes the file when it is missing; `.exists` when another process has its lock.
    init(_ file: FileName, in folders: Folders) throws(SystemError) {
        self.file = try folders.openFile(file, .updateOrMakePrivate)
        guard try self.file.lock() else { throw .exists }
    }
}
