#!/usr/bin/env python3
"""BePeer against real nodes that the cases start themselves: status 0, or what differed and status 1.

    bepeer_check.py --list
    bepeer_check.py --program PATH-OF-PEERNODE [CASE ...] [--slow] [--jobs N] [--vectors FILE] [--set KEY=JSON]
                    [--bytes N] [--operations N] [--seed N]
    bepeer_check.py --vectors FILE

With one case it runs here; with several, or none for all, each is a process of its own, and the last line is
`N cases, M failed`. A case is named by its short name, or by a part of its sentence, which is one of the
specification. Cases that wait for long deadlines run with --slow, or when they are named. --set puts a key into the
section `replication` of every node. With --vectors and no program, our own encoder and decoder are compared with them.

Nodes, peers and callers have addresses of their own in 127.0.0.0/8 and folders of their own; every wait is bounded,
and nothing outlives a case.
"""
import argparse
import concurrent.futures
import json
import os
import shutil
import signal
import subprocess
import sys
import traceback

import bepeer_cases        # noqa: F401 (registers its cases)
import bepeer_fetch        # noqa: F401
import bepeer_hostile      # noqa: F401
import bepeer_http         # noqa: F401
import bepeer_network      # noqa: F401
import bepeer_old_cases    # noqa: F401
import bepeer_vectors
from bepeer_world import CASES, World
from files_node import Refused
from files_wire import Wrong


def parse_options(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE")
    parser.add_argument("--list", action="store_true", help="cases and the seconds that they may take")
    parser.add_argument("--program", help="the peernode to be started")
    parser.add_argument("--slow", action="store_true", help="also the cases that wait for long deadlines")
    parser.add_argument("--jobs", type=int, default=4, help="cases at a time")
    parser.add_argument("--vectors", metavar="FILE")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=JSON", help="for every node")
    parser.add_argument("--bytes", type=int, default=16 << 20, help="size of a big file")
    parser.add_argument("--operations", type=int, default=45, help="of a random run")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    options.settings = {key: json.loads(value) for key, _, value in (text.partition("=") for text in options.set)}
    if options.program:
        options.program = shutil.which(options.program) or os.path.abspath(options.program)
    if not (options.list or options.program or options.vectors):
        parser.error("which program?")
    return options


def chosen(options):
    """The cases of the command line; None: one of them is not there."""
    if not options.cases:
        return [one for one in CASES.values() if options.slow or not one.is_slow]
    found = []
    for name in options.cases:
        some = [CASES[name]] if name in CASES else [
            one for one in CASES.values() if name.lower() in one.sentence.lower() or one.slug.startswith(name)]
        if not some:
            print(f"{name}: no such case", file=sys.stderr)
            return None
        found += [one for one in some if one not in found]
    return found


def too_slow(*_):
    raise Wrong("too slow")


def run_here(one, options):
    signal.signal(signal.SIGALRM, too_slow)
    signal.alarm(int(one.seconds))
    world = World(options)
    try:
        found = one.function(world)
    except Exception as error:
        is_known = isinstance(error, (Wrong, Refused))
        print(f"{one.sentence} [{one.slug}]: {error if is_known else traceback.format_exc()}")
        if isinstance(error, Wrong):
            print("  at", " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(
                traceback.extract_tb(error.__traceback__)) if "bepeer_" in frame.filename))
        print(f"  {' '.join(one.function.__doc__.split())}")
        return 1
    finally:
        signal.alarm(0)
        world.close()
    print(f"{one.sentence} [{one.slug}]: ok" + (f", {found}" if found else ""))
    return 0


def run_all(some, options, arguments):
    """Each in a process of its own; their words come when they end."""
    words = [word for word in arguments if word not in options.cases]

    def run(one):
        try:
            return subprocess.run(
                [sys.executable, __file__, *words, one.slug], capture_output=True, text=True, check=False,
                stdin=subprocess.DEVNULL, timeout=one.seconds + 60)
        except subprocess.TimeoutExpired as error:
            return subprocess.CompletedProcess(one.slug, 1, f"{one.slug}: it does not end\n{error.stdout}", "")
    failed = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for one, done in zip(some, pool.map(run, some)):
            print(done.stdout + done.stderr, end="", flush=True)
            if done.returncode:
                failed.append(one.slug)
    print(f"{len(some)} cases, {len(failed)} failed" + (f": {' '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def main(arguments):
    try:
        options = parse_options(arguments)
    except SystemExit as leave:    # argparse says 2 where this project says 64
        return 64 if leave.code else 0
    if options.list:
        for one in CASES.values():
            slow = ", slow" if one.is_slow else ""
            print(f"{one.slug}\t{one.seconds:g} s{slow}\t{one.sentence}: {' '.join(one.function.__doc__.split())}")
        return 0
    if not options.program:
        return bepeer_vectors.main([options.vectors])
    some = chosen(options)
    if some is None:
        return 64
    if len(some) == 1 and options.cases:
        return run_here(some[0], options)
    return run_all(some, options, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
