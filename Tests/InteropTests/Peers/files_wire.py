"""What P+2 has on a wire (sections 1 to 3): three ports in a row, one line to one of them, one answer."""
import itertools
import time

from sockets import (  # noqa: F401 (the cases of P+2 have them from here)
    FIN, LATE, RESET, WAIT, Answer, Server, Wrong, check, dial, equal, exchange, loopback_host, read_answer, reset)

LIST, QUERY, DOWNLOAD = 0, 1, 2  # added to the port p


PORTS = itertools.count(7000, 10)


def loopback_port():
    """The port p of another peer: on loopback every address with a node's own port is the node itself (2.1)."""
    return next(PORTS)


class FakePeer:
    """A peer whose three services do what a case tells them: functions of (sock, line) by service.

    Without a function a service ends at once, with an empty answer. What callers sent is kept as it came.
    """

    def __init__(self, host=None, port=None, **services):
        self.host, self.port = host or loopback_host(), port or loopback_port()
        self.services = services
        self.requests, self.times = [], []
        self.servers = [
            Server((self.host, self.port + offset), self.server(name))
            for name, offset in (("list", LIST), ("query", QUERY), ("download", DOWNLOAD))]

    @property
    def identity(self):
        return f"{self.host}:{self.port}"

    def server(self, name):
        def serve(sock, _):
            self.times.append((name, time.monotonic()))
            line = sock.recv(8192)
            self.requests.append((name, line))
            if function := self.services.get(name):
                function(sock, line)
        return serve

    def close(self):
        for server in self.servers:
            server.close()


def answering(data):
    """A service that always says the same."""
    return lambda sock, line: sock.sendall(data)
