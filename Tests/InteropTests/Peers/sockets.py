"""Plain sockets on loopback, and how an answer ended.

    answer = exchange(("127.1.2.3", 7001), b"text\\n")
    answer.data, answer.end      # the octets, and FIN, RESET or LATE
"""
import contextlib
import random
import socket
import struct
import threading
import time
from typing import NamedTuple

WAIT = 20.0                      # for what has to come at once: long, since a busy machine is no fault of the node
FIN, RESET, LATE = "fin", "reset", "late"


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
