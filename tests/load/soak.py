# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Mixed traffic for an hour, and each second the kernel's own counts next to synwave's: sockets before, synwave, sockets
after, and each number must lie between. What moved in the meantime is asked for again."""
import time

import instance
from field import Exporter, Peers, Samples, build, difference, machine, map_bytes, mib, sockets
from lib import check, equal, until
from net import HERE, half_open

RATE, HOLD, WAYS = 150, 8000, "40,40,6,6,8"  # connections a second, ms that they live at most, percent as in peers.c
GHOSTS = 20  # half-open ones, each five seconds, of either family
EVERY = 180  # seconds between two moments at which everybody holds still
TRIES = 40  # readings until each number was once between those around it
MORE_RSS = 1024  # kB: no leak of the exporter, but a heap that settles

# Linux ends a half-open connection and a TIME_WAIT by timers that are up to an eighth late. TIME_WAIT says what it has
# left, and those with nothing left are not counted; a half-open socket does not, so the ones that were begun LATE
# seconds before synwave's own end of them may be there or not.
SYN_RECV, LATE = 63, 8


class Ghosts:
    """SYNs of those who will never answer, and when they were sent."""

    def __init__(self):
        self.sent, self.next, self.number = [], 0, 0

    def go_on(self):
        now = time.monotonic()
        if now < self.next:
            return
        for f in HERE:
            half_open(f, GHOSTS, 9001, start=1 + self.number)
        self.sent.append(now)
        self.number = (self.number + GHOSTS) % 20000
        self.next = now + 5

    def ending(self):
        """How many the kernel may still have although their time is over."""
        now = time.monotonic()
        return sum(2 * GHOSTS for at in self.sent if SYN_RECV - 1 < now - at < SYN_RECV + LATE)


def kernel():
    s = sockets("srv")
    return {"half_open": s["syn-recv"], "established": s["established"], "time_wait_local": s["time-wait"] - s["overdue"],
            "late": s["overdue"]}


class Witness:
    """The kernel's counts and ours, side by side."""
    GAUGES = ("half_open", "established", "time_wait_local")

    def __init__(self, samples, ghosts):
        self.samples, self.ghosts = samples, ghosts
        self.tries, self.late, self.dead, self.most = [], 0, 0, dict.fromkeys(self.GAUGES, 0)

    def apart(self, before, after, stats):
        ours = {**stats, "established": stats["states"]["local"]["ESTABLISHED"]}
        slack = {"half_open": self.ghosts.ending()}
        found = {}
        for g in self.GAUGES:
            low, high = sorted((before[g], after[g]))
            if not low - slack.get(g, 0) <= ours[g] <= high:
                found[g] = (low, ours[g], high)
        return found

    def agree(self):
        open_, before, words = set(self.GAUGES), kernel(), {}
        for n in range(TRIES):
            stats = self.samples.take()
            after = kernel()
            words = self.apart(before, after, stats)
            self.dead = max(self.dead, min(before["half_open"], after["half_open"]) - stats["half_open"])
            open_ &= set(words)
            if not open_:
                break
            before = after
        self.tries.append(n + 1)
        self.late = max(self.late, before["late"])
        self.most = {g: max(self.most[g], before[g]) for g in self.GAUGES}
        check(not open_, f"after {TRIES} readings still apart from the kernel (before, ours, after): {words}")


def quiet(sw, client, server):
    """Everybody holds still: every number is exact."""
    client.say("stop")
    until(lambda: client.counts()["open"] == server.counts()["open"] == 0, "all connections to end", 60)
    c, s = client.counts(), server.counts()
    equal((c["unexpected"], s["unexpected"], s["accepted"]), (0, 0, c["connected"]), "unexpected, accepted")
    reset = c["reset_by_client"] + c["reset_by_server"]
    sw.expect(handshakes__completed=c["connected"], handshakes__refused=c["refused"], handshakes__evicted=0,
              teardowns__started=c["connected"], teardowns__reset=reset, teardowns__in_progress=0,
              states__local__ESTABLISHED=0)
    return c


def play(seconds, mode="tc", rate=RATE, hold=HOLD, every=EVERY):
    build()
    sw = instance.Synwave("load")
    sw.cmd("attach", "eth0", "--mode", mode)
    zero = mib("srv")
    exporter, samples, ghosts = Exporter(sw.pin), Samples(sw), Ghosts()
    witness, maps = Witness(samples, ghosts), map_bytes(sw.pin)
    server = Peers("srv", "serve", ports=4)
    client = Peers("cli", "call", ports=4, hosts=64, count=1 << 40, inflight=16384, rate=rate, hold=hold, ways=WAYS)
    began, rss, pauses = time.monotonic(), [], 0
    while time.monotonic() < began + seconds:
        tick = time.monotonic()
        ghosts.go_on()
        witness.agree()
        check(exporter.scrape(), "the exporter did not answer")
        rss.append(exporter.rss())
        if tick - began > every * (pauses + 1):
            quiet(sw, client, server)
            client.say("go")
            pauses += 1
        time.sleep(max(0, tick + 1 - time.monotonic()))
    c = quiet(sw, client, server)
    equal(difference(mib("srv"), zero)["PassiveOpens"], c["connected"] + exporter.answered,
          "PassiveOpens of the server's kernel")
    equal(map_bytes(sw.pin), maps, "bytes of the maps")
    half = len(rss) // 2
    grown = max(rss[half:]) - max(rss[:half])
    check(grown <= MORE_RSS, f"the exporter grew by {grown} kB in the second half")
    stats = sw.stats()
    for p in (client, server, exporter):
        p.end()
    sw.detach()
    instance.nothing_left(sw)
    return {"machine": machine(), "mode": mode, "seconds": seconds, "connected": c["connected"], "refused": c["refused"],
            "samples": len(witness.tries), "readings": sum(witness.tries), "most_tries": max(witness.tries),
            "first_try": sum(t == 1 for t in witness.tries), "late": witness.late, "dead": witness.dead,
            "most": witness.most, "rss": rss,
            "pauses": pauses + 1,
            "grown": grown, "handshakes": stats["handshakes"], "teardowns": stats["teardowns"]}


def lines(r):
    h = r["handshakes"]
    yield f"{r['seconds']:.0f} s, --mode {r['mode']}: {r['connected']:,} connections, {r['refused']:,} refused, " \
          f"{h['timed_out']:,} half-open that timed out"
    yield "at most " + ", ".join(f"{k} {v:,}" for k, v in r["most"].items())
    yield f"{r['samples']:,} samples agreed with the kernel's sockets, {r['first_try']:,} of them at the first reading, all " \
          f"within {r['most_tries']}; the laws held at each of {r['readings']:,} readings"
    yield f"{r['pauses']} times everybody held still, and every count was exact"
    yield f"sockets that the kernel's timers had not ended in time: at most {r['late']} in TIME_WAIT, {r['dead']} half-open"
    yield f"the exporter: {r['rss'][0]} kB at first, {r['rss'][-1]} kB at the end, {r['grown']} kB more in the second half"
