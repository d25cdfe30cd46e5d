#!/usr/bin/env python3
"""A small model of the node, to try the cases of bepeer_check on: `bepeer_check.py --program bepeer_model.py`.

    bepeer_model.py run --config FILE
    bepeer_model.py replicate join FOLDER@HOST:PORT PATH | list | status | confirm FOLDER --config FILE

It follows bepeer.md without its economies (no block lists, no proofs of others, no quotas). It is no reference.
"""
import hashlib
import json
import os
import re
import signal
import socket
import sys
import threading
import time

import bepeer_model_admin
import bepeer_wire as wire
from bepeer_model_folder import Folder, log
from bepeer_model_http import HTTPServer


class Model:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            settings = json.load(file)
        self.data, own = settings["dataDirectory"], settings["replication"]
        os.makedirs(os.path.join(self.data, "bepeer"), exist_ok=True)
        self.host, port = own["messageAddress"].rsplit(":", 1)
        self.port, self.http_port = int(port), int(own["httpAddress"].rsplit(":", 1)[1])
        self.free = own.get("minFreeBytes", 100 << 20)
        self.trash_days = own.get("trashDays", 30)
        self.node = hashlib.sha256(os.path.abspath(self.data).encode()).hexdigest()[:16]
        self.links, self.ports, self.closed, self.counts = {}, {}, set(), {}
        self.extended = {}      # (ip, port): hello, or False
        self.lock = threading.Lock()
        self.folders = {one["name"]: Folder(self, one) for one in own["folders"]}

    def run(self):
        log("started", cat="node", version="model")
        self.listener = socket.create_server((self.host, self.port), backlog=256)
        HTTPServer(self.host, self.http_port, self.look)
        bepeer_model_admin.serve(self, log)
        log("listening", listener="replication.messages", address=f"{self.host}:{self.port}")
        log("listening", listener="replication.files", address=f"{self.host}:{self.http_port}")
        threading.Thread(target=self.accept, daemon=True).start()
        for folder in self.folders.values():
            self.begin(folder)
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        while True:
            time.sleep(0.3)
            for folder in list(self.folders.values()):
                folder.scan()
                for ip in list(folder.pending):
                    threading.Thread(target=folder.flush, args=(ip,), daemon=True).start()

    def begin(self, folder):
        folder.scan(is_first=True)
        known = {f"{ip}:{port}" for ip, port in folder.trusted.items()}
        for address in sorted({*folder.peers, *known}):
            threading.Thread(target=self.ask, args=(folder, address), daemon=True).start()

    def ask(self, folder, address):
        ip, port = address.rsplit(":", 1)
        self.ports[ip] = int(port)
        while ip not in folder.reported:
            try:
                folder.asked[ip] = time.monotonic()
                self.closed.discard(ip)
                log("join_out", folder=folder.name, peer=ip)
                self.connect(ip).sendall(wire.request(folder.name).bytes)
                return
            except OSError as error:
                log("dial_failed", address=address, reason=str(error))
                time.sleep(1)

    # --- connections -----------------------------------------------------------------------------------------

    def connect(self, ip, port=None):
        sock = socket.create_connection(
            (ip, port or self.ports.get(ip, wire.MESSAGE_PORT)), 20, source_address=(self.host, 0))
        threading.Thread(target=self.serve, args=(sock, ip), daemon=True).start()
        return sock

    def send(self, ip, message, link, port=None):
        for sock in (link, self.links.get(ip)):
            try:
                if sock is not None and sock.fileno() >= 0:
                    sock.sendall(message.bytes)
                    return
            except OSError:
                continue
        try:
            self.connect(ip, port).sendall(message.bytes)
        except OSError as error:
            log("dial_failed", address=ip, reason=str(error))

    def accept(self):
        while True:
            sock, (ip, _) = self.listener.accept()
            with self.lock:
                if self.counts.get(ip, 0) >= 16 or sum(self.counts.values()) >= 256:
                    sock.close()
                    continue
                self.counts[ip] = self.counts.get(ip, 0) + 1
            threading.Thread(target=self.serve, args=(sock, ip, True), daemon=True).start()

    def serve(self, sock, ip, is_counted=False):
        self.links[ip] = sock
        decoder, until, is_first = wire.Decoder(), time.monotonic() + 30, True
        try:
            with sock:
                while True:
                    limit = until if is_first or decoder.is_inside else time.monotonic() + 120
                    sock.settimeout(max(0.001, limit - time.monotonic()))
                    data = sock.recv(65536)
                    if not data:
                        return
                    was_inside = decoder.is_inside
                    messages = decoder.feed(data)
                    if messages:
                        is_first = False
                    if not is_first and (messages or not was_inside):
                        until = time.monotonic() + 60
                    sock.settimeout(60)
                    for message in messages:
                        if not self.handle(message, ip, sock):
                            return
        except wire.Violation as violation:
            for message in violation.before:
                self.handle(message, ip, sock)
            log("reject", source=ip, reason=violation.reason)
        except TimeoutError:
            log("reject", source=ip, reason="timeout")
        except OSError:
            pass
        finally:
            sock.close()
            self.closed.add(ip)
            if self.links.get(ip) is sock:
                del self.links[ip]
            if is_counted:
                with self.lock:
                    self.counts[ip] -= 1

    def handle(self, message, ip, link):
        folder = self.folders.get(message.name)
        if folder and message.type == wire.OFFER:
            folder.outstanding.pop(ip, None)
        if message.type == wire.REQUEST:
            why = "unknown_folder" if folder is None else None if folder.admits(ip) else "not_admitted"
            why = why or folder.request(ip, link)
            if why:
                log("reject", source=ip, reason=why)
            return not why
        why = "unsolicited"
        if folder:
            if message.type == wire.OFFER:
                why = folder.get(ip, message, link)
            elif message.type == wire.REPORT:
                why = folder.verify(ip, message, link)
            else:
                why = folder.confirmed(ip, message)
        if why:
            log("reject", source=ip, reason=why)
        return True

    # --- the file server -------------------------------------------------------------------------------------

    def look(self, ip, method, components, query):
        if components[0] == ".bepeer":
            return self.extension(ip, method, components, query)
        folder, path = self.folders.get(components[0]), "/".join(components[1:])
        if folder and folder.is_file and not path:
            path = folder.name
        elif folder is None and len(self.folders) == 1:
            folder, path = next(iter(self.folders.values())), "/".join(components)
        return folder.open(path) if folder and path and folder.admits(ip) else None

    def extension(self, ip, method, components, query):
        if components[1:2] != ["1"]:
            return None
        if components[2:] == ["hello"]:
            features = ["manifest", "hash", "blocks", "proof"]
            return json.dumps({"bepeer": 1, "node": self.node, "messagePort": self.port, "features": features}).encode()
        folder = self.folders.get(components[3]) if components[2:3] == ["f"] and len(components) > 4 else None
        if folder is None or not folder.admits(ip):
            return None
        what, path = components[4], "/".join(components[5:])
        if what == "manifest" and not path:
            match = re.fullmatch(r"since=(\d{1,18})", query)
            return 400 if query.startswith("since") and not match else folder.manifest(int(match[1]) if match else 0)
        if what == "handle":
            return 403
        file = folder.open(path) if what in ("proof", "blocks") else None
        if file is None:
            return None
        with os.fdopen(file.descriptor, "rb") as stream:
            data = stream.read()
        if what == "blocks":
            size = wire.block_size(len(data))
            hashes = [wire.digest_of(data[start:start + size]) for start in range(0, len(data), size)]
            return json.dumps({"size": len(data), "block": size, "h": hashes}).encode()
        match = re.fullmatch(r"nonce=([0-9a-f]{64})", query)
        return json.dumps({"h": wire.proof_of(data, bytes.fromhex(match[1]))}).encode() if match else 400


def main(words):
    path = words[words.index("--config") + 1]
    if words[0] == "run":
        Model(path).run()
        return 0
    return bepeer_model_admin.command(words[:words.index("--config")], path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
