#!/usr/bin/env python3
"""BePeer's messages, names and numbers as the texts have them (sections 2, 4.3, 5.1, 5.2, 7 and 8), of our own making.

    decoder = Decoder()
    decoder.feed(b"BePeerRequest\\n00-MainDocuments\\n\\n")      # [Message(type="BePeerRequest", ...)]

    bepeer_wire.py FILE ...     compares all of this with vector files
"""
import datetime
import hashlib
import hmac
import json
import re
import sys
import unicodedata
from typing import NamedTuple

REQUEST, OFFER, REPORT, CONFIRM = "BePeerRequest", "FilesToGet", "FilesUpdated", "TrustedPeerConfirm"
TYPES = (REQUEST, OFFER, REPORT, CONFIRM)
MESSAGE_PORT, HTTP_PORT = 7009, 7010
MAX_LINE, MAX_BLANK, MAX_REFUSED, MAX_NAMES, MAX_MESSAGE = 4096, 8, 100, 1_000_000, 64 << 20
MAX_COMPONENT, MAX_PATH, MAX_DEPTH, MAX_PROTOCOL = 255, 4096, 64, 16
MAX_MANIFEST_LINE, MAX_MANIFEST_ENTRIES = 16 << 10, 2_000_000
EOL = "[EOL]"
RESERVED = ".bepeer"
EXTENSION = "/.bepeer/1"


class Violation(Exception):
    """A message that breaks the rules of section 2.1; its text is the reason that the log has."""

    @property
    def reason(self):
        return self.args[0]


class Message(NamedTuple):
    type: str
    name: str
    port: int = None
    protocol: str = None
    files: tuple = ()
    refused: tuple = ()

    @property
    def bytes(self):
        return encode(self)


def encode(message):
    lines = [message.type, message.name]
    if message.type != REQUEST:
        lines += [str(message.port), message.protocol or "HTTP", *message.files]
    return "".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape") + b"\n"


def request(name):
    return Message(REQUEST, name)


def offer(name, *files, port=HTTP_PORT):
    return Message(OFFER, name, port, "HTTP", files)


def report(name, *files, port=HTTP_PORT):
    return Message(REPORT, name, port, "HTTP", files)


def confirm(name, *files, port=HTTP_PORT):
    return Message(CONFIRM, name, port, "HTTP", files)


# --- names (2.1 and 7) ---------------------------------------------------------------------------------------


def decoded(data):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def has_control(text):
    return any(ord(character) < 0x20 or ord(character) == 0x7F for character in text)


def is_folder_name(data):
    """One path component of 1 to 255 octets (2.1)."""
    text = decoded(data)
    return (
        text is not None and 1 <= len(data) <= MAX_COMPONENT and not has_control(text) and "/" not in text
        and "\\" not in text and text not in (".", "..") and not text.startswith(RESERVED))


def path_of(data):
    """The path that a line of the list means: a leading `./` is dropped."""
    return data[2:] if data.startswith(b"./") else data


def path_refusal(data, sync_ignore=False):
    """Why a path is skipped (7); None: it is accepted. As bytes, since it may not be UTF-8."""
    text = decoded(data)
    if text is None:
        return "not_utf8"
    if not text:
        return "empty"
    if text == EOL:
        return "eol_name"
    if has_control(text):
        return "control"
    if "\\" in text:
        return "backslash"
    if text.startswith("/"):
        return "absolute"
    if text.endswith("/"):
        return "trailing_slash"
    components = data.split(b"/")
    if b"" in components:
        return "empty_component"
    if b"." in components or b".." in components:
        return "dots"
    if any(len(component) > MAX_COMPONENT for component in components):
        return "component_too_long"
    if len(data) > MAX_PATH:
        return "path_too_long"
    if len(components) > MAX_DEPTH:
        return "too_deep"
    if components[0].startswith(b".bepeer") and not (sync_ignore and text == ".bepeerignore"):
        return "reserved"
    return None


class Names:
    """The list of one message: what is taken of it, and why the rest is not."""

    def __init__(self):
        self.files, self.refused = {}, []
        self.composed, self.parents = {}, set()

    def add(self, data):
        data = path_of(data)
        reason = path_refusal(data)
        if reason is None and data not in self.files:
            reason = self.clash(data)
            if reason is None:
                text = data.decode()
                self.files[data] = text
                self.composed[unicodedata.normalize("NFC", text)] = data
                self.parents.update(folders_of(data))
                if len(self.files) > MAX_NAMES:
                    raise Violation("limit")
        if reason is not None:
            self.refused.append(reason)
            if len(self.refused) > MAX_REFUSED:
                raise Violation("bad_path")

    def clash(self, data):
        if self.composed.get(unicodedata.normalize("NFC", data.decode()), data) != data:
            return "normalization"
        if data in self.parents or any(folder in self.files for folder in folders_of(data)):
            return "file_and_folder"
        return None


