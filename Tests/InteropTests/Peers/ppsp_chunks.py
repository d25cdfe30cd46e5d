"""Chunk messages: in a TRANSFER (ppsp.md 9.2) and in a datagram (ppspp-rfc7574.md sections 1 to 4).

    decode_transfer(payload, 4, 32)         # [Chunk(type=REQUEST, first=0, last=3), ...]
    decode_datagram(octets, 2, 20)          # Datagram(channel, [Handshake(...), Chunk(...)])

What is encoded is not checked, so that lies can be told.
"""
import struct
from typing import NamedTuple

from ppsp_merkle import bin_of, is_subtree, range_of_bin

(HANDSHAKE, DATA, ACK, HAVE, INTEGRITY, PEX_V4, PEX_REQ, SIGNED, REQUEST, CANCEL, CHOKE, UNCHOKE, PEX_V6,
 PEX_CERT) = range(14)
TYPES = ("HANDSHAKE", "DATA", "ACK", "HAVE", "INTEGRITY", "PEX_RESv4", "PEX_REQ", "SIGNED_INTEGRITY", "REQUEST",
         "CANCEL", "CHOKE", "UNCHOKE", "PEX_RESv6", "PEX_REScert")
BINS32, BYTES64, RANGES32, BINS64, RANGES64 = range(5)
SPECS = {BINS32: struct.Struct(">I"), BYTES64: struct.Struct(">QQ"), RANGES32: struct.Struct(">II"),
         BINS64: struct.Struct(">Q"), RANGES64: struct.Struct(">QQ")}
STAMP = struct.Struct(">Q")
(VERSION, MINIMUM, SWARM, METHOD, HASH, SIGNATURE, ADDRESSING, DISCARD, SUPPORTED, CHUNK_SIZE) = range(10)
OPTIONS = ("version", "min_version", "swarm_id", "cipm", "mhf", "lsa", "cam", "ldw", "supported", "chunk_size")
OPTION_LAYOUTS = {VERSION: ">B", MINIMUM: ">B", METHOD: ">B", HASH: ">B", SIGNATURE: ">B", ADDRESSING: ">B",
                  CHUNK_SIZE: ">I"}
END = 0xFF
HASH_SIZES = {0: 20, 1: 28, 2: 32, 3: 48, 4: 64, 240: 32}
SIGNATURES = {13: 64, 14: 96}
IN_A_TRANSFER = {DATA, ACK, HAVE, INTEGRITY, REQUEST, CANCEL, CHOKE, UNCHOKE}


class Unreadable(Exception):
    """Why the rest of a datagram or of a TRANSFER is not read."""


class Chunk(NamedTuple):
    type: int
    first: int = 0
    last: int = 0
    value: object = None        # INTEGRITY: the hash; DATA, ACK: microseconds; PEX: its octets
    data: object = b""

    @property
    def name(self):
        return TYPES[self.type]


class Handshake(NamedTuple):
    channel: int
    options: dict = {}          # value by code
    type: int = HANDSHAKE
    name: str = "HANDSHAKE"

    def get(self, option, otherwise=None):
        return self.options.get(option, otherwise)


class Datagram(NamedTuple):
    channel: int
    messages: list


# --- encoding ------------------------------------------------------------------------------------------------


def encode_spec(addressing, first, last):
    if addressing in (BINS32, BINS64):
        return SPECS[addressing].pack(bin_of(first, last))
    return SPECS[addressing].pack(first, last)


def encode_chunk(message, addressing=RANGES64):
    if message.type == HANDSHAKE:
        return encode_handshake(message)
    head = bytes([message.type])
    if message.type in (CHOKE, UNCHOKE, PEX_REQ):
        return head
    if message.type in (PEX_V4, PEX_V6, PEX_CERT):
        return head + message.value
    head += encode_spec(addressing, message.first, message.last)
    if message.type in (INTEGRITY, SIGNED):
        return head + message.value
    if message.type in (DATA, ACK):
        return head + STAMP.pack(message.value) + message.data
    return head


def encode_handshake(message):
    data = struct.pack(">BI", HANDSHAKE, message.channel)
    for code in sorted(message.options):
        value = message.options[code]
        data += bytes([code])
        if code == SWARM:
            data += struct.pack(">H", len(value)) + value
        elif code == SUPPORTED:
            data += struct.pack(">B", len(value)) + value
        elif code in OPTION_LAYOUTS:
            data += struct.pack(OPTION_LAYOUTS[code], value)
        else:
            data += value
    return data + bytes([END])


def encode_datagram(channel, messages, addressing=RANGES32):
    return struct.pack(">I", channel) + b"".join(encode_chunk(one, addressing) for one in messages)


def have(first, last):
    return Chunk(HAVE, first, last)


def request(first, last):
    return Chunk(REQUEST, first, last)


def cancel(first, last):
    return Chunk(CANCEL, first, last)


