# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A flood of SYNs for minutes, the guard enforcing, its rules changed in the midst of it (cookies, drops, cookies, ...),
and clients who are served all the time: allowed ones and known ones under both, new ones while there are cookies."""
import time
from statistics import median

import instance
import net
from arena import Arena, result
from field import Exporter, Samples, lost, machine, map_bytes, memory
from lib import check, equal

PPS = 150000  # leaves room for others on the machine; what the guard can take at most is bench-flood's question
RATE = 50  # clients a second of each kind
LEAD = 0.5  # seconds between a change and the first client
PATIENCE = 10  # seconds: a SYN may be lost in the cable and sent again
KNOWN, NEW, ALLOWED = ("10.10.0.1", 32), ("10.10.16.1", 40000), ("10.11.0.1", 60000)
LIMIT = "service.default=500/s burst 1000 over "
KINDS = {"cookie": {"known": KNOWN, "new": NEW, "allowed": ALLOWED}, "drop": {"known": KNOWN, "allowed": ALLOWED}}
MORE_RSS, MORE_SLAB = 1024, 256 << 10  # kB that are no leak: of a heap that settles; of all that runs on the machine


def begin(arena, mode):
    """The server's side, and the known clients' first visit."""
    net.ip("cli", "route", "add", "local", "10.11.0.0/16", "dev", "lo")
    sw = instance.Synwave("load")
    sw.cmd("attach", "eth0", "--mode", mode)
    arena.close.callback(sw.detach)
    sw.cmd("guard", "set", "mode=enforce", LIMIT + "cookie")
    sw.cmd("guard", "allow", "10.11.0.0/16")
    known = result(arena.start_clients(*KNOWN, KNOWN[1], 1), "the known clients")
    equal(known["served"], known["started"], "known clients served before the flood")
    return sw


class Watch:
    """A sample a second: laws, maps, memory, the exporter's answer."""

    def __init__(self, sw):
        self.sw, self.samples, self.exporter = sw, Samples(sw), Exporter(sw.pin)
        self.maps = map_bytes(sw.pin)
        self.rss, self.slab, self.scrapes = [], [], []

    def take(self):
        stats = self.samples.take()
        full = [t["name"] for t in stats["tables"] if t["entries"] > t["capacity"]]
        equal(full, [], "tables with more entries than room")
        equal(map_bytes(self.sw.pin), self.maps, "bytes of the maps")
        scrape = self.exporter.scrape()
        check(scrape, "the exporter did not answer")
        self.scrapes.append(scrape[0])
        self.rss.append(self.exporter.rss())
        self.slab.append(memory()["unreclaimable"])

    def flat(self):
        """The end held against the middle: what one lost byte a SYN would be, shows. Of the kernel's memory the medians:
        whatever else runs on the machine comes and goes in it."""
        half, quarter = len(self.rss) // 2, len(self.slab) // 4
        grown = {"rss": max(self.rss[half:]) - max(self.rss[:half]),
                 "slab": int(median(self.slab[-quarter:]) - median(self.slab[quarter:2 * quarter]))}
        check(grown["rss"] <= MORE_RSS, f"the exporter grew by {grown['rss']} kB")
        check(grown["slab"] <= MORE_SLAB, f"the kernel's memory grew by {grown['slab']} kB")
        return grown


def phase(arena, watch, over, seconds):
    """One stretch of the flood under one rule. Returns what became of the clients."""
    watch.sw.cmd("guard", "set", LIMIT + over)
    time.sleep(LEAD)
    end = time.monotonic() + seconds
    running = {kind: arena.start_clients(*who, RATE, seconds - 2 * LEAD, (PATIENCE,)) for kind, who in KINDS[over].items()}
    while time.monotonic() < end:
        watch.take()
        time.sleep(min(1, seconds / 10))
    found = {kind: result(p, f"the {kind} clients") for kind, p in running.items()}
    words = {kind: {k: c[k] for k in ("started", "served", "refused", "gave_up")} for kind, c in found.items()}
    check(all(c["served"] == c["started"] for c in found.values()),
          f"clients under over {over}: {words}; {lost('cli')} frames lost in the cable; the guard: {watch.sw.stats()['guard']}")
    return found


def judged(sw, before, clients):
    """The guard's own books, after the flood: every SYN has one verdict, and the allowed had theirs. A SYN of theirs that
    the cable lost was sent again."""
    stats = sw.stats()
    g, syns = stats["guard"], stats["segments"]["syn"] - before["segments"]["syn"]
    done = {k: g[k] - before["guard"][k] for k in ("passed", "dropped", "challenged")}
    by = {k: v - before["guard"]["by_reason"].get(k, 0) for k, v in g["by_reason"].items() if v}
    equal(sum(done.values()), syns, "SYNs passed, dropped and challenged")
    equal(sum(by.values()), syns, "SYNs by reason")
    check(by["allow"] >= clients["allowed"], f"{by['allow']} SYNs allowed, {clients['allowed']} allowed clients")
    return syns, {**done, **{"reason " + k: v for k, v in by.items()}}


def play(seconds, mode="native", pps=PPS):
    phases = max(2, round(seconds / 60))
    with Arena() as arena:
        arena.cookies(2)
        sw = begin(arena, mode)
        arena.sink()
        watch = Watch(sw)
        before = sw.stats()
        flood = arena.start_flood(seconds + 30 * phases, pps=pps)
        found = [phase(arena, watch, ("cookie", "drop")[n % 2], seconds / phases) for n in range(phases)]
        check(flood.poll() is None, "the flood ended before its time")
        flood.terminate()
        flood.wait()
        grown = watch.flat()
        clients = {kind: sum(f[kind]["started"] for f in found if kind in f) for kind in KINDS["cookie"]}
        times = sorted(ns for f in found for c in f.values() for ns in c["connect_ns"])
        syns, verdicts = judged(sw, before, clients)
        watch.exporter.end()
        return {"machine": machine(), "mode": mode, "seconds": seconds, "pps": pps, "phases": phases, "clients": clients,
                "syns": syns, "verdicts": verdicts, "map_bytes": watch.maps, "grown": grown, "rss": watch.rss,
                "slab": watch.slab, "samples": watch.samples.count, "slowest": watch.samples.slowest,
                "connect_ns": {"p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100], "max": times[-1]},
                "scrape": max(watch.scrapes)}


def lines(r):
    yield f"{r['syns']:,} SYNs in {r['seconds']:.0f} s ({r['syns'] / r['seconds'] / 1e3:,.0f} k/s asked for {r['pps'] / 1e3:.0f}), " \
          f"--mode {r['mode']}, {r['phases']} changes of the rules"
    yield "clients served: " + ", ".join(f"{kind} {n:,} of {n:,}" for kind, n in r["clients"].items())
    yield "connect: " + ", ".join(f"{k} {v / 1e6:.2f} ms" for k, v in r["connect_ns"].items())
    yield "verdicts: " + ", ".join(f"{k} {v:,}" for k, v in r["verdicts"].items())
    yield f"memory: maps {r['map_bytes'] / (1 << 20):.0f} MiB all the time; the exporter {r['rss'][0]} kB at first, at most " \
          f"{max(r['rss'])}; the kernel, unreclaimable, median {median(r['slab']) / 1024:.0f} " \
          f"MiB ({min(r['slab']) >> 10} .. {max(r['slab']) >> 10}, all that runs here)"
    yield f"{r['samples']} samples, the slowest {r['slowest'] * 1000:.0f} ms, a scrape at most {r['scrape'] * 1000:.0f} ms: " \
          "the laws held at each"