def folders_of(data):
    """The folders of a path: a/b/c has a and a/b."""
    return [data[:index] for index, octet in enumerate(data) if octet == 0x2F]


# --- messages, as they come ----------------------------------------------------------------------------------


class Decoder:
    """Messages of one direction of a connection, in any pieces. After a Violation it takes no more."""

    def __init__(self):
        self.buffer, self.broken = bytearray(), False
        self.restart()

    def restart(self):
        self.lines, self.names, self.blank, self.size = [], None, 0, 0

    def feed(self, data):
        """The messages that are complete now. Violation, whose `before` are those complete before it."""
        found = []
        try:
            if self.broken:
                raise Violation("closed")
            self.buffer += data
            start = 0
            while (end := self.buffer.find(b"\n", start)) >= 0:
                message = self.line(bytes(self.buffer[start:end]), end + 1 - start)
                start = end + 1
                if message:
                    found.append(message)
            del self.buffer[:start]
            # A CR may be the 4097th, when LF follows.
            if len(self.buffer) > MAX_LINE + (self.buffer[-1:] == b"\r"):
                raise Violation("too_long")
            return found
        except Violation as violation:
            self.broken = True
            violation.before = found
            raise

    @property
    def is_inside(self):
        """Whether an end now would cut a message."""
        return bool(self.buffer or self.lines)

    def line(self, data, size):
        data = data.removesuffix(b"\r")
        if len(data) > MAX_LINE:
            raise Violation("too_long")
        self.size += size
        if self.size > MAX_MESSAGE:
            raise Violation("too_long")
        if not self.lines and not data:
            self.blank += 1
            if self.blank > MAX_BLANK:
                raise Violation("syntax")
            return None
        is_end = data in (b"", EOL.encode())
        count = len(self.lines)
        if count >= 4:
            return self.list_line(data, is_end)
        if count == 2 and self.lines[0] == REQUEST:
            if not is_end:
                raise Violation("syntax")
            return self.complete()
        self.lines.append(self.head_line(count, data))
        if len(self.lines) == 4:
            self.names = Names()
        return None

    @staticmethod
    def head_line(count, data):
        if count == 0 and data in (b"FileToGet", *(kind.encode() for kind in TYPES)):
            return OFFER if data == b"FileToGet" else data.decode()
        if count == 1 and is_folder_name(data):
            return data.decode()
        if count == 2 and re.fullmatch(rb"[1-9][0-9]{0,4}", data) and int(data) <= 65535:
            return int(data)
        if count == 3 and 1 <= len(data) <= MAX_PROTOCOL and decoded(data) and not has_control(decoded(data)):
            return "HTTP" if data.upper() == b"HTTP" else data.decode()
        raise Violation("syntax")

    def list_line(self, data, is_end):
        if is_end:
            return self.complete()
        self.names.add(data)
        return None

    def complete(self):
        names = self.names or Names()
        message = Message(*self.lines, files=tuple(names.files.values()), refused=tuple(names.refused))
        self.restart()
        return message


def parse(data):
    """As the vectors have it: all messages of a direction that ends, errors and cut messages included."""
    decoder = Decoder()
    try:
        found = [described(message) for message in decoder.feed(data)]
    except Violation as violation:
        return [described(message) for message in violation.before] + [{"error": violation.reason}]
    return found + ([{"incomplete": True}] if decoder.is_inside else [])


def described(message):
    if message.type == REQUEST:
        return {"type": message.type, "name": message.name}
    fields = {
        "type": message.type, "name": message.name, "port": message.port, "protocol": message.protocol,
        "files": list(message.files)}
    return fields | ({"refused": list(message.refused)} if message.refused else {})


# --- URLs and HTTP (5.1, 5.2) --------------------------------------------------------------------------------

PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def quoted(component):
    return "".join(chr(octet) if octet in PLAIN else f"%{octet:02X}" for octet in component.encode())


def target_of(*components):
    """The request target of names, each of which may have slashes of its own."""
    return "".join("/" + quoted(part) for component in components for part in component.split("/"))


def url_of(ip, port, folder, path):
    return f"http://{f'[{ip}]' if ':' in ip else ip}:{port}{target_of(folder, path)}"


