#!/usr/bin/env python3
"""BePeer against real nodes that the cases start themselves: status 0, or what differed and status 1.

    bepeer_check.py --list
    bepeer_check.py --program PATH-OF-PEERNODE [CASE ...] [--slow] [--jobs N] [--vectors FILE] [--set KEY=JSON]
                    [--bytes N] [--operations N] [--kills N] [--limit S] [--seed N]

How cases are named, and what is printed: see cases.py. Cases that play vectors need --vectors. --set puts a key into
the section `replication` of every node.

Nodes, peers and callers have addresses of their own in 127.0.0.0/8 and folders of their own; every wait is bounded,
and nothing outlives a case.
"""
import sys

import bepeer_cases        # noqa: F401 (registers its cases)
import bepeer_fetch        # noqa: F401
import bepeer_hostile      # noqa: F401
import bepeer_http         # noqa: F401
import bepeer_network      # noqa: F401
import bepeer_old_cases    # noqa: F401
import bepeer_places       # noqa: F401
import cases
from bepeer_world import World


def parser():
    options = cases.parser(__doc__)
    options.add_argument("--vectors", metavar="FILE")
    options.add_argument("--set", action="append", default=[], metavar="KEY=JSON", help="for every node")
    options.add_argument("--bytes", type=int, default=16 << 20, help="size of a big file")
    options.add_argument("--operations", type=int, default=40, help="of a random run; above 200 with usual quiet times")
    options.add_argument("--kills", type=int, default=4, help="of a run of kills; above 10 with usual quiet times")
    options.add_argument("--seed", type=int, default=1)
    return options


if __name__ == "__main__":
    sys.exit(cases.main(sys.argv[1:], parser(), World))
