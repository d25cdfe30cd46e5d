"""HTTP ranges between a node and foreign peers (ppsp.md section 9.7)."""
import re

import ppsp_http
import ppsp_wire as wire
from sockets import check, equal
from ppsp_content import Swarm
from ppsp_merkle import BLAKE2B, SHA1, SHA256, peaks, range_of, uncles
from ppsp_world import case, octets, settle


def url_of(world, node, swarm):
    """What the node names when it is asked."""
    answer = world.caller().dial(node.content_address).ask(swarm.id, {wire.TRANSPORT_PARAMETER: None})
    return next(one.get(wire.URL) for one in answer.methods[wire.TRANSPORT_PARAMETER] if one.id == wire.HTTP)


def http_peer(world, swarm, transports=(wire.HTTP,), **options):
    """A foreign peer that signals over TCP, and has the chunks over HTTP: both."""
    peer = world.peer(transports=transports)
    web = world.web(host=peer.host, **options)
    web.share(swarm)
    peer.swarms[swarm.id] = swarm
    peer.entries[swarm.id, wire.HTTP] = {wire.URL: web.url}
    return peer, web


@case("A foreign client fetches ranges from the node, and proves them by Content-Merkle (9.7)", 120)
def http_pull(world):
    """Ranges of one chunk and of many; each hash function; the header has peaks, then uncles."""
    node = world.home(has_http=True).start()
    for size, chunk_size, function in ((1, 1024, SHA1), (7162, 1024, SHA256), (5_000_000, 16384, SHA256),
                                       (3_000_001, 65536, BLAKE2B), (2_000_000, 16384, SHA1)):
        swarm = node.add(octets(size), chunk_size, function)
        url = url_of(world, node, swarm)
        for at_a_time in (1, 7, 64) if size < 10_000 else (64,):
            found = ppsp_http.fetch(Swarm(None, chunk_size, function, root=swarm.id), url, chunks_at_a_time=at_a_time)
            check(found == swarm.content, f"{size} octets differ")
        last = swarm.count - 1
        status, headers, body = ppsp_http.get(url, swarm.id, Range=f"bytes={last * chunk_size}-{size - 1}")
        equal((status, body), (206, bytes(swarm.chunk(last))), "the last chunk")
        equal(headers.get("content-range"), f"bytes {last * chunk_size}-{size - 1}/{size}", "Content-Range")
        code, found_size, hashes = ppsp_http.parse_header(headers[ppsp_http.MERKLE.lower()])
        equal((code, found_size, list(hashes)), (function, chunk_size, [*peaks(swarm.count), *uncles(
            last, swarm.count)]), "the hashes of one chunk: peaks, then uncles highest first")
        equal([value.hex() for value in hashes.values()], [swarm.proofs[node].hex() for node in hashes], "hashes")
    node.stop()


@case("What the node's HTTP server refuses: unknown swarms, ranges behind the end, paths (9.7)", 60)
def http_refusals(world):
    """404, 416; nothing but swarms is served; a range that is not on chunk boundaries is not one without hashes."""
    node = world.home(has_http=True).start()
    swarm = node.add(octets(100_000), 1024)
    url = url_of(world, node, swarm)
    equal(ppsp_http.get(url, bytes(32), Range="bytes=0-1023")[0], 404, "an unknown swarm")
    equal(ppsp_http.get(url, swarm.id, Range="bytes=102400-103423")[0], 416, "a range behind the end")
    for path in ("", "..", "../peernode.json", "%2e%2e/peernode.json", "../../../../etc/passwd", "xyz", "0" * 63):
        status, _, body = ppsp_http.get(url, path)
        check(status in (400, 404), f"{status} for {path}: {body[:60]}")
    status, headers, body = ppsp_http.get(url, swarm.id, Range="bytes=5-2000")
    if status == 206:
        first, last = map(int, re.match(r"bytes (\d+)-(\d+)/", headers["content-range"]).groups())
        check(first % 1024 == 0 and (last + 1) % 1024 == 0 or "content-merkle" not in headers,
              f"{first}-{last} with hashes")
        equal(body, swarm.content[first:last + 1], "the body")
    status, headers, body = ppsp_http.get(url, swarm.id)
    check(status in (200, 206, 400, 416), f"{status} without Range")
    check(status != 200 or body == swarm.content, "the whole content differs")
    node.stop()


@case("The node fetches by HTTP from a foreign server (9.7)", 180)
def http_serve(world):
    """With all uncles as 9.3 sends them, and with only those that the range itself does not tell."""
    node = world.home(has_http=True).start()
    for minimal in (False, True):
        for size, chunk_size, function in ((1, 16384, SHA256), (7162, 1024, SHA1), (5_000_000, 16384, SHA256)):
            swarm = Swarm(octets(size, size + minimal), chunk_size, function)
            peer, web = http_peer(world, swarm, minimal=minimal)
            check(node.fetch(swarm.id, peer.address, 60) == swarm.content, f"{size} octets differ")
            check(web.requests, "nothing was asked by HTTP")
            for text in web.ranges():
                first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", text).groups())
                check(first % chunk_size == 0 and ((last + 1) % chunk_size == 0 or last == size - 1), f"range {text}")
    node.stop()


@case("HTTP servers that lie: a range without sufficient hashes is dropped, false ones cost the server (8.1, 9.7)", 240)
def http_liars(world):
    """Corrupt, false hashes, no hashes, 200, cut, 404, and one that never answers; an honest peer beside it."""
    for lie in ("corrupt", "false-hashes", "no-hashes", "whole", "short", "not-found", "stalls"):
        swarm = Swarm(octets(2_000_000), 16384)
        peer, web = http_peer(world, swarm, lies=[lie])
        honest = world.liar(drip=300_000)
        honest.swarms[swarm.id] = swarm
        node = world.home(has_http=True, peers=[peer.name, honest.name]).start()
        fetch = world.begin(node, swarm.id)
        settle(1.5)
        honest.drip = None
        check(fetch.wait(60) == swarm.content, f"the content differs, with {lie}")
        check(len(web.requests) < 300, f"{len(web.requests)} requests to a server with {lie}")
        if lie == "corrupt" and web.requests:
            node.has_banned(peer)
        node.has_not_banned(honest)
        node.stop()


@case("A peer that offers 0x0003 still answers 0x0001 (9.7)")
def http_and_tcp(world):
    """Its list has both, and TRANSPORT_MANDATORY gets the mandatory one; the content comes by TCP, too."""
    node = world.home(has_http=True).start()
    swarm = node.add(octets(500_000), 16384)
    link = world.caller().dial(node.content_address)
    answer = link.ask(swarm.id, {wire.TRANSPORT_PARAMETER: None})
    equal(sorted(one.id for one in answer.methods[wire.TRANSPORT_PARAMETER]), [1, 3], "its transports")
    equal(set(link.ask(swarm.id, {wire.TRANSPORT_MANDATORY: swarm.transport()}).methods), {wire.TRANSPORT_MANDATORY},
          "the answer to TRANSPORT_MANDATORY")
    check(world.peer().fetch(swarm.id, [node.content_address]) == swarm.content, "the content differs")
    equal([range_of(*node_) for node_ in peaks(31)], [(0, 15), (16, 23), (24, 27), (28, 29), (30, 30)], "our peaks")
    node.stop()
