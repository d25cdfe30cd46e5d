"""Cases against real nodes, and the program that runs them: status 0, or what differed and status 1.

A case is a function of a world (world.py). Its sentence, or its docstring, is one of the specification:

    @case("Idle connections are closed after 120 s (2.1)", 200, slow=True)
    def slow_senders(world):
        ...

    sys.exit(main(sys.argv[1:], parser(__doc__), World))

With one case it runs here; with several, or none for all, each is a process of its own, and the last line is
`N cases, M failed`. A case is named by its short name, the beginning of it, or a part of its sentence. Cases that wait
for long deadlines run with --slow, or when they are named.
"""
import argparse
import concurrent.futures
import os
import shutil
import signal
import subprocess
import sys
import traceback

from node import Refused
from sockets import Wrong

CASES = {}          # slug: Case


class Case:
    def __init__(self, function, sentence, seconds, is_slow, name):
        self.function, self.sentence, self.seconds, self.is_slow = function, sentence, seconds, is_slow
        self.slug = name or function.__name__.replace("_", "-")

    @property
    def text(self):
        words = " ".join(self.function.__doc__.split())
        return f"{self.sentence}: {words}" if self.sentence else words


def case(sentence="", seconds=60, slow=False, name=None):
    """Registers a function of the world as a case that may take so many seconds."""
    def register(function):
        one = Case(function, sentence, seconds, slow, name)
        CASES[one.slug] = one
        return function
    return register


def parser(description):
    """Options of every program of cases; each adds its own."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("cases", nargs="*", metavar="CASE")
    options.add_argument("--list", action="store_true", help="cases and the seconds that they may take")
    options.add_argument("--program", help="the peernode to be started")
    options.add_argument("--slow", action="store_true", help="also the cases that wait for long deadlines")
    options.add_argument("--jobs", type=int, default=4, help="cases at a time")
    options.add_argument("--limit", type=float, metavar="S", help="seconds that a case may take, in place of its own")
    return options


def main(arguments, options, world):
    """Runs the cases that the arguments name."""
    try:
        found = options.parse_args(arguments)
        if not (found.list or found.program):
            options.error("which program?")
    except SystemExit as leave:    # argparse says 2 where this project says 64
        return 64 if leave.code else 0
    if found.list:
        for one in CASES.values():
            print(f"{one.slug}\t{one.seconds:g} s{', slow' if one.is_slow else ''}\t{one.text}")
        return 0
    found.program = shutil.which(found.program) or os.path.abspath(found.program)
    some = chosen(found)
    if some is None:
        return 64
    if len(some) == 1 and found.cases:
        return run_here(some[0], world(found), found.limit or some[0].seconds)
    return run_all(some, found, [word for word in arguments if word not in found.cases])


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


def run_here(one, world, seconds):
    signal.signal(signal.SIGALRM, too_slow)
    signal.alarm(int(seconds))
    try:
        found = one.function(world)
    except Exception as error:
        is_known = isinstance(error, (Wrong, Refused))
        print(f"{one.slug}: {error if is_known else traceback.format_exc()}")
        if isinstance(error, Wrong):
            print("  at", " < ".join(
                f"{frame.name}:{frame.lineno}" for frame in reversed(traceback.extract_tb(error.__traceback__))
                if os.path.dirname(frame.filename) == os.path.dirname(__file__) and frame.filename != __file__))
        print(f"  {one.text}")
        return 1
    finally:
        signal.alarm(0)
        world.close()
    print(f"{one.slug}: ok" + (f", {found}" if found else ""))
    return 0


def run_all(some, options, words):
    """Each in a process of its own; their words come when they end."""
    def run(one):
        try:
            return subprocess.run(
                [sys.executable, sys.argv[0], *words, one.slug], capture_output=True, text=True, check=False,
                stdin=subprocess.DEVNULL, timeout=(options.limit or one.seconds) + 60)
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
