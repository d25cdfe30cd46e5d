#!/usr/bin/env python3
"""Runs a program on a terminal of its own and types at it: each step waits for a text and then types another."""

import argparse
import fcntl
import json
import os
import pty
import select
import struct
import sys
import termios
import time


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", required=True, help="JSON: [[awaited text, typed text], ...]")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("program", nargs="+")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm"
        os.execv(options.program[0], options.program)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    shown = b""
    seen = 0

    def read():
        """False at the end."""
        nonlocal shown
        ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
        try:
            octets = os.read(terminal, 65536) if ready else b""
        except OSError:
            octets = b""
        shown += octets
        return bool(octets)

    missing = None
    for awaited, typed in json.loads(options.steps):
        while awaited.encode() not in shown[seen:]:
            if not read():
                missing = awaited
                break
        if missing is not None:
            os.kill(child, 9)
            break
        seen = shown.index(awaited.encode(), seen) + len(awaited.encode())
        os.write(terminal, typed.encode())
    while read():
        pass
    if time.monotonic() >= end:
        os.kill(child, 9)
    _, status = os.waitpid(child, 0)
    print(json.dumps({
        "event": "ended", "exit": os.waitstatus_to_exitcode(status), "missing": missing,
        "text": shown.decode("utf-8", "replace"),
    }))
    return 0


sys.exit(main())
