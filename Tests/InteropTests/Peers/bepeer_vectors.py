#!/usr/bin/env python3
"""The vectors of BePeer: what they ask of our own encoder and decoder, and how the cases read them.

    bepeer_vectors.py FILE ...      status 0, or what differed and status 1
"""
import json
import os
import random
import sys

import bepeer_wire as wire

PLACES = (os.path.join(os.path.dirname(__file__), "../../BePeerTests/Vectors/bepeer.json"),
          os.path.join(os.environ.get("PEERNODE_VECTORS", "/nowhere"), "bepeer.json"))


def load(path=None, kind=None):
    """The vectors of a file, of one kind or all."""
    path = path or next((place for place in PLACES if os.path.exists(place)), None)
    if path is None:
        raise FileNotFoundError("which vector file? (--vectors FILE)")
    with open(path, encoding="utf-8") as file:
        vectors = json.load(file)["vectors"]
    return [vector for vector in vectors if kind in (None, vector["kind"])]


def octets(vector):
    """The input of a vector as octets."""
    value = vector["input"]
    if value is None:
        return RULES[vector["input_rule"]]
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value.encode()


RULES = {r"'FilesToGet\na\n80\nHTTP\n' + 4097 times 'a' + '\n\n'": b"FilesToGet\na\n80\nHTTP\n" + b"a" * 4097 + b"\n\n"}


def check_parse(vector):
    data, expected = octets(vector), vector["expect"]["messages"]
    yield wire.parse(data), expected
    yield in_pieces(data, [1] * len(data)), expected
    chance = random.Random(vector["id"])
    for _ in range(20):
        yield in_pieces(data, [chance.randint(1, 12) for _ in data]), expected


def in_pieces(data, sizes):
    decoder, found, start = wire.Decoder(), [], 0
    for size in sizes:
        try:
            found += [wire.described(message) for message in decoder.feed(data[start:start + size])]
        except wire.Violation as violation:
            return found + [wire.described(message) for message in violation.before] + [{"error": violation.reason}]
        start += size
    return found + ([{"incomplete": True}] if decoder.is_inside else [])


def check_build(vector):
    fields = vector["message"]
    message = wire.Message(fields["type"], fields["name"], fields.get("port"), None, tuple(fields.get("files", ())))
    yield wire.encode(message), vector["expect"]["bytes"].encode()
    if message.type == wire.REQUEST:
        yield wire.parse(wire.encode(message)), [fields]
    else:
        yield wire.parse(wire.encode(message)), [fields | {"protocol": "HTTP"}]


def check_path(vector):
    reason = wire.path_refusal(octets(vector))
    yield {"accepted": reason is None, "reason": reason}, vector["expect"]


def check_url(vector):
    fields = vector["input"]
    url = wire.url_of(fields["ip"], fields["port"], fields["folder"], fields["path"])
    yield url, vector["expect"]["url"]
    target = "/" + url.split("/", 3)[3]
    yield wire.components_of(target), [fields["folder"], *fields["path"].split("/")]


def check_target(vector):
    yield wire.components_of(vector["input"]), vector["expect"]["components"]


def check_range(vector):
    size = vector["input"]["size"]
    status, first, count = wire.range_of(size, vector["input"]["range"])
    found = {"status": status}
    if status == 206:
        found["content_range"] = f"bytes {first}-{first + count - 1}/{size}"
    if status == 416:
        found["content_range"] = f"bytes */{size}"
    else:
        found["content_length"] = count
    yield found, vector["expect"]


def check_version(vector):
    local, remote = vector["input"]["local"], vector["input"]["remote"]
    yield wire.compared(local, remote), vector["expect"]["local_is"]
    opposite = {"newer": "older", "older": "newer"}.get(vector["expect"]["local_is"], vector["expect"]["local_is"])
    yield wire.compared(remote, local), opposite


def check_winner(vector):
    yield wire.winner(vector["input"]["local"], vector["input"]["remote"]), vector["expect"]["winner"]


def check_conflict_name(vector):
    fields = vector["input"]
    name = wire.conflict_name(fields["path"], fields["mtime_utc"], fields["loser_hash"])
    yield name, vector["expect"]["path"]
    yield (wire.is_conflict_name(name), wire.original_name(name)), (True, fields["path"])


