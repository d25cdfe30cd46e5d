"""DDRP wire format: fields, envelopes, signatures, messages and the handshake, in both dialects.

Written from the specification alone (ddrp.md sections 2 to 11 and 17, decisions.md), so that it can disagree
with the node under test. Nothing here does I/O; time is an argument.

Dialects: "reference" (what the Go program sends) and "text" (what the PIP texts say; the vectors call it "pip").
Messages are a name ("Hello", "Ping", ...) and a dict of fields; 32-byte values are `bytes`, addresses are text.
"""
import ipaddress
import os
from collections import namedtuple

from ddrp_keys import WireError, blake2b, check_public_key, malformed, peer_id, public_key, recover_id, sign

MAGIC = bytes.fromhex("cafecafe")
REFERENCE, TEXT = "reference", "text"
MAX_BODY = 262144            # longest byte string, and so the longest body
MAX_HANDSHAKE_BODY = 4096    # while the other end is not authenticated
MAX_ELEMENTS = 1024
MAX_SKEW = 30                # seconds; exactly 30 is still good
SIGNATURE_SIZE = 65
STANDARD_PORT = 9097
ZERO32 = bytes(32)
IPV4_PREFIX = bytes(10) + b"\xff\xff"

TYPES = {
    REFERENCE: {"Hello": 0, "HelloAck": 1, "Ping": 2, "Update": 3, "NilUpdate": 4, "TreeBaseReq": 5,
                "TreeBaseRes": 6, "SectorReq": 7, "SectorRes": 8, "PeerReq": 9, "PeerRes": 10, "UpdateReq": 11},
    TEXT: {"Hello": 0, "HelloAck": 1, "Ping": 3, "Update": 4, "TreeBaseReq": 5, "TreeBaseRes": 6,
           "SectorReq": 7, "SectorRes": 8, "PeerReq": 9, "PeerRes": 10, "UpdateReq": 11},
}
NAMES = {dialect: {number: name for name, number in table.items()} for dialect, table in TYPES.items()}

_HELLO = [("protocol_version", "u32"), ("local_nonce", 32), ("remote_nonce", 32), ("public_key", "key")]
_EXTERNAL = [("external_ip", "ip"), ("external_port", "u16")]
_AGENT = [("user_agent", "string")]
_NAME = [("name", "string")]
_UPDATE = _NAME + [("timestamp", "u32"), ("merkle_root", 32), ("reserved_root", 32), ("signature", 65)]
_SECTOR = {REFERENCE: [("sector_id", "u8")], TEXT: [("sector_id", "u16")]}

LAYOUTS = {
    dialect: {
        "Hello": _HELLO + (_EXTERNAL if dialect == TEXT else []) + _AGENT,
        "HelloAck": [("nonce", 32)],
        "Ping": [], "PeerReq": [],
        "Update": _UPDATE, "NilUpdate": _NAME, "TreeBaseReq": _NAME,
        "UpdateReq": _NAME + ([("timestamp", "u32")] if dialect == REFERENCE else []),
        "TreeBaseRes": _NAME + [("merkle_base", 256 * 32)],
        "SectorReq": _NAME + _SECTOR[dialect],
        "SectorRes": _NAME + _SECTOR[dialect] + [("sector", 65536)],
    } for dialect in (REFERENCE, TEXT)
}
_WIDTHS = {"u8": 1, "u16": 2, "u32": 4}


# --- fields (section 2) --------------------------------------------------------------------------------------

def encode_uvarint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode_uvarint(data, offset=0):
    """(value, octets read), or None when the octets at hand end inside it. Longer forms than needed are fine."""
    value = 0
    for i, octet in enumerate(data[offset:offset + 10]):
        if i == 9 and octet > 1:
            raise malformed("uvarint overflows 64 bits")
        value |= (octet & 127) << (7 * i)
        if octet < 128:
            return value, i + 1
    return None


def encode_ip(text):
    address = ipaddress.ip_address(text)
    return address.packed if address.version == 6 else IPV4_PREFIX + address.packed


def decode_ip(data):
    address = ipaddress.IPv6Address(data)
    return str(address.ipv4_mapped or address)


class Reader:
    """Takes fields off a complete body; running out of octets is mal-formed."""

    def __init__(self, data):
        self.data, self.offset = data, 0

    def take(self, size):
        if self.offset + size > len(self.data):
            raise malformed("body ends inside a field")
        self.offset += size
        return self.data[self.offset - size:self.offset]

    def uvarint(self):
        found = decode_uvarint(self.data, self.offset)
        if found is None:
            raise malformed("body ends inside a length")
        self.offset += found[1]
        return found[0]

    def field(self, kind):
        if kind in _WIDTHS:
            return int.from_bytes(self.take(_WIDTHS[kind]), "big")
        if kind == "string":
            size = self.uvarint()
            if size > MAX_BODY:
                raise malformed("string too long")
            return self.take(size)
        if kind == "ip":
            return decode_ip(self.take(16))
        if kind == "key":
            key = self.take(33)
            check_public_key(key)
            return key
        return self.take(kind)


