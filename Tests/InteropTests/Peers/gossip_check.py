#!/usr/bin/env python3
"""One case of the Gossip protocol against a running node: status 0, or what differed and status 1.

    gossip_check.py --list
    gossip_check.py CASE --api HOST:PORT[,HOST:PORT...] --p2p HOST:PORT [--vectors FILE] [--bootstrap HOST:PORT]
                         [--log FILE] [--degree N] [--heartbeat S] [--silence S] [--serve HOST:PORT]
    gossip_check.py vectors --vectors FILE

The cases `malformed`, `streams`, `ttl` and the scenarios are those of the vector file; `malformed/NAME` and
`streams/NAME` and `ttl/NAME` run a single entry. `vectors` compares our own encoder and decoder with the file and
needs no node. Every case comes from addresses of its own in 127.0.0.0/8, announces data that no other run announced,
and bounds every wait. --log is the node's log: its last lines are shown when the case fails. --heartbeat and
--silence are the node's settings when they are not 10 and 35 s.
"""
import argparse
import signal
import sys
import traceback

from gossip_api import Wrong
from gossip_peer import Refused
from gossip_vectors import load
from gossip_wire import parse_address
from gossip_world import CASES, SERVER, THREE, TWO, World


def addresses(text):
    return [parse_address(part) for part in text.split(",")]


def seconds(text):
    value = float(text)
    if not 0 < value <= 3600:
        raise ValueError(text)
    return value


def parse_options(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="?")
    parser.add_argument("--list", action="store_true", help="cases, what they need, seconds that they may take")
    parser.add_argument("--api", type=addresses, metavar="HOST:PORT,...", help="API of the node or nodes")
    parser.add_argument("--p2p", type=parse_address, metavar="HOST:PORT", help="P2P port of the first node")
    parser.add_argument("--bootstrap", type=parse_address, metavar="HOST:PORT", help="the node's bootstrap server")
    parser.add_argument("--serve", type=parse_address, metavar="HOST:PORT", help="where we are its bootstrap server")
    parser.add_argument("--vectors", metavar="FILE")
    parser.add_argument("--log", metavar="FILE", help="the node's log, for its last lines")
    parser.add_argument("--degree", type=int, help="the node's; it is checked when given")
    parser.add_argument("--heartbeat", type=seconds, default=10.0)
    parser.add_argument("--silence", type=seconds, help="after which a neighbour is dead; 3.5 heartbeats")
    options = parser.parse_args(arguments)
    options.case = options.case or ""
    if not options.case and not options.list:
        parser.error("which case?")
    return options


def missing(options, needs, name):
    """What the command line lacks for this case."""
    nodes = {TWO: 2, THREE: 3}.get(needs, 0 if needs in ("no node", SERVER) else 1)
    if name in ("malformed", "streams", "ttl", "vectors") and not options.vectors:
        return "--vectors FILE"
    if len(options.api or []) < nodes:
        return f"--api with {nodes} addresses"
    if nodes and needs != THREE and not options.p2p:
        return "--p2p HOST:PORT"
    if needs == SERVER and not options.bootstrap:
        return "--bootstrap HOST:PORT"
    return "--serve HOST:PORT" if "--serve" in needs and not options.serve else None


def show_log(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file.readlines()[-40:]:
            print("  log:", line.rstrip())


def main(arguments):
    try:
        options = parse_options(arguments)
        found = load(options.vectors)
    except SystemExit as leave:    # argparse says 2 where this project says 64
        return 64 if leave.code else 0
    if options.list:
        for name, (function, needs, limit) in CASES.items():
            print(f"{name}\t{needs}\t{limit:g} s")
        return 0
    name = options.case.partition("/")[0]
    if name not in CASES:
        print(f"{name}: no such case; scenarios are known with --vectors", file=sys.stderr)
        return 64
    function, needs, limit = CASES[name]
    if lack := missing(options, needs, name):
        print(f"{name} needs {lack}", file=sys.stderr)
        return 64
    signal.signal(signal.SIGALRM, too_slow)
    signal.alarm(int(limit) + 30)
    world = World(options, found)
    try:
        function(world)
    except (Wrong, Refused, OSError) as error:
        print(f"{options.case}: {error}" if isinstance(error, (Wrong, Refused)) else traceback.format_exc())
        print(f"  {' '.join(function.__doc__.split())}")
        if options.log:
            show_log(options.log)
        return 1
    finally:
        world.close()
    print(f"{options.case}: ok")
    return 0


def too_slow(*_):
    raise Wrong("too slow")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
