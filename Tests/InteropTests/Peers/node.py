"""A real node that a case starts, with its log and its operator's socket. It does not outlive the case."""
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import threading
import time

from sockets import WAIT, Wrong


class Refused(Exception):
    """The node answers no."""


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)    # PR_SET_PDEATHSIG


class Node:
    """A place for a node. `start` may be called again after its end."""

    def __init__(self, program, place):
        self.program, self.place = program, place
        self.process, self.lines, self.more = None, [], threading.Condition()

    @property
    def path_of_settings(self):
        return os.path.join(self.place, "peernode.json")

    def write_settings(self, **sections):
        settings = {
            "dataDirectory": os.path.join(self.place, "data"), "log": {"level": "debug", "format": "json"}, **sections}
        with open(self.path_of_settings, "w", encoding="utf-8") as file:
            json.dump(settings, file)

    # --- its life --------------------------------------------------------------------------------------------

    def start(self):
        """Returns at once; what it says is read from now on."""
        self.lines = []
        self.process = subprocess.Popen(
            [self.program, "run", "--config", self.path_of_settings],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=die_with_parent)
        self.complaints = []
        threading.Thread(target=self.read, args=(self.process, self.lines), daemon=True).start()
        threading.Thread(target=self.hear, args=(self.process.stderr, self.complaints), daemon=True).start()
        return self

    def read(self, process, lines):
        for line in process.stdout:
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                record["raw"] = line
                with self.more:
                    lines.append(record)
                    self.more.notify_all()
        with self.more:
            lines.append({"event": "exited"})
            self.more.notify_all()

    @staticmethod
    def hear(pipe, complaints):
        for line in pipe:
            complaints.append(line.decode(errors="replace"))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, seconds=WAIT):
        """Ends it in order; it must be alive until then."""
        if self.process.poll() is not None:
            raise Wrong(f"the node has ended by itself: {self.process.returncode} {''.join(self.complaints)}")
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Wrong("the node does not end") from None
        if status:
            raise Wrong(f"the node ended with {status}: {''.join(self.complaints)}")

    def signal(self, number):
        self.process.send_signal(number)

    @contextlib.contextmanager
    def frozen(self):
        """It stands still, so that what comes meanwhile comes at once."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()

    # --- its log ---------------------------------------------------------------------------------------------

    def of(self, event, **fields):
        with self.more:
            return [line for line in self.lines if matches(line, event, fields)]

    def wait(self, event, count=1, seconds=WAIT, **fields):
        """The `count`th line of that event with these fields."""
        until = time.monotonic() + seconds
        with self.more:
            while True:
                found = [line for line in self.lines if matches(line, event, fields)]
                if len(found) >= count:
                    return found[count - 1]
                ended = self.lines and self.lines[-1]["event"] == "exited"
                if ended or not self.more.wait(until - time.monotonic()):
                    last = "\n".join(line.get("raw", b"").decode().rstrip() for line in self.lines[-12:])
                    raise Wrong(f"no {event} {fields} within {seconds} s:\n{last}\n{''.join(self.complaints)}")

    def until(self, what, condition, seconds=WAIT):
        """Looks again and again, for what tells nobody when it happens."""
        until = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > until:
                raise Wrong(f"no {what} within {seconds} s")
            time.sleep(0.02)
        return found

    # --- its operator ----------------------------------------------------------------------------------------

    def admin(self, command, **arguments):
        return self.ask(command, arguments)

    def ask(self, command, arguments, seconds=3 * WAIT, row=lambda fields: None):
        """The rows of the answer; `row` hears each as it comes. Refused."""
        rows = []
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(seconds)
            sock.connect(os.path.join(self.place, "data", "admin.sock"))
            sock.sendall(json.dumps({"command": command, "arguments": arguments}).encode() + b"\n")
            for line in sock.makefile("rb"):
                fields = json.loads(line)
                is_done = fields.pop("done", False)
                if "error" in fields:
                    raise Refused(fields["error"])
                if fields:
                    rows.append(fields)
                    row(fields)
                if is_done:
                    return rows
        raise ConnectionError("the operator's connection ended")

    def command(self, *words, seconds=60):
        """The real command against the running node: a completed process."""
        return subprocess.run(
            [self.program, *words, "--config", self.path_of_settings], capture_output=True,
            stdin=subprocess.DEVNULL, text=True, timeout=seconds, check=False)

    # --- what the system tells of it --------------------------------------------------------------------------

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def memory(self):
        """The most octets that it ever had in memory."""
        return self.kilobytes("VmHWM") << 10

    def grown(self, before):
        """Octets more than before; 0 for a program with a sanitizer, which keeps what was freed."""
        return 0 if self.kilobytes("VmPeak") > 1 << 30 else self.memory() - before

    def kilobytes(self, field):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(field + ":"))


def matches(line, event, fields):
    return line["event"] == event and all(str(line.get(name)) == str(value) for name, value in fields.items())
