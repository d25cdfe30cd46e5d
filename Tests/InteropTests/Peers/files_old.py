#!/usr/bin/env python3
"""A peer with the habits of a P+2 program of 2012 (section 0.1), as callee and as caller.

It reads a request with one `recv` and drops the last octet, whatever that is; answers one LF for nothing; adds any
text as a peer; looks for names in subfolders, without regard to case, and names files with a leading `/`; as caller it
drops what follows the last LF. It speaks no extension.

    files_old.py serve HOST:PORT FOLDER [KNOWN ...]     until it is killed
    files_old.py list HOST:PORT OWN-IDENTITY
    files_old.py query HOST:PORT TEXT
    files_old.py download HOST:PORT NAME FOLDER
"""
import os
import socket
import sys
import threading

from files_wire import DOWNLOAD, LIST, QUERY, Server


class OldPeer:
    """The three services of the old program, a thread each, and what they were asked."""

    def __init__(self, host, port, folder, known=()):
        self.host, self.port, self.folder, self.known = host, port, folder, list(known)
        self.requests = []
        self.lock = threading.Lock()
        self.servers = [
            Server((host, port + LIST), self.serve_list), Server((host, port + QUERY), self.serve_query),
            Server((host, port + DOWNLOAD), self.serve_download)]

    @property
    def identity(self):
        return f"{self.host}:{self.port}"

    def close(self):
        for server in self.servers:
            server.close()

    def heard(self, service, data):
        with self.lock:
            self.requests.append((service, data))
        return data[:-1].decode()

    def serve_list(self, sock, _):
        text = self.heard("list", sock.recv(1024))
        if text not in self.known:
            self.known.append(text)
        lines = "\n".join(known for known in self.known if known != self.identity)
        sock.sendall((lines + "\n").encode())

    def serve_query(self, sock, _):
        text = self.heard("query", sock.recv(1024)).lower()
        found = []
        for place, _, names in os.walk(self.folder):
            found += [os.path.join(place, name)[len(self.folder):] for name in names if text in name.lower()]
        sock.sendall(("\n".join(sorted(found)) + "\n").encode())

    def serve_download(self, sock, _):
        name = self.heard("download", sock.recv(2048))
        try:
            with open(self.folder + name, "rb") as file:
                while piece := file.read(1024):
                    sock.send(piece)
        except OSError:
            pass


def said(address, line):
    """The answer to a line, as the old program's client takes it."""
    answer = b""
    with socket.create_connection(address, 20) as sock:
        sock.send(line.encode() + b"\n")
        while piece := sock.recv(1024):
            answer += piece
    return answer


def lines(address, line):
    """What follows the last LF is dropped."""
    return said(address, line).decode().split("\n")[:-1]


def ask_list(host, port, own):
    return [line for line in lines((host, port + LIST), own) if line != own]


def ask_query(host, port, text):
    return lines((host, port + QUERY), text)


def download(host, port, name, folder):
    """Stores the file and tells where: under the last letter, when the name has no slash."""
    path = folder + name[name.rfind("/"):]
    data = said((host, port + DOWNLOAD), name)
    with open(path, "wb") as file:
        file.write(data)
    return path


def main(words):
    command, (host, port) = words[0], words[1].split(":")
    if command == "serve":
        OldPeer(host, int(port), words[2], words[3:])
        print('{"event": "serving"}', flush=True)
        threading.Event().wait()
    elif command == "list":
        print("\n".join(ask_list(host, int(port), words[2])))
    elif command == "query":
        print("\n".join(ask_query(host, int(port), words[2])))
    elif command == "download":
        print(download(host, int(port), words[2], words[3]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1:])
