#!/usr/bin/env python3
"""SIGKILL at random moments of a replication, on either side: no file is ever half, and both sides end equal.

    bepeer_kills.py --program PATH [--kills N] [--seed N] [--off] [--set KEY=JSON ...]

Two real nodes. In each round one of them gets changes: new, edited, renamed, deleted files, small and large. One of
the two is killed at a random moment, from the change to the confirmation of the last file, and started again at once.
All the while both folders are looked at: what is there under a name must be a version that was written whole. At the
end of a round both folders must be as the changes left them, without a conflict copy, since nobody else has edited.

--off: the second node speaks the old protocol only; then nothing is renamed or deleted.
"""
import argparse
import contextlib
import os
import random
import shutil
import sys
import threading
import time

from bepeer_random import Looker
from bepeer_wire import digest_of
from bepeer_world import World
from sockets import Wrong

PATIENCE = 240.0       # three retries of a fetch, twice, and a busy machine (5.3)
LARGE = 3 << 20        # fetched in blocks when only a part has changed (8.4)


class Watch(threading.Thread):
    """Looks at folders without a pause. Everything that is seen in them must be whole."""

    def __init__(self, folders):
        super().__init__(daemon=True)
        self.folders, self.whole = folders, set()
        self.wrong, self.looks, self.is_over = [], 0, False

    def run(self):
        looker = Looker()
        while not self.is_over:
            for folder in self.folders:
                for name, digest in looker.tree(folder).items():
                    if digest and digest not in self.whole:
                        self.wrong.append(f"{os.path.join(folder, name)}: {digest[:7]} was never written")
            self.looks += 1
            time.sleep(0.005)

    def check(self):
        if self.wrong:
            raise Wrong("\n".join(["files that are half:", *self.wrong[:10]]))