def components_of(target):
    """What a request target names after exactly one decoding; None: 404."""
    path = target.partition("?")[0]
    if not path.startswith("/") or re.search(r"%(?![0-9A-Fa-f]{2})", path):
        return None
    components = []
    for part in path[1:].split("/"):
        octets = re.sub(rb"%(..)", lambda match: bytes([int(match[1], 16)]), part.encode("utf-8", "surrogateescape"))
        text = decoded(octets)
        if text in (None, "", ".", "..") or "/" in text or "\\" in text or has_control(text):
            return None
        components.append(text)
    return components


def range_of(size, text):
    """What a Range header is answered with: (status, first, count)."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", text.strip())
    if not match or match[1] == match[2] == "":
        return 200, 0, size
    if match[1] == "":
        count = min(int(match[2]), size)
        return (206, size - count, count) if count else (416, 0, 0)
    first = int(match[1])
    last = min(int(match[2]), size - 1) if match[2] else size - 1
    if match[2] and int(match[2]) < first:
        return 200, 0, size
    return (206, first, last - first + 1) if first < size else (416, 0, 0)


# --- versions (4.3) and the extension (8) --------------------------------------------------------------------


def compared(local, remote):
    nodes = {*local, *remote}
    ahead = any(local.get(node, 0) > remote.get(node, 0) for node in nodes)
    behind = any(local.get(node, 0) < remote.get(node, 0) for node in nodes)
    return {(False, False): "equal", (True, False): "newer", (False, True): "older"}.get((ahead, behind), "concurrent")


def merged(local, remote):
    return {node: max(local.get(node, 0), remote.get(node, 0)) for node in {*local, *remote}}


def winner(local, remote):
    """Of two contents with mtime and hash: the one that keeps the name."""
    if local["hash"] == remote["hash"]:
        return "none, same content"
    return "local" if (local["mtime"], local["hash"]) > (remote["mtime"], remote["hash"]) else "remote"


def conflict_name(path, mtime, digest):
    folder, slash, name = path.rpartition("/")
    stem, dot, extension = name.rpartition(".")
    if not stem:    # no dot, or one at the start
        stem, dot, extension = name, "", ""
    when = datetime.datetime.fromtimestamp(mtime, datetime.timezone.utc).strftime("%Y%m%d-%H%M%S")
    return f"{folder}{slash}{stem}.sync-conflict-{when}-{digest[:7]}{dot}{extension}"


def is_conflict_name(path):
    return re.search(r"\.sync-conflict-\d{8}-\d{6}-[0-9a-f]{7}(\.[^./]*)?$", path) is not None


def original_name(path):
    """The name of which a conflict copy is a copy."""
    return re.sub(r"\.sync-conflict-\d{8}-\d{6}-[0-9a-f]{7}((\.[^./]*)?)$", r"\1", path)


def block_size(size):
    block = 128 << 10
    while block < 16 << 20 and -(-size // block) >= 2000:
        block <<= 1
    return block


def digest_of(data):
    return hashlib.sha256(data).hexdigest()


def proof_of(data, nonce):
    return hmac.new(nonce, data, hashlib.sha256).hexdigest()


def entry(path, data, mtime_ms, versions, sequence, **more):
    return {"p": path, "s": len(data), "m": mtime_ms, "h": digest_of(data), "v": versions, "q": sequence} | more


def manifest(folder, node, sequence, entries, tail=True):
    lines = [{"bepeer": 1, "folder": folder, "node": node, "seq": sequence}, *entries]
    if tail:
        lines.append({"end": True, "count": len(entries), "seq": sequence})
    return "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines).encode()


def read_manifest(data):
    """Head and entries. ValueError: it is incomplete or wrong, and therefore ignored."""
    lines = data.split(b"\n")
    if lines.pop() != b"" or len(lines) < 2:
        raise ValueError("no tail")
    if any(len(line) > MAX_MANIFEST_LINE for line in lines):
        raise ValueError("a line is too long")
    head, *entries, tail = [json.loads(line) for line in lines]
    if head.get("bepeer") != 1 or not {"folder", "node", "seq"} <= set(head):
        raise ValueError(f"head {head}")
    if tail.get("end") is not True or tail.get("count") != len(entries) or tail.get("seq") != head["seq"]:
        raise ValueError(f"tail {tail} of {len(entries)} entries")
    for fields in entries:
        if path_refusal(fields["p"].encode()):
            raise ValueError(f"path {fields['p']!r}")
        if not isinstance(fields["q"], int) or not isinstance(fields["v"], dict):
            raise ValueError(f"entry {fields}")
        if not fields.get("d") and fields.get("t") != "dir" and not re.fullmatch(r"[0-9a-f]{64}", fields["h"]):
            raise ValueError(f"hash of {fields}")
    return head, entries


if __name__ == "__main__":
    import bepeer_vectors
    sys.exit(bepeer_vectors.main(sys.argv[1:]))
