#!/usr/bin/env python3
"""An independent client and a minimal server for the bootstrap part of Gossip (INIT 510, POPULATE 511, UDP).

    bootstrap_client.py --server IP:PORT --bind IP:PORT --degree N [--echo] [--count N] [--timeout S]
    bootstrap_client.py --serve IP:PORT --seconds N [--entry ID@IP:PORT]...
    bootstrap_client.py --check gossip.json

Client: sends INIT, again after 1, 2, 4, 8 ... s while nothing comes, until --count POPULATEs came or --timeout is
over. With --echo the second INIT carries the ID given (and so proves the return path); --count is then 2 unless
given. Events: sent, populate, ignored, timeout. Status 0 when all POPULATEs came, else 1.

Server: gives random IDs by source endpoint, lists echoed ("validated") endpoints and those given by --entry, never
the asker, at most 3 to an unvalidated asker and 69 to others. No rate limits, no TCP probes: it is for one test at a
time. Events: listening, init, disconnect, ignored, done. Each line on standard output is a JSON object.

--check compares encoder and decoder with the INIT and POPULATE vectors.
"""
import argparse
import ipaddress
import json
import math
import random
import signal
import socket
import struct
import sys
import time

INIT, POPULATE, DISCONNECT = 510, 511, 513
MAX_LISTED, MAX_UNVALIDATED = 69, 3
PROVISIONAL_SECONDS, ENTRY_SECONDS = 15, 180


class Malformed(Exception):
    pass


def emit(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


# --- wire ----------------------------------------------------------------------------------------------------

def encode_init(degree, reserved=0):
    return struct.pack("!HHHH", 8, INIT, degree, reserved)


def encode_populate(identity, entries):
    body = b"".join(struct.pack("!HH", i, port) + pack_ip(ip) for i, ip, port in entries)
    return struct.pack("!HHHH", 8 + len(body), POPULATE, identity, 0) + body


def pack_ip(text):
    address = ipaddress.ip_address(text)
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed


def unpack_ip(data):
    address = ipaddress.IPv6Address(data)
    return str(address.ipv4_mapped or address)


def split(data):
    """(type, first word, second word) of a datagram whose length is its size field."""
    if len(data) < 8 or struct.unpack_from("!H", data)[0] != len(data):
        raise Malformed("size")
    return struct.unpack_from("!HHH", data, 2)


def decode_init(data):
    number, degree, reserved = split(data)
    if number != INIT or len(data) != 8:
        raise Malformed("not an INIT")
    return degree, reserved


def decode_populate(data):
    """(ID, entries as (ID, ip, port)), entries as they stand, also the unusable ones."""
    number, identity, _ = split(data)
    if number != POPULATE or (len(data) - 8) % 20:
        raise Malformed("not a POPULATE")
    rows = range(8, len(data), 20)
    return identity, [(*struct.unpack_from("!H", data, i), unpack_ip(data[i + 4:i + 20]),
                       *struct.unpack_from("!H", data, i + 2)) for i in rows]


# --- client --------------------------------------------------------------------------------------------------

def open_socket(address):
    sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(address)
    return sock


def receive(sock, until):
    """(datagram, sender), or None when the time is over."""
    left = until - time.monotonic()
    if left <= 0:
        return None
    sock.settimeout(left)
    try:
        data, sender = sock.recvfrom(65536)
    except TimeoutError:
        return None
    except ConnectionRefusedError:    # nobody there yet: as good as lost
        time.sleep(min(0.05, left))
        return None
    return data, sender[:2]


def wait_populate(sock, server, until):
    while time.monotonic() < until:
        found = receive(sock, until)
        if found is None:
            continue
        data, sender = found
        if sender != server:
            emit("ignored", address=name_of(sender), why="not the server")
            continue
        try:
            return decode_populate(data), len(data)
        except Malformed as error:
            emit("ignored", address=name_of(sender), why=str(error))
    return None


def run_client(options):
    sock, end = open_socket(options.bind), time.monotonic() + options.timeout
    count = options.count or (2 if options.echo else 1)
    identity, got, pause = 0, 0, 1
    while got < count and time.monotonic() < end:
        reserved = identity if options.echo else 0
        sock.sendto(encode_init(options.degree, reserved), options.server)
        emit("sent", degree=options.degree, reserved=reserved)
        answer = wait_populate(sock, options.server, min(end, time.monotonic() + pause))
        if answer is None:
            pause = min(60, 2 * pause)
            continue
        (identity, entries), octets = answer
        got, pause = got + 1, 1
        emit("populate", id=identity, octets=octets,
             entries=[{"id": i, "ip": ip, "port": port} for i, ip, port in entries])
    if got < count:
        emit("timeout", populates=got, wanted=count)
    return 0 if got == count else 1


# --- server --------------------------------------------------------------------------------------------------

class Server:
    def __init__(self, options):
        self.sock = open_socket(options.serve)
        self.fixed = options.entry
        self.known = {}    # endpoint: [id, validated, expiry]

    def free_id(self):
        used = {row[0] for row in self.known.values()} | {row[0] for row in self.fixed}
        return random.choice([i for i in range(1, 65535) if i not in used])

    def entry_for(self, sender, reserved, now):
        self.known = {key: row for key, row in self.known.items() if row[2] > now}
        row = self.known.get(sender)
        if row is None:
            row = self.known[sender] = [self.free_id(), False, 0]
        row[1] = row[1] or reserved == row[0]
        row[2] = now + (ENTRY_SECONDS if row[1] else PROVISIONAL_SECONDS)
        return row

    def answer(self, data, sender, now):
        degree, reserved = decode_init(data)
        identity, validated, _ = self.entry_for(sender, reserved, now)
        listed = [(row[0], *key) for key, row in self.known.items() if row[1] and key != sender]
        listed += [row for row in self.fixed if row[1:] != sender]
        room = min(degree, MAX_LISTED if validated else MAX_UNVALIDATED)
        chosen = random.sample(listed, min(room, len(listed)))
        self.sock.sendto(encode_populate(identity, chosen), sender)
        emit("init", address=name_of(sender), degree=degree, reserved=reserved, id=identity, validated=validated,
             entries=len(chosen))

    def handle(self, data, sender, now):
        try:
            number, identity, _ = split(data)
            if number == DISCONNECT and len(data) == 8:
                removed = self.known.get(sender, [None])[0] == identity and bool(self.known.pop(sender))
                return emit("disconnect", address=name_of(sender), id=identity, removed=removed)
            self.answer(data, sender, now)
        except Malformed as error:
            emit("ignored", address=name_of(sender), why=str(error))


def run_server(options):
    server, end = Server(options), time.monotonic() + options.seconds
    emit("listening", address=name_of(server.sock.getsockname()))
    while time.monotonic() < end:
        found = receive(server.sock, end)
        if found:
            server.handle(*found, time.monotonic())
    emit("done")
    return 0


# --- vectors -------------------------------------------------------------------------------------------------

def refused(decode, data):
    try:
        decode(data)
    except Malformed:
        return True
    return False


def check_message(case, data):
    fields = case["fields"]
    if case["type"] == INIT:
        wanted = fields["degree"], fields["reserved"]
        return decode_init(data) == wanted and encode_init(*wanted) == data
    wanted = fields["id"], [(p["id"], p["address"], p["port"]) for p in fields["peers"]]
    return decode_populate(data) == wanted and encode_populate(*wanted) == data


def run_check(path):
    with open(path, encoding="utf-8") as file:
        vectors = json.load(file)
    messages = [c for c in vectors["messages"] if c["type"] in (INIT, POPULATE)]
    wrong = [c for c in vectors["malformed"] if c["channel"] == "bootstrap-udp" and c["expect"] == "drop"]
    failed = [c["name"] for c in messages if not check_message(c, bytes.fromhex(c["hex"]))]
    failed += [c["name"] for c in wrong if not refused(decode_init, bytes.fromhex(c["hex"]))]
    for name, cases in (("messages", messages), ("malformed", wrong)):
        print(f"{name}: {len(cases)} " + ("FAILED " + ", ".join(failed) if failed else "ok"))
    return 0 if messages and wrong and not failed else 1


# --- command line --------------------------------------------------------------------------------------------

def name_of(address):
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


def endpoint(text):
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    try:
        ipaddress.ip_address(host)
        number = int(port)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error))
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError("port")
    return host, number


