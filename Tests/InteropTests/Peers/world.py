"""What a case stands on: a folder of its own, and everything that it has opened, which ends with it."""
import os
import random
import shutil
import tempfile
import time


class World:
    """`options` are those of the command line."""

    def __init__(self, options):
        self.options, self.opened, self.count = options, [], 0
        self.folder = tempfile.mkdtemp(prefix="peernode-case-")

    def close(self):
        for thing in reversed(self.opened):
            thing.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def own(self, thing):
        self.opened.append(thing)
        return thing

    def place(self):
        self.count += 1
        path = os.path.join(self.folder, str(self.count))
        os.mkdir(path)
        return path


def octets(count, seed=1):
    """The same octets for the same numbers, which are like nothing else."""
    return random.Random(seed).randbytes(count)


def settle(seconds=1.0):
    """Time in which nothing may happen: the only waits that nothing can end."""
    time.sleep(seconds)
