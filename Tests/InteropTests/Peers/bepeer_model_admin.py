"""The operator of bepeer_model: `replicate ...` by a socket."""
import json
import os
import socket
import threading

from bepeer_model_folder import Folder


def place(data):
    return os.path.join(data, "admin.sock")


def serve(model, log):
    path = place(model.data)
    if os.path.exists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    log("listening", cat="admin", listener="admin", address=path)

    def run():
        while True:
            sock, _ = listener.accept()
            with sock:
                words = json.loads(sock.makefile("rb").readline())
                sock.sendall(json.dumps(obey(model, words)).encode() + b"\n")
    threading.Thread(target=run, daemon=True).start()


def obey(model, words):
    if words[0] == "join":
        name, _, address = words[1].partition("@")
        os.makedirs(words[2], exist_ok=True)
        model.folders[name] = Folder(model, {"name": name, "path": words[2], "peers": [address]})
        model.begin(model.folders[name])
        return [0, "joining"]
    if words[0] == "confirm":
        return [0, "confirmed"] if words[1] in model.folders else [1, "no such folder"]
    return [0, "\n".join(f"{name} {len(folder.trusted)} trusted" for name, folder in model.folders.items())]


def command(words, path):
    with open(path, encoding="utf-8") as file:
        data = json.load(file)["dataDirectory"]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(place(data))
        sock.sendall(json.dumps(words[1:]).encode() + b"\n")
        status, text = json.loads(sock.makefile("rb").readline())
    print(text)
    return status