def encode_field(kind, value):
    if kind in _WIDTHS:
        return value.to_bytes(_WIDTHS[kind], "big")
    if kind == "string":
        return encode_uvarint(len(value)) + value
    if kind == "ip":
        return encode_ip(value)
    if len(value) != (33 if kind == "key" else kind):
        raise ValueError(f"{len(value)} octets where {kind} belong")
    return value


# --- message bodies (sections 6, 11 and 17) ------------------------------------------------------------------

Entry = namedtuple("Entry", "ip port id")    # port is None where the layout has none
PEER_LAYOUTS = ("reference", "text-two-counts", "text-one-count")


def encode_peers(entries, layout):
    head = encode_uvarint(len(entries))
    if layout != "reference":
        head = bytes([len(entries)]) + (head if layout == "text-two-counts" else b"")
    body = bytearray(head)
    for entry in entries:
        port = b"" if layout == "reference" else entry.port.to_bytes(2, "big")
        body += encode_ip(entry.ip) + port + entry.id
    return bytes(body)


def _cut_two_counts(data):
    """A two-count body that lost its last octets can have a one-count body's length (vector
    pip-peerres-truncated-entry). It is known by the count standing twice before an IPv4 address."""
    found = decode_uvarint(data, 1)
    return found is not None and found[0] == data[0] and data[1 + found[1]:13 + found[1]] == IPV4_PREFIX


def _peers_start(data, layout):
    """(count, where the entries start) if `data` had this layout, else None."""
    if not data:
        return None
    if layout == "text-one-count":
        return None if _cut_two_counts(data) else (data[0], 1)
    skip = 0 if layout == "reference" else 1
    found = decode_uvarint(data, skip)
    if found is None or (skip and found[0] != data[0]):
        return None
    return found[0], skip + found[1]


def decode_peers(data, dialect):
    """(layout, entries). The layout is the one whose length fits exactly; the dialect's own is tried first."""
    for layout in PEER_LAYOUTS if dialect == REFERENCE else PEER_LAYOUTS[1:] + PEER_LAYOUTS[:1]:
        start, size = _peers_start(data, layout), 48 if layout == "reference" else 50
        if start is None or start[0] > MAX_ELEMENTS or len(data) != start[1] + size * start[0]:
            continue
        rows = [data[i:i + size] for i in range(start[1], len(data), size)]
        return layout, [Entry(decode_ip(row[:16]), int.from_bytes(row[16:18], "big") if size == 50 else None,
                              row[-32:]) for row in rows]
    raise malformed("PeerRes fits none of the three layouts")


def encode_body(name, fields, dialect):
    if name == "PeerRes":
        default = "reference" if dialect == REFERENCE else "text-two-counts"
        return encode_peers(fields["peers"], fields.get("layout", default))
    return b"".join(encode_field(kind, fields[key]) for key, kind in LAYOUTS[dialect][name])


def decode_body(name, body, dialect):
    """The fields of a message; octets after the last known field are ignored, except in PeerRes."""
    if name == "PeerRes":
        layout, peers = decode_peers(body, dialect)
        return {"layout": layout, "peers": peers}
    reader = Reader(body)
    return {key: reader.field(kind) for key, kind in LAYOUTS[dialect][name]}


# --- envelopes (sections 3 and 4) ----------------------------------------------------------------------------

Envelope = namedtuple("Envelope", "type timestamp body signature size digest")


def preimage(dialect, number, timestamp, body, magic=MAGIC):
    """The signed octets. In the reference dialect the body is not among them (an empty one stands there)."""
    if dialect == REFERENCE:
        return magic + number.to_bytes(2, "big") + timestamp.to_bytes(4, "big") + b"\0"
    return number.to_bytes(1, "big") + timestamp.to_bytes(4, "big") + encode_uvarint(len(body)) + body


def header(dialect, number, timestamp, length, magic=MAGIC):
    width = 2 if dialect == REFERENCE else 1
    return magic + number.to_bytes(width, "big") + timestamp.to_bytes(4, "big") + encode_uvarint(length)


def seal(dialect, number, timestamp, body, secret, magic=MAGIC):
    signature = sign(blake2b(preimage(dialect, number, timestamp, body, magic)), secret)
    return header(dialect, number, timestamp, len(body), magic) + body + signature


