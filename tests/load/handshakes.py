# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Handshakes and teardowns by the million, as fast as two hosts can make them. What synwave counted must be, to the
last one, what the clients, the server and both kernels did - also when the cable loses segments, as that to native XDP
does when more come at once than its ring holds. A RST that was lost leaves the server's end open: in `ss`, and so here."""
import os
import time

import instance
from field import Peers, Samples, build, difference, lost, machine, mib, sockets
from lib import check, equal, until

WAYS = "45,40,5,5,5"  # in percent: closed by client, by server, reset by client, by server, refused
HOSTS = 2  # addresses of clients, a family: a quarter of a million pairs of addresses and ports, used again and again
ENDS = ("by_client", "by_server", "reset_by_client", "reset_by_server")
SHARE = 0.05  # of the time goes into samples


def between(before, stats, after):
    """A reading in the midst of traffic: not less than what the server had in hand before it, not more than what the
    clients had begun after it."""
    h, t = stats["handshakes"], stats["teardowns"]
    check(before["server"]["accepted"] <= h["completed"] <= h["started"] <= after["client"]["attempted"],
          f"accepted {before['server']['accepted']}, completed {h['completed']}, started {h['started']}, "
          f"attempted {after['client']['attempted']}")
    check(before["client"]["refused"] <= h["refused"], f"refused: {before['client']['refused']}, {h['refused']}")
    check(before["server"]["reset_by_client"] <= t["reset"], "fewer resets than the server had heard of")
    ended = before["client"]["by_client"] + before["client"]["by_server"]
    check(t["started"] >= ended, f"{t['started']} teardowns begun, {ended} over")


def kernels(zero):
    """What both kernels counted since `zero`, and what the cable lost."""
    return {**{ns: difference(mib(ns), zero[ns]) for ns in zero}, "lost": lost("cli")}


def traffic(samples, count, inflight, zero):
    """Plays it; returns the counts of both sides, the seconds it took, and the server."""
    server = Peers("srv", "serve")
    seed = int(os.environ.get("SEED") or time.time_ns() % (1 << 32))
    print("seed", seed, flush=True)
    began = time.monotonic()
    client = Peers("cli", "call", count=count, hosts=HOSTS, ways=WAYS, inflight=inflight, seed=seed)

    def both():
        return {"client": client.counts(), "server": server.counts()}

    before = both()
    while not before["client"]["done"]:
        stats = samples.take()
        after = both()
        between(before, stats, after)
        before = after
        time.sleep(samples.took / SHARE)
    seconds = time.monotonic() - began
    until(lambda: settled(client.counts(), kernels(zero), server.counts()), "the server to have heard of all ends", 120)
    last = both()
    client.end()
    return last, seconds, server


def settled(c, k, s):
    """Nothing is under way to the server, and it has seen every end but those of RSTs that were lost."""
    return k["cli"]["OutSegs"] + k["cli"]["RetransSegs"] == k["srv"]["InSegs"] + k["lost"] and \
        s["open"] == sockets("srv")["established"] and \
        all(c[name] == s[name] for name in ENDS if name != "reset_by_client")


def compare(sw, n, kernel):
    """Every number has a second witness, and nothing is near enough."""
    c, s = n["client"], n["server"]
    equal((c["unexpected"], s["unexpected"]), (0, 0), "connections that went otherwise than asked for")
    equal(s["accepted"], c["connected"], "accepted by the server, connected at the clients'")
    ends = {k: s[k] for k in ENDS}
    equal({k: c[k] - s["open"] * (k == "reset_by_client") for k in ENDS}, ends, "ends as the clients and the server saw them")
    check(not s["open"] or kernel["lost"], f"{s['open']} RSTs lost, and the cable lost nothing")
    closed, reset = s["by_client"] + s["by_server"], s["reset_by_client"] + s["reset_by_server"]
    stats = sw.expect(handshakes__started=c["attempted"], handshakes__completed=c["connected"],
                      handshakes__refused=c["refused"], handshakes__in_progress=0, half_open=0,
                      teardowns__started=closed + reset, teardowns__completed=closed, teardowns__reset=reset,
                      teardowns__in_progress=0, states__local__ESTABLISHED=s["open"], states__local__LAST_ACK=0)
    srv, cli = kernel["srv"], kernel["cli"]
    equal(cli["ActiveOpens"], c["attempted"], "ActiveOpens of the client's kernel")
    equal(srv["PassiveOpens"], c["connected"], "PassiveOpens of the server's kernel")
    equal(cli["AttemptFails"], c["refused"], "AttemptFails of the client's kernel")
    equal(cli["EstabResets"] + srv["EstabResets"], 2 * reset + s["open"], "EstabResets of both kernels")
    return stats


