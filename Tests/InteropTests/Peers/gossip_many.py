#!/usr/bin/env python3
"""Local programs on many nodes at once: every one subscribes and finds all items valid; items are announced in turn at
all nodes, or one after the other at the first. Says how far it is, line by line, and in the end who got what.

gossip_many.py --api HOST:PORT[,HOST:PORT...] --items N [--one] [--pause S] [--settle S] [--doomed N]

The last N nodes (--doomed) may die at any time: what is announced there does not count, nor what arrives there.
"""
import argparse
import json
import selectors
import socket
import struct
import sys
import time

from gossip_wire import ANNOUNCE, NOTIFICATION, NOTIFY, VALIDATION

TYPE = 1337
# Items from here on only try the way.
PROBE = 1 << 31
# A connection that takes or gives nothing for so long is given up.
PATIENCE = 60


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Program:
    """A subscriber on one node."""

    def __init__(self, number, address, is_doomed):
        host, port = address.rsplit(":", 1)
        self.number, self.is_doomed, self.is_alive = number, is_doomed, True
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.buffer, self.out = bytearray(), bytearray(struct.pack("!HHHH", 8, NOTIFY, 0, TYPE))
        self.items = []

    def announce(self, item):
        data = struct.pack("!II", self.number, item)
        self.out += struct.pack("!HHBBH", 8 + len(data), ANNOUNCE, 0, 0, TYPE) + data

    def read(self):
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.is_alive = False
            return
        self.buffer += data
        start = 0
        while len(self.buffer) - start >= 4:
            size, kind = struct.unpack_from("!HH", self.buffer, start)
            if len(self.buffer) - start < size:
                break
            if kind != NOTIFICATION:
                raise SystemExit(f"node {self.number} sent a message of type {kind}")
            message_id, = struct.unpack_from("!H", self.buffer, start + 4)
            self.items.append(struct.unpack_from("!II", self.buffer, start + 8))
            self.out += struct.pack("!HHHH", 8, VALIDATION, message_id, 1)
            start += size
        del self.buffer[:start]

    def write(self):
        try:
            sent = self.socket.send(self.out)
        except BlockingIOError:
            return
        except OSError:
            self.is_alive = False
            return
        del self.out[:sent]


def turn(selector, programs, timeout):
    for program in programs:
        if not program.is_alive:
            if program.socket.fileno() >= 0:
                selector.unregister(program.socket)
                program.socket.close()
            continue
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if program.out else 0)
        selector.modify(program.socket, events, program)
    for key, events in selector.select(timeout):
        if events & selectors.EVENT_READ:
            key.data.read()
        if events & selectors.EVENT_WRITE and key.data.is_alive:
            key.data.write()


def run(selector, programs, until, limit):
    end = time.monotonic() + limit
    while not until() and time.monotonic() < end:
        turn(selector, programs, 0.02)
    return until()


def probe(selector, programs):
    """Announces at all nodes until everybody has heard of everybody: an item that comes before a program is registered
    is lost, and nobody says when it is."""
    for attempt in range(20):
        for program in programs:
            program.announce(PROBE + attempt)

        def is_heard():
            return all(len({item[0] for item in program.items}) == len(programs) - 1 for program in programs)

        if run(selector, programs, is_heard, 1):
            break
    else:
        raise SystemExit("the nodes do not reach each other")
    run(selector, programs, lambda: False, 1)
    for program in programs:
        program.items.clear()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--api", required=True)
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--one", action="store_true", help="all items at the first node")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two items")
    parser.add_argument("--settle", type=float, default=20.0, help="seconds to wait for the last items")
    parser.add_argument("--doomed", type=int, default=0)
    options = parser.parse_args()
    addresses = options.api.split(",")
    programs = [
        Program(number, address, number >= len(addresses) - options.doomed) for number, address in enumerate(addresses)
    ]
    selector = selectors.DefaultSelector()
    for program in programs:
        selector.register(program.socket, selectors.EVENT_READ, program)
    run(selector, programs, lambda: not any(p.out for p in programs), 10)
    probe(selector, programs)
    say("subscribed", programs=len(programs))
    expected = [set() for _ in programs]
    for item in range(options.items):
        announcer = programs[0] if options.one else programs[item % len(programs)]
        if not announcer.is_alive:
            continue
        announcer.announce(item)
        for program in programs:
            if program is not announcer and not announcer.is_doomed:
                expected[program.number].add((announcer.number, item))
        if options.pause or len(announcer.out) > 1 << 16:
            run(selector, programs, lambda: False, options.pause)
            run(selector, programs, lambda: len(announcer.out) < 1 << 15 or not announcer.is_alive, PATIENCE)
        if (item + 1) % 100 == 0:
            say("announced", items=item + 1)
    survivors = [program for program in programs if not program.is_doomed]

    def is_complete():
        return not any(program.out for program in survivors) and all(
            len(program.items) >= len(expected[program.number]) and expected[program.number].issubset(program.items)
            for program in survivors)

    run(selector, programs, is_complete, options.settle)
    # What comes twice may come later.
    run(selector, programs, lambda: False, 1)
    is_good = True
    for program in survivors:
        got = program.items
        counted = [item for item in got if item in expected[program.number]]
        missing = len(expected[program.number] - set(got))
        twice = len(got) - len(set(got))
        disorder = 0
        last = {}
        for announcer, item in counted:
            disorder += item < last.get(announcer, -1)
            last[announcer] = item
        is_bad = missing or twice or disorder and options.one or not program.is_alive
        is_good = is_good and not is_bad
        say("result", lost=sorted(expected[program.number] - set(got))[:5], node=program.number, received=len(got), missing=missing, twice=twice, disorder=disorder,
            alive=program.is_alive)
    say("end", good=is_good)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
