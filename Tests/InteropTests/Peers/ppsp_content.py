"""Contents of PPSP: sets of chunks, and swarms whose chunks are there, or come and are proved (ppsp.md section 9.3)."""
import bisect
import threading

import ppsp_wire as wire
from ppsp_merkle import HASHES, OK, SHA256, SIZES, Proofs, Tree

MAX_BYTES = 2 << 30     # what a swarm may need of our memory


class Ranges:
    """A set of chunks as disjoint ranges, however many there are said to be."""

    def __init__(self, ranges=()):
        self.firsts, self.lasts = [], []
        for first, last in ranges:
            self.add(first, last)

    def __contains__(self, chunk):
        at = bisect.bisect_right(self.firsts, chunk) - 1
        return at >= 0 and self.lasts[at] >= chunk

    def __iter__(self):
        return iter(zip(self.firsts, self.lasts))

    def __len__(self):
        return sum(last - first + 1 for first, last in self)

    def __repr__(self):
        return f"Ranges({list(self)})"

    def add(self, first, last):
        start = bisect.bisect_left(self.lasts, first - 1)
        end = bisect.bisect_right(self.firsts, last + 1)
        if start < end:
            first, last = min(first, self.firsts[start]), max(last, self.lasts[end - 1])
        self.firsts[start:end], self.lasts[start:end] = [first], [last]

    def remove(self, first, last):
        kept = [pair for start, end in self for pair in ((start, min(end, first - 1)), (max(start, last + 1), end))
                if pair[0] <= pair[1]]
        self.firsts, self.lasts = [pair[0] for pair in kept], [pair[1] for pair in kept]

    def apply(self, body):
        """What a DATA_AVAILABILITY says."""
        if not body.flags & wire.UPDATE:
            self.firsts, self.lasts = [], []
        for first, last in body.ranges:
            if body.flags & wire.REMOVE:
                self.remove(first, last)
            else:
                self.add(first, last)


class Swarm:
    """A content: `content=` when it is there, `root=` when it is to come."""

    def __init__(self, content=None, chunk_size=16384, function=SHA256, root=None, closed=False):
        self.chunk_size, self.function, self.closed = chunk_size, function, closed
        self.lock, self.changed = threading.RLock(), threading.Condition()
        self.digest, self.fresh = HASHES[function], []
        self.tree, self.size, self.flags, self.left = None, None, None, None
        self.admitted = None        # peer IDs; None: all who prove theirs
        if content is None:
            self.id, self.proofs, self.data = root, Proofs(root, function), None
        else:
            self.tree = Tree(content, chunk_size, function)
            self.id, self.proofs = self.tree.root, Proofs.of(self.tree)
            self.data, self.size, self.left = memoryview(content), len(content), 0
            self.flags = bytearray(b"\x01" * self.tree.count)

    @property
    def count(self):
        return self.proofs.count

    @property
    def hash_size(self):
        return SIZES[self.function]

    @property
    def is_complete(self):
        return self.left == 0

    def has(self, chunk):
        return self.flags is not None and chunk < len(self.flags) and self.flags[chunk] == 1

    def chunk(self, number):
        at = number * self.chunk_size
        return self.data[at:min(at + self.chunk_size, self.size or len(self.data))]

    @property
    def content(self):
        return bytes(self.data[:self.size])

    def map(self):
        """None: not even the number of chunks is known."""
        return None if self.flags is None else wire.whole_map(bytes(self.flags), self.chunk_size)

    def take(self, number, data, pending):
        """OK: the chunk is proved and kept now. MISSING, FALSE: see Proofs; None: it was there."""
        leaf = self.digest(data).digest()
        with self.lock:
            if self.has(number):
                return None
            found = self.proofs.verify_leaf(number, leaf, pending)
            if self.flags is None and self.count is not None:
                self.make_room()
            if found != OK:
                return found
            is_last = number == self.count - 1
            if len(data) > self.chunk_size or len(data) < self.chunk_size and not is_last:
                raise ValueError(f"chunk {number} of {self.count} has {len(data)} octets")
            at = number * self.chunk_size
            self.data[at:at + len(data)] = data
            if is_last:
                self.size = at + len(data)
            self.flags[number] = 1
            self.left -= 1
            self.fresh.append(number)
        if self.is_complete:
            with self.changed:
                self.changed.notify_all()
        return OK

    def make_room(self):
        if self.count * self.chunk_size > MAX_BYTES:
            raise ValueError(f"{self.count} chunks are too many")
        self.flags, self.left = bytearray(self.count), self.count
        self.data = memoryview(bytearray(self.count * self.chunk_size))

    def wait(self, seconds):
        """Whether it is complete in time."""
        with self.changed:
            return self.changed.wait_for(lambda: self.is_complete, seconds)

    def transport(self, number=wire.TCP, **more):
        """The entry that describes this swarm for a transport."""
        values = {wire.CHUNK_SIZE: self.chunk_size, wire.ADDRESSING: 4 if number == wire.TCP else 2,
                  wire.INTEGRITY_METHOD: 1, wire.HASH: self.function}
        if number == wire.HTTP:
            del values[wire.ADDRESSING]
        if self.size is not None:
            values[wire.LENGTH] = self.size
        return wire.Transport(number, values | more.get("values", {}))

    def matches(self, entry):
        """Whether the swarm-defining parameters are ours (6, rule 4)."""
        return (entry.get(wire.CHUNK_SIZE, self.chunk_size) == self.chunk_size
                and entry.get(wire.HASH, self.function) == self.function
                and entry.get(wire.INTEGRITY_METHOD, 1) == 1)
