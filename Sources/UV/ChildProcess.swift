internal import CUV
internal import Glibc
public import PeerCore

/// A program that runs beside this one, in a process group of its own.
///
/// It closes by itself when the program ends. Closed before, the program runs on, and nobody hears of its end.
public final class ChildProcess: Handle {
    /// Where the program's words go.
    public enum Output {
        /// Where our own go.
        case inherited
        /// Nowhere.
        case ignored
    }

    /// The process ID, which is its group's too.
    public private(set) var identifier: Int32 = 0
    private var onExit: ((_ status: Int32, _ signal: Int32) -> Void)?
    private var pipe: Pipe?
    /// What the pipe has not taken yet.
    private var input = Bytes()
    private var hasExited = false

    private var process: UnsafeMutablePointer<uv_process_t> { raw.assumingMemoryBound(to: uv_process_t.self) }

    /// Starts `program`, looked up in `PATH` unless it is a path; throws when that fails. It gets `input` and then the
    /// end as its standard input; what it does not read is lost without harm. A nil `environment` is our own.
    ///
    /// `onExit` is called once, with the exit status, and with the signal that ended it or 0.
    public init(
        _ loop: Loop, _ program: String, _ arguments: [String], environment: [String: String]? = nil,
        input: Bytes = Bytes(), output: Output = .inherited, errors: Output = .inherited,
        onExit: @escaping (_ status: Int32, _ signal: Int32) -> Void
    ) throws(UVError) {
        let (pipe, readEnd) = try Pipe.toChild(loop)
        // libuv has the handle in its list even when it could start nothing: the end must be the orderly one.
        var status: Int32 = 0
        do throws(UVError) {
            try super.init(loop, UV_PROCESS) {
                let process = $0.assumingMemoryBound(to: uv_process_t.self)
                status = spawn(
                    loop, process, program, arguments, environment, [readEnd, output.ours(1), errors.ours(2)])
                return 0
            }
        } catch {
            preconditionFailure("a handle without init: \(error.name)")
        }
        Glibc.close(readEnd)
        guard status == 0 else {
            pipe.close()
            close()
            throw UVError(status)
        }
        identifier = process.pointee.pid
        self.onExit = onExit
        self.pipe = pipe
        self.input = input
        feed()
    }

    /// Sends a signal to the program and to all that it started, unless they left its group. Nothing after its end.
    public func kill(_ signal: Int32) {
        guard !hasExited, !isClosed else { return }
        uv_kill(-identifier, signal)
    }

    override func dropHandlers() {
        onExit = nil
        endInput()
    }

    /// Writes until the pipe is full or all is written.
    private func feed() {
        do throws(UVError) {
            while let pipe, !input.isEmpty {
                let written = try pipe.write([input])
                input = input.dropping(written)
                if written == 0 { return try pipe.whenWritable { [weak self] in self?.feed() } }
            }
        } catch {
            // The program reads no more: its own business.
        }
        endInput()
    }

    private func endInput() {
        pipe?.close()
        pipe = nil
        input = Bytes()
    }

    fileprivate func exited(_ status: Int32, _ signal: Int32) {
        hasExited = true
        let onExit = onExit
        close()
        onExit?(status, signal)
    }
}

extension ChildProcess.Output {
    /// The descriptor that the program gets; `own` is ours.
    fileprivate func ours(_ own: Int32) -> Int32? { self == .inherited ? own : nil }
}

extension Pipe {
    /// The writing end, and the descriptor of the reading end. A pipe and no socket, so that a child can open
    /// `/dev/stdin`.
    fileprivate static func toChild(_ loop: Loop) throws(UVError) -> (Pipe, readEnd: Int32) {
        var ends: [uv_file] = [-1, -1]
        try check(uv_pipe(&ends, 0, Int32(UV_NONBLOCK_PIPE.rawValue)))
        let pipe: Pipe
        do throws(UVError) {
            pipe = try Pipe(loop)
        } catch {
            for end in ends { Glibc.close(end) }
            throw error
        }
        let status = uv_pipe_open(pipe.raw.assumingMemoryBound(to: uv_pipe_t.self), ends[1])
        guard status == 0 else {
            pipe.close()
            for end in ends { Glibc.close(end) }
            throw UVError(status)
        }
        return (pipe, ends[0])
    }
}

