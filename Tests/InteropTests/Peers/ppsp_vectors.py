#!/usr/bin/env python3
"""The vectors of PPSP: what they ask of our own encoder and decoder, and how the cases read them.

    ppsp_vectors.py FILE ...      status 0, or what differed and status 1
"""
import hashlib
import json
import os
import random
import sys

import ppsp_chunks as chunks
import ppsp_keys as keys
import ppsp_merkle as merkle
import ppsp_wire as wire

PLACES = (os.path.join(os.path.dirname(__file__), "../../PPSPTests/Vectors/ppsp.json"),
          os.path.join(os.environ.get("PEERNODE_VECTORS", "/nowhere"), "ppsp.json"))


def load(path=None, group=None):
    """The vectors of a file, of one group or all."""
    path = path or next((place for place in PLACES if os.path.exists(place)), None)
    if path is None:
        raise FileNotFoundError("which vector file? (--vectors FILE)")
    with open(path, encoding="utf-8") as file:
        vectors = json.load(file)["vectors"]
    return [vector for vector in vectors if group in (None, vector["group"])]


def content(size):
    """byte i = (7*i + 13*(i>>8)) mod 256: the content of the Merkle vectors and of the captured datagrams."""
    return b"".join(bytes((7 * low + 13 * high) % 256 for low in range(256)) for high in range(-(-size // 256)))[:size]


# --- as the vectors write it ---------------------------------------------------------------------------------


def plain_address(one):
    return {"ip": one.ip, "port": one.port, "kind": wire.ADDRESS_KINDS[one.kind]}


def address_of(fields):
    return wire.Address(fields["ip"], fields["port"], wire.ADDRESS_KINDS.index(fields["kind"]))


def plain_value(value):
    return value.hex() if isinstance(value, bytes) else plain_address(value) if isinstance(
        value, wire.Address) else value


def plain_items(values, names):
    return [[names[code][0] if code in names else code, plain_value(value)] for code, value in values.items()]


def items_of(pairs, names):
    codes = {name: (code, kind) for code, (name, kind) in names.items()}
    found = {}
    for name, value in pairs:
        code, kind = codes.get(name, (name, wire.OPAQUE))
        found[code] = bytes.fromhex(value) if kind in (wire.OPAQUE, wire.NONCE) else address_of(
            value) if kind == wire.ADDRESS else value
    return found


def plain_transport(one):
    return {"id": one.id, "params": plain_items(one.values, wire.PARAMETERS)}


def transport_of(fields):
    return wire.Transport(fields["id"], items_of(fields["params"], wire.PARAMETERS))


def plain_body(code, body):
    if code == wire.DATA_AVAILABILITY:
        fields = {"format": wire.FORMATS[body.format], "flags": body.flags, "chunk_size": body.chunk_size,
                  "base": body.base, "count": body.count}
        if body.format == wire.BITMAP:
            fields["chunks"] = [chunk for first, last in body.ranges for chunk in range(first, last + 1)]
        if body.format == wire.RANGES:
            fields["ranges"] = [list(pair) for pair in body.ranges]
        return fields
    if code == wire.PROPERTY_PROVISION:
        return {"items": plain_items(body, wire.PROPERTIES)}
    if code == wire.PEERLIST_QUERY:
        return dict(zip(("max_peers", "families", "flags", "min_chunk"), body))
    if code == wire.PEERLIST_PROVISION:
        return {"peers": [{"peer_id": one.peer.hex(), "flags": one.flags, "age": one.age,
                           "addresses": [plain_address(where) for where in one.addresses]} for one in body]}
    if code == wire.TRANSPORT_PARAMETER:
        return {"transports": [plain_transport(one) for one in body]}
    return plain_transport(body)


def body_of(code, fields):
    if code == wire.DATA_AVAILABILITY:
        ranges = fields.get("ranges") or ([(chunk, chunk) for chunk in fields["chunks"]] if "chunks" in fields else ())
        return wire.Availability(wire.FORMATS.index(fields["format"]), fields["flags"], fields["chunk_size"],
                                 fields["base"], fields["count"], tuple(map(tuple, ranges)))
    if code == wire.PROPERTY_PROVISION:
        return items_of(fields["items"], wire.PROPERTIES)
    if code == wire.PEERLIST_QUERY:
        return wire.PeerQuery(*fields.values())
    if code == wire.PEERLIST_PROVISION:
        return [wire.Entry(bytes.fromhex(one["peer_id"]), one["flags"], one["age"], tuple(map(
            address_of, one["addresses"]))) for one in fields["peers"]]
    if code == wire.TRANSPORT_PARAMETER:
        return [transport_of(one) for one in fields["transports"]]
    return transport_of(fields)


def plain(message):
    fields = {"type": wire.KINDS[message.kind], "transaction_id": f"{message.transaction:016x}",
              "peer_id": message.peer.hex(), "swarm_id": message.swarm.hex()}
    if message.kind == wire.RESPONSE:
        fields["response"] = wire.RESPONSES[message.code]
    fields["methods"] = [
        {"method": wire.METHOD_NAMES[code]} | ({} if body is None else {"body": plain_body(code, body)})
        for code, body in message.methods.items()]
    return fields


def message_of(fields):
    codes = {name: code for code, name in wire.METHOD_NAMES.items()}
    methods = {codes[one["method"]]: body_of(codes[one["method"]], one["body"]) if "body" in one else None
               for one in fields["methods"]}
    kinds = {name: kind for kind, name in wire.KINDS.items()}
    return wire.Message(kinds[fields["type"]], int(fields["transaction_id"], 16), bytes.fromhex(fields["peer_id"]),
                        bytes.fromhex(fields["swarm_id"]), methods,
                        wire.RESPONSES.index(fields.get("response", "SUCCESSFUL")))


def plain_chunk(one, addressing, is_short):
    if one.type == chunks.HANDSHAKE:
        options = [[chunks.OPTIONS[code], plain_value(value)] for code, value in one.options.items()]
        return {"type": one.name, "src_channel": one.channel, "options": options + [["end"]]}
    fields = {"type": one.name}
    if one.type in (chunks.DATA, chunks.ACK, chunks.HAVE, chunks.INTEGRITY, chunks.REQUEST, chunks.CANCEL):
        fields |= {"bin": merkle.bin_of(one.first, one.last)} if addressing in (chunks.BINS32, chunks.BINS64) else {
            "start": one.first, "end": one.last}
    if one.type == chunks.INTEGRITY:
        fields["hash"] = one.value.hex()
    if one.type == chunks.ACK:
        fields["owd"] = one.value
    if one.type == chunks.DATA:
        fields["timestamp"] = one.value
        fields |= {"data_len": len(one.data), "data_sha1": hashlib.sha1(one.data).hexdigest()} if is_short else {
            "data": bytes(one.data).hex()}
    return fields


def chunk_of(fields):
    """Of the fields of a TRANSFER, where DATA is whole."""
    kind = chunks.TYPES.index(fields["type"])
    value = {chunks.INTEGRITY: lambda: bytes.fromhex(fields["hash"]), chunks.DATA: lambda: fields["timestamp"],
             chunks.ACK: lambda: fields["owd"]}.get(kind, lambda: None)()
    return chunks.Chunk(kind, fields.get("start", 0), fields.get("end", 0), value,
                        bytes.fromhex(fields.get("data", "")))


# --- what is compared ----------------------------------------------------------------------------------------


def outcome(data, in_pieces=None):
    """What the decoder reports of these octets, which may come in pieces."""
    decoder, found = wire.Decoder(), []
    try:
        for piece in in_pieces or [data]:
            for one in decoder.feed(piece):
                if isinstance(one, wire.Unknown):
                    return {"error": "MESSAGE_NOT_SUPPORTED"}
                if isinstance(one, wire.Transfer):
                    chunks.decode_transfer(one.payload, one.count)
                found.append(one)
    except wire.Violation as violation:
        return {"error": wire.RESPONSES[violation.code]}
    except chunks.Unreadable:
        return {"error": "INVALID_SYNTAX"}
    return found[0] if found and not decoder.tail else {"incomplete": True}


def pieces(data, chance):
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(8))
    return [data[first:last] for first, last in zip([0, *cuts], [*cuts, len(data)])]


def check_control_ok(vector):
    data = bytes.fromhex(vector["hex"])
    yield plain(wire.decode(memoryview(data))), vector["fields"]
    yield wire.encode(message_of(vector["fields"])), data
    yield outcome(data, [bytes([octet]) for octet in data]), wire.decode(memoryview(data))


def check_reject(vector):
    data = bytes.fromhex(vector["hex"])
    expected = {"incomplete": True} if vector["expect"] == "incomplete" else {"error": vector["error"]}
    yield outcome(data), expected
    chance = random.Random(vector["id"])
    for _ in range(5):
        yield outcome(data, pieces(data, chance)), expected


def check_transfer_ok(vector):
    data, fields = bytes.fromhex(vector["hex"]), vector["fields"]
    message, addressing = wire.decode(memoryview(data)), fields["cam"]
    found = chunks.decode_transfer(message.payload, message.count, addressing, vector["hash_len"])
    yield {"type": "TRANSFER", "transaction_id": f"{message.transaction:016x}", "peer_id": message.peer.hex(),
           "swarm_id": message.swarm.hex(), "messages": [plain_chunk(one, addressing, False) for one in found],
           "cam": addressing}, fields
    made = [chunks.encode_chunk(chunk_of(one), addressing) for one in fields["messages"]]
    yield wire.transfer(int(fields["transaction_id"], 16), *made), data


def check_merkle(vector):
    data = content(vector["size"])
    tree = merkle.Tree(data, vector["chunk_size"], vector["hash_function"])
    yield (tree.count, tree.root.hex()), (vector["chunks"], vector["root"])
    yield [described(node, tree) | {"layer": node[0], "offset": node[1], "bin": merkle.bin_number(*node)}
           for node in tree.peaks], vector["peaks"]
    proof = vector["proof"]
    way = merkle.uncles(proof["chunk"], tree.count)
    yield (tree[0, proof["chunk"]].hex(), [described(node, tree) for node in way]), (
        proof["leaf"], proof["uncles_top_down_to_peak"])
    at = proof["chunk"] * vector["chunk_size"]
    chunk = data[at:at + vector["chunk_size"]]
    for damage, expected in ((None, "ok"), ("chunk", "false"), ("uncle", "false"), ("peak", "missing")):
        pending = {node: tree[node] for node in [*tree.peaks, *way]}
        node = {"uncle": way[-1:], "peak": tree.peaks[:1]}.get(damage)
        if node:
            pending[node[0]] = bytes(len(tree.root))
        if damage == "uncle" and not node:
            continue
        found = merkle.Proofs(tree.root, tree.function).verify(
            proof["chunk"], chunk + b"x" if damage == "chunk" else chunk, pending)
        yield (damage, found), (damage, expected)


def described(node, tree):
    first, last = merkle.range_of(*node)
    return {"start": first, "end": last, "hash": tree[node].hex()}


def check_bins(vector):
    number = merkle.bin_number(vector["layer"], vector["offset"])
    yield (number, *merkle.range_of_bin(number, 64)), (vector["bin"], vector["start"], vector["end"])
    yield merkle.node_of(vector["start"], vector["end"]), (vector["layer"], vector["offset"])


def check_stream(vector):
    decoder, found = wire.Decoder(), []
    for segment in vector["segments"]:
        found += decoder.feed(bytes.fromhex(segment))
    yield [wire.KINDS[one.kind] for one in found], vector["types"]
    yield [len(wire.encode(one)) for one in found], vector["message_lengths"]
    yield b"".join(map(wire.encode, found)).hex(), "".join(vector["segments"])


def check_negotiation(vector):
    found = wire.negotiated(vector["offer"], vector["answerer_supports_in_preference_order"])
    yield {"method": "TRANSPORT_PARAMETER" if found else "TRANSPORT_MANDATORY", "ids": found or [1]}, vector["expect"]


def check_auth(vector):
    value = {key: bytes.fromhex(text) for key, text in vector.items() if key not in ("group", "name", "id")}
    identity = keys.Identity(value["ed25519_seed"])
    yield (identity.key, identity.id), (value["public_key"], value["peer_id"])
    terms = value["verifier_peer_id"], value["verifier_nonce"], value["swarm_id"]
    yield keys.signed_octets(identity.id, *terms), value["signed_bytes"]
    made = identity.certificate(*terms)
    yield made, value["certificate_value"]
    yield keys.is_certified(made, identity.id, *terms), True
    for at in (0, 5, 40, 96):
        false = bytearray(made)
        false[at] ^= 1
        yield keys.is_certified(bytes(false), identity.id, *terms), False


def check_datagram(vector):
    data, addressing = bytes.fromhex(vector["hex"]), vector["chunk_addressing"]
    found = chunks.decode_datagram(data, addressing, vector["hash_len"])
    yield {"channel": found.channel, "messages": [
        plain_chunk(one, addressing, True) for one in found.messages]}, vector["fields"]
    yield chunks.encode_datagram(found.channel, found.messages, addressing), data


def check_no_datagram(vector):
    try:
        found = chunks.decode_datagram(bytes.fromhex(vector["hex"]), vector["chunk_addressing"], vector["hash_len"])
    except chunks.Unreadable as error:
        found = str(error)
    yield found, vector["reason"]


CHECKS = {
    "control-ok": check_control_ok, "control-reject": check_reject, "transfer-ok": check_transfer_ok,
    "transfer-reject": check_reject, "merkle": check_merkle, "bins": check_bins, "stream": check_stream,
    "negotiation": check_negotiation, "auth": check_auth, "rfc7574-ok": check_datagram,
    "rfc7574-reject": check_no_datagram}


def main(paths):
    failed = count = 0
    for path in paths:
        for vector in load(path):
            for found, expected in CHECKS[vector["group"]](vector):
                count += 1
                if found != expected:
                    failed += 1
                    print(f"{vector['id']} {vector['name']}: got {found}, expected {expected}")
        print(f"{path}: {count} comparisons, {failed} differ")
    return 1 if failed or not count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
