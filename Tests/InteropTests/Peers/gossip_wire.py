"""Messages of the Gossip protocol (500-503, 510-514), a stream reader, and blocking helpers that always end.

Written from the text of the specification alone, so that it can judge a node. A message is a named tuple: `encode()`
gives its octets, `decode(octets)` the tuple. Every wait has a deadline and ends in a result, `Late` or `Closed`.
"""
import hashlib
import ipaddress
import random
import select
import socket
import struct
import time
from typing import NamedTuple

ANNOUNCE, NOTIFY, NOTIFICATION, VALIDATION = 500, 501, 502, 503
INIT, POPULATE, CONNECT, DISCONNECT, NEIGHBORS = 510, 511, 512, 513, 514
EXTENSIONS = range(515, 520)

# Who may send what (section 1); CONNECT on TCP is direct mode.
FROM_NODE_TO_CLIENT = {NOTIFICATION}
FROM_CLIENT = {ANNOUNCE, NOTIFY, VALIDATION}
ON_LINK = {ANNOUNCE, CONNECT, DISCONNECT, NEIGHBORS, *EXTENSIONS}
ON_UDP = {INIT, POPULATE, CONNECT, DISCONNECT}

MAX_ENTRIES = 64       # of a NEIGHBORS
NO_HOST = "::"         # in the sender's own entry: "as you see me"


class Malformed(Exception):
    """Octets that are no message."""


class Closed(Exception):
    """The other end has closed; the text says how."""


class Late(Exception):
    """The time is over."""


def message(number, *fields):
    """Octets of a message: its header, then the fields."""
    body = b"".join(fields)
    return struct.pack("!HH", 4 + len(body), number) + body


def word(value):
    return struct.pack("!H", value)


class Announce(NamedTuple):
    ttl: int
    data_type: int
    data: bytes
    salt: int = 0      # the reserved octet; it means something between peers only

    def encode(self):
        return message(ANNOUNCE, struct.pack("!BBH", self.ttl, self.salt, self.data_type), self.data)

    def key(self):
        return seen_key(self.salt, self.data_type, self.data)


class Notify(NamedTuple):
    data_type: int
    reserved: int = 0

    def encode(self):
        return message(NOTIFY, word(self.reserved), word(self.data_type))


class Notification(NamedTuple):
    message_id: int
    data_type: int
    data: bytes

    def encode(self):
        return message(NOTIFICATION, word(self.message_id), word(self.data_type), self.data)


class Validation(NamedTuple):
    message_id: int
    valid: bool
    reserved: int = 0  # the 15 bits before V

    def encode(self):
        return message(VALIDATION, word(self.message_id), word(self.reserved << 1 | self.valid))


class Init(NamedTuple):
    degree: int
    reserved: int = 0  # the current ID of a peer that renews

    def encode(self):
        return message(INIT, word(self.degree), word(self.reserved))


class Entry(NamedTuple):
    id: int
    host: str
    port: int

    def encode(self):
        address = ipaddress.ip_address(self.host)
        packed = address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed
        return word(self.id) + word(self.port) + packed

    @property
    def endpoint(self):
        return self.host, self.port


class Populate(NamedTuple):
    id: int
    entries: tuple = ()
    reserved: int = 0

    def encode(self):
        return message(POPULATE, word(self.id), word(self.reserved), *(entry.encode() for entry in self.entries))


class Connect(NamedTuple):
    id: int
    reserved: int = 0

    def encode(self):
        return message(CONNECT, word(self.id), word(self.reserved))


class Disconnect(NamedTuple):
    id: int
    reserved: int = 0

    def encode(self):
        return message(DISCONNECT, word(self.id), word(self.reserved))


class Neighbors(NamedTuple):
    id: int
    entries: tuple = ()
    reserved: int = 0

    def encode(self):
        return message(NEIGHBORS, word(self.id), word(self.reserved), *(entry.encode() for entry in self.entries))


class Extension(NamedTuple):
    number: int
    body: bytes

    def encode(self):
        return message(self.number, self.body)


def seen_key(salt, data_type, data):
    """Section 4.2: what makes two items the same. The TTL is no part of it."""
    return hashlib.blake2b(struct.pack("!BH", salt, data_type) + data, digest_size=32).digest()


# --- decoding ------------------------------------------------------------------------------------------------

def decode_entry(data):
    address = ipaddress.IPv6Address(data[4:20])
    identity, port = struct.unpack_from("!HH", data)
    return Entry(identity, str(address.ipv4_mapped or address), port)


def decode_validation(first, second):
    return Validation(first, bool(second & 1), second >> 1)