/// `uv_spawn` with the child's first descriptors, nil for none; gives its status.
private func spawn(
    _ loop: Loop, _ process: UnsafeMutablePointer<uv_process_t>, _ program: String, _ arguments: [String],
    _ environment: [String: String]?, _ descriptors: [Int32?]
) -> Int32 {
    var words = ([program] + arguments).map { strdup($0) } + [nil]
    var variables = (environment ?? [:]).map { strdup("\($0)=\($1)") } + [nil]
    defer { for text in words + variables { free(text) } }
    var containers = descriptors.map { descriptor in
        var container = uv_stdio_container_t()
        container.flags = descriptor == nil ? UV_IGNORE : UV_INHERIT_FD
        container.data.fd = descriptor ?? -1
        return container
    }
    return words.withUnsafeMutableBufferPointer { words in
        variables.withUnsafeMutableBufferPointer { variables in
            containers.withUnsafeMutableBufferPointer { containers in
                var options = uv_process_options_t()
                options.exit_cb = didExit
                options.file = words[0].map { UnsafePointer($0) }
                options.args = words.baseAddress
                options.env = environment == nil ? nil : variables.baseAddress
                options.flags = UV_PROCESS_DETACHED.rawValue
                options.stdio_count = Int32(containers.count)
                options.stdio = containers.baseAddress
                return uv_spawn(loop.pointer, process, &options)
            }
        }
    }
}

private let didExit: @convention(c) (UnsafeMutablePointer<uv_process_t>?, Int64, Int32) -> Void = {
    process, status, signal in
    ChildProcess.object(process!).exited(Int32(truncatingIfNeeded: status), signal)
}

/// Reads the standard input of this process without holding up the loop, whatever it is: a terminal, a pipe, a file.
public final class StandardInput {
    private let loop: Loop
    private let poll: Poll?
    private var idle: Idle?
    private var onEvent: ((StreamEvent) -> Void)?

    /// Not started.
    public init(_ loop: Loop) {
        self.loop = loop
        // The flags belong to whoever else has the descriptor too, such as the shell.
        let flags = fcntl(STDIN_FILENO, F_GETFL)
        // A file cannot be watched, since it is always ready.
        poll = try? Poll(loop, descriptor: STDIN_FILENO)
        if flags >= 0 { _ = fcntl(STDIN_FILENO, F_SETFL, flags) }
        if poll == nil { idle = Idle(loop) { [unowned self] in read() } }
    }

    /// Reads until `stop()`, the end or an error.
    public func start(_ onEvent: @escaping (StreamEvent) -> Void) {
        self.onEvent = onEvent
        poll?.start(.readable) { [unowned self] in read() }
        idle?.start()
    }

    /// Lets the loop end although this is started.
    public func unreference() {
        poll?.unreference()
        idle?.unreference()
    }

    /// Leaves further octets where they are.
    public func stop() {
        poll?.stop()
        idle?.stop()
    }

    /// No more calls, ever.
    public func close() {
        onEvent = nil
        poll?.close()
        idle?.close()
    }

    private func read() {
        let count = Glibc.read(STDIN_FILENO, loop.readBuffer.baseAddress, loop.readBuffer.count)
        if count < 0, errno == EINTR || errno == EAGAIN { return }
        let event: StreamEvent =
            switch count {
            case 1...: .received(Bytes(Array(loop.readBuffer[..<count])))
            case 0: .ended
            default: .failed(UVError(-errno))
            }
        if count <= 0 { stop() }
        onEvent?(event)
    }
}
