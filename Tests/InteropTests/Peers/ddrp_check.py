#!/usr/bin/env python3
"""Checks ddrp_wire against the shared DDRP vectors (format: ddrp.md section 19).

    ddrp_check.py VECTORFILE

One line per group with the number of cases and "ok"; the first failing case is named and ends it with status 1.
A group without cases, an unknown expectation or an unknown message is a failure, so it cannot pass vacuously.
"""
import json
import sys

import ddrp_keys as keys
import ddrp_wire as wire

DIALECT = {"reference": wire.REFERENCE, "pip": wire.TEXT}
MAX_USED_PEERS = 255


class Failed(Exception):
    pass


def expect(label, got, wanted):
    if got != wanted:
        shorten = lambda value: (value.hex() if isinstance(value, bytes) else repr(value))[:160]
        raise Failed(f"{label}: got {shorten(got)}, expected {shorten(wanted)}")


def hexed(text):
    return bytes.fromhex(text)


# --- keys and fields -----------------------------------------------------------------------------------------

def check_key(case):
    secret = hexed(case["private_key"])
    compressed, uncompressed = keys.public_key(secret), keys.public_key(secret, compressed=False)
    expect("compressed", compressed, hexed(case["public_key_compressed"]))
    expect("uncompressed", uncompressed, hexed(case["public_key_uncompressed"]))
    expect("peer ID", keys.peer_id(compressed), hexed(case["peer_id"]))
    expect("other hash", keys.blake2b(uncompressed), hexed(case["not_peer_id_uncompressed_hash"]))
    keys.check_public_key(compressed)


