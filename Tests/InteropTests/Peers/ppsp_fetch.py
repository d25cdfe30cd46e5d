"""How a foreign peer fetches a swarm from several servers at once (ppsp.md section 8.1)."""
import collections
import random
import threading
import time

import ppsp_chunks as chunks
import ppsp_wire as wire
from sockets import Wrong
from ppsp_content import Ranges
from ppsp_keys import is_certified

OWN_WINDOW = 4 << 20        # outstanding requests to one peer (9.4)


class Fetch:
    """`order`: random, or ascending. `patience`: seconds until a request counts as lost. `metadata`: the swarm,
    when its parameters are known and are to be offered; otherwise the other side is asked to name them."""

    def __init__(self, peer, root, order="random", patience=30.0, metadata=None, window=OWN_WINDOW, answer=15.0):
        self.peer, self.root, self.order, self.patience = peer, root, order, patience
        self.answer_seconds = answer
        self.metadata, self.window = metadata, window
        self.lock = threading.RLock()
        self.sessions, self.failures, self.links = [], [], []
        self.todo, self.by_host = None, collections.Counter()
        self.first_asked = False
        self.received = 0                   # chunks that were proved

    @property
    def swarm(self):
        return self.peer.swarms.get(self.root)

    def add(self, address):
        threading.Thread(target=self.pull, args=(address,), daemon=True).start()

    def wait(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            swarm = self.swarm
            if swarm is not None and swarm.wait(min(0.2, max(0.01, until - time.monotonic()))):
                return swarm.content
            if swarm is None:
                time.sleep(0.02)
            self.give_back_old()
        have = sum(self.swarm.flags or b"") if self.swarm else 0
        raise Wrong(f"{self.peer.host}: {have} of {self.swarm and self.swarm.count} chunks within {seconds} s, "
                    f"{self.failures} {self.peer.events[-6:]}")

    def pull(self, address):
        try:
            link = self.peer.dial(address)
            self.links.append(link)
            self.over(link)
        except (OSError, Wrong) as error:
            self.failures.append(f"{address[0]}: {error}")

    # --- the first arrow -------------------------------------------------------------------------------------

    def over(self, link):
        """Greets, proves who we are when that is demanded, and begins. Wrong: the other side says no."""
        peer = self.peer
        for _ in range(3):
            number = self.greet(link)
            answer = link.answer(number, self.answer_seconds)
            if answer.code != wire.AUTHENTICATE:
                break
            certify(link, self.root)
        if answer.code or answer.swarm != self.root:
            raise Wrong(f"answer {wire.RESPONSES[answer.code]} for {answer.swarm.hex()}")
        session = link.sessions.get(number)
        if session is None:
            raise Wrong(f"no transfer in {answer}")
        remote = Ranges()
        remote.apply(answer.methods.get(wire.DATA_AVAILABILITY) or wire.Availability(wire.NONE))
        with self.lock:
            for pair in remote:
                session.remote.add(*pair)
            link.maps[self.root] = session.remote
            session.fetch = self
            self.sessions.append(session)
        for entry in answer.methods.get(wire.PEERLIST_PROVISION) or ():
            peer.known.setdefault((self.root, entry.peer), (entry, time.monotonic(), -1))
        self.fill(session)
        return session

    def greet(self, link, **properties):
        peer, swarm = self.peer, self.swarm
        own = peer.map_of(swarm) if swarm else wire.Availability(wire.NONE)
        offer = [self.metadata.transport(wire.TCP)] if self.metadata else None
        methods = {
            wire.DATA_AVAILABILITY: own, wire.DATA_AVAIL_QUERY: None,
            wire.PROPERTY_PROVISION: peer.properties(link) | properties, wire.PROPERTY_QUERY: None,
            wire.PEERLIST_QUERY: wire.PeerQuery(), wire.TRANSPORT_PARAMETER: offer}
        message = link.message(wire.REQUEST, self.root, methods)
        link.offers[message.transaction] = (swarm, "pull")
        return link.start(self.root, methods, transaction=message.transaction)

    # --- which chunks from whom ------------------------------------------------------------------------------

    def fill(self, session):
        """Asks for more when half of what may be outstanding is there."""
        swarm = session.swarm
        with self.lock:
            if session.is_choked or session.is_late or session.link.end or swarm.is_complete:
                return
            room = max(1, min(self.window, session.window) // swarm.chunk_size) - len(session.outstanding)
            if session.outstanding and room < max(1, min(self.window, session.window) // swarm.chunk_size // 2):
                return
            chosen = self.choose(session, room)
            now = time.monotonic()
            for chunk in chosen:
                session.outstanding[chunk] = now
                session.asked.add(chunk)
        if chosen:
            runs = joined_in_order(chosen)
            self.peer.say(session, *(chunks.request(*pair) for pair in runs))

    def choose(self, session, room):
        if self.swarm.flags is None:
            # The first chunk brings the peaks, which tell how many there are.
            if session.outstanding:
                return []
            return [first for first, _ in session.remote][:1]
        if self.todo is None:
            missing = [chunk for chunk, flag in enumerate(self.swarm.flags) if not flag]
            if self.order == "random":
                random.shuffle(missing)
            taken = {chunk for one in self.sessions for chunk in list(one.outstanding)}
            self.todo = collections.deque(chunk for chunk in missing if chunk not in taken)
        chosen, others = [], []
        while self.todo and len(chosen) < room:
            chunk = self.todo.popleft()
            if self.swarm.has(chunk):
                continue
            (chosen if chunk in session.remote else others).append(chunk)
        self.todo.extendleft(reversed(others))
        if not chosen and len(self.todo) == 0:
            chosen = self.last_ones(session, room)
        return chosen

    def last_ones(self, session, room):
        """The end game: what others owe us is asked for twice (9.4)."""
        owed = [chunk for one in self.sessions if one is not session for chunk in list(one.outstanding)
                if chunk in session.remote and chunk not in session.outstanding]
        return sorted(set(owed))[:min(room, max(16, (self.swarm.count or 0) // 50))]

    def give_back(self, lost):
        with self.lock:
            if self.todo is not None:
                self.todo.extendleft(lost)
        self.fill_all()

    def fill_all(self):
        for session in list(self.sessions):
            self.fill(session)

    def give_back_old(self):
        """Requests without an answer; who does not answer gets no more until it does."""
        now = time.monotonic()
        for session in list(self.sessions):
            with self.lock:
                late = [chunk for chunk, since in list(session.outstanding.items()) if now - since > self.patience]
                for chunk in late:
                    session.outstanding.pop(chunk, None)
                if late:
                    session.is_late = True
                    for chunk in late:
                        session.remote.remove(chunk, chunk)
                    self.peer.note("late", session.link, len(late))
            if late:
                self.give_back(late)

    def got(self, session, chunk):
        with self.lock:
            self.received += 1
            self.by_host[session.link.address[0]] += 1
            doubled = [one for one in self.sessions if one is not session and chunk in one.outstanding]
            for one in doubled:
                one.outstanding.pop(chunk, None)
                self.peer.say(one, chunks.cancel(chunk, chunk))
            is_first = self.received == 1
        if is_first:
            self.fill_all()

    def drop(self, session):
        with self.lock:
            if session in self.sessions:
                self.sessions.remove(session)
                lost = session.forget_requests()
        self.give_back(lost)


def certify(link, root):
    """The sequence of 10.2: our nonce, their nonce and certificate, our certificate."""
    peer = link.peer
    answer = link.ask(root, {wire.PROPERTY_PROVISION: {wire.NONCE_CODE: link.nonce}, wire.PROPERTY_QUERY: None})
    if answer.code:
        raise Wrong(f"no nonce but {wire.RESPONSES[answer.code]}")
    found = answer.methods.get(wire.PROPERTY_PROVISION) or {}
    nonce, value = found.get(wire.NONCE_CODE), found.get(wire.CERTIFICATE)
    if nonce is None or value is None:
        raise Wrong(f"neither nonce nor certificate in {answer}")
    if not is_certified(value, answer.peer, peer.id, link.nonce, root):
        raise Wrong("the certificate of the other side is false")
    answer = link.ask(root, {
        wire.PROPERTY_PROVISION: {wire.CERTIFICATE: peer.identity.certificate(answer.peer, nonce, root)},
        wire.PROPERTY_QUERY: None})
    if answer.code:
        raise Wrong(f"our certificate was answered with {wire.RESPONSES[answer.code]}")


def joined_in_order(numbers):
    found = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found