def check_blocksize(vector):
    yield wire.block_size(vector["input"]), vector["expect"]["block"]


CHECKS = {
    "parse": check_parse, "build": check_build, "path": check_path, "url": check_url, "target": check_target,
    "range": check_range, "version": check_version, "winner": check_winner, "conflict-name": check_conflict_name,
    "blocksize": check_blocksize}


def own_rules():
    """What the vectors leave out of the texts: pairs of what is found and what the text has."""
    bare = b"BePeerRequest\na\n\n"
    yield wire.parse(b"\n" * 8 + bare), [{"type": "BePeerRequest", "name": "a"}]
    yield wire.parse(b"\n" * 9 + bare), [{"error": "syntax"}]
    yield wire.parse(b"\r\n" * 8 + bare), [{"type": "BePeerRequest", "name": "a"}]
    yield wire.parse(b"BePeerRequest\na\n[EOL]\n"), [{"type": "BePeerRequest", "name": "a"}]
    offered = b"FilesToGet\na\n80\nhttp\nx\n"
    expected = [{"type": "FilesToGet", "name": "a", "port": 80, "protocol": "HTTP", "files": ["x"]}]
    yield wire.parse(offered + b"[EOL]\n"), expected
    yield wire.parse(offered + b"[EOL]\r\n"), expected
    yield wire.parse(offered + b"x\n./x\n\n"), expected
    yield wire.parse(offered + b"y" * 4096 + b"\r\n\n"), [expected[0] | {"refused": ["component_too_long"]}]
    yield wire.parse(b"\xef\xbb\xbf" + bare), [{"error": "syntax"}]
    yield wire.parse(b"bepeerrequest\na\n\n"), [{"error": "syntax"}]
    for port in (b"65536", b"-1", b"+80", b" 80", b"", b"8 0", b"0x50", "８０".encode()):
        yield wire.parse(b"FilesToGet\na\n" + port + b"\nHTTP\n\n"), [{"error": "syntax"}]
    for name in (b"a" * 256, b"\xff", b"a\tb", b"a\\b", b".", b".bepeerx", b"a\r\r"):
        yield wire.parse(b"BePeerRequest\n" + name + b"\n\n"), [{"error": "syntax"}]
    yield wire.parse(b"BePeerRequest\n" + b"a" * 255 + b"\n\n"), [{"type": "BePeerRequest", "name": "a" * 255}]
    yield wire.parse(b"FilesToGet\na\n80\n" + b"P" * 17 + b"\n\n"), [{"error": "syntax"}]
    yield wire.parse(b"x" * 4097), [{"error": "too_long"}]
    yield wire.range_of(0, "bytes=0-")[0], 416
    yield wire.range_of(10, "bytes=-0")[0], 416
    yield wire.range_of(10, "bytes=-")[0], 200
    entries = [wire.entry("a", b"x", 1, {"n": 1}, 1), {"p": "b", "s": 0, "m": 2, "h": "", "v": {}, "q": 2, "d": True}]
    yield wire.read_manifest(wire.manifest("f", "n", 2, entries))[1], entries
    for broken in (wire.manifest("f", "n", 2, entries, tail=False), wire.manifest("f", "n", 2, entries)[:-1]):
        try:
            yield wire.read_manifest(broken), "ValueError"
        except ValueError:
            pass


def differences(path):
    """What differs, and how many vectors were compared."""
    found, count = [], 0
    for vector in load(path):
        if check := CHECKS.get(vector["kind"]):
            count += 1
            found += [f"{vector['id']} {vector['name']}: got {short(got)}, expected {short(expected)}"
                      for got, expected in check(vector) if got != expected]
    for number, (got, expected) in enumerate(own_rules()):
        if got != expected:
            found.append(f"rule {number}: got {short(got)}, expected {short(expected)}")
    return found, count


def short(value):
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]} … ({len(text)})"


def main(paths):
    if not paths:
        print(__doc__)
        return 64
    failed = 0
    for path in paths:
        found, count = differences(path)
        for line in found:
            print(line)
        print(f"{path}: {count} vectors, {len(found)} differences")
        failed += len(found)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