def check_uvarint(case):
    expect("encoded", wire.encode_uvarint(int(case["value"])), hexed(case["hex"]))
    expect("decoded", wire.decode_uvarint(hexed(case["hex"])), (int(case["value"]), len(case["hex"]) // 2))


def check_uvarint_decode(case):
    data = hexed(case["hex"])
    try:
        got = wire.decode_uvarint(data)
    except wire.WireError:
        got = "overflow"
    if "value" in case:
        wanted = int(case["value"]), len(data)
    elif case["error"] == "EOF":
        wanted = None
    elif "overflows" in case["error"]:
        wanted = "overflow"
    else:
        raise Failed(f"unknown error {case['error']!r}")
    expect("decoded", got, wanted)


def check_ip(case):
    expect("encoded", wire.encode_ip(case["ip"]), hexed(case["hex"]))
    expect("decoded", wire.decode_ip(hexed(case["hex"])), case["ip"])


# --- envelopes -----------------------------------------------------------------------------------------------

def sector_bytes(seed):
    return bytes((seed + 31 * i + 7 * (i // 256)) % 256 for i in range(65536))


def fields_of(case):
    """The vector's fields in the form that ddrp_wire takes and gives."""
    fields = dict(case["fields"])
    if "sector_seed" in fields:
        fields["sector"] = sector_bytes(fields.pop("sector_seed"))
    for key, kind in wire.LAYOUTS[DIALECT[case["dialect"]]].get(case["type_name"], []):
        if kind == "string":
            fields[key] = fields[key].encode()
        elif (isinstance(kind, int) or kind == "key") and isinstance(fields[key], str):
            fields[key] = hexed(fields[key])
    if "peers" in fields:
        fields["peers"] = [wire.Entry(p["ip"], p.get("port"), hexed(p["peer_id"])) for p in fields["peers"]]
    return fields


def check_bytes(case, key, data):
    """Against the octets themselves, or against length and digest where the vector has only those."""
    expect(key + " length", len(data), case[key + "_length"])
    if key in case:
        expect(key, data, hexed(case[key]))
    else:
        expect(key + " digest", keys.blake2b(data), hexed(case[key + "_blake2b256"]))


def check_envelope(case):
    dialect, name = DIALECT[case["dialect"]], case["type_name"]
    secret, magic, peer = hexed(case["private_key"]), hexed(case["magic"]), hexed(case["peer_id"])
    number, stamp = wire.TYPES[dialect][name], case["timestamp"]
    fields = fields_of(case)
    expect("type", number, case["type"])
    expect("public key", keys.public_key(secret), hexed(case["public_key"]))
    expect("peer ID", keys.peer_id(hexed(case["public_key"])), peer)
    body = wire.encode_body(name, fields, dialect)
    check_bytes(case, "body", body)
    signed = wire.preimage(dialect, number, stamp, body, magic)
    if "signed_preimage" in case:
        expect("signed octets", signed, hexed(case["signed_preimage"]))
    expect("digest", keys.blake2b(signed), hexed(case["sealed_hash"]))
    expect("signature", keys.sign(keys.blake2b(signed), secret), hexed(case["signature"]))
    data = wire.seal(dialect, number, stamp, body, secret, magic)
    check_bytes(case, "envelope", data)
    if "envelope_first_32" in case:
        expect("first octets", data[:32], hexed(case["envelope_first_32"]))
    check_decoding(data, case, dialect, fields, magic, peer)


def check_decoding(data, case, dialect, fields, magic, peer):
    envelope = wire.next_envelope(data, dialect, case["timestamp"], magic=magic)
    expect("size", envelope.size, len(data))
    got_name, got = wire.open_message(envelope, dialect, peer)
    got.pop("layout", None)
    expect("decoded name", got_name, case["type_name"])
    expect("decoded fields", got, fields)
    expect("one octet short", wire.next_envelope(data[:-1], dialect, case["timestamp"], magic=magic), None)
    if magic != wire.MAGIC:
        expect("other magic", outcome(data, dialect, "established", case["timestamp"], peer)[0], "close")


# --- handshakes ----------------------------------------------------------------------------------------------

def side(case, role, dialect):
    """A Handshake with the vector's key and nonce; agent and outside address are read from its own Hello."""
    step = next(s for s in case["steps"] if s["sender"] == role and s["message"] == "Hello")
    theirs = wire.decode_body("Hello", envelope_of(step, dialect).body, dialect)
    return wire.Handshake(role, dialect, hexed(case[role + "_private_key"]), theirs["user_agent"],
                          hexed(case[role + "_nonce"]),
                          (theirs.get("external_ip", "0.0.0.0"), theirs.get("external_port", 0)))


def envelope_of(step, dialect):
    return wire.next_envelope(hexed(step["envelope"]), dialect, step["timestamp"], wire.MAX_HANDSHAKE_BODY)


def check_handshake(case):
    dialect = DIALECT[case["dialect"]]
    sides = {role: side(case, role, dialect) for role in ("initiator", "responder")}
    expect("steps", [(s["sender"], s["message"]) for s in case["steps"]],
           [("initiator", "Hello"), ("responder", "Hello"), ("initiator", "HelloAck")])
    for step in case["steps"]:
        sender = sides[step["sender"]]
        receiver = sides["responder" if step["sender"] == "initiator" else "initiator"]
        fields = sender.hello() if step["message"] == "Hello" else sender.ack()
        sent = wire.seal(dialect, wire.TYPES[dialect][step["message"]], step["timestamp"],
                         wire.encode_body(step["message"], fields, dialect),
                         hexed(case[step["sender"] + "_private_key"]))
        expect(step["sender"] + " " + step["message"], sent, hexed(step["envelope"]))
        receiver.receive(envelope_of(step, dialect))
    for role, other in (("initiator", "responder"), ("responder", "initiator")):
        expect(role + " open", sides[role].open, True)
        expect(role + " proved", sides[other].peer, keys.peer_id(sides[role].key))


# --- decisions about input -----------------------------------------------------------------------------------

def outcome(data, dialect, phase, now, expected_id):
    """(what a node does with these octets, the messages it took, size of the first envelope).

    `dialect` None sniffs it, as a responder in auto mode does."""
    taken, first = [], None
    try:
        if dialect is None:
            dialect = wire.sniff_dialect(data)
            if dialect is None:
                return "wait", taken, first
            taken.append(("dialect", dialect))
        while data:
            limit = wire.MAX_HANDSHAKE_BODY if phase == "incoming-hello" else wire.MAX_BODY
            envelope = wire.next_envelope(data, dialect, now, limit)
            if envelope is None:
                break
            first, data = first or envelope.size, data[envelope.size:]
            if phase == "incoming-hello":
                shake = wire.Handshake("responder", dialect, keys.new_secret())
                shake.receive(envelope)
                taken.append(("Hello", shake.theirs))
            else:
                taken.append(wire.open_message(envelope, dialect, expected_id))
    except wire.WireError as error:
        return "close", [error.reason], first
    return summary(data, taken), taken, first


def summary(rest, taken):
    names = [name for name, _ in taken if name != "dialect"]
    if not names or rest:
        return "wait"
    return "ignore" if None in names else "accept"


ALLOWED = {"accept": {"accept"}, "close": {"close"}, "ignore": {"ignore"}, "wait": {"wait"},
           "accept-or-close": {"accept", "close"}, "accept-switch-dialect": {"accept"}}

REASONS = {"envelope has invalid signature": "bad_signature", "envelope has stale timestamp": "clock",
           "envelope has invalid magic": "malformed", "incompatible protocol version": "malformed",
           "unexpected handshake message": "malformed"}


def check_input(case, own_dialect):
    """Open connections are in `own_dialect`; a first Hello is judged by a sniffing and by a fixed responder."""
    data, phase, now = hexed(case["input"]), case["phase"], case["now"]
    peer = hexed(case["expected_peer_id"]) if phase == "established" else None
    if phase not in ("established", "incoming-hello"):
        raise Failed(f"unknown phase {phase!r}")
    if case["expect"] not in ALLOWED:
        raise Failed(f"unknown expectation {case['expect']!r}")
    switch = case["expect"] == "accept-switch-dialect"
    fixed = outcome(data, own_dialect, phase, now, peer)
    if not switch and fixed[0] not in ALLOWED[case["expect"]]:
        raise Failed(f"outcome {fixed[0]} {str(fixed[1])[:160]}, expected {case['expect']}")
    if phase == "incoming-hello":
        auto = outcome(data, None, phase, now, peer)
        if auto[0] not in ALLOWED[case["expect"]]:
            raise Failed(f"sniffing outcome {auto[0]}, expected {case['expect']}")
        if switch:
            expect("switched to", auto[1][0], ("dialect", wire.TEXT))
            expect("fixed dialect", fixed[0], "close")
    check_reference(case, fixed)


def check_reference(case, fixed):
    """Where the Go program said why it refused, ours is the same; where it accepted, it saw the same envelope."""
    reference = case.get("reference", {})
    if fixed[0] == "close" and reference.get("error") in REASONS:
        expect("reason", fixed[1], [REASONS[reference["error"]]])
    if reference.get("result") != "accept" or fixed[0] != "accept":
        return
    expect("octets of the first envelope", fixed[2], reference["consumed"])
    name, fields = fixed[1][0]
    if "peer_count" in reference:
        expect("peers", min(len(fields["peers"]), MAX_USED_PEERS), reference["peer_count"])
    expect("type", wire.TYPES[wire.REFERENCE][name], reference["decoded_type"])


# --- the run -------------------------------------------------------------------------------------------------

GROUPS = {
    "keys": check_key, "uvarint": check_uvarint, "uvarint_decode": check_uvarint_decode, "ip": check_ip,
    "envelopes": check_envelope, "handshakes": check_handshake,
    "checks": lambda case: check_input(case, wire.REFERENCE),
    "pip_checks": lambda case: check_input(case, wire.TEXT),
}


def run_group(name, cases, check):
    for number, case in enumerate(cases):
        label = case.get("name") or case.get("ip") or case.get("hex") or f"number {number}"
        try:
            check(case)
        except Exception as error:    # a crash of the codec is a failing case, too
            raise Failed(f"{name} / {label}: {type(error).__name__}: {error}") from error
    if not cases:
        raise Failed(f"{name}: no cases")
    kinds = {}
    for case in cases:
        kind = case.get("expect") or case.get("dialect")
        kinds[kind] = kinds.get(kind, 0) + 1
    detail = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items(), key=str) if kind)
    print(f"{name}: {len(cases)} ok" + (f" ({detail})" if detail else ""))


def main(arguments):
    if len(arguments) != 1:
        print("usage: ddrp_check.py VECTORFILE", file=sys.stderr)
        return 64
    try:
        with open(arguments[0], encoding="utf-8") as file:
            vectors = json.load(file)
        for name, check in GROUPS.items():
            run_group(name, vectors.get(name, []), check)
    except (OSError, ValueError, Failed) as error:
        print(f"FAILED {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
