"""The bodies of PPSP's methods (ppsp.md sections 4 to 6), of our own making. What is encoded is not checked."""
import ipaddress
import re
import struct
from typing import NamedTuple

SUCCESSFUL, SYNTAX, VERSION_REFUSED, NOT_SUPPORTED, OVERLOADED, INTERNAL, FORBIDDEN, NOT_FOUND, AUTHENTICATE = range(9)
RESPONSES = ("SUCCESSFUL", "INVALID_SYNTAX", "VERSION_NOT_SUPPORTED", "MESSAGE_NOT_SUPPORTED",
             "TEMPORARILY_OVERLOADED", "INTERNAL_ERROR", "MESSAGE_FORBIDDEN", "OBJECT_NOT_FOUND",
             "AUTHENTICATION_REQUIRED")
NONE, BITMAP, RANGES, ALL = range(4)
FORMATS = ("NONE", "BITMAP", "RANGES", "ALL")
UPDATE, REMOVE = 1, 2
TCP, UDP, HTTP = 1, 2, 3                # transports
CONTROL, PPSPP, WEB = range(3)          # kinds of addresses
ADDRESS_KINDS = ("control", "ppspp-udp", "http")
ID_SIZE = 32


class Violation(Exception):
    """What breaks the rules; `code` is the response code that it earns (section 7)."""

    def __init__(self, code, detail):
        super().__init__(f"{RESPONSES[code]}: {detail}")
        self.code, self.detail = code, detail


def bad(detail):
    return Violation(SYNTAX, detail)


