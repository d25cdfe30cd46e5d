"""PPSP's control messages as the text has them (ppsp.md sections 2 to 7), of our own making.

    decoder = Decoder()
    decoder.feed(octets)                            # [Message(kind=REQUEST, ...), Transfer(...), Unknown(...)]
    encode(Message(REQUEST, 1, peer, swarm, {DATA_AVAIL_QUERY: None}))

What is encoded is not checked, so that lies can be told.
"""
import struct
from typing import NamedTuple

from ppsp_bodies import (  # noqa: F401 (what a message is made of)
    ADDRESS, Address, ADDRESS_KINDS, ADDRESSING, ALL, AUTHENTICATE, Availability, bad, BEHIND_NAT, bitmap,
    BITMAP, CERTIFICATE, CHUNK_SIZE, COMPLETE, CONTROL, Cursor, decode_availability, decode_mandatory,
    decode_peers, decode_properties, decode_transports, encode_peers, encode_properties, Entry, FORBIDDEN,
    FORMATS, HASH, HTTP, ID_SIZE, INTEGRITY_METHOD, INTERNAL, LENGTH, LISTEN, negotiated, NONCE, NONCE_CODE,
    NONE, NOT_FOUND, NOT_SUPPORTED, OPAQUE, OVERLOADED, PARAMETERS, PeerQuery, PPSPP, PROPERTIES, RANGES,
    ranges_of, ranges_of_bitmap, REMOVE, RESPONSES, SOFTWARE, SUCCESSFUL, SUM_BYTES, SYNTAX, TAKES_PUSH, TCP,
    Transport, UDP, UPDATE, URL, VERSION_REFUSED, Violation, WEB, WHERE, whole_map, WINDOW)

VERSION = 1
REQUEST, RESPONSE, ADVERTISE, TRANSFER = 1, 2, 3, 4
KINDS = {REQUEST: "REQUEST", RESPONSE: "RESPONSE", ADVERTISE: "ADVERTISE", TRANSFER: "TRANSFER"}
(DATA_AVAILABILITY, DATA_AVAIL_QUERY, PROPERTY_PROVISION, PROPERTY_QUERY, PEERLIST_PROVISION, PEERLIST_QUERY,
 TRANSPORT_PARAMETER, TRANSPORT_MANDATORY) = METHODS = tuple(range(1, 9))
METHOD_NAMES = dict(zip(METHODS, (
    "DATA_AVAILABILITY", "DATA_AVAIL_QUERY", "PROPERTY_PROVISION", "PROPERTY_QUERY", "PEERLIST_PROVISION",
    "PEERLIST_QUERY", "TRANSPORT_PARAMETER", "TRANSPORT_MANDATORY")))
PERMITTED = {
    REQUEST: {DATA_AVAILABILITY, DATA_AVAIL_QUERY, PROPERTY_PROVISION, PROPERTY_QUERY, PEERLIST_QUERY,
              TRANSPORT_MANDATORY, TRANSPORT_PARAMETER},
    RESPONSE: {DATA_AVAILABILITY, PROPERTY_PROVISION, TRANSPORT_MANDATORY, TRANSPORT_PARAMETER, PEERLIST_PROVISION},
}
PERMITTED[ADVERTISE] = PERMITTED[RESPONSE]
WITH_BODY = {DATA_AVAILABILITY, PROPERTY_PROVISION, PEERLIST_QUERY, TRANSPORT_MANDATORY}
WITHOUT_BODY = {DATA_AVAIL_QUERY, PROPERTY_QUERY}
HEAD = struct.Struct(">BBBBIQBBH")
ENTRY = struct.Struct(">BBHI")
LIMIT = 2 << 20
PORT = 6778
MAX_SWARM = 1024


class Message(NamedTuple):
    kind: int
    transaction: int
    peer: bytes
    swarm: bytes
    methods: dict = {}
    code: int = SUCCESSFUL

    @property
    def is_keep_alive(self):
        return self.kind == ADVERTISE and not self.methods and not self.swarm


class Transfer(NamedTuple):
    """A TRANSFER whose chunk messages are still to be read: how, only its transfer ID tells."""
    transaction: int
    count: int
    payload: memoryview
    peer: bytes = b""
    swarm: bytes = b""
    kind: int = TRANSFER


class Unknown(NamedTuple):
    """A message of a type, or a REQUEST with a method, that we do not know; its content was skipped."""
    kind: int
    transaction: int
    swarm: bytes = b""


# --- messages (3) --------------------------------------------------------------------------------------------

BODIES = {
    DATA_AVAILABILITY: (lambda body: body.body, decode_availability),
    PROPERTY_PROVISION: (encode_properties, decode_properties),
    PEERLIST_PROVISION: (encode_peers, decode_peers),
    PEERLIST_QUERY: (lambda body: body.body, lambda data: PeerQuery(*struct.unpack(">HBBQ", data))),
    TRANSPORT_PARAMETER: (lambda body: struct.pack(">BBH", len(body), 0, 0) + b"".join(one.bytes for one in body),
                          decode_transports),
    TRANSPORT_MANDATORY: (lambda body: body.bytes, decode_mandatory)}


