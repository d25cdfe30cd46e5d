"""One connection of ddrp_peer: the handshake, the open connection, and the ways in which a script spoils it.

A link does its own reading and writing on a non-blocking socket; the peer calls `readable`, `writable` and `tick`.
"""
import errno
import socket
import time

import ddrp_wire as wire

CONNECT_SECONDS, HELLO_SECONDS = 2, 2
TOTAL_SECONDS = {"initiator": 15, "responder": 5}
BYTE_GAP_SECONDS = 0.002    # between the segments of byte-by-byte
OTHER_MAGIC = bytes.fromhex("deadbeef")
STAGES = ("hello", "ack", "open")
INVENTED = wire.Entry("127.9.9.9", wire.STANDARD_PORT, b"\x99" * 32)

# What a faulty script spoils, and from which stage on unless --at says otherwise.
FAULTS = {"bad-signature": "open", "bad-magic": "open", "stale": "hello", "oversize": "open"}
SCRIPTS = tuple(FAULTS) + ("byte-by-byte", "coalesce", "silent", "no-ack", "wrong-nonce", "unknown-type",
                           "unsolicited-peerres", "ping-with-body", "close-after-hello", "update-req")


class Link:
    def __init__(self, peer, sock, role, address, connected):
        self.peer, self.options, self.sock, self.role, self.address = peer, peer.options, sock, role, address
        self.script = self.options.script
        self.dialect = peer.first_dialect(role)
        self.shake = None                   # made when the dialect is known
        self.connected, self.up, self.muted, self.dead, self.closing = connected, False, False, False, False
        self.stage = "hello"
        self.incoming, self.outgoing = bytearray(), bytearray()
        self.born = self.heard = self.next_byte = time.monotonic()
        self.next_ping = None
        if connected:
            self.connection_made()

    # --- life ------------------------------------------------------------------------------------------------

    def connection_made(self):
        self.connected = True
        self.born = self.heard = time.monotonic()
        self.event("connected" if self.role == "initiator" else "accepted", address=self.address, role=self.role,
                   local=self.peer.name_of(self.sock.getsockname()))
        if self.role == "initiator":
            self.begin_handshake()
            self.send_hello()

    def begin_handshake(self):
        self.shake = wire.Handshake(self.role, self.dialect, self.options.key, self.options.agent.encode(),
                                    external=self.peer.external())

    def identity(self):
        return self.shake.peer.hex() if self.shake and self.shake.peer else None

    def event(self, event, **fields):
        self.peer.emit(event, **fields)

    def close(self, reason, detail=None):
        if self.dead:
            return
        self.dead = True
        now = time.monotonic()
        if not self.connected:
            self.event("dial_failed", address=self.address, reason=reason, detail=detail)
        else:
            self.event("closed", peer=self.identity(), address=self.address, role=self.role, reason=reason,
                       detail=detail, was_open=self.up, seconds=round(now - self.born, 3),
                       idle=round(now - self.heard, 3))
        self.peer.forget(self)

    def deadline(self):
        """(moment, detail) after which this link is given up."""
        if not self.connected:
            return self.born + CONNECT_SECONDS, "connect"
        if self.up or self.closing:
            return self.heard + self.options.timeout, "silence"
        if self.script == "no-ack":
            return self.born + 3600, "never"    # the other end has to lose patience, not we
        total = self.born + TOTAL_SECONDS[self.role]
        if self.role == "initiator" and self.shake.theirs is None:
            return min(total, self.born + HELLO_SECONDS), "no Hello"
        return total, "handshake"

    def due(self):
        """When `tick` has something to do."""
        moments = [self.deadline()[0]]
        if self.next_ping is not None:
            moments.append(self.next_ping)
        if self.outgoing and self.script == "byte-by-byte":
            moments.append(self.next_byte)
        return min(moments)

    def tick(self, now):
        moment, detail = self.deadline()
        if now > moment:
            return self.close("timeout", detail)
        if self.next_ping is not None and now >= self.next_ping:
            self.next_ping += self.options.ping
            self.send_ping()
        self.flush()

    # --- octets ----------------------------------------------------------------------------------------------

    def wants_write(self):
        return not self.connected or bool(self.outgoing and self.script != "byte-by-byte")

    def writable(self):
        if not self.connected:
            error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                return self.close(refusal(error), errno.errorcode.get(error))
            self.connection_made()
        self.flush()

    def flush(self):
        try:
            while self.outgoing and not self.dead and self.connected:
                single = self.script == "byte-by-byte"
                if single and time.monotonic() < self.next_byte:
                    return
                sent = self.sock.send(self.outgoing[:1] if single else self.outgoing)
                del self.outgoing[:sent]
                self.next_byte = time.monotonic() + BYTE_GAP_SECONDS
        except BlockingIOError:
            return
        except OSError as error:
            return self.close("reset", errno.errorcode.get(error.errno))
        if self.closing and not self.dead:
            self.close("script", self.script)

    def readable(self):
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            return self.close("reset", errno.errorcode.get(error.errno))
        if not data:
            return self.close("eof", f"{len(self.incoming)} octets of an envelope" if self.incoming else None)
        self.incoming += data
        try:
            self.parse()
        except wire.WireError as error:
            return self.close(error.reason, error.detail)
        self.flush()

    def parse(self):
        if self.shake is None and not self.choose_dialect():
            return
        while not self.dead and not self.closing:
            limit = wire.MAX_BODY if self.up else wire.MAX_HANDSHAKE_BODY
            envelope = wire.next_envelope(self.incoming, self.dialect, int(time.time()), limit)
            if envelope is None:
                return
            del self.incoming[:envelope.size]
            if self.up:
                self.receive(envelope)
            else:
                self.shake_hands(envelope)

    def choose_dialect(self):
        found = wire.sniff_dialect(self.incoming)
        if found is None:
            return False
        if self.dialect not in ("auto", found):
            raise wire.malformed(f"speaks {found}")
        self.dialect = found
        self.begin_handshake()
        return True

    # --- sending ---------------------------------------------------------------------------------------------

    def spoils(self, script):
        """Whether this script is on and its stage has come."""
        first = self.options.at or FAULTS.get(script)
        return self.script == script and STAGES.index(self.stage) >= STAGES.index(first)

    def send(self, name, fields=None, number=None, body=None):
        """Queues a message; `number` and `body` override what the dialect says."""
        if self.muted or self.dead:
            return
        number = wire.TYPES[self.dialect][name] if number is None else number
        body = wire.encode_body(name, fields or {}, self.dialect) if body is None else body
        stamp = int(time.time()) + (self.options.skew if self.spoils("stale") else 0) & 0xffffffff
        magic = OTHER_MAGIC if self.spoils("bad-magic") else wire.MAGIC
        if self.spoils("oversize"):
            self.muted = True
            self.outgoing += wire.header(self.dialect, number, stamp, wire.MAX_BODY + 1) + bytes(16)
            return self.event("script", name="oversize", peer=self.identity(), message=name)
        data = wire.seal(self.dialect, number, stamp, body, self.options.key, magic)
        if self.spoils("bad-signature"):
            data = data[:-1] + bytes([data[-1] ^ 1])
        if self.script in FAULTS and self.spoils(self.script):
            self.event("script", name=self.script, peer=self.identity(), message=name)
        self.outgoing += data

    def send_hello(self):
        fields = self.shake.hello()
        if self.script == "wrong-nonce" and self.role == "responder":
            fields["remote_nonce"] = bytes(b ^ 0xff for b in fields["remote_nonce"])
            self.event("script", name="wrong-nonce", peer=self.identity(), message="Hello")
        self.send("Hello", fields)
        if self.script == "close-after-hello":
            self.closing = True

    def send_ack(self):
        fields = self.shake.ack()
        if self.script == "wrong-nonce":
            fields["nonce"] = bytes(b ^ 0xff for b in fields["nonce"])
            self.event("script", name="wrong-nonce", peer=self.identity(), message="HelloAck")
        self.stage = "ack"
        self.send("HelloAck", fields)

    def send_ping(self):
        self.send("Ping", body=b"ignored" if self.script == "ping-with-body" else b"")

    def send_peers(self, entries):
        layout = self.options.layout or ("reference" if self.dialect == wire.REFERENCE else "text-two-counts")
        self.send("PeerRes", {"peers": entries, "layout": layout})

    # --- handshake -------------------------------------------------------------------------------------------

    def shake_hands(self, envelope):
        before = self.shake.theirs
        self.shake.receive(envelope)
        self.heard = time.monotonic()
        if before is None:
            theirs = self.shake.theirs
            self.event("hello", peer=self.identity(), address=self.address, role=self.role, dialect=self.dialect,
                       version=theirs["protocol_version"], agent=agent_text(theirs),
                       external=[theirs.get("external_ip"), theirs.get("external_port")])
            if self.script == "no-ack":
                return
            if self.role == "responder":
                self.send_hello()
            else:
                self.send_ack()
        if self.shake.open:
            self.opened()

    def opened(self):
        reason = self.peer.refuses(self)
        if reason:
            self.flush()    # the HelloAck still goes out (section 8, steps 4 and 5)
            return self.close(reason)
        self.up, self.stage = True, "open"
        self.peer.know(self)
        self.event("link_up", role=self.role, dialect=self.dialect, peer=self.identity(),
                   agent=agent_text(self.shake.theirs), address=self.address)
        self.next_ping = time.monotonic() + self.options.ping
        self.play()
        if self.options.ask:
            self.send("PeerReq")

    def play(self):
        """What a script does when the link opens."""
        script = self.script
        if script == "silent":
            self.muted = True
        elif script in FAULTS:
            return self.send_ping()
        elif script == "ping-with-body":
            self.send_ping()
        elif script == "coalesce":    # with the HelloAck of an initiator, in one segment
            self.send("Ping")
            self.send("PeerReq")
        elif script == "unknown-type":
            self.send(None, number=12, body=b"")
            self.send(None, number=99, body=b"")
            self.send(None, number=99, body=b"unheard of")
            self.send("Ping")
        elif script == "unsolicited-peerres":
            self.send_peers(self.peer.offers(self.shake.peer, self.dialect) or [INVENTED])
        elif script == "update-req":
            self.send("UpdateReq", {"name": b"alphaname", "timestamp": 0})
        else:
            return
        self.event("script", name=script, peer=self.identity(), message=None)

    # --- the open connection ---------------------------------------------------------------------------------

    def receive(self, envelope):
        name, fields = wire.open_message(envelope, self.dialect, self.shake.peer)
        self.heard = time.monotonic()
        peer = self.identity()
        if name == "Ping":
            self.event("ping", peer=peer, offset=envelope.timestamp - int(time.time()), octets=len(envelope.body))
        elif name == "PeerReq":
            self.event("peer_req", peer=peer)
            self.send_peers(self.peer.offers(self.shake.peer, self.dialect))
        elif name == "PeerRes":
            rows = [{"ip": e.ip, "port": self.options.standard_port if e.port is None else e.port, "id": e.id.hex()}
                    for e in fields["peers"]]
            self.event("peer_res", peer=peer, layout=fields["layout"], peers=rows)
        elif name == "UpdateReq":
            self.event("update_req", peer=peer, name=text(fields["name"]), timestamp=fields.get("timestamp"))
            if self.dialect == wire.REFERENCE:
                self.send("NilUpdate", {"name": fields["name"]})
        elif name == "NilUpdate":
            self.event("nil_update", peer=peer, name=text(fields["name"]))
        else:
            self.event("message", peer=peer, type=envelope.type, name=name, octets=len(envelope.body))


def refusal(error):
    return {errno.ECONNREFUSED: "refused", errno.ECONNRESET: "reset"}.get(error, "unreachable")


def text(octets):
    return octets.decode("utf-8", "backslashreplace")


def agent_text(hello):
    return text(hello["user_agent"][:1024])