WORDS = {    # messages of exactly two 16-bit words
    NOTIFY: lambda reserved, data_type: Notify(data_type, reserved), VALIDATION: decode_validation,
    INIT: Init, CONNECT: Connect, DISCONNECT: Disconnect,
}
LISTS = {POPULATE: Populate, NEIGHBORS: Neighbors}


def decode(data):
    """The message that these octets are, exactly."""
    if len(data) < 4:
        raise Malformed("no header")
    size, number = struct.unpack_from("!HH", data)
    if size != len(data):
        raise Malformed(f"size {size} of {len(data)} octets")
    if number in EXTENSIONS:
        return Extension(number, data[4:])
    if number not in WORDS and number not in LISTS and number not in (ANNOUNCE, NOTIFICATION):
        raise Malformed(f"type {number}")
    if size < 8:
        raise Malformed(f"size {size} of type {number}")
    first, second = struct.unpack_from("!HH", data, 4)
    if number == ANNOUNCE:
        return Announce(data[4], second, data[8:], data[5])
    if number == NOTIFICATION:
        return Notification(first, second, data[8:])
    if number in WORDS:
        if size != 8:
            raise Malformed(f"size {size} of type {number}")
        return WORDS[number](first, second)
    if (size - 8) % 20:
        raise Malformed("part of an entry")
    entries = tuple(decode_entry(data[i:i + 20]) for i in range(8, size, 20))
    return LISTS[number](first, entries, second)


class Reader:
    """Messages of a TCP stream, whatever its segments."""

    def __init__(self, sock, allowed):
        self.sock, self.allowed, self.buffer = sock, allowed, bytearray()

    def take(self):
        """The next message that is already complete, or None."""
        if len(self.buffer) < 4:
            return None
        size, number = struct.unpack_from("!HH", self.buffer)
        if number not in self.allowed or size < 4:    # judged at four octets: the rest may never come
            raise Malformed(f"type {number}, size {size}")
        if len(self.buffer) < size:
            return None
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return decode(data)

    def next(self, until):
        while True:
            found = self.take()
            if found is not None:
                return found
            self.buffer += receive(self.sock, until)


# --- blocking helpers ----------------------------------------------------------------------------------------

def receive(sock, until, octets=65536):
    """What has come; never empty."""
    left = until - time.monotonic()
    if left <= 0:
        raise Late()
    try:
        # Not by the time-out of the socket: a heartbeat in another thread sets that while it writes.
        if not select.select([sock], [], [], left)[0]:
            raise Late()
        data = sock.recv(octets)
    except OSError as error:
        raise Closed(error.strerror) from None
    if not data:
        raise Closed("end of stream")
    return data


def receive_datagram(sock, until):
    """(octets, sender)"""
    while True:
        left = until - time.monotonic()
        if left <= 0:
            raise Late()
        sock.settimeout(left)
        try:
            data, sender = sock.recvfrom(65536)
            return data, sender[:2]
        except TimeoutError:
            raise Late() from None
        except ConnectionRefusedError:    # an earlier datagram found nobody: one may still come
            continue


def send_all(sock, data, seconds=10.0):
    """One write; the other end has that long to make room."""
    sock.settimeout(seconds)
    try:
        sock.sendall(data)
    except TimeoutError:
        raise Late() from None
    except OSError as error:
        raise Closed(error.strerror) from None


def dial(address, source=None, seconds=10.0):
    """A TCP connection, each write of which is a segment of its own."""
    sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source:
            sock.bind((source, 0))
        sock.settimeout(seconds)
        sock.connect(address)
    except OSError as error:
        sock.close()
        raise Closed(f"{address[0]}:{address[1]}: {error}") from None
    return sock


def loopback_host():
    """An address that nobody else is likely to have, so that a limit per address binds one case only."""
    return f"127.{random.randint(2, 15)}.{random.randint(0, 255)}.{random.randint(1, 254)}"


def one_port(host, port=0):
    """(TCP listener, UDP socket) on one port number, as section 5.1 wants it; port 0: any that both can have."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for attempt in range(20):
        listener, udp = socket.socket(family, socket.SOCK_STREAM), socket.socket(family, socket.SOCK_DGRAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
            udp.bind((host, listener.getsockname()[1]))
            listener.listen(16)
            return listener, udp
        except OSError:
            listener.close()
            udp.close()
            if port or attempt == 19:
                raise
    raise AssertionError("not reached")


def name_of(address):
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


def parse_address(text):
    """(host, port) of HOST:PORT or [IPv6]:PORT; ValueError when it is neither."""
    host, _, port = text.rpartition(":")
    host = str(ipaddress.ip_address(host.strip("[]")))
    if not 0 <= int(port) <= 65535:
        raise ValueError(f"port {port}")
    return host, int(port)
