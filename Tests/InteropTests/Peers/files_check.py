#!/usr/bin/env python3
"""P+2 against real nodes that the cases start themselves: status 0, or what differed and status 1.

    files_check.py --list
    files_check.py --program PATH-OF-PEERNODE [CASE ...] [--slow] [--jobs N] [--files N] [--within S] [--bytes N]
                   [--kills N]

How cases are named, and what is printed: see cases.py. Nodes, peers and callers have addresses of their own in
127.0.0.0/8 and folders of their own; every wait is bounded, and nothing outlives a case. --files, --bytes and --kills
make the cases that take them longer.
"""
import sys

import cases
import files_callees    # noqa: F401 (registers its cases)
import files_callers    # noqa: F401
import files_folder     # noqa: F401
import files_hostile    # noqa: F401
import files_network    # noqa: F401
import files_old_cases  # noqa: F401
from files_world import World


def parser():
    options = cases.parser(__doc__)
    options.add_argument("--files", type=int, default=5_000, help="files in a big folder")
    options.add_argument("--bytes", type=int, default=64 << 20, help="size of a big file")
    options.add_argument("--within", type=float, default=2.0, help="seconds until a change of a big folder is told")
    options.add_argument("--kills", type=int, default=5, help="how often a node is killed")
    return options


if __name__ == "__main__":
    sys.exit(cases.main(sys.argv[1:], parser(), World))