class Killer:
    """Rounds of changes and kills at two nodes that trust each other."""

    def __init__(self, nodes, seed, deletes=True, say=lambda text: None):
        self.nodes, self.chance, self.deletes, self.say = nodes, random.Random(seed), deletes, say
        self.versions, self.count, self.span = {}, 0, 1.0
        self.watch = Watch([node.folder for node in nodes])
        self.looker = Looker()
        self.found = {"writer": 0, "reader": 0, "under way": 0, "with parts": 0}
        for name, data in ((name, nodes[0].content(name)) for name in nodes[0].tree()):
            self.keep(name, data)

    def keep(self, name, data):
        """A version that is about to be written."""
        self.versions[name] = data
        self.watch.whole.add(digest_of(data))

    # --- changes ---------------------------------------------------------------------------------------------

    def data(self):
        self.count += 1
        size = self.chance.choice((0, 50, 3000, 100_000, 300_000, LARGE, 4 * LARGE))
        return b"version %d\n" % self.count + self.chance.randbytes(size)

    def put(self, node, name, data):
        self.keep(name, data)
        node.put(name, data)

    def change(self, node):
        names = sorted(self.versions)
        name = self.chance.choice(names) if names else None
        kind = self.chance.choice(["new"] * 3 + ["edit"] * 3 + (["rename", "delete"] if self.deletes else []))
        if kind == "new" or name is None or len(names) < 8:
            self.put(node, self.chance.choice(("", "d/", "d/e/")) + f"file {self.count}", self.data())
        elif kind == "edit" and len(self.versions[name]) > 100_000 and self.chance.random() < 0.7:
            data, place = bytearray(self.versions[name]), self.chance.randrange(len(self.versions[name]) - 9)
            self.count += 1
            data[place:place + 8] = b"%08d" % self.count
            self.put(node, name, bytes(data))
        elif kind == "edit":
            self.put(node, name, self.data())
        elif kind == "rename":
            new = f"r/file {self.count}"
            self.count += 1
            os.makedirs(node.path("r"), exist_ok=True)
            os.rename(node.path(name), node.path(new))
            self.versions[new] = self.versions.pop(name)
        else:
            os.unlink(node.path(name))
            del self.versions[name]

    # --- rounds ----------------------------------------------------------------------------------------------

    def settled(self):
        expected = {name: digest_of(data) for name, data in self.versions.items()}

        def equal():
            self.watch.check()
            found = [{name: one for name, one in self.looker.tree(node.folder).items() if one} for node in self.nodes]
            return all(tree == expected for tree in found)
        try:
            self.nodes[0].until("equal folders", equal, PATIENCE)
        except Wrong as error:
            lines = [str(error)]
            for number, node in enumerate(self.nodes):
                tree = node.tree()
                lines += [f"  node {number}: {name} {tree.get(name, '-')[:7]}, expected {expected.get(name, '-')[:7]}"
                          for name in sorted(set(tree) | set(expected)) if tree.get(name) != expected.get(name)][:10]
                lines += [f"  {line.get('raw', b'').decode().rstrip()}" for line in node.lines[-12:]]
            raise Wrong("\n".join(lines)) from None

    def confirmed(self, writer, count):
        """Waits until the writer has read all back, or has learnt that there was nothing to fetch."""
        with contextlib.suppress(Wrong):
            writer.wait("verify_ok", count=count + 1, seconds=5)

    @staticmethod
    def pass_lines(node, count):
        """Waits until a node has said as many lines more about replication, or has nothing to say."""
        def said():
            return sum(line.get("cat") == "replication" for line in node.lines)
        until, first = time.monotonic() + 2, said()
        while said() < first + count and time.monotonic() < until:
            time.sleep(0.002)

    def round(self):
        writer, reader = self.chance.sample(self.nodes, 2)
        victim = self.chance.choice((writer, reader))
        offers, confirmations = len(writer.of("offer")), len(writer.of("verify_ok"))
        for _ in range(self.chance.randint(1, 12)):
            self.change(writer)
        if self.chance.random() < 0.8:
            writer.wait("offer", count=offers + 1, seconds=60)
            began = time.monotonic()
            if self.chance.random() < 0.15:    # nobody is killed: how long does it take now?
                self.settled()
                self.confirmed(writer, confirmations)
                self.span = 0.7 * self.span + 0.3 * (time.monotonic() - began)
                return False
            if self.chance.random() < 0.6:     # in the midst of what the reader does
                self.pass_lines(reader, self.chance.randint(1, 30))
                time.sleep(self.chance.uniform(0, 0.03))
            else:
                time.sleep(self.chance.uniform(0, self.span))
        else:
            time.sleep(self.chance.uniform(0, 2.5))    # before it is told of: quiet, then hashed
        victim.kill()
        self.found["writer" if victim is writer else "reader"] += 1
        self.found["under way"] += len(writer.of("verify_ok")) == confirmations or reader.tree() != writer.tree()
        self.found["with parts"] += bool(reader.parts())
        victim.start()
        self.settled()
        return True

    def run(self, kills):
        self.watch.start()
        try:
            while self.found["writer"] + self.found["reader"] < kills:
                if self.round() and (self.found["writer"] + self.found["reader"]) % 20 == 0:
                    self.say(self.summary())
            self.watch.check()
        finally:
            self.watch.is_over = True
            self.watch.join()
        return self.summary()

    def summary(self):
        found = self.found
        return (f"{found['writer'] + found['reader']} kills, {found['writer']} of the one who has changed files, "
                f"{found['reader']} of the one who gets them, {found['under way']} before the confirmation, "
                f"{found['with parts']} with parts of files, {self.watch.looks} looks at both folders, "
                f"{len(self.watch.whole)} versions, a replication takes {self.span:.2f} s")


def run(world, kills, seed, off=False, say=lambda text: None, **settings):
    """Kills, at two nodes of a world of cases."""
    first = world.node({"File1": b"one\n", "File2": b"two\n"}, **settings)
    more = settings | ({"extensions": False} if off else {})
    second = world.home(share={"peers": [first.messages]}, **more).start()
    first.about("trusted", second.host)
    second.about("trusted", first.host)
    second.has_tree(first.tree())
    try:
        summary = Killer([first, second], seed, not off, say).run(kills)
    except Wrong as wrong:
        raise Wrong(f"seed {seed}: {wrong}") from None
    first.stop()
    second.stop()
    return summary


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="the peernode to be started")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--off", action="store_true", help="the second node speaks the old protocol only")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=JSON", help="for every node")
    options = parser.parse_args(arguments)
    options.program = shutil.which(options.program) or os.path.abspath(options.program)
    world = World(options)
    try:
        print(f"seed {options.seed}: ok, " + run(
            world, options.kills, options.seed, options.off, lambda text: print(text, flush=True)))
    except Wrong as wrong:
        print(wrong)
        return 1
    finally:
        world.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
