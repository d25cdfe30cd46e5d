"""The file server of bepeer_model: section 5.2 in threads, small and slow, to try the cases on."""
import email.utils
import os
import re
import socket
import struct
import threading
import time

from bepeer_wire import components_of, range_of

MAX_LINE, MAX_HEAD = 8 << 10, 16 << 10
TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
WORDS = {200: "OK", 206: "Partial Content", 304: "Not Modified", 400: "Bad Request", 403: "Forbidden",
         404: "Not Found", 405: "Method Not Allowed", 414: "URI Too Long", 416: "Range Not Satisfiable",
         431: "Request Header Fields Too Large", 503: "Service Unavailable"}


class Bad(Exception):
    """A request that ends its connection with a status."""


class HTTPServer:
    """`look(ip, method, components, query)` gives a File, octets, a status, or None for 404."""

    def __init__(self, host, port, look):
        self.look, self.lock, self.callers = look, threading.Lock(), {}
        self.listener = socket.create_server((host, port), backlog=128)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            sock, (ip, _) = self.listener.accept()
            with self.lock:
                mine = self.callers.get(ip, 0)
                if mine >= 16 or sum(self.callers.values()) >= 64:
                    sock.close()
                    continue
                self.callers[ip] = mine + 1
            threading.Thread(target=self.serve, args=(sock, ip), daemon=True).start()

    def serve(self, sock, ip):
        try:
            with sock:
                Connection(self, sock, ip).run()
        except OSError:
            pass
        finally:
            with self.lock:
                self.callers[ip] -= 1


class File:
    """An open file with what is known of it."""

    def __init__(self, descriptor, size, mtime_ns, digest):
        self.descriptor, self.size, self.mtime_ns, self.digest = descriptor, size, mtime_ns, digest

    @property
    def tag(self):
        return f'"b-{self.digest}"' if self.digest else f'"t-{self.size}-{self.mtime_ns}"'


class Connection:
    def __init__(self, server, sock, ip):
        self.server, self.sock, self.ip, self.buffer = server, sock, ip, b""

    def run(self):
        is_first = True
        while True:
            try:
                head = self.head(30 if is_first else 60)
                if head is None:
                    return
                is_first = False
                if not self.answer(*head):
                    return
            except Bad as bad:
                self.send(bad.args[0], [], b"", True)
                self.sock.shutdown(socket.SHUT_WR)
                self.sock.settimeout(1)
                while self.sock.recv(65536):
                    pass
                return

    def head(self, seconds):
        """Method, target, version, headers. The deadline does not begin again with each octet."""
        until = time.monotonic() + seconds
        self.buffer = self.buffer.lstrip(b"\r\n")
        while (end := self.buffer.find(b"\r\n\r\n")) < 0:
            line = self.buffer.partition(b"\r\n")[0]
            if len(line) > MAX_LINE:
                raise Bad(414)
            if len(self.buffer) - len(line) > MAX_HEAD:
                raise Bad(431)
            self.sock.settimeout(max(0.001, until - time.monotonic()))
            data = self.sock.recv(65536)
            if not data:
                return None
            if not self.buffer:
                until = time.monotonic() + 30
            self.buffer = (self.buffer + data).lstrip(b"\r\n") if not self.buffer else self.buffer + data
            if b"\n\n" in self.buffer or self.buffer.startswith(b"\0"):
                raise Bad(400)
        lines, self.buffer = self.buffer[:end].split(b"\r\n"), self.buffer[end + 4:]
        if len(lines[0]) > MAX_LINE:
            raise Bad(414)
        if sum(len(line) + 2 for line in lines[1:]) > MAX_HEAD:
            raise Bad(431)
        return self.parsed(lines)

    def parsed(self, lines):
        match = re.fullmatch(rb"([!-~]+) ([!-~\x80-\xff]+) HTTP/1\.([01])", lines[0])
        if not match or not TOKEN.fullmatch(match[1]):
            raise Bad(400)
        headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(b":")
            if not colon or not TOKEN.fullmatch(name) or re.search(rb"[\x00\r\n]", value):
                raise Bad(400)
            name = name.decode().lower()
            if name in headers and name in ("content-length", "host", "transfer-encoding"):
                raise Bad(400)
            headers[name] = value.decode("utf-8", "surrogateescape").strip()
        if "transfer-encoding" in headers or not re.fullmatch(r"\d{1,15}", headers.get("content-length", "0")):
            raise Bad(400)
        return match[1].decode(), match[2].decode("utf-8", "surrogateescape"), match[3] == b"1", headers

    def answer(self, method, target, is_new, headers):
        """Whether the connection stays."""
        stays = is_new and headers.get("connection", "").lower() != "close"
        if method not in ("GET", "HEAD", "POST"):
            raise Bad(405)
        length = int(headers.get("content-length", 0))
        if length > 65536:
            raise Bad(413)
        while len(self.buffer) < length:
            if not (data := self.sock.recv(65536)):
                return False
            self.buffer += data
        self.buffer = self.buffer[length:]
        if method not in ("GET", "HEAD") and not (method == "POST" and target.endswith("/handle")):
            self.send(405, ["Allow: GET, HEAD"], b"", not stays)
            return stays
        components = components_of(target)
        found = components and self.server.look(self.ip, method, components, target.partition("?")[2])
        if isinstance(found, File):
            try:
                return self.send_file(found, method, headers, stays)
            finally:
                os.close(found.descriptor)
        if isinstance(found, bytes):
            self.send(200, [], found, not stays, method == "HEAD")
        else:
            self.send(found if isinstance(found, int) else 404, [], b"", not stays, method == "HEAD")
        return stays

    def send(self, status, more, body, is_last, is_head=False):
        lines = [f"HTTP/1.1 {status} {WORDS.get(status, 'Oops')}", f"Content-Length: {len(body)}", *more]
        lines += ["Connection: close"] if is_last else []
        self.sock.settimeout(60)
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + (b"" if is_head else body))

    def send_file(self, file, method, headers, stays):
        modified = email.utils.formatdate(file.mtime_ns // 10**9, usegmt=True)
        common = [f"ETag: {file.tag}", f"Last-Modified: {modified}"]
        if "if-none-match" in headers:
            tags = [tag.strip().removeprefix("W/") for tag in headers["if-none-match"].split(",")]
            if "*" in tags or file.tag in tags:
                self.sock.sendall(("\r\n".join(["HTTP/1.1 304 Not Modified", *common]) + "\r\n\r\n").encode())
                return stays
        status, first, count = 200, 0, file.size
        if "range" in headers and method == "GET" and headers.get("if-range", file.tag) in (file.tag, modified):
            status, first, count = range_of(file.size, headers["range"])
        lines = [f"HTTP/1.1 {status} {WORDS[status]}", *common, f"Content-Length: {count}", "Accept-Ranges: bytes",
                 "Content-Type: application/octet-stream", "X-Content-Type-Options: nosniff"]
        lines += [f"BePeer-Hash: sha-256={file.digest}"] if file.digest else []
        lines += [f"Content-Range: bytes {first}-{first + count - 1}/{file.size}"] if status == 206 else []
        lines += [f"Content-Range: bytes */{file.size}"] if status == 416 else []
        lines += [] if stays else ["Connection: close"]
        self.sock.settimeout(60)
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        if method == "HEAD" or status == 416:
            return stays
        while count:
            data = os.pread(file.descriptor, min(count, 1 << 18), first)
            if not data:    # it shrank
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            self.sock.sendall(data)
            first, count = first + len(data), count - len(data)
        return stays
