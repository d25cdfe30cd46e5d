"""A channel of PPSPP (ppspp-rfc7574.md 1, 4, 5 and 7): what is asked, what is under way, what the other side knows."""
import random
import time

from ppsp_chunks import RANGES32
from ppsp_content import Ranges
from ppsp_merkle import peak_of

MAX_HASHES = 1024           # unverified hashes kept for a channel
UNDER_WAY = 96 << 10        # octets: what the buffer of a socket takes
MIN_WINDOW, FIRST_WINDOW = 2, 10
TIMEOUT = 0.3               # until a chunk that is not acknowledged is sent again
REQUEST_TIMEOUT = 1.5


class Weather:
    """What happens to datagrams that we send."""

    def __init__(self, loss=0.0, reorder=0.0, duplicate=0.0, seed=1):
        self.loss, self.reorder, self.duplicate, self.chance = loss, reorder, duplicate, random.Random(seed)

    def fates(self):
        if not (self.loss or self.reorder or self.duplicate):
            return ("now",)
        if self.chance.random() < self.loss:
            return ()
        found = ["late" if self.chance.random() < self.reorder else "now"]
        if self.chance.random() < self.duplicate:
            found.append(self.chance.choice(("now", "late")))
        return found


class Channel:
    def __init__(self, number, swarm, address, is_ours):
        self.number, self.swarm, self.address, self.is_ours = number, swarm, address, is_ours
        self.remote, self.addressing = None, RANGES32
        self.is_proved = self.is_choked = self.is_choking = self.has_chunk_size = False
        self.tries, self.again_at, self.heard_at, self.quiet_until = 0, 0.0, time.monotonic(), 0.0
        self.remote_has = Ranges()
        self.pending = {}                       # hash by node
        self.outstanding, self.unacked = {}, []
        self.wanted, self.flight = {}, {}       # chunk: when it was sent, how often
        self.sent, self.known = set(), set()    # nodes that we have sent; that the other side surely has
        self.window = FIRST_WINDOW
        self.is_slow_start, self.halved_at = True, 0.0

    def __repr__(self):
        return (f"Channel({self.address}, remote {self.remote}, proved {self.is_proved}, has {self.remote_has}, "
                f"{len(self.outstanding)} asked, {len(self.flight)} under way)")

    # --- receiving -------------------------------------------------------------------------------------------

    def keep_hash(self, node, value):
        if len(self.pending) >= MAX_HASHES:
            del self.pending[next(iter(self.pending))]
        self.pending[node] = value

    def forget_requests(self):
        self.outstanding.clear()

    def next_requests(self, now, channels):
        """Ranges to be asked for now, ascending."""
        swarm = self.swarm
        if self.is_choked or swarm.is_complete or not self.remote_has.firsts:
            return []
        room = max(4, (4 * UNDER_WAY) // swarm.chunk_size)
        late = [chunk for chunk, since in self.outstanding.items() if now - since > REQUEST_TIMEOUT]
        for chunk in late:
            del self.outstanding[chunk]
        if len(self.outstanding) > room // 2:
            return []
        taken = {chunk for one in channels if one.swarm is swarm for chunk in one.outstanding}
        found, count = [], room - len(self.outstanding)
        for first, last in self.remote_has:
            if swarm.count is None:
                chosen = [first] if first not in taken else []
            else:
                chosen = missing(swarm.flags, first, min(last, swarm.count - 1), taken, count)
            for chunk in chosen:
                self.outstanding[chunk] = now
                count -= 1
                if found and found[-1][1] == chunk - 1:
                    found[-1][1] = chunk
                elif len(found) < 60:
                    found.append([chunk, chunk])
                else:
                    return found
            if count <= 0 or swarm.count is None and chosen:
                break
        return found

    # --- sending ---------------------------------------------------------------------------------------------

    def has_room(self):
        return len(self.flight) < self.window

    def sent_chunk(self, chunk):
        _, times = self.flight.get(chunk, (0, 0))
        self.flight[chunk] = time.monotonic(), times + 1

    def arrived(self, first, last, swarm):
        """Chunks that the other side has told to have."""
        done = [chunk for chunk in self.flight if first <= chunk <= last]
        for chunk in done:
            del self.flight[chunk]
            self.add_path(self.known, chunk, swarm.count)
        most = max(MIN_WINDOW, UNDER_WAY // swarm.chunk_size)
        self.window = min(most, self.window + len(done) if self.is_slow_start else self.window + len(done) / 8)

    def timed_out(self, now):
        """Chunks under way for too long, at most a window of them; what was asked for five times is given up."""
        late = [chunk for chunk, (since, times) in self.flight.items() if now - since > TIMEOUT * times]
        for chunk in [chunk for chunk in late if self.flight[chunk][1] >= 5]:
            del self.flight[chunk]
        late = [chunk for chunk in late if chunk in self.flight][:16]
        if late and now - self.halved_at > TIMEOUT:
            self.halved_at, self.is_slow_start = now, False
            self.window = max(MIN_WINDOW, self.window / 2)
        return late

    def hashes_for(self, chunk, skips):
        """Peaks and uncles that the other side lacks, highest first."""
        count = self.swarm.count
        found = [node for node in self.swarm.proofs.peaks if node not in skips]
        way = []
        for layer in range(peak_of(chunk, count)[0]):
            if (layer, chunk >> layer) in skips:
                break
            if (layer, chunk >> layer ^ 1) not in skips:
                way.append((layer, chunk >> layer ^ 1))
        self.add_path(self.sent, chunk, count)
        return found + way[::-1]

    def add_path(self, nodes, chunk, count):
        """All nodes that a proved chunk leaves proved."""
        nodes.update(self.swarm.proofs.peaks)
        for layer in range(peak_of(chunk, count)[0]):
            if (layer, chunk >> layer) in nodes:
                break
            nodes.add((layer, chunk >> layer))
            nodes.add((layer, chunk >> layer ^ 1))


def missing(flags, first, last, taken, most):
    """At most so many chunks of a range that are neither there nor asked for."""
    found, at = [], first
    while len(found) < most and (at := flags.find(0, at, last + 1)) >= 0:
        if at not in taken:
            found.append(at)
        at += 1
    return found