def integrity(first, last, digest):
    return Chunk(INTEGRITY, first, last, digest)


def data_of(chunk, stamp, octets):
    return Chunk(DATA, chunk, chunk, stamp, octets)


def closing(channel):
    """What ends a channel (2)."""
    return encode_datagram(channel, [Handshake(0)])


# --- decoding ------------------------------------------------------------------------------------------------


class Reader:
    """Chunk messages one after the other. `chunk_size`: whether several DATA may follow each other."""

    def __init__(self, data, addressing, hash_size, at=0, chunk_size=None):
        self.data, self.at, self.size = data, at, len(data)
        self.addressing, self.hash_size, self.chunk_size = addressing, hash_size, chunk_size

    def take(self, count):
        if count > self.size - self.at:
            raise Unreadable("truncated")
        self.at += count
        return bytes(self.data[self.at - count:self.at])

    def number(self, layout):
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def spec(self):
        layout = SPECS[self.addressing]
        if layout.size > self.size - self.at:
            raise Unreadable("truncated")
        fields = layout.unpack_from(self.data, self.at)
        self.at += layout.size
        first, last = fields if len(fields) == 2 else range_of_bin(fields[0], 8 * layout.size)
        if first > last and len(fields) == 2:
            raise Unreadable(f"range {first}-{last}")
        return first, last

    def next(self):
        kind = self.data[self.at]
        self.at += 1
        if kind == DATA:
            return self.octets()
        if kind in (HAVE, REQUEST, CANCEL):
            return Chunk(kind, *self.spec())
        if kind == INTEGRITY:
            return Chunk(kind, *self.spec(), self.take(self.hash_size))
        if kind == ACK:
            return Chunk(kind, *self.spec(), self.number(">Q"))
        if kind in (CHOKE, UNCHOKE, PEX_REQ):
            return Chunk(kind)
        if kind in (PEX_V4, PEX_V6):
            return Chunk(kind, value=self.take(6 if kind == PEX_V4 else 18))
        if kind == PEX_CERT:
            size = self.take(2)
            return Chunk(kind, value=size + self.take(int.from_bytes(size, "big")))
        if kind == HANDSHAKE:
            return self.handshake()
        if kind == SIGNED:
            return Chunk(kind, *self.spec(), self.take(8 + SIGNATURES[13]))
        raise Unreadable(f"unknown message {kind}")

    def octets(self):
        first, last = self.spec()
        stamp = self.number(">Q")
        rest = self.size - self.at
        count = self.chunk_size if self.chunk_size and rest > self.chunk_size else rest
        self.at += count
        return Chunk(DATA, first, last, stamp, self.data[self.at - count:self.at])

    def handshake(self):
        channel, options, before = self.number(">I"), {}, -1
        while (code := self.number(">B")) != END:
            if code > CHUNK_SIZE:
                raise Unreadable(f"unknown option {code}")
            if code <= before:
                raise Unreadable(f"option {code} after {before}")
            before = code
            if code == SWARM:
                options[code] = self.take(self.number(">H"))
            elif code == SUPPORTED:
                options[code] = self.take(self.number(">B"))
            elif code == DISCARD:
                options[code] = self.take(4 if options.get(ADDRESSING) in (BINS32, RANGES32) else 8)
            else:
                options[code] = self.number(OPTION_LAYOUTS[code])
        # What follows in this datagram is already as these options say.
        if options.get(ADDRESSING, self.addressing) not in SPECS or options.get(HASH, 0) not in HASH_SIZES:
            raise Unreadable(f"options {options}")
        self.addressing = options.get(ADDRESSING, self.addressing)
        self.hash_size = HASH_SIZES[options[HASH]] if HASH in options else self.hash_size
        return Handshake(channel, options)


def decode_datagram(data, addressing=RANGES32, hash_size=20, chunk_size=None):
    """Unreadable, whose `before` are the messages that precede what is wrong."""
    reader, found = Reader(data, addressing, hash_size, chunk_size=chunk_size), []
    try:
        channel = reader.number(">I")
        while reader.at < reader.size:
            found.append(reader.next())
    except Unreadable as error:
        error.before = found
        raise
    return Datagram(channel, found)


def decode_transfer(payload, count, addressing=RANGES64, hash_size=32):
    """The `count` messages of a TRANSFER."""
    reader, found = Reader(payload, addressing, hash_size), []
    while reader.at < reader.size:
        if payload[reader.at] not in IN_A_TRANSFER:
            raise Unreadable(f"message {payload[reader.at]} in a TRANSFER")
        one = reader.next()
        if one.type == INTEGRITY and not is_subtree(one.first, one.last):
            raise Unreadable(f"{one.first}-{one.last} is no subtree")
        if one.type == DATA and one.first != one.last:
            raise Unreadable(f"data of {one.first}-{one.last}")
        found.append(one)
    if len(found) != count:
        raise Unreadable(f"{len(found)} messages, not {count}")
    return found
