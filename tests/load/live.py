# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Connections that live at the same time, by the million: real sockets, both ends of each on this machine, a process and
a port of the server for as many as it may have files. What synwave knows of them, and what asking it takes."""
import os
import resource
import select
import subprocess
import time

import instance
from field import PORT, Exporter, Peers, Samples, build, machine, map_bytes, memory, mib, rss, sockets
from lib import SYNWAVE, equal, inside, until

WAYS = "45,45,5,5,0"
SPARE = 64  # files of a process that are no connections


def fill(count, samples):
    """Opens them, a process after the other; returns [(server, client)] and the seconds that it took."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE
    pairs, began, held = [], time.monotonic(), 0
    while held < count:
        n = min(most, count - held)
        port = PORT + 2 * len(pairs)
        server = Peers("srv", "serve", port=port)
        client = Peers("cli", "call", port=port, count=n, inflight=n, hosts=4, hold=-1, ways=WAYS)
        pairs.append((server, client))
        until(lambda: server.counts()["open"] == client.counts()["open"] == n, f"{n} connections to port {port}", 120)
        held += n
        if len(pairs) % 8 == 1:
            h = samples.take()["handshakes"]
            equal((h["completed"], h["evicted"]), (held, 0), "handshakes completed, evicted")
    return pairs, time.monotonic() - began


def empty(pairs, samples):
    began, closed = time.monotonic(), 0
    for n, (server, client) in enumerate(pairs):
        client.say("close")
        until(lambda: client.counts()["done"] and not server.counts()["open"], "connections to be closed", 120)
        closed += client.counts()["attempted"]
        if n % 8 == 0:
            t = samples.take()["teardowns"]
            equal(t["started"], closed, "teardowns started")
    return time.monotonic() - began


def timed(*words):
    """What a command takes, and how much it says. kb: resident, at most (looked at each millisecond)."""
    with inside("srv"):
        p = subprocess.Popen([SYNWAVE, "--pin", "/sys/fs/bpf/load", *words], stdout=subprocess.PIPE)
    began = time.monotonic()
    size = lines = kb = 0
    while True:
        kb = max(kb, rss(p.pid))
        if not select.select([p.stdout], [], [], 0.001)[0]:
            continue
        data = os.read(p.stdout.fileno(), 1 << 20)
        if not data:
            break
        size, lines = size + len(data), lines + data.count(b"\n")
    equal(p.wait(30), 0, f"exit code of {' '.join(words)}")
    return {"seconds": time.monotonic() - began, "kb": kb, "bytes": size, "lines": lines}


def value(text, series):
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(series + " "))


def ask(sw, count):
    """What synwave says of them, and how long it takes."""
    took = {words: timed(*words.split()) for words in ("stats --json", "flows --json", "flows", "flows --limit 10")}
    equal(took["flows --json"]["lines"], count, "lines of flows --json")
    e = Exporter(sw.pin)
    time.sleep(0.5)  # what was read less than 250 ms ago would be answered from memory
    seconds, text = until(e.scrape, "a scrape")
    series = 'synwave_connections{role="local",state="established"}'
    equal(value(text, series), count, series)
    took["a scrape"] = {"seconds": seconds, "kb": e.rss(), "bytes": len(text), "lines": text.count("\n")}
    e.end()
    return took


def play(count, mode="tc", flows=None, half_open=65536):
    build()
    sw = instance.Synwave("load")
    sw.cmd("attach", "eth0", "--mode", mode, "--flows", str(flows or 2 * count), "--half-open", str(half_open))
    samples, zero, start = Samples(sw), memory(), mib("srv")
    pairs, seconds = fill(count, samples)
    full = memory()
    equal(mib("srv")["CurrEstab"] - start["CurrEstab"], count, "CurrEstab of the server's kernel")
    equal(sockets("srv")["established"], count, "established sockets of the server")
    stats = sw.expect(states__local__ESTABLISHED=count, states__client__ESTABLISHED=count, handshakes__completed=count,
                      handshakes__started=count, half_open=0)
    took = ask(sw, count)
    closing = empty(pairs, samples)
    ends = [client.counts() for _, client in pairs]
    reset = sum(e["reset_by_client"] + e["reset_by_server"] for e in ends)
    for pair in pairs:
        for p in pair:
            p.end()
    sw.expect(teardowns__started=count, teardowns__completed=count - reset, teardowns__reset=reset,
              states__local__ESTABLISHED=0, teardowns__in_progress=0)
    bytes_of_maps = map_bytes(sw.pin)
    sw.detach()
    instance.nothing_left(sw)
    return {"machine": machine(), "mode": mode, "count": count, "seconds": seconds, "closing": closing, "took": took,
            "processes": 2 * len(pairs), "socket_kb": zero["available"] - full["available"], "map_bytes": bytes_of_maps,
            "tables": stats["tables"], "samples": samples.count, "slowest": samples.slowest}


def lines(r):
    yield f"{r['count']:,} connections at once, real sockets of {r['processes']} processes, --mode {r['mode']}: opened in " \
          f"{r['seconds']:.0f} s, closed in {r['closing']:.0f} s"
    yield f"memory: sockets {r['socket_kb'] / (1 << 20):.1f} GiB, maps {r['map_bytes'] / (1 << 20):.0f} MiB"
    for name, t in r["took"].items():
        yield f"{name:17} {t['seconds']:7.3f} s {t['kb'] / 1024:6.1f} MiB resident {t['bytes'] / 1e6:8.3f} MB {t['lines']:9,} lines"
    yield f"{r['samples']} samples, the slowest {r['slowest'] * 1000:.0f} ms: the laws held at each"