def encode_method(code, body):
    data = body if isinstance(body, bytes) else b"" if body is None else BODIES[code][0](body)
    return ENTRY.pack(code, 0x80 if data else 0, 0, len(data)) + data


def encode(message):
    content = message.peer + message.swarm
    content += b"".join(encode_method(code, body) for code, body in sorted(message.methods.items()))
    return HEAD.pack(VERSION, message.kind, len(message.methods), message.code, len(content), message.transaction,
                     len(message.peer), 0, len(message.swarm)) + content


def keep_alive(peer):
    return Message(ADVERTISE, 0, peer, b"")


def transfer(transaction, *messages):
    """A TRANSFER of chunk messages that are encoded already."""
    content = b"".join(messages)
    return HEAD.pack(VERSION, TRANSFER, len(messages), 0, len(content), transaction, 0, 0, 0) + content


def head_of(data):
    """The fields of a head whose message may be waited for; violations that are seen without the content."""
    fields = HEAD.unpack_from(data)
    if fields[0] != VERSION:
        raise Violation(VERSION_REFUSED, f"version {fields[0]}")
    if fields[4] > LIMIT:
        raise bad(f"content of {fields[4]} octets")
    return fields


def decode(data):
    """One whole message."""
    _, kind, count, code, size, transaction, peer_size, _, swarm_size = head_of(data)
    if kind not in KINDS:
        return Unknown(kind, transaction)
    if peer_size + swarm_size > size or swarm_size > MAX_SWARM:
        raise bad("identifiers")
    at = HEAD.size + peer_size
    peer, swarm = bytes(data[HEAD.size:at]), bytes(data[at:at + swarm_size])
    if peer_size != ID_SIZE and not (kind == TRANSFER and peer_size == 0):
        raise bad(f"peer ID of {peer_size} octets")
    if code and kind != RESPONSE or code >= len(RESPONSES):
        raise bad(f"response code {code}")
    if kind == TRANSFER:
        if count == 0:
            raise bad("no chunk message")
        return Transfer(transaction, count, data[at + swarm_size:], peer, swarm)
    may_lack_swarm = kind == RESPONSE and code or kind == ADVERTISE and count == 0
    if not swarm and not may_lack_swarm or count == 0 and kind == REQUEST or count > 8:
        raise bad("swarm ID or method count")
    return Message(kind, transaction, peer, swarm, decode_methods(kind, count, data[at + swarm_size:]), code)


def decode_methods(kind, count, data):
    cursor, seen, methods = Cursor(data), set(), {}
    for _ in range(count):
        code, flags, _, size = cursor.unpack(">BBHI")
        body = cursor.take(size)
        if (flags & 0x80 != 0) != (size > 0):
            raise bad(f"method {code} with flags {flags} and {size} octets")
        if code not in METHOD_NAMES and kind == REQUEST:
            raise Violation(NOT_SUPPORTED, f"method {code}")
        if code in seen:
            raise bad(f"method {code} twice")
        seen.add(code)
        if code not in METHOD_NAMES:
            continue
        if code not in PERMITTED[kind] or code in WITH_BODY and not body or code in WITHOUT_BODY and body:
            raise bad(f"{METHOD_NAMES[code]} in {KINDS[kind]} with {size} octets")
        if code == PEERLIST_QUERY and size != 12:
            raise bad(f"PEERLIST_QUERY of {size} octets")
        methods[code] = BODIES[code][1](body) if body else None
    cursor.end()
    return methods


def decode_or_skip(data):
    try:
        return decode(data)
    except Violation as violation:
        if violation.code != NOT_SUPPORTED:
            raise
        start = HEAD.size + data[16]
        return Unknown(data[1], int.from_bytes(data[8:16], "big"), bytes(data[start:start + data[18] * 256 + data[19]]))


class Decoder:
    """Messages of one direction of a connection, in any pieces."""

    def __init__(self):
        self.tail = b""

    def feed(self, data):
        """The messages that are complete now. Violation, whose `before` are those complete before it."""
        data = self.tail + data if self.tail else data
        found, at, view = [], 0, memoryview(data)
        try:
            while len(view) - at >= HEAD.size:
                size = HEAD.size + head_of(view[at:at + HEAD.size])[4]
                if len(view) - at < size:
                    break
                found.append(decode_or_skip(view[at:at + size]))
                at += size
        except Violation as violation:
            violation.before = found
            violation.kind, violation.transaction = HEAD.unpack_from(view, at)[1::4]
            raise
        self.tail = bytes(view[at:])
        return found
