# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""One round: a defence, clients before, during and after a flood, and what became of all of them."""
import contextlib
import ctypes
import os
import statistics
import struct
import time

import instance
from arena import CPUS, Arena, Held, memory, netdev, result

HELD = 20  # established connections that talk on
KNOWN = 64  # addresses that completed a connection before the flood
RATE = 100  # clients a second of each kind
LEAD = 0.3  # seconds from the start of the flood to its first client, and from its last one to the end


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))] if values else None


def map_bytes(pin):
    """What the maps of an instance take, by the kernel's own account."""
    total = 0
    for path in instance.pins(pin):
        name = ctypes.create_string_buffer(path.encode())
        fd, _ = instance.bpf(instance.BPF_OBJ_GET, struct.pack("QII", ctypes.addressof(name), 0, 0))
        if fd >= 0:
            with open(f"/proc/self/fdinfo/{fd}") as f:
                info = dict(line.split(":", 1) for line in f if ":" in line)
            total += int(info.get("memlock", 0)) if "map_id" in info else 0
            os.close(fd)
    return total


def of_synwave(arena):
    """Its books (lib.Synwave.stats raises if one of the two laws is broken), its tables, its memory."""
    sw = getattr(arena, "synwave", None)
    if not sw:
        return None
    stats = sw.stats()
    full = [t["name"] for t in stats["tables"] if t["entries"] > t["capacity"]]
    return {"guard": stats["guard"], "tables_overfull": full, "map_bytes": map_bytes(sw.pin),
            "half_open": stats["half_open"], "handshakes": stats["handshakes"]}


def clients(arena, kind, seconds):
    first, count = ("10.10.0.1", KNOWN) if kind == "known" else ("10.10.128.1", 32000)
    return arena.start_clients(first, count, RATE, seconds)


def measure(d, arena, seconds):
    """The flood itself, and the clients in the midst of it."""
    out = {"synwave_before": of_synwave(arena), "memory_before": memory()}
    taken, full = netdev("srv")
    seen = d.seen(arena) if d.seen else 0
    flood = arena.start_flood(seconds)
    time.sleep(LEAD)
    running = {kind: clients(arena, kind, seconds - 2 * LEAD) for kind in ("new", "known")} if d.seen else {}
    time.sleep(seconds / 2)
    out["synwave_during"], out["memory_during"] = of_synwave(arena), memory()
    sent = result(flood, "the generator")
    now_taken, now_full = netdev("srv")
    out["seen"] = d.seen(arena) - seen if d.seen else None
    out["clients"] = {kind: result(p, "the clients") for kind, p in running.items()}
    out["synwave_after"], out["memory_after"] = of_synwave(arena), memory()
    out.update(sent=sent["sent"], ns=sent["ns"], cpu_ns=sent["cpu_ns"], ring_full=now_full - full,
               taken=min(now_taken - taken, sent["sent"]))
    out["pps"] = out["taken"] / (sent["ns"] / 1e9)
    out["ns_each"] = sent["cpu_ns"] / out["taken"]
    return out


def judge(d, r):
    """What must not be, in words. What the other defences do is their own affair, and stands in the table."""
    if d.seen and r["seen"] < r["taken"]:
        yield f"the defence's own counter saw {r['seen']} SYNs of {r['taken']}"
    if not r["synwave_after"]:
        return
    for kind in d.serves:
        c = r["clients"][kind]
        if c["served"] != c["started"]:
            yield f"{c['started'] - c['served']} of {c['started']} {kind} clients were not served"
    if r.get("held_lost"):
        yield f"an established connection was lost: {r['held_lost']}"
    before, after = r["synwave_before"], r["synwave_after"]
    for at in ("synwave_during", "synwave_after"):
        if r[at]["tables_overfull"]:
            yield f"more entries than room: {r[at]['tables_overfull']}"
    if after["map_bytes"] != before["map_bytes"]:
        yield f"synwave's maps grew from {before['map_bytes']} to {after['map_bytes']} bytes"


def play(d, seconds):
    """A whole round, in namespaces of its own. Raises Fail if it cannot be played or a law is broken."""
    with Arena() as arena:
        arena.cookies(d.cookies)
        with contextlib.ExitStack() as over:
            arena.sink()
            d.setup(arena)
            if not d.seen:
                r = measure(d, arena, seconds)
            else:
                result(clients(arena, "known", KNOWN / RATE), "the known clients")
                held = Held(HELD)
                over.callback(held.end)
                r = measure(d, arena, seconds)
                over.pop_all()
                r["held_asked"], r["held_lost"] = held.end(), held.lost and str(held.lost)
    r["failures"] = list(judge(d, r))
    return r


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summary(d, rounds):
    """Of all rounds of a defence. Connect times and clients: of those that it serves, if it does not serve all."""
    out = {"name": d.name, "label": d.label, "rounds": len(rounds), "pps": spread([r["pps"] for r in rounds]),
           "ns_each": spread([r["ns_each"] for r in rounds]), "cpus": len(CPUS)}
    for kind in ("new", "known") if d.seen else ():
        c = [r["clients"][kind] for r in rounds]
        out[kind] = {"started": sum(x["started"] for x in c), "served": sum(x["served"] for x in c)}
    times = [ns for r in rounds for kind in d.serves for ns in r["clients"][kind]["connect_ns"]]
    out["connect_ns"] = {"p50": percentile(times, 0.5), "p99": percentile(times, 0.99), "max": max(times, default=None)}
    out["memory_kb"] = spread([max(r[at]["unreclaimable"] for at in ("memory_during", "memory_after")) -
                               r["memory_before"]["unreclaimable"] for r in rounds])
    if rounds[0]["synwave_after"]:
        out["map_bytes"] = rounds[0]["synwave_after"]["map_bytes"]
    if d.seen:
        out["held"] = {"answers": sum(r["held_asked"] for r in rounds), "lost": sum(bool(r["held_lost"]) for r in rounds)}
    return out


def compare(found):
    """Adds to each summary what it says next to the best of the others."""
    floor = found["floor"]["ns_each"]["median"]
    for s in found.values():
        s["ns_less_floor"] = s["ns_each"]["median"] - floor
    others = [s for s in found.values() if s.get("other")]
    if not others:
        return
    best, least = max(s["pps"]["median"] for s in others), min(s["ns_less_floor"] for s in others)
    for s in found.values():
        s["times_best_pps"] = s["pps"]["median"] / best
        s["share_of_best_ns"] = s["ns_less_floor"] / least
