"""Ed25519 (RFC 8032), peer IDs and certificates of PPSP (ppsp.md sections 1 and 10.2), without any library."""
import hashlib
import os
import struct

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
CONTEXT = b"PPSP-PP-AUTH-1"
SCHEME = 1


def _add(one, other):
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c = 2 * one[3] * other[3] * D % P
    d = 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(scalar, point):
    total = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = _add(total, point)
        point, scalar = _add(point, point), scalar >> 1
    return total


def _x_of(y, sign):
    """None: no point has this y."""
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if y >= P or square == 0 and sign:
        return None
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P:
        return None
    return P - x if x & 1 != sign else x


_Y = 4 * pow(5, P - 2, P) % P
_X = _x_of(_Y, 0)
BASE = (_X, _Y, 1, _X * _Y % P)


def _packed(point):
    inverse = pow(point[2], P - 2, P)
    return (point[1] * inverse % P | (point[0] * inverse % P & 1) << 255).to_bytes(32, "little")


def _unpacked(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    x = _x_of(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


def _number(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % ORDER


def _expanded(seed):
    digest = hashlib.sha512(seed).digest()
    return int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254, digest[32:]


def public_key(seed):
    return _packed(_times(_expanded(seed)[0], BASE))


def sign(seed, data):
    secret, prefix = _expanded(seed)
    key = _packed(_times(secret, BASE))
    once = _number(prefix, data)
    point = _packed(_times(once, BASE))
    return point + ((once + _number(point, key, data) * secret) % ORDER).to_bytes(32, "little")


def is_signed(key, data, signature):
    point, number = _unpacked(key), int.from_bytes(signature[32:], "little")
    if point is None or len(signature) != 64 or number >= ORDER:
        return False
    nonce = _unpacked(signature[:32])
    if nonce is None:
        return False
    return _packed(_times(number, BASE)) == _packed(_add(nonce, _times(_number(signature[:32], key, data), point)))


class Identity:
    """A key pair and the peer ID that is made of it."""

    def __init__(self, seed=None):
        self.seed = seed or os.urandom(32)
        self.key = public_key(self.seed)
        self.id = peer_id(self.key)

    def certificate(self, verifier, nonce, swarm):
        """The value of the property Certificate over the verifier's nonce."""
        return bytes([SCHEME]) + self.key + sign(self.seed, signed_octets(self.id, verifier, nonce, swarm))


def peer_id(key):
    return hashlib.blake2b(key, digest_size=32).digest()


def signed_octets(signer, verifier, nonce, swarm):
    return CONTEXT + signer + verifier + nonce + struct.pack(">H", len(swarm)) + swarm


def is_certified(value, signer, verifier, nonce, swarm):
    """Whether a Certificate proves that its sender is `signer`."""
    if len(value) != 97 or value[0] != SCHEME or peer_id(value[1:33]) != signer:
        return False
    return is_signed(value[1:33], signed_octets(signer, verifier, nonce, swarm), value[33:])
