"""What the cases of files_check stand on: a folder of their own and everything that they have opened."""
import os
import random
import shutil
import tempfile

from files_node import Node
from files_wire import FakePeer

CASES = {}          # name: (function, seconds that it may take)


def case(seconds=60, name=None):
    """Registers a function of the world as a case; its docstring quotes the section."""
    def register(function):
        CASES[name or function.__name__.replace("_", "-")] = function, seconds
        return function
    return register


class World:
    def __init__(self, options):
        self.options, self.opened, self.count = options, [], 0
        self.folder = tempfile.mkdtemp(prefix="peernode-files-")

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

    def home(self, files=None, sections=None, **options):
        """A node that is not started."""
        return self.own(Node(self.options.program, self.place(), files, sections, **options))

    def node(self, shared=None, **files):
        """A node that shares these files, and whose index has them."""
        home = self.home(files)
        for name, data in (shared or {}).items():
            home.put(name, data)
        return home.start()

    def peer(self, **services):
        return self.own(FakePeer(**services))


def octets(count, seed=1):
    """The same octets for the same numbers, which are like nothing else."""
    return random.Random(seed).randbytes(count)