class Cursor:
    """Reads a body; what is not there is a violation."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if count > len(self.data) - self.at:
            raise bad("cut")
        self.at += count
        return bytes(self.data[self.at - count:self.at])

    def unpack(self, layout):
        return struct.unpack(layout, self.take(struct.calcsize(layout)))

    def number(self, layout):
        return self.unpack(layout)[0]

    def end(self):
        if self.at != len(self.data):
            raise bad("more than belongs there")


# --- availability (4) ----------------------------------------------------------------------------------------


class Availability(NamedTuple):
    format: int
    flags: int = 0
    chunk_size: int = 0
    base: int = 0
    count: int = 0
    ranges: tuple = ()      # (first, last) of what is there, in each format

    @property
    def body(self):
        body = struct.pack(">BBHIQQ", self.format, self.flags, 0, self.chunk_size, self.base, self.count)
        if self.format == BITMAP:
            return body + bitmap(self.ranges, self.base, self.count)
        if self.format == RANGES:
            body += struct.pack(">I", len(self.ranges))
            return body + b"".join(struct.pack(">QQ", first, last) for first, last in self.ranges)
        return body


def decode_availability(data):
    cursor = Cursor(data)
    form, flags, _, chunk_size, base, count = cursor.unpack(">BBHIQQ")
    if form > ALL or base + count > 1 << 63 or flags & (UPDATE | REMOVE) == REMOVE:
        raise bad(f"map of format {form}, flags {flags}, {count} from {base}")
    ranges = ()
    if form == ALL and count:
        ranges = ((base, base + count - 1),)
    elif form == BITMAP:
        octets = cursor.take((count + 7) // 8)
        if count % 8 and octets[-1] & (0xFF >> count % 8):
            raise bad("a bit behind the bitmap")
        ranges = ranges_of_bitmap(octets, base)
    elif form == RANGES:
        octets = cursor.take(16 * cursor.number(">I"))
        ranges = tuple(struct.iter_unpack(">QQ", octets))
        before = base - 2
        for first, last in ranges:
            if first < before + 2 or first > last or last >= base + count:
                raise bad(f"range {first}-{last}")
            before = last
    cursor.end()
    return Availability(form, flags, chunk_size, base, count, ranges)


def bitmap(ranges, base, count):
    parts, at = [], base
    for first, last in ranges:
        parts += ["0" * (first - at), "1" * (last - first + 1)]
        at = last + 1
    size = (count + 7) // 8
    text = "".join(parts)
    return int((text + "0" * (8 * size - len(text))) or "0", 2).to_bytes(size, "big")


def ranges_of_bitmap(octets, base=0):
    text = f"{int.from_bytes(octets, 'big'):0{8 * len(octets)}b}" if octets else ""
    return tuple((base + match.start(), base + match.end() - 1) for match in re.finditer("1+", text))


def ranges_of(flags):
    """The ranges of chunks whose octet in `flags` is 1."""
    return tuple((match.start(), match.end() - 1) for match in re.finditer(b"\x01+", flags))


def whole_map(flags, chunk_size):
    """ALL or NONE when true, else the smaller of BITMAP and RANGES."""
    count, ranges = len(flags), ranges_of(flags)
    if not ranges or ranges == ((0, count - 1),):
        return Availability(ALL if ranges else NONE, 0, chunk_size, 0, count, ranges)
    form = BITMAP if (count + 7) // 8 <= 4 + 16 * len(ranges) else RANGES
    return Availability(form, 0, chunk_size, 0, count, ranges)


# --- addresses, properties, peers (5) ------------------------------------------------------------------------


class Address(NamedTuple):
    ip: str
    port: int
    kind: int = CONTROL

    @property
    def bytes(self):
        packed = ipaddress.ip_address(self.ip).packed
        return struct.pack(">BBH", 6 if len(packed) == 16 else 4, self.kind, self.port) + packed


def decode_address(cursor):
    family, kind, port = cursor.unpack(">BBH")
    if family not in (4, 6) or port == 0:
        raise bad(f"address of family {family}, port {port}")
    return Address(str(ipaddress.ip_address(cursor.take(4 if family == 4 else 16))), port, kind)


U8, U16, U32, U64 = ">B", ">H", ">I", ">Q"
OPAQUE, TEXT, ADDRESS, NONCE = "opaque", "text", "address", "nonce"
PROPERTIES = {
    0x0001: ("CachingSize", U64), 0x0002: ("Bandwidth", U64), 0x0003: ("LinkNumber", U32),
    0x0004: ("Certificate", OPAQUE), 0x0005: ("NAT", U8), 0x0006: ("STUN", U8), 0x0007: ("TURN", U8),
    0x0008: ("SumBytes", U64), 0x0009: ("AccessMode", U8), 0x000A: ("EndDevice", U8),
    0x000B: ("AvailableBattery", U8), 0x0101: ("OnlineTime", U32), 0x0102: ("UploadBandwidth", U64),
    0x0103: ("Nonce", NONCE), 0x0104: ("SoftwareName", TEXT), 0x0105: ("ListenAddress", ADDRESS)}
(CERTIFICATE, SUM_BYTES, NONCE_CODE, SOFTWARE, LISTEN) = 0x0004, 0x0008, 0x0103, 0x0104, 0x0105
PARAMETERS = {1: ("chunk_size", U32), 2: ("chunk_addressing", U8), 3: ("integrity_method", U8),
              4: ("hash_function", U8), 5: ("content_length", U64), 6: ("address", ADDRESS), 7: ("url", TEXT),
              8: ("request_window", U32), 9: ("live_signature_algorithm", U8), 10: ("live_discard_window", U64)}
(CHUNK_SIZE, ADDRESSING, INTEGRITY_METHOD, HASH, LENGTH, WHERE, URL, WINDOW) = range(1, 9)


def encode_value(kind, value):
    if kind in (OPAQUE, NONCE):
        return value
    if kind == TEXT:
        return value.encode()
    return value.bytes if kind == ADDRESS else struct.pack(kind, value)


def decode_value(kind, data, most=None):
    if kind in (OPAQUE, NONCE):
        if kind == NONCE and len(data) != 32:
            raise bad(f"nonce of {len(data)} octets")
        return data
    if kind == TEXT:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise bad("text that is not UTF-8") from None
        if most and len(data) > most:
            raise bad(f"text of {len(data)} octets")
        return text
    cursor = Cursor(data)
    value = decode_address(cursor) if kind == ADDRESS else cursor.number(kind)
    cursor.end()
    return value


def encode_properties(items):
    """`items`: value by code; what has an unknown code is octets."""
    body = struct.pack(">HH", len(items), 0)
    for code in sorted(items):
        value = encode_value(PROPERTIES[code][1] if code in PROPERTIES else OPAQUE, items[code])
        body += struct.pack(">HH", code, len(value)) + value
    return body


def decode_properties(data):
    cursor, items, before = Cursor(data), {}, -1
    count, _ = cursor.unpack(">HH")
    for _ in range(count):
        code, size = cursor.unpack(">HH")
        if code <= before:
            raise bad(f"property {code} after {before}")
        before = code
        items[code] = decode_value(PROPERTIES[code][1] if code in PROPERTIES else OPAQUE, cursor.take(size), 64)
    cursor.end()
    return items


class PeerQuery(NamedTuple):
    most: int = 0
    families: int = 0
    flags: int = 0
    chunk: int = 0

    @property
    def body(self):
        return struct.pack(">HBBQ", *self)


class Entry(NamedTuple):
    peer: bytes
    flags: int
    age: int
    addresses: tuple


COMPLETE, BEHIND_NAT, TAKES_PUSH = 1, 2, 4


def encode_peers(entries):
    body = struct.pack(">HH", len(entries), 0)
    for one in entries:
        body += struct.pack(">B", len(one.peer)) + one.peer
        body += struct.pack(">BHB", one.flags, one.age, len(one.addresses))
        body += b"".join(address.bytes for address in one.addresses)
    return body


def decode_peers(data):
    cursor, entries = Cursor(data), []
    count, _ = cursor.unpack(">HH")
    for _ in range(count):
        if cursor.number(U8) != ID_SIZE:
            raise bad("length of a peer ID")
        peer = cursor.take(ID_SIZE)
        flags, age, addresses = cursor.unpack(">BHB")
        if not 1 <= addresses <= 8:
            raise bad(f"{addresses} addresses")
        entries.append(Entry(peer, flags, age, tuple(decode_address(cursor) for _ in range(addresses))))
    cursor.end()
    return entries


# --- transports (6) ------------------------------------------------------------------------------------------


class Transport(NamedTuple):
    id: int
    values: dict = {}       # value by code; what has an unknown code is octets

    def get(self, code, otherwise=None):
        return self.values.get(code, otherwise)

    @property
    def bytes(self):
        data = b""
        for code in sorted(self.values):
            value = encode_value(PARAMETERS[code][1] if code in PARAMETERS else OPAQUE, self.values[code])
            data += struct.pack(">BB", code, len(value)) + value
        return struct.pack(">HH", self.id, len(data)) + data


def decode_transport(cursor):
    number, size = cursor.unpack(">HH")
    cursor, values, before = Cursor(cursor.take(size)), {}, -1
    while cursor.at < len(cursor.data):
        code, length = cursor.unpack(">BB")
        if code <= before:
            raise bad(f"parameter {code} after {before}")
        before = code
        values[code] = decode_value(PARAMETERS[code][1] if code in PARAMETERS else OPAQUE, cursor.take(length))
    size = values.get(CHUNK_SIZE, 512)
    if not 512 <= size <= 1 << 20 or size & (size - 1):
        raise bad(f"chunks of {size}")
    return Transport(number, values)


def decode_transports(data):
    cursor = Cursor(data)
    count = cursor.unpack(">BBH")[0]
    if not 1 <= count <= 16:
        raise bad(f"{count} transports")
    found = [decode_transport(cursor) for _ in range(count)]
    cursor.end()
    if len({one.id for one in found}) < count:
        raise bad("the same transport twice")
    return found


def decode_mandatory(data):
    cursor = Cursor(data)
    found = decode_transport(cursor)
    cursor.end()
    if found.id != TCP:
        raise bad(f"mandatory transport {found.id}")
    return found


def negotiated(offer, supported):
    """IDs that answer a list of IDs, in the order of who answers; None: TRANSPORT_MANDATORY is the answer (6)."""
    return None if offer is None else [one for one in supported if one in offer] or None
