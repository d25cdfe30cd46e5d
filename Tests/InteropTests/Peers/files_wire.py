"""Plain sockets for P+2 (sections 1 to 3): one line to a port, one answer, and how it ended.

    answer = exchange(("127.1.2.3", 7001), b"text\\n")
    answer.data, answer.end      # the octets, and FIN, RESET or LATE
"""
import contextlib
import itertools
import random
import socket
import struct
import threading
import time
from typing import NamedTuple

WAIT = 20.0                      # for what has to come at once: long, since a busy machine is no fault of the node
FIN, RESET, LATE = "fin", "reset", "late"
LIST, QUERY, DOWNLOAD = 0, 1, 2  # added to the port p


class Wrong(Exception):
    """What differed from the text."""


def check(condition, what):
    if not condition:
        raise Wrong(what)


def equal(found, expected, what):
    if found != expected:
        raise Wrong(f"{what}: got {short(found)}, expected {short(expected)}")


def short(value):
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:200]} … {text[-60:]} ({len(value)})"


PORTS = itertools.count(7000, 10)


def loopback_port():
    """The port p of another peer: on loopback every address with a node's own port is the node itself (2.1)."""
    return next(PORTS)


def loopback_host():
    """An address that nobody else is likely to have, so that a limit per address binds one case only."""
    return f"127.{random.randint(2, 15)}.{random.randint(0, 255)}.{random.randint(1, 254)}"


class Answer(NamedTuple):
    data: bytes
    end: str

    @property
    def lines(self):
        return self.data.split(b"\n")[:-1]


def dial(address, source=None, seconds=WAIT, receive_buffer=None):
    sock = socket.socket()
    sock.settimeout(seconds)
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.bind((source or loopback_host(), 0))
    try:
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def read_answer(sock, seconds=WAIT, most=None):
    """All that comes until the end, or `most` octets."""
    until, data = time.monotonic() + seconds, bytearray()
    while most is None or len(data) < most:
        sock.settimeout(max(0.001, until - time.monotonic()))
        try:
            piece = sock.recv(65536 if most is None else min(65536, most - len(data)))
        except TimeoutError:
            return Answer(bytes(data), LATE)
        except ConnectionError:
            return Answer(bytes(data), RESET)
        if not piece:
            return Answer(bytes(data), FIN)
        data += piece
    return Answer(bytes(data), LATE)


def exchange(address, *writes, half_close=False, source=None, seconds=WAIT, pause=0.0):
    """Says all writes, `pause` seconds apart, and gives what comes."""
    try:
        sock = dial(address, source)
    except ConnectionResetError:
        # Turned away before `connect` had returned.
        return Answer(b"", RESET)
    with sock:
        for number, data in enumerate(writes):
            if number and pause:
                time.sleep(pause)
            with contextlib.suppress(ConnectionError):
                sock.sendall(data)
        if half_close:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
        return read_answer(sock, seconds)


def reset(sock):
    """Ends a connection with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Server:
    """A listener whose callers are handed to `serve(sock, address)`, a thread each."""

    def __init__(self, address, serve):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(address)
        self.listener.listen(64)
        self.serve = serve
        self.failure = None
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, address = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.run, args=(sock, address), daemon=True).start()

    def run(self, sock, address):
        sock.settimeout(120)
        try:
            with sock:
                self.serve(sock, address)
        except OSError:
            pass        # the node has broken off, as it may
        except Exception as error:
            self.failure = error

    def close(self):
        # A thread that waits in accept would keep the port.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class FakePeer:
    """A peer whose three services do what a case tells them: functions of (sock, line) by service.

    Without a function a service ends at once, with an empty answer. What callers sent is kept as it came.
    """

    def __init__(self, host=None, port=None, **services):
        self.host, self.port = host or loopback_host(), port or loopback_port()
        self.services = services
        self.requests, self.times = [], []
        self.servers = [
            Server((self.host, self.port + offset), self.server(name))
            for name, offset in (("list", LIST), ("query", QUERY), ("download", DOWNLOAD))]

    @property
    def identity(self):
        return f"{self.host}:{self.port}"

    def server(self, name):
        def serve(sock, _):
            self.times.append((name, time.monotonic()))
            line = sock.recv(8192)
            self.requests.append((name, line))
            if function := self.services.get(name):
                function(sock, line)
        return serve

    def close(self):
        for server in self.servers:
            server.close()


def answering(data):
    """A service that always says the same."""
    return lambda sock, line: sock.sendall(data)
