"""Merkle trees of contents (ppsp.md 9.3, ppspp-rfc7574.md 5): bins, whole trees, and what is proved of others.

A node is (layer, offset): chunks offset << layer to ((offset + 1) << layer) - 1.
"""
import functools
import hashlib

SHA1, SHA256, BLAKE2B = 0, 2, 240
NAMES = {"sha1": SHA1, "sha256": SHA256, "blake2b256": BLAKE2B}
HASHES = {SHA1: hashlib.sha1, SHA256: hashlib.sha256, BLAKE2B: functools.partial(hashlib.blake2b, digest_size=32)}
SIZES = {SHA1: 20, SHA256: 32, BLAKE2B: 32}
MAX_PENDING = 128

OK, MISSING, FALSE = "ok", "missing", "false"


def bin_number(layer, offset):
    return (2 * offset + 1) * (1 << layer) - 1


def bin_of(first, last):
    return bin_number(*node_of(first, last))


def range_of_bin(number, bits=32):
    """First and last chunk; (1, 0) for the bin that means none."""
    if number == (1 << bits) - 1:
        return 1, 0
    layer = ((number + 1) & -(number + 1)).bit_length() - 1
    return range_of(layer, number >> (layer + 1))


def range_of(layer, offset):
    return offset << layer, ((offset + 1) << layer) - 1


def node_of(first, last):
    width = last - first + 1
    return width.bit_length() - 1, first // width


def is_subtree(first, last):
    width = last - first + 1
    return width > 0 and width & (width - 1) == 0 and first % width == 0


def peaks(count):
    """The nodes of the binary digits of the number of chunks, left to right."""
    found, first = [], 0
    for layer in reversed(range(count.bit_length())):
        if count >> layer & 1:
            found.append((layer, first >> layer))
            first += 1 << layer
    return found


def peak_of(chunk, count):
    return next(node for node in peaks(count) if range_of(*node)[1] >= chunk)


def uncles(chunk, count):
    """The siblings of the nodes from a chunk to its peak, highest first."""
    top = peak_of(chunk, count)[0]
    return [(layer, (chunk >> layer) ^ 1) for layer in reversed(range(top))]


def subtrees(first, last):
    """A range as the fewest nodes, left to right."""
    found = []
    while first <= last:
        layer = (last - first + 1).bit_length() - 1
        if first:
            layer = min(layer, (first & -first).bit_length() - 1)
        found.append((layer, first >> layer))
        first += 1 << layer
    return found


def root_of(nodes, function):
    """What the peaks, hash by node, make the root. They must be all peaks of some number of chunks."""
    digest, zero = HASHES[function], bytes(SIZES[function])
    *others, ((layer, _), top) = sorted(nodes.items(), key=lambda item: range_of(*item[0]))
    for (above, _), left in reversed(others):
        while layer < above:
            top, layer = digest(top + zero).digest(), layer + 1
        top, layer = digest(left + top).digest(), layer + 1
    return top


class Tree:
    """The whole tree of a content."""

    def __init__(self, content, chunk_size, function):
        digest = HASHES[function]
        view = memoryview(content)
        level = [digest(view[at:at + chunk_size]).digest() for at in range(0, len(view), chunk_size)]
        self.count, self.function, self.levels = len(level), function, []
        while level:
            self.levels.append(level)
            # Only whole nodes: what is right of the content is in no proof.
            level = [digest(level[at] + level[at + 1]).digest() for at in range(0, len(level) - 1, 2)]
        self.peaks = peaks(self.count)
        self.root = root_of({node: self[node] for node in self.peaks}, function)

    def __getitem__(self, node):
        return self.levels[node[0]][node[1]]


class Proofs:
    """What is known of a tree of which only the root is given. Every hash in `known` is proved."""

    def __init__(self, root, function):
        self.root, self.function = root, function
        self.digest = HASHES[function]
        self.count, self.known, self.peaks = None, {}, []

    @classmethod
    def of(cls, tree):
        """Of a tree of which all is known."""
        proofs = cls(tree.root, tree.function)
        proofs.count, proofs.peaks = tree.count, tree.peaks
        proofs.known = {(layer, offset): value for layer, level in enumerate(tree.levels)
                        for offset, value in enumerate(level)}
        return proofs

    def __getitem__(self, node):
        return self.known[node]

    def learn_peaks(self, pending):
        """Whether the number of chunks is known now. `pending`: hash by node."""
        widest = {}
        for layer, offset in pending:
            first = offset << layer
            widest[first] = max(layer, widest.get(first, 0))
        chain, following, before = {}, 0, 64
        while following in widest and widest[following] < before:
            before = widest[following]
            node = (before, following >> before)
            chain[node], following = pending[node], following + (1 << before)
            if root_of(chain, self.function) == self.root:
                self.count, self.peaks = following, list(chain)
                self.known.update(chain)
                return True
        return False

    def verify(self, chunk, data, pending):
        return self.verify_leaf(chunk, self.digest(data).digest(), pending)

    def verify_leaf(self, chunk, value, pending):
        """OK: it is proved, and with it all hashes of its path. MISSING: hashes lack. FALSE: it contradicts."""
        if self.count is None and not self.learn_peaks(pending):
            # Peaks that contradict the root are not told from peaks that lack.
            return MISSING
        if chunk >= self.count:
            return FALSE
        node, path = (0, chunk), {}
        while node not in self.known:
            path[node] = value
            layer, offset = node
            sibling = (layer, offset ^ 1)
            other = self.known.get(sibling) or pending.get(sibling)
            if other is None:
                return MISSING
            path[sibling] = other
            value = self.digest(other + value if offset & 1 else value + other).digest()
            node = (layer + 1, offset >> 1)
        if self.known[node] != value:
            return FALSE
        self.known.update(path)
        return OK
