#!/usr/bin/env python3
"""One case of P+2 against real nodes that it starts itself: status 0, or what differed and status 1.

    files_check.py --list
    files_check.py CASE --program PATH-OF-PEERNODE [--files N] [--within S] [--bytes N] [--kills N]

Nodes, peers and callers have addresses of their own in 127.0.0.0/8 and folders of their own; every wait is bounded,
and nothing outlives the case. --files, --bytes and --kills make the cases that take them longer.
"""
import argparse
import signal
import sys
import traceback

import files_callees    # noqa: F401 (registers its cases)
import files_callers    # noqa: F401
import files_folder     # noqa: F401
import files_hostile    # noqa: F401
import files_network    # noqa: F401
import files_old_cases  # noqa: F401
from files_node import Refused
from files_wire import Wrong
from files_world import CASES, World


def parse_options(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="?")
    parser.add_argument("--list", action="store_true", help="cases and the seconds that they may take")
    parser.add_argument("--program", help="the peernode to be started")
    parser.add_argument("--files", type=int, default=5_000, help="files in a big folder")
    parser.add_argument("--bytes", type=int, default=64 << 20, help="size of a big file")
    parser.add_argument("--within", type=float, default=2.0, help="seconds until a change of a big folder is told")
    parser.add_argument("--kills", type=int, default=5, help="how often a node is killed")
    options = parser.parse_args(arguments)
    if not options.list and not (options.case and options.program):
        parser.error("which case, of which program?")
    return options


def too_slow(*_):
    raise Wrong("too slow")


def main(arguments):
    try:
        options = parse_options(arguments)
    except SystemExit as leave:    # argparse says 2 where this project says 64
        return 64 if leave.code else 0
    if options.list:
        for name, (function, limit) in CASES.items():
            print(f"{name}\t{limit:g} s\t{' '.join(function.__doc__.split())}")
        return 0
    if options.case not in CASES:
        print(f"{options.case}: no such case", file=sys.stderr)
        return 64
    function, limit = CASES[options.case]
    signal.signal(signal.SIGALRM, too_slow)
    signal.alarm(int(limit))
    world = World(options)
    try:
        found = function(world)
    except Exception as error:
        print(f"{options.case}: {error}" if isinstance(error, (Wrong, Refused)) else traceback.format_exc())
        if isinstance(error, Wrong):
            print("  at", " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(
                traceback.extract_tb(error.__traceback__)) if "files_" in frame.filename))
        print(f"  {' '.join(function.__doc__.split())}")
        return 1
    finally:
        signal.alarm(0)
        world.close()
    print(f"{options.case}: ok" + (f", {found}" if found else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
