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

from files_wire import DOWNLOAD, LIST, QUERY, WAIT, Wrong, exchange, loopback_host, loopback_port


class Refused(Exception):
    """The node answers no."""


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)    # PR_SET_PDEATHSIG


class Node:
    """A place for a node: folder, configuration, address. `start` may be called again after its end."""

    def __init__(self, program, place, files=None, sections=None, host=None, port=None, folder=None):
        self.program, self.place = program, place
        self.host, self.port = host or loopback_host(), port or loopback_port()
        self.folder = folder or os.path.join(place, "shared")
        os.makedirs(self.folder, exist_ok=True)
        self.process, self.lines, self.more = None, [], threading.Condition()
        self.configure(files or {}, sections or {})

    def configure(self, files, sections):
        settings = {
            "dataDirectory": os.path.join(self.place, "data"), "log": {"level": "debug", "format": "json"},
            "files": {"listen": self.identity, "folder": self.folder, **files}, **sections}
        with open(os.path.join(self.place, "peernode.json"), "w", encoding="utf-8") as file:
            json.dump(settings, file)

    @property
    def identity(self):
        return f"{self.host}:{self.port}"

    def address(self, service):
        return self.host, self.port + service

    # --- its life --------------------------------------------------------------------------------------------

    def start(self, listening=True, seconds=WAIT):
        self.lines = []
        self.process = subprocess.Popen(
            [self.program, "run", "--config", os.path.join(self.place, "peernode.json")],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=die_with_parent)
        self.complaints = []
        threading.Thread(target=self.read, args=(self.process, self.lines), daemon=True).start()
        threading.Thread(target=self.hear, args=(self.process.stderr, self.complaints), daemon=True).start()
        if listening:
            for name in ("admin", "files.list", "files.query", "files.download"):
                self.wait("listening", listener=name)
            self.until("its index", lambda: self.status()["indexed"], seconds)
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

    def status(self):
        return self.admin("files.status")[0]

    def search(self, text, **arguments):
        """Matches, failures, and the sums of a search."""
        rows = self.admin("files.search", text=text, **arguments)
        found = [row for row in rows if "number" in row]
        return found, [row for row in rows if "failed" in row and "asked" not in row], rows[-1]

    def download(self, **arguments):
        """The last row of a download."""
        return self.admin("files.download", **arguments)[-1]

    def refusal(self, **arguments):
        """Why a download fails."""
        try:
            found = self.download(**arguments)
        except Refused as error:
            return str(error).partition(":")[0]
        raise Wrong(f"{arguments} was downloaded: {found}")

    # --- its callers and its files ---------------------------------------------------------------------------

    def list(self, *writes, **options):
        return exchange(self.address(LIST), *writes, **options)

    def query(self, *writes, **options):
        return exchange(self.address(QUERY), *writes, **options)

    def fetch(self, *writes, **options):
        return exchange(self.address(DOWNLOAD), *writes, **options)

    def names(self, text=b""):
        return self.query(text + b"\n").lines

    def path(self, name):
        return os.path.join(self.folder, name)

    def put(self, name, data):
        """A file that appears whole."""
        with open(self.path(".new"), "wb") as file:
            file.write(data)
        os.rename(self.path(".new"), self.path(name))

    def content(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def shows(self, name, seconds=WAIT):
        """Waits until a query gives the name."""
        self.until(f"answer with {name}", lambda: name.encode() in self.names(name.encode()), seconds)

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

    def leftovers(self):
        """Files of downloads that have not come whole."""
        place = self.path(".peernode/partial")
        return os.listdir(place) if os.path.isdir(place) else []


def matches(line, event, fields):
    return line["event"] == event and all(str(line.get(name)) == str(value) for name, value in fields.items())
