#!/usr/bin/env python3
"""PPSP against real nodes that the cases start themselves: status 0, or what differed and status 1.

    ppsp_check.py --list
    ppsp_check.py --program PATH-OF-PEERNODE [CASE ...] [--slow] [--jobs N] [--vectors FILE] [--set KEY=JSON]
                  [--bytes N]

With one case it runs here; with several, or none for all, each is a process of its own, and the last line is
`N cases, M failed`. A case is named by its short name, or by a part of its sentence, which is one of the
specification. Cases that wait for long deadlines run with --slow, or when they are named; with --slow a big content
has 256 MiB in place of 16. --set puts a key into the section `content` of every node. The cases self-* try our own peers on each other.

Nodes, peers and callers have addresses of their own in 127.0.0.0/8 and folders of their own; every wait is bounded,
and nothing outlives a case.
"""
import sys

import cases
import ppsp_cases          # noqa: F401 (registers its cases)
import ppsp_hostile        # noqa: F401
import ppsp_http_cases     # noqa: F401
import ppsp_limits         # noqa: F401
import ppsp_network        # noqa: F401
import ppsp_pull_cases     # noqa: F401
import ppsp_push_cases     # noqa: F401
import ppsp_self           # noqa: F401
import ppsp_udp_cases      # noqa: F401
from ppsp_world import World


def parser():
    options = cases.parser(__doc__)
    options.add_argument("--vectors", metavar="FILE")
    options.add_argument("--set", action="append", default=[], metavar="KEY=JSON", help="for every node")
    options.add_argument("--bytes", type=int, default=0, help="size of a big content")
    return options


if __name__ == "__main__":
    sys.exit(cases.main(sys.argv[1:], parser(), World))
