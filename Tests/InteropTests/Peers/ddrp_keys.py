"""DDRP keys, peer IDs and recoverable signatures (ddrp.md sections 4 and 5), by libsecp256k1 through ctypes."""
import ctypes
import hashlib
import os


class WireError(Exception):
    """What the other end did wrong. `reason` is "malformed", "clock" or "bad_signature"."""

    def __init__(self, reason, detail):
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def malformed(detail):
    return WireError("malformed", detail)


_lib = ctypes.CDLL("libsecp256k1.so.1")
_lib.secp256k1_context_create.restype = ctypes.c_void_p
_lib.secp256k1_context_create.argtypes = [ctypes.c_uint]
for _name, _kinds in {
    "ec_seckey_verify": "pp", "ec_pubkey_create": "ppp", "ec_pubkey_parse": "pppz", "ec_pubkey_serialize": "ppppu",
    "ecdsa_sign_recoverable": "pppppp", "ecdsa_recoverable_signature_serialize_compact": "pppp",
    "ecdsa_recoverable_signature_parse_compact": "pppi", "ecdsa_recover": "pppp",
}.items():
    _function = getattr(_lib, "secp256k1_" + _name)
    _function.restype = ctypes.c_int
    _function.argtypes = [{"p": ctypes.c_void_p, "z": ctypes.c_size_t, "u": ctypes.c_uint, "i": ctypes.c_int}[k]
                          for k in _kinds]
_context = _lib.secp256k1_context_create(0x301)    # sign and verify
_COMPRESSED, _UNCOMPRESSED = 0x102, 0x2


def blake2b(data):
    return hashlib.blake2b(data, digest_size=32).digest()


def new_secret():
    while True:
        secret = os.urandom(32)
        if _lib.secp256k1_ec_seckey_verify(_context, secret):
            return secret


def _serialize(key, flags):
    out, size = ctypes.create_string_buffer(65), ctypes.c_size_t(65)
    _lib.secp256k1_ec_pubkey_serialize(_context, out, ctypes.byref(size), key, flags)
    return out.raw[:size.value]


def public_key(secret, compressed=True):
    key = ctypes.create_string_buffer(64)
    if len(secret) != 32 or not _lib.secp256k1_ec_pubkey_create(_context, key, secret):
        raise ValueError("a private key is 32 bytes, 1 to n-1")
    return _serialize(key, _COMPRESSED if compressed else _UNCOMPRESSED)


def peer_id(compressed_key):
    return blake2b(compressed_key)


def check_public_key(data):
    """Refuses anything but 02/03 and an X that is on the curve."""
    key = ctypes.create_string_buffer(64)
    if len(data) != 33 or data[0] not in (2, 3) or not _lib.secp256k1_ec_pubkey_parse(_context, key, data, 33):
        raise malformed("public key is not a compressed curve point")


def sign(digest, secret):
    signature, out, recovery = ctypes.create_string_buffer(65), ctypes.create_string_buffer(64), ctypes.c_int()
    if not _lib.secp256k1_ecdsa_sign_recoverable(_context, signature, digest, secret, None, None):
        raise ValueError("cannot sign with this key")
    _lib.secp256k1_ecdsa_recoverable_signature_serialize_compact(_context, out, ctypes.byref(recovery), signature)
    return bytes([27 + recovery.value]) + out.raw


def recover_id(digest, signature):
    """The peer ID of whoever signed `digest`, or WireError."""
    if not 27 <= signature[0] <= 34:
        raise WireError("bad_signature", f"header byte {signature[0]}")
    parsed, key = ctypes.create_string_buffer(65), ctypes.create_string_buffer(64)
    recovery = (signature[0] - 27) & 3
    if not _lib.secp256k1_ecdsa_recoverable_signature_parse_compact(_context, parsed, signature[1:], recovery):
        raise WireError("bad_signature", "r or s out of range")
    if not _lib.secp256k1_ecdsa_recover(_context, key, parsed, digest):
        raise WireError("bad_signature", "no key can be recovered")
    return peer_id(_serialize(key, _COMPRESSED))
