"""A caller of the node's file server that writes its requests octet by octet."""
from sockets import LATE, check, dial, equal, loopback_host, read_answer


class Reply:
    def __init__(self, status, headers, body, version):
        self.status, self.headers, self.body, self.version = status, headers, body, version

    def __repr__(self):
        return f"{self.version} {self.status} {self.headers} {self.body[:100]}"


class Caller:
    """One connection to a file server, octet by octet."""

    def __init__(self, address, source=None, seconds=20.0):
        self.sock = dial(address, source or loopback_host(), seconds)
        self.stream = self.sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.close()
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode("utf-8", "surrogateescape"))

    def reply(self, method="GET"):
        """The next answer; None: the connection has ended."""
        try:
            line = self.stream.readline(65536)
        except ConnectionError:
            return None
        if not line:
            return None
        version, status, *_ = line.decode("latin-1").split()
        headers = {}
        while (text := self.stream.readline(65536)) not in (b"\r\n", b""):
            name, _, value = text.decode("latin-1").partition(":")
            check(name.lower() not in headers, f"header {name} twice")
            headers[name.lower()] = value.strip()
        body = b""
        if method != "HEAD" and int(status) not in (204, 304) and not status.startswith("1"):
            if "content-length" in headers:
                body = self.stream.read(int(headers["content-length"]))
                equal(len(body), int(headers["content-length"]), "octets of the body")
            else:
                body = self.stream.read()
        return Reply(int(status), headers, body, version)

    def get(self, target, *headers, method="GET", version="HTTP/1.1"):
        self.send("\r\n".join([f"{method} {target} {version}", "Host: x", *headers]) + "\r\n\r\n")
        return self.reply(method)

    def ended(self):
        """What still comes, and how it ends."""
        rest = read_answer(self.sock, 10)
        equal(rest.data, b"", "octets behind the answer")
        return rest.end


def ask(node, data, source=None, method="GET"):
    """One answer, and whether the connection ends behind it."""
    with Caller(node.http_address, source) as caller:
        caller.send(data)
        answer = caller.reply(method)
        if answer is None:
            return None, True
        return answer, read_answer(caller.sock, 0.3).end != LATE
