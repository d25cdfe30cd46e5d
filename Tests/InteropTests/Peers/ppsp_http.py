"""Transport 0x0003 (ppsp.md section 9.7): ranges of a content over HTTP/1.1, with the hashes that prove them.

    server = RangeServer("127.1.2.3", 8080)
    server.share(swarm)                                     # GET http://127.1.2.3:8080/ppsp/SWARM
    fetch(Swarm(None, 16384, root=swarm.id), server.url)    # the content, proved
"""
import http.client
import re
import threading
import time

from bepeer_peer import FileServer
from sockets import WAIT, Server, Wrong
from ppsp_merkle import HASHES, OK, range_of, subtrees

PREFIX = "/ppsp/"
MERKLE = "Content-Merkle"


def merkle_header(swarm, first, last, minimal=False):
    """Peaks, then uncles: those that 9.3 sends before each chunk, or only those that no chunk of the range tells."""
    nodes = list(swarm.proofs.peaks)
    seen = set(nodes)
    wanted = subtrees(first, last) if minimal else [(0, chunk) for chunk in range(first, last + 1)]
    for layer, offset in wanted:
        way = []
        while (layer, offset) not in seen:
            seen.add((layer, offset))
            sibling = (layer, offset ^ 1)
            start, end = range_of(*sibling)
            if sibling not in seen and not (minimal and first <= start and end <= last):
                way.append(sibling)
            seen.add(sibling)
            layer, offset = layer + 1, offset >> 1
        nodes += reversed(way)
    return header_of(swarm, [(node, swarm.proofs[node]) for node in nodes])


def header_of(swarm, hashes):
    listed = ", ".join("{}-{}={}".format(*range_of(*node), value.hex()) for node, value in hashes)
    return f"{swarm.function}; {swarm.chunk_size}; {listed}"


def parse_header(text):
    """Hash code, chunk size, hash by node. Wrong."""
    match = re.fullmatch(r"\s*(\d+)\s*;\s*(\d+)\s*;\s*(.*)", text or "")
    if not match:
        raise Wrong(f"{MERKLE}: {text}")
    hashes = {}
    for part in filter(None, (part.strip() for part in match[3].split(","))):
        one = re.fullmatch(r"(\d+)-(\d+)=([0-9a-fA-F]+)", part)
        if not one:
            raise Wrong(f"{MERKLE}: {part}")
        first, last = int(one[1]), int(one[2])
        width = last - first + 1
        if width < 1 or width & (width - 1) or first % width:
            raise Wrong(f"{MERKLE}: {part} is no subtree")
        hashes[width.bit_length() - 1, first // width] = bytes.fromhex(one[3])
    return int(match[1]), int(match[2]), hashes


class RangeServer:
    """`lies`: "corrupt" (a false octet in each range), "false-hashes", "no-hashes", "whole" (200 in place of 206),
    "short" (it ends before the range does), "not-found", "stalls"."""

    def __init__(self, host, port=8080, lies=(), minimal=False):
        self.host, self.port, self.lies, self.minimal = host, port, set(lies), minimal
        self.swarms, self.requests, self.lock = {}, [], threading.Lock()
        self.server = Server((host, port), self.serve)

    @property
    def url(self):
        return f"http://{self.host}:{self.port}{PREFIX}"

    def share(self, swarm):
        self.swarms[PREFIX + swarm.id.hex()] = swarm
        return swarm

    def close(self):
        self.server.close()

    def serve(self, sock, address):
        stream = sock.makefile("rb")
        while head := FileServer.read_head(stream, address[0]):
            with self.lock:
                self.requests.append(head)
            if not self.answer(sock, head):
                return

    def answer(self, sock, head):
        """Whether the connection may go on."""
        swarm = self.swarms.get(head.target)
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", head.headers.get("range", ""))
        if swarm is None or "not-found" in self.lies:
            sock.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return True
        if "stalls" in self.lies:
            time.sleep(60)
            return False
        content, size = swarm.data, swarm.size
        if not match or "whole" in self.lies:
            sock.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
            sock.sendall(content[:size])
            return True
        start = int(match[1])
        end = min(int(match[2]) if match[2] else size - 1, size - 1)
        if start > end or start % swarm.chunk_size:
            sock.sendall(f"HTTP/1.1 416 No\r\nContent-Range: bytes */{size}\r\nContent-Length: 0\r\n\r\n".encode())
            return True
        last = end // swarm.chunk_size
        if end != size - 1:
            # A range ends with a chunk.
            last = (end + 1) // swarm.chunk_size - 1
            end = (last + 1) * swarm.chunk_size - 1
        body = bytes(content[start:end + 1])
        if "corrupt" in self.lies:
            body = body[:-1] + bytes([body[-1] ^ 1])
        lines = ["HTTP/1.1 206 Partial Content", f"Content-Range: bytes {start}-{end}/{size}",
                 f"Content-Length: {len(body)}", "Content-Type: application/octet-stream"]
        if "no-hashes" not in self.lies:
            text = merkle_header(swarm, start // swarm.chunk_size, last, self.minimal)
            if "false-hashes" in self.lies:
                text = re.sub(r"=(..)", lambda match: f"={int(match[1], 16) ^ 1:02x}", text)
            lines.append(f"{MERKLE}: {text}")
        sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        sock.sendall(body[:-1] if "short" in self.lies else body)
        return "short" not in self.lies

    def ranges(self):
        with self.lock:
            return [head.headers.get("range", "") for head in self.requests]


def get(url, root, source=None, method="GET", **headers):
    """One answer for a swarm: status, headers in lower case, body."""
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    caller = http.client.HTTPConnection(name, int(port or 80), timeout=WAIT, source_address=(source or "127.0.0.1", 0))
    try:
        caller.request(method, f"/{path}{root if isinstance(root, str) else root.hex()}", headers={
            key.replace("_", "-"): value for key, value in headers.items()})
        answer = caller.getresponse()
        data = answer.read()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, data
    except (OSError, http.client.HTTPException) as error:
        raise Wrong(f"{url}: {error!r}") from None
    finally:
        caller.close()


def fetch(swarm, url, source=None, chunks_at_a_time=64):
    """The content of a swarm whose chunk size and hash function are known. Wrong: an answer does not prove itself."""
    size, at = swarm.chunk_size, 0
    while not swarm.is_complete:
        first = at
        last = at + chunks_at_a_time - 1
        status, headers, body = get(url, swarm.id, source, Range=f"bytes={first * size}-{(last + 1) * size - 1}")
        if status != 206:
            raise Wrong(f"{url}: {status}")
        take(swarm, first, headers, body)
        at = last + 1
    return swarm.content


def take(swarm, first, headers, body):
    """Keeps the chunks of an answer that are proved; all of them have to be."""
    function, size, hashes = parse_header(headers.get(MERKLE.lower()))
    if (function, size) != (swarm.function, swarm.chunk_size):
        raise Wrong(f"{MERKLE}: hash {function}, chunks of {size}")
    pieces = [body[start:start + size] for start in range(0, len(body), size)]
    digest = HASHES[function]
    level = {(0, first + number): digest(piece).digest() for number, piece in enumerate(pieces)}
    while level:
        for node, value in level.items():
            hashes.setdefault(node, value)
        level = {(layer + 1, offset >> 1): digest(level[layer, offset] + level[layer, offset + 1]).digest()
                 for layer, offset in level if offset % 2 == 0 and (layer, offset + 1) in level}
    for number, piece in enumerate(pieces):
        found = swarm.take(first + number, piece, hashes)
        if found not in (OK, None):
            raise Wrong(f"chunk {first + number} of a range is {found}")
