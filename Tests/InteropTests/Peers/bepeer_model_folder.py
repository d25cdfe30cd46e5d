"""A folder of bepeer_model: its index, its peers, and what was said to them."""
import datetime
import fcntl
import hashlib
import ipaddress
import json
import os
import stat
import threading
import time
import unicodedata

import bepeer_wire as wire
from bepeer_model_files import Fetcher, Ignore, open_beneath
from bepeer_model_http import File

QUIET = 2.0


def log(event, level="info", cat="replication", **fields):
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    print(json.dumps({"ts": now, "level": level, "cat": cat, "event": event, **fields}), flush=True)


class Folder:
    """One folder."""

    log = staticmethod(log)

    def __init__(self, model, settings):
        self.model, self.name, self.path = model, settings["name"], settings["path"]
        self.mode, self.join = settings.get("mode", "sendreceive"), settings.get("join", "open")
        self.allow = [ipaddress.ip_network(text) for text in settings.get("joinAllow", [])]
        self.peers = list(settings.get("peers", []))
        self.lock = threading.RLock()
        self.index, self.sequence = {}, 0       # path: dict of p s m h v q d, and ino, ns
        self.trusted, self.agreed = {}, {}      # ip: message port; (ip, path): hash
        self.offers, self.asked, self.reported = {}, {}, {}
        self.rounds, self.dropped, self.pending, self.outstanding, self.manual = {}, {}, {}, {}, {}
        self.waiting, self.odd, self.stopped, self.https = {}, set(), None, {}
        self.is_file = os.path.isfile(self.path)
        self.state = os.path.join(model.data, "bepeer", self.name + ".peerfile")
        self.load()

    # --- state -----------------------------------------------------------------------------------------------

    def load(self):
        if os.path.exists(self.state):
            with open(self.state, encoding="utf-8") as file:
                known = json.load(file)
            self.index, self.sequence, self.trusted = known["index"], known["sequence"], known["trusted"]
            self.https = known["https"]
            for ip in known["extended"]:
                self.model.extended[ip, self.https[ip]] = True
            self.agreed = {tuple(key.split("\0")): value for key, value in known["agreed"].items()}
        elif not self.is_file:
            os.makedirs(os.path.join(self.path, ".bepeer/part"), exist_ok=True)
        if os.path.isdir(os.path.join(self.path, ".bepeer")):
            self.guard = open(os.path.join(self.path, ".bepeer/lock"), "w")
            try:
                fcntl.flock(self.guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self.stop("another node has this folder")

    def save(self):
        with self.lock:
            agreed = {"\0".join(key): value for key, value in self.agreed.items()}
            with open(self.state + "~", "w", encoding="utf-8") as file:
                extended = [ip for ip in self.https if self.model.extended.get((ip, self.https[ip]))]
                json.dump({"index": self.index, "sequence": self.sequence, "trusted": self.trusted,
                           "agreed": agreed, "https": self.https, "extended": extended}, file)
            os.replace(self.state + "~", self.state)

    def admits(self, ip):
        if ip in self.trusted or self.join == "open":
            return True
        return self.join == "list" and any(ipaddress.ip_address(ip) in net for net in self.allow)

    def file_path(self, path):
        return self.path if self.is_file else os.path.join(self.path, path)

    def names(self):
        return sorted(path for path, one in self.index.items() if not one.get("d") and one.get("t") != "dir")

    # --- scan ------------------------------------------------------------------------------------------------

    def look(self):
        """Path: stat of all that is replicated."""
        if self.is_file:
            return {self.name: os.stat(self.path)} if os.path.exists(self.path) else {}
        found, composed = {}, {}
        ignore = Ignore(self.path)
        stack = [b""]
        while stack:
            place = stack.pop()
            for one in sorted(os.scandir(os.path.join(os.fsencode(self.path), place)), key=lambda one: one.name):
                path = os.path.join(place, one.name)
                if path.split(b"/")[0] in (b".bepeer", b".bepeerignore"):
                    continue
                info = one.stat(follow_symlinks=False)
                why = wire.path_refusal(path)
                if not why and not stat.S_ISREG(info.st_mode) and not stat.S_ISDIR(info.st_mode):
                    why = "special"
                if why or ignore.matches(path.decode()):
                    if why and path not in self.odd:
                        self.odd.add(path)
                        log("skipped", name=repr(path), why=why)
                    continue
                text = path.decode()
                if composed.setdefault(unicodedata.normalize("NFC", text), text) != text:
                    continue
                found[text] = info
                if stat.S_ISDIR(info.st_mode):
                    stack.append(path)
        return found

    def scan(self, is_first=False):
        with self.lock:
            if self.stopped:
                return
            try:
                if not self.is_file and not os.path.isdir(os.path.join(self.path, ".bepeer")):
                    raise OSError("the marker .bepeer is missing")
                found = self.look()
            except OSError as error:
                self.stop(str(error))
                return
            live = [path for path, one in self.index.items() if not one.get("d")]
            gone = [path for path in live if path not in found]
            files = [path for path in live if self.index[path].get("t") != "dir"]
            if len(files) >= 20 and 2 * len([path for path in gone if path in files]) > len(files):
                self.stop("more than half of the files are gone")
                return
            restless = [path for path, info in found.items() if not self.is_quiet(path, info, is_first)]
            changed = [] if restless else [path for path, info in found.items() if self.check(path, info)]
            gone = [] if restless else gone
            for path in gone:
                self.bump(path, d=True)
                log("delete", folder=self.name, path=path)
            if is_first:
                log("scan_done", folder=self.name, files=len(found), hashed=len(changed), ms=1)
            if changed or gone:
                self.save()
                names = [path for path in changed if self.index[path].get("t") != "dir"]
                log("change", folder=self.name, names=changed + gone)
                if not (is_first and not self.trusted):
                    self.announce(names, bool(gone) or len(names) < len(changed))
            self.check_manual(found)

    def stop(self, why):
        self.stopped = why
        log("folder_stopped", "error", folder=self.name, why=why)

    def is_quiet(self, path, info, is_first):
        one = self.index.get(path)
        now = (info.st_size, info.st_mtime_ns, info.st_ino)
        if is_first or stat.S_ISDIR(info.st_mode) or (
                one and not one.get("d") and (one["s"], one["ns"], one["ino"]) == now):
            return True
        since = self.waiting.setdefault((path, *now), time.monotonic())
        return time.monotonic() - since >= QUIET

    def check(self, path, info):
        """Whether there is a new version, which is then in the index."""
        one = self.index.get(path)
        if stat.S_ISDIR(info.st_mode):
            if one and not one.get("d") and one.get("t") == "dir":
                return False
            self.bump(path, s=0, m=0, h="", t="dir", ino=0, ns=0, d=None)
            return True
        now = (info.st_size, info.st_mtime_ns, info.st_ino)
        if one and not one.get("d") and (one["s"], one["ns"], one["ino"]) == now:
            return False
        self.waiting.pop((path, *now), None)
        return self.take(path, info)

    def take(self, path, info):
        try:
            with open(self.file_path(path), "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return False
        one, mode = self.index.get(path), bool(info.st_mode & 0o100)
        fields = {"s": info.st_size, "m": info.st_mtime_ns // 10**6, "ns": info.st_mtime_ns, "ino": info.st_ino}
        if one and not one.get("d") and one["h"] == digest and bool(one.get("x")) == mode:
            one |= fields
            return False
        self.bump(path, h=digest, x=mode or None, d=None, t=None, **fields)
        return True

    def bump(self, path, versions=None, **fields):
        """A new version of a path in the index."""
        self.sequence += 1
        one = self.index.setdefault(path, {"p": path, "s": 0, "m": 0, "h": "", "v": {}, "ino": 0, "ns": 0})
        one |= fields
        if versions is None:
            versions = one["v"] | {self.model.node: one["v"].get(self.model.node, 0) + 1}
        one |= {"q": self.sequence, "v": versions}
        for key in [key for key, value in one.items() if value is None]:
            del one[key]

    def check_manual(self, found):
        for ip, (names, link) in list(self.manual.items()):
            if all(name in found for name in names):
                del self.manual[ip]
                self.report(ip, names, link)

    # --- what others ask -------------------------------------------------------------------------------------

    def manifest(self, since):
        with self.lock:
            shown = [{key: one[key] for key in "psmhvqxtd" if key in one}
                     for one in self.index.values() if one["q"] > since]
            return wire.manifest(self.name, self.model.node, self.sequence, sorted(shown, key=lambda one: one["q"]))

    def open(self, path):
        """A File of the index; None: 404."""
        with self.lock:
            one = self.index.get(path)
            if self.stopped or one is None or one.get("d") or one.get("t") == "dir":
                return None
            try:
                descriptor = os.open(self.path, os.O_RDONLY) if self.is_file else open_beneath(self.path, path)
            except OSError:
                return None
            info = os.fstat(descriptor)
            if not stat.S_ISREG(info.st_mode):
                os.close(descriptor)
                return None
            is_known = (info.st_size, info.st_mtime_ns) == (one["s"], one["ns"])
            return File(descriptor, info.st_size, info.st_mtime_ns, one["h"] if is_known else None)

    # --- messages --------------------------------------------------------------------------------------------

    def announce(self, names, is_hint=False, without=None):
        if self.mode == "receiveonly" or not (names or is_hint):
            return
        for ip in list(self.trusted):
            if ip != without and (names or self.model.extended.get((ip, self.https.get(ip, wire.HTTP_PORT)))):
                self.pending.setdefault(ip, set()).update(names)
                self.flush(ip)

    def flush(self, ip, link=None):
        with self.lock:
            if ip not in self.pending or time.monotonic() - self.outstanding.get(ip, -99) < 60:
                return
            names = sorted(name for name in self.pending.pop(ip) if name in self.names())
            if names:
                self.outstanding[ip] = time.monotonic()
        self.offer(ip, names, link)

    def offer(self, ip, names, link=None, rounds=0):
        with self.lock:
            self.offers.setdefault(ip, {}).update(
                {name: (self.index[name]["h"], dict(self.index[name]["v"])) for name in names})
        log("offer", folder=self.name, peer=ip, names=len(names), bytes=sum(self.index[name]["s"] for name in names))
        self.model.send(ip, wire.offer(self.name, *names, port=self.model.http_port), link, self.trusted.get(ip))

    def request(self, ip, link):
        if time.monotonic() - self.dropped.get(ip, -9999) < 3600:
            return "not_admitted"
        log("join_in", folder=self.name, peer=ip)
        self.offer(ip, self.names(), link)
        return None

    def get(self, ip, message, link):
        asked = self.asked.get(ip, -999)
        others = [other for other, moment in self.asked.items() if time.monotonic() - moment < 600]
        if ip not in self.trusted and time.monotonic() - asked > 600:
            closed = [other for other in others if other in self.model.closed and other not in self.reported]
            if not closed:
                return "unsolicited"
            del self.asked[closed[0]]
            self.asked[ip] = time.monotonic()
        if self.mode == "sendonly":
            return None
        self.https[ip] = message.port
        if message.protocol != "HTTP":
            log("manual", folder=self.name, peer=ip, host=ip, port=message.port, protocol=message.protocol,
                names=len(message.files))
            self.manual[ip] = (list(message.files), link)
            return None
        Fetcher(self, ip, message, link).run()
        return None

    def report(self, ip, names, link):
        self.reported[ip] = {*self.reported.get(ip, ()), *names}
        log("report_out", folder=self.name, peer=ip, names=len(names))
        self.model.send(ip, wire.report(self.name, *names, port=self.model.http_port), link, self.trusted.get(ip))

    def verify(self, ip, message, link):
        if ip not in self.offers:
            return "unsolicited"
        self.https[ip] = message.port
        Fetcher(self, ip, message, link).is_extended()
        log("report_in", folder=self.name, peer=ip, names=len(message.files))
        good, bad = [], []
        for name in message.files:
            if name in self.offers[ip]:
                wanted, versions = self.offers[ip][name]
                data = Fetcher(self, ip, message, link).content(name)
                if data != wanted and Fetcher(self, ip, message, link).has_moved_on(name, versions):
                    continue
                if data == wanted:
                    good.append(name)
                    self.agreed[ip, name] = wanted
                    log("verify_ok", folder=self.name, peer=ip, path=name)
                else:
                    bad.append(name)
                    why = "missing" if data is None else "differs"
                    log("verify_bad", folder=self.name, peer=ip, path=name, why=why)
        if good or not message.files:
            self.model.send(ip, wire.confirm(self.name, *good, port=self.model.http_port), link, self.trusted.get(ip))
            if not bad:
                self.trust(ip)
        if bad:
            self.rounds[ip] = self.rounds.get(ip, 0) + 1
            if self.rounds[ip] >= 3:
                self.trusted.pop(ip, None)
                self.dropped[ip] = time.monotonic()
                del self.offers[ip]
                log("untrusted", folder=self.name, peer=ip)
            else:
                self.model.send(ip, wire.offer(self.name, *bad, port=self.model.http_port), link, self.trusted.get(ip))
        else:
            self.outstanding.pop(ip, None)
            self.save()
            self.flush(ip, link)
        return None

    def trust(self, ip):
        if ip not in self.trusted:
            self.trusted[ip] = self.model.ports.get(ip, wire.MESSAGE_PORT)
            log("trusted", folder=self.name, peer=ip)
            self.save()

    def confirmed(self, ip, message):
        names = self.reported.get(ip)
        if names is None:
            return "unsolicited"
        for name in message.files:
            if name in names and name in self.index:
                self.agreed[ip, name] = self.index[name]["h"]
        self.trust(ip)
        return None