def segments(stats, kernel):
    """All segments that the server's kernel took and sent; those that it sent again are seen by us alone."""
    srv, seen = kernel["srv"], sum(stats["segments"].values())
    sent = srv["InSegs"] + srv["OutSegs"]
    check(sent <= seen <= sent + srv["RetransSegs"],
          f"{seen} segments; the kernel's: {srv['InSegs']} in, {srv['OutSegs']} out, {srv['RetransSegs']} sent again")
    h = stats["handshakes"]
    check(h["syn_retransmits"] <= kernel["cli"]["TCPSynRetrans"], "more SYNs again than the client sent")
    return seen


def timewait(sw):
    """While no time is over yet (the same tuples were used again and again), both kernels and synwave agree."""
    ends = {ns: sockets(ns) for ns in ("srv", "cli")}
    if any(e["overdue"] for e in ends.values()):
        return None
    srv, cli = (ends[ns]["time-wait"] for ns in ("srv", "cli"))
    stats = sw.stats()
    again = {ns: sockets(ns) for ns in ("srv", "cli")}
    if again != ends:  # the first of them are over
        return None
    equal((stats["time_wait_local"], stats["time_wait"]), (srv, srv + cli), "TIME_WAIT, here and at both ends")
    return srv, cli


def play(count, mode="tc", inflight=256, flows=1 << 20, timeouts=()):
    build()
    sw = instance.Synwave("load")
    words = [w for t in timeouts for w in ("--timeout", t)]
    sw.cmd("attach", "eth0", "--mode", mode, "--flows", str(flows), *words)
    zero = {ns: mib(ns) for ns in ("srv", "cli")}
    samples = Samples(sw)
    n, seconds, server = traffic(samples, count, inflight, zero)
    kernel = kernels(zero)
    stats = compare(sw, n, kernel)
    seen = segments(stats, kernel)
    waiting = None if timeouts else timewait(sw)
    server.end()
    began = time.monotonic()
    while samples.take()["time_wait"]:
        check(time.monotonic() - began < 70, f"after 70 s: TIME_WAIT {samples.last['time_wait']}")
        time.sleep(samples.took)
    over = time.monotonic() - began
    stats = sw.expect(time_wait_local=0, half_open=0, handshakes__in_progress=0, teardowns__in_progress=0)
    check(not any(n for end in stats["states"].values() for s, n in end.items() if s != "CLOSED"),
          f"ends that are in a state: {stats['states']}")
    equal(sw.flows("--state", "TIME_WAIT"), [], "connections in TIME_WAIT")
    sw.detach()
    instance.nothing_left(sw)
    return {"machine": machine(), "mode": mode, "count": count, "seconds": seconds, "rate": count / seconds,
            "peers": n["client"], "open": n["server"]["open"], "samples": samples.count, "slowest": samples.slowest, "segments": seen, "time_wait": waiting,
            "over": over, "kernel": kernel, "handshakes": stats["handshakes"], "teardowns": stats["teardowns"]}


def lines(r):
    p, k = r["peers"], r["kernel"]
    yield f"{r['count']:,} connects in {r['seconds']:.0f} s, {r['rate']:,.0f}/s, --mode {r['mode']}; " \
          f"{r['segments']:,} segments"
    yield f"closed by the client {p['by_client']:,}, by the server {p['by_server']:,}; reset by the client " \
          f"{p['reset_by_client']:,}, by the server {p['reset_by_server']:,}; refused {p['refused']:,}"
    h, t = r["handshakes"], r["teardowns"]
    yield f"handshakes: started {h['started']:,}, completed {h['completed']:,}, refused {h['refused']:,}, " \
          f"evicted {h['evicted']}, timed out {h['timed_out']}"
    yield f"teardowns: started {t['started']:,}, completed {t['completed']:,}, reset {t['reset']:,}, " \
          f"simultaneous {t['simultaneous']}"
    yield f"kernels: ActiveOpens {k['cli']['ActiveOpens']:,}, PassiveOpens {k['srv']['PassiveOpens']:,}, AttemptFails " \
          f"{k['cli']['AttemptFails']:,}, SYNs sent again {k['cli']['TCPSynRetrans']}, synwave's " \
          f"{h['syn_retransmits']}; segments sent again by the server {k['srv']['RetransSegs']}"
    if k["lost"]:
        yield f"the cable lost {k['lost']:,} segments on the way to the server, {r['open']} RSTs among them"
    yield f"{r['samples']} samples, the slowest {r['slowest'] * 1000:.0f} ms: the laws held at each"
    if r["time_wait"]:
        yield "TIME_WAIT at the end: {:,} at the server, {:,} at the client; synwave the same".format(*r["time_wait"])
    yield f"all gauges zero {r['over']:.0f} s later"