def check_magic(data, magic=MAGIC):
    if data[:4] != magic[:len(data)]:
        raise malformed("wrong magic")


def next_envelope(data, dialect, now, limit=MAX_BODY, skew=MAX_SKEW, magic=MAGIC):
    """The first envelope of `data`, or None while it is not complete.

    Magic, clock and announced length are judged as soon as their octets are there. The signature is not
    checked here: whose it must be is known to the connection (see `check_signature`)."""
    check_magic(data, magic)
    at = 6 if dialect == REFERENCE else 5
    if len(data) < at + 4:
        return None
    number, timestamp = int.from_bytes(data[4:at], "big"), int.from_bytes(data[at:at + 4], "big")
    if abs(timestamp - now) > skew:
        raise WireError("clock", f"{timestamp - now} s off")
    length = decode_uvarint(data, at + 4)
    if length is None:
        return None
    if length[0] > limit:
        raise malformed(f"body of {length[0]} octets announced")
    start = at + 4 + length[1]
    end = start + length[0]
    if len(data) < end + SIGNATURE_SIZE:
        return None
    body, signature = bytes(data[start:end]), bytes(data[end:end + SIGNATURE_SIZE])
    digest = blake2b(preimage(dialect, number, timestamp, body, magic))
    return Envelope(number, timestamp, body, signature, end + SIGNATURE_SIZE, digest)


def check_signature(envelope, expected_id):
    if recover_id(envelope.digest, envelope.signature) != expected_id:
        raise WireError("bad_signature", "signed by another key")


def message_name(number, body, dialect):
    """The message's name, None for a type to be ignored. Empty 2 and 3 are a Ping in both dialects."""
    if number in (2, 3) and not body:
        return "Ping"
    return NAMES[dialect].get(number)


def open_message(envelope, dialect, expected_id):
    """(name, fields) of an envelope on an open connection; (None, {}) for an unknown type."""
    check_signature(envelope, expected_id)
    name = message_name(envelope.type, envelope.body, dialect)
    return name, decode_body(name, envelope.body, dialect) if name else {}


def sniff_dialect(data):
    """The dialect of an initiator's first octets (section 7), None while fewer than six are there."""
    check_magic(data)
    if len(data) < 6:
        return None
    return REFERENCE if data[5] == 0 else TEXT


# --- handshake (section 8) -----------------------------------------------------------------------------------

class Handshake:
    """One side of Hello, Hello, HelloAck. `hello` and `ack` give fields to send; `receive` checks what came."""

    def __init__(self, role, dialect, secret, agent=b"", nonce=None, external=("0.0.0.0", 0)):
        self.role, self.dialect, self.agent, self.external = role, dialect, agent, external
        self.key = public_key(secret)
        self.nonce = nonce or os.urandom(32)
        self.peer = None       # peer ID, once proven
        self.theirs = None     # fields of the other side's Hello
        self.open = False

    def hello(self):
        return {"protocol_version": 1, "local_nonce": self.nonce, "public_key": self.key, "user_agent": self.agent,
                "remote_nonce": self.theirs["local_nonce"] if self.theirs else ZERO32,
                "external_ip": self.external[0], "external_port": self.external[1]}

    def ack(self):
        return {"nonce": self.theirs["local_nonce"]}

    def receive(self, envelope):
        if self.theirs is None:
            self._receive_hello(envelope)
        elif self.role == "responder" and not self.open:
            self._receive_ack(envelope)
        else:
            raise malformed(f"type {envelope.type} inside the handshake")

    def _receive_hello(self, envelope):
        if envelope.type != 0:
            raise malformed(f"type {envelope.type} where a Hello belongs")
        fields = decode_body("Hello", envelope.body, self.dialect)
        check_signature(envelope, peer_id(fields["public_key"]))
        if fields["protocol_version"] not in ((0, 1) if self.dialect == REFERENCE else (1, 2)):
            raise malformed(f"protocol version {fields['protocol_version']}")
        if self.role == "initiator" and fields["remote_nonce"] != self.nonce:
            raise malformed("the Hello does not carry our nonce")
        self.theirs, self.peer = fields, peer_id(fields["public_key"])
        self.open = self.role == "initiator"

    def _receive_ack(self, envelope):
        if envelope.type != 1:
            raise malformed(f"type {envelope.type} where a HelloAck belongs")
        check_signature(envelope, self.peer)
        if decode_body("HelloAck", envelope.body, self.dialect)["nonce"] != self.nonce:
            raise malformed("the HelloAck does not carry our nonce")
        self.open = True