def listed_entry(text):
    identity, _, place = text.partition("@")
    if not identity.isdigit() or not 1 <= int(identity) <= 65534:
        raise argparse.ArgumentTypeError("an ID is 1 to 65534")
    return int(identity), *endpoint(place)


def positive(text):
    value = float(text)
    if not math.isfinite(value) or not 0 < value <= 3600:
        raise argparse.ArgumentTypeError("more than 0, at most 3600")
    return value


def degree(text):
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError("0 to 65535")
    return value


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--server", type=endpoint, metavar="IP:PORT")
    mode.add_argument("--serve", type=endpoint, metavar="IP:PORT", help="port 0: a free one")
    mode.add_argument("--check", metavar="FILE")
    parser.add_argument("--bind", type=endpoint, default=("127.0.0.1", 0), metavar="IP:PORT")
    parser.add_argument("--degree", type=degree, default=30)
    parser.add_argument("--echo", action="store_true")
    parser.add_argument("--count", type=int, default=0, help="POPULATEs wanted; 1, or 2 with --echo")
    parser.add_argument("--timeout", type=positive, default=10.0)
    parser.add_argument("--seconds", type=positive, default=20.0)
    parser.add_argument("--entry", type=listed_entry, action="append", default=[], metavar="ID@IP:PORT")
    try:
        options = parser.parse_args(arguments)
    except SystemExit as leave:    # argparse says 2 where this project says 64
        return 64 if leave.code else 0
    if options.check:
        return run_check(options.check)
    life = options.seconds if options.serve else options.timeout
    signal.alarm(math.ceil(life) + 10)    # the end, whatever happens
    try:
        return run_server(options) if options.serve else run_client(options)
    except OSError as error:
        emit("failed", detail=error.strerror)
        return 69


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
