# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Steps as they happen (`trace`)."""
import json
import mmap
import signal
import subprocess

from instance import MODE_NAMES, Synwave, nothing_left
from lib import PATIENCE, SYNWAVE, check, equal, inside, run, scenario, until
from net import FAMILIES, V4, V6, address, endpoint, half_open, listener, meet, pair, part, refused, talk, veth


class Trace:
    """A running `synwave trace`; its output is gathered in files."""
    serial = 0

    def __init__(self, sw, *words, json_=True):
        Trace.serial += 1
        self.path, self.json = f"/run/trace{Trace.serial}", json_
        listening = traces(sw)
        self.argv = [SYNWAVE, "--pin", sw.pin, *(["--json"] if json_ else []), "trace", *words]
        with inside(sw.ns), open(self.path, "wb") as out, open(self.path + ".err", "wb") as err:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        until(lambda: traces(sw) > listening or self.process.poll() is not None, "the trace to listen")
        check(self.process.poll() is None, f"the trace ended: {self.errors()}")

    def lines(self):
        with open(self.path) as f:
            return f.read().splitlines()

    def events(self):
        """Whole lines only: the last one may be on its way."""
        with open(self.path) as f:
            return [json.loads(line) for line in f.read().split("\n")[:-1]]

    def errors(self):
        with open(self.path + ".err") as f:
            return f.read()

    def wait(self, code=0):
        try:
            equal(self.process.wait(PATIENCE), code, f"exit code of {self.argv[3:]}, which said {self.errors()!r}")
        finally:
            self.process.kill()
        return self.errors().splitlines()

    def stop(self, how=signal.SIGINT):
        self.process.send_signal(how)
        return self.wait()


def timeless(events):
    """Without the wall clock's time: each reader asks for it itself, and the answers differ by nanoseconds."""
    return [{k: v for k, v in e.items() if k != "time_ns"} for e in events]


def traces(sw):
    return json.loads(sw.cmd("status", "--json").stdout)["traces"]


def step(e):
    return e["from"], "+".join(e["flags"]), e["client"]["state"], e["server"]["state"]


OPENED = [("client", "SYN", "SYN_SENT", "LISTEN"), ("server", "SYN+ACK", "SYN_SENT", "SYN_RCVD"),
          ("client", "ACK", "ESTABLISHED", "ESTABLISHED")]
CLOSED = {  # by the client, as its server acknowledges the FIN: apart, or with its own
    "four_way": [("client", "FIN+ACK", "FIN_WAIT_1", "ESTABLISHED"), ("server", "ACK", "FIN_WAIT_2", "CLOSE_WAIT"),
                 ("server", "FIN+ACK", "FIN_WAIT_2", "LAST_ACK"), ("client", "ACK", "TIME_WAIT", "CLOSED")],
    "three_way": [("client", "FIN+ACK", "FIN_WAIT_1", "ESTABLISHED"), ("server", "FIN+ACK", "FIN_WAIT_2", "LAST_ACK"),
                  ("client", "ACK", "TIME_WAIT", "CLOSED")],
}


def whole_connection(stats):
    """The steps of one that the client closed, as the counters know it."""
    kind = [k for k in CLOSED if stats["teardowns"][k]]
    equal(len(kind), 1, "kinds of teardown")
    return OPENED + CLOSED[kind[0]]


def check_numbers(events):
    """Relative numbers count from the two ISNs; times go on; the deltas are the differences."""
    isn = {e["from"]: e["seq"] for e in events if "SYN" in e["flags"]}
    for before, e in zip([None] + events, events):
        other = "server" if e["from"] == "client" else "client"
        equal(e["seq_relative"], (e["seq"] - isn[e["from"]]) % 2**32, "relative seq")
        equal(e["ack_relative"], (e["ack"] - isn[other]) % 2**32 if "ACK" in e["flags"] else None, "relative ack")
        if before:
            check(abs(e["time_ns"] - before["time_ns"] - e["delta_ns"]) < 10**6, f"delta: {before} {e}")
        else:
            equal(e["delta_ns"], None, "delta of the first")
        equal(e["mss"] is not None, "SYN" in e["flags"], "mss on SYNs only")


@scenario(mode=MODE_NAMES, family=FAMILIES)
def trace_steps(mode, f):
    """One connection: its 6 or 7 steps, the same to two readers, and nothing else; its ladder says the same."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    server = listener("srv", f, 80)
    one, two = Trace(sw), Trace(sw)
    text = Trace(sw, json_=False)
    c, s = meet(server, "cli", f)
    for _ in range(10):
        talk(c, s)
    port = c.getsockname()[1]
    part(c, s)
    want = whole_connection(sw.expect(teardowns__completed=1))
    until(lambda: len(one.events()) >= len(want) and len(two.events()) >= len(want), "the steps")
    for t in (one, two):
        equal([step(e) for e in t.events()], want, "the steps")
        equal(t.stop(), [f"synwave: trace: {len(want)} events, 0 lost"], "what it said at the end")
    equal(timeless(one.events()), timeless(two.events()), "what the two readers saw")
    check_numbers(one.events())
    e = one.events()[0]
    equal((e["client"]["addr"], e["client"]["port"], e["server"]["addr"], e["server"]["port"]),
          (f.cli, port, f.srv, 80), "endpoints")
    equal([x["interface"] + " " + x["direction"] for x in one.events()],
          ["eth0 in" if x["from"] == "client" else "eth0 out" for x in one.events()], "interfaces")
    equal([x["events"] for x in one.events()][:3], [["syn_new"], ["synack_new"], ["completed"]], "events")
    text.stop(signal.SIGTERM)
    lines = text.lines()
    equal((len(lines), lines[-1]), (len(want) + 2, f"{len(want)} events, 0 lost"), "lines of text")
    for word in (f"0/{e['seq']}", endpoint(f.cli, port), endpoint(f.srv, 80), "SYN_SENT", "LISTEN", "eth0 in"):
        check(word in lines[1].replace("  ", " ").split(" ") or word in lines[1], f"{word} is not in {lines[1]!r}")

    ladder = json.loads(sw.cmd("show", "--json", endpoint(f.cli, port), endpoint(f.srv, 80)).stdout)
    equal([(g["from"], "+".join(g["flags"]), g["client_state"], g["server_state"]) for g in ladder["segments"]], want,
          "the ladder")
    for g, e in zip(ladder["segments"], one.events()):
        keys = ("seq", "ack", "seq_relative", "ack_relative", "window", "length")
        equal([g[k] for k in keys], [e[k] for k in keys], "a segment of the ladder")
        check(abs(g["time_ns"] - e["time_ns"]) < 10**9, "its time")
    equal(ladder["client"]["mss"], one.events()[0]["mss"], "mss")
    sw.detach()
    nothing_left(sw)


@scenario(mode=["tc"])
def trace_loopback(mode):
    """Each segment passes two hooks, and is one step."""
    pair()
    sw = Synwave()
    sw.attach("lo", mode=mode)
    server = listener("srv", V4, 80, "127.0.0.1")
    t = Trace(sw)
    part(*meet(server, "srv", V4, "127.0.0.1"))
    want = whole_connection(sw.expect(teardowns__completed=1))
    until(lambda: len(t.events()) >= len(want), "the steps")
    t.stop()
    equal([step(e) for e in t.events()], want, "the steps")
    equal({e["direction"] for e in t.events()}, {"out"}, "where they were seen first")
    sw.detach()
    nothing_left(sw)


FILTERS = {
    "port=80": lambda e: e["server"]["port"] == 80,
    "addr=10.9.0.0/24": lambda e: ":" not in e["server"]["addr"],
    f"addr={V6.cli}": lambda e: ":" in e["server"]["addr"],
    "state=time-wait": lambda e: "TIME_WAIT" in (e["client"]["state"], e["server"]["state"]),
    "state=SYN_RCVD,FIN_WAIT_1": lambda e: {"SYN_RCVD", "FIN_WAIT_1"} & {e["client"]["state"], e["server"]["state"]},
    "event=refused": lambda e: "refused" in e["events"],
    "kind=rst,fin": lambda e: {"RST", "FIN"} & set(e["flags"]),
    "iface=eth0": lambda e: True,
    "iface=lo": lambda e: False,
    "addr=192.0.2.0/24": lambda e: False,
    "port=80 kind=syn": lambda e: e["server"]["port"] == 80 and e["flags"] == ["SYN"],
}


@scenario()
def trace_filters():
    """Each filter lets through what it says, in the kernel; what it leaves out is not lost."""
    pair()
    sw = Synwave()
    sw.attach("eth0", "lo", mode="tc")
    server, other = listener("srv", V4, 80), listener("srv", V6, 8080)
    words = list(FILTERS)
    for batch in (words[:7], words[7:]):  # there are 8 places
        everything = Trace(sw)
        filtered = {w: Trace(sw, *w.split()) for w in batch}
        part(*meet(server, "cli", V4))
        part(*meet(other, "cli", V6))
        refused("cli", V4, 81)
        ends = lambda: [e for e in everything.events()  # noqa: E731
                        if "refused" in e["events"] or "TIME_WAIT" in (e["client"]["state"], e["server"]["state"])]
        until(lambda: len(ends()) == 3, "the ends of three connections")
        for w, t in filtered.items():
            want = [e for e in everything.events() if FILTERS[w](e)]
            until(lambda: len(t.events()) == len(want), lambda: f"{w}: {len(t.events())} events, not {len(want)}")
            equal(t.stop(), [f"synwave: trace: {len(want)} events, 0 lost"], w)
            equal(timeless([dict(e, delta_ns=0) for e in t.events()]), timeless([dict(e, delta_ns=0) for e in want]), w)
        everything.stop()
    sw.detach()
    nothing_left(sw)


@scenario()
def trace_orders():
    """What cannot be done is refused in one line."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode="tc")
    for words, code, said in (
            (["trace", "80"], 2, "KEY=VALUE"), (["trace", "colour=red"], 2, "colour=red"),
            (["trace", "port=0"], 2, "port=0"), (["trace", "port=1", "port=2"], 2, "twice"),
            (["trace", "addr=10.0.0.0/33"], 2, "addr=10.0.0.0/33"), (["trace", "addr=here"], 2, "addr=here"),
            (["trace", "state=DREAMING"], 2, "TIME_WAIT"), (["trace", "event=party"], 2, "syn_retransmits"),
            (["trace", "event=freed_expired"], 2, "freed_expired"), (["trace", "kind=data,love"], 2, "syn_ack"),
            (["trace", "iface=eth9"], 2, "eth9"), (["trace", "--count", "0"], 2, "--count"),
            (["trace", "--frobnicate"], 2, "--frobnicate"), (["show"], 2, "endpoints"),
            (["show", "10.9.0.2:1"], 2, "endpoints"), (["show", "10.9.0.2", "10.9.0.1:80"], 2, "ADDR:PORT"),
            (["show", ":1", "10.9.0.1:80"], 2, "ADDR:PORT"), (["show", "10.9.0.1:80", "10.9.0.1:80"], 2, "same"),
            (["show", "10.9.0.2:1", "10.9.0.1:80"], 1, "no connection"),
            (["attach", "eth0", "--no-ladder"], 1, "--no-ladder")):
        r = sw.cmd(*words, ok=None)
        lines = r.stderr.splitlines()
        check((r.returncode, r.stdout, len(lines)) == (code, "", 1) and said in lines[0],
              f"{' '.join(words)}: exit {r.returncode}, {lines} {r.stdout!r}")
    sw.detach()
    for words in (["trace"], ["show", "10.9.0.2:1", "10.9.0.1:80"]):
        r = sw.cmd(*words, ok=(1,))
        check("nothing is attached" in r.stderr, r.stderr)
    nothing_left(sw)


@scenario()
def trace_ends():
    """--count, a reader that leaves, a detach, a ninth trace, a killed one."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode="tc")
    server = listener("srv", V4, 80)
    counted = Trace(sw, "--count", "2")
    with inside("srv"):
        head = subprocess.Popen([SYNWAVE, "--pin", sw.pin, "trace"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until(lambda: traces(sw) == 2, "the trace to listen")
    head.stdout.close()
    equal((head.wait(PATIENCE), head.stderr.read()), (0, b""), "the trace whose reader left")
    part(*meet(server, "cli", V4))
    equal(counted.wait(), ["synwave: trace: 2 events, 0 lost"], "--count")
    equal([step(e) for e in counted.events()], OPENED[:2], "--count")
    equal(traces(sw), 0, "traces that listen")

    many = [Trace(sw) for _ in range(8)]
    r = sw.cmd("trace", ok=(1,))
    check("8 traces" in r.stderr and len(r.stderr.splitlines()) == 1, r.stderr)
    for t in many:
        t.process.kill()
        t.process.wait()
    until(lambda: traces(sw) == 0, "the leases of killed traces to end", 30)
    again = Trace(sw)  # takes what they left
    part(*meet(server, "cli", V4))
    want = whole_connection({"teardowns": {k: again_kind(again) == k for k in CLOSED}})
    equal([step(e) for e in again.events()], want, "the steps")
    sw.detach()
    lines = again.wait(1)
    check(len(lines) == 1 and "was detached" in lines[0] and f"{len(want)} events" in lines[0], lines)
    nothing_left(sw)


def again_kind(t):
    """How the connection that the trace saw was closed; waits for its end."""
    until(lambda: t.events() and t.events()[-1]["server"]["state"] == "CLOSED",
          lambda: f"waited for the end of a connection: {[step(e) for e in t.events()]}")
    return next(k for k in CLOSED for e in t.events() if k in e["events"])


@scenario()
def trace_lost():
    """A reader that does not keep up: what it did not get is counted, to the event, and the counter stays."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode="tc")
    slow, fast = Trace(sw, "--buffer", "4"), Trace(sw)
    slow.process.send_signal(signal.SIGSTOP)
    syns = 300 * mmap.PAGESIZE // 4096  # the smallest ring is a page
    half_open(V4, syns, 80)  # nobody listens there: a SYN, a RST
    sw.expect(handshakes__refused=syns)
    every = 2 * syns
    until(lambda: len(fast.events()) == every, lambda: f"{len(fast.events())} events, not {every}")
    lost = sw.stats()["events_lost"]
    check(every * 5 // 6 < lost < every, f"lost: {lost}")
    slow.process.send_signal(signal.SIGCONT)
    until(lambda: len(slow.events()) == every - lost, lambda: f"{len(slow.events())} events, not {every - lost}")
    lines = slow.stop()
    equal(lines[-1], f"synwave: trace: {every - lost} events, {lost} lost", "the last line")
    check(any(f"{lost} events lost" in line for line in lines[:-1]) or len(lines) == 1, lines)
    check(timeless(slow.events()) == timeless(fast.events()[:every - lost]), "what it got is not what came first")
    equal(fast.stop(), [f"synwave: trace: {every} events, 0 lost"], "the last line")
    next_one = Trace(sw)
    equal(next_one.stop(), ["synwave: trace: 0 events, 0 lost"], "the next in that place")
    equal(sw.stats()["events_lost"], lost, "lost, in all")
    text = sw.cmd("export").stdout
    check(f"synwave_events_lost_total {lost}\n" in text, "synwave_events_lost_total")
    sw.detach()
    nothing_left(sw)


@scenario()
def trace_stopped():
    """Stopped for longer than its lease, a trace says what it missed and goes on; if its place was taken it ends."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode="tc")
    server = listener("srv", V4, 80)
    t = Trace(sw)
    t.process.send_signal(signal.SIGSTOP)
    until(lambda: traces(sw) == 0, "the lease to end", 30)
    c, s = meet(server, "cli", V4)
    t.process.send_signal(signal.SIGCONT)
    until(lambda: "stopped for too long" in t.errors(), "it to say so")
    equal(t.events(), [], "what nobody recorded")
    part(c, s)
    until(lambda: t.events() and t.events()[-1]["server"]["state"] == "CLOSED", "the rest")
    t.process.send_signal(signal.SIGSTOP)
    until(lambda: traces(sw) == 0, "the lease to end", 30)
    other = Trace(sw)
    t.process.send_signal(signal.SIGCONT)
    lines = t.wait(1)
    check("took its place" in lines[-1], lines)
    part(*meet(server, "cli", V4))
    again_kind(other)
    other.stop()
    sw.detach()
    nothing_left(sw)


@scenario()
def trace_namespaces():
    """One instance in two namespaces, whose devices may have the same index; and an upgrade in place under a trace."""
    pair()
    veth("srv", "lan1", "02:00:00:00:03:01", "cli", "wan1", "02:00:00:00:03:02")
    address("srv", "lan1", "10.8.0.1", 24)
    address("cli", "wan1", "10.8.0.2", 24)
    sw = Synwave()
    sw.attach("lan1", mode="tc", ns="srv")
    sw.attach("wan1", mode="tc", ns="cli")
    server = listener("srv", V4, 80, "10.8.0.1")
    everything, wan = Trace(sw), Trace(sw, "iface=wan1")
    part(*meet(server, "cli", V4, "10.8.0.1"))
    again_kind(everything)
    where = {"client": "wan1 out", "server": "lan1 out"}  # each left its host before it came in at the other
    equal([e["interface"] + " " + e["direction"] for e in everything.events()],
          [where[e["from"]] for e in everything.events()], "interfaces")
    until(lambda: wan.events() and wan.events()[-1]["client"]["state"] == "TIME_WAIT", "the client's last ACK")
    equal(timeless([dict(e, delta_ns=0) for e in wan.events()]),
          timeless([dict(e, delta_ns=0) for e in everything.events() if e["from"] == "client"]), "iface=wan1")
    before = len(everything.events())
    sw.attach("lan1", mode="generic", ns="srv")
    part(*meet(server, "cli", V4, "10.8.0.1"))
    until(lambda: sum(e["server"]["state"] == "CLOSED" for e in everything.events()) == 2, "a second connection")
    equal([step(e) for e in everything.events()[before:]][:3], OPENED, "after the upgrade")
    for t in (everything, wan):
        check(t.stop()[-1].endswith(" 0 lost"), "something was lost")
    sw.detach()
    nothing_left(sw, spaces=("srv", "cli"))


@scenario()
def trace_privileges():
    """CAP_BPF is all that a trace needs, beside the right to open the pins."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode="tc")
    server = listener("srv", V4, 80)
    caps = ["setpriv", "--bounding-set", "-all,+bpf", "--inh-caps", "-all"]
    r = run("setpriv", "--bounding-set", "-all,+bpf", "true", ok=None)
    check(r.returncode == 0, r.stderr)
    with inside("srv"), open("/run/out", "wb") as out:
        p = subprocess.Popen([*caps, SYNWAVE, "--pin", sw.pin, "--json", "trace", "--count", "3"], stdout=out,
                             stderr=subprocess.PIPE)
    until(lambda: traces(sw) == 1 or p.poll() is not None, "the trace to listen")
    part(*meet(server, "cli", V4))
    equal(p.wait(PATIENCE), 0, f"exit code: {p.stderr.read()}")
    with open("/run/out") as f:
        equal([step(json.loads(line)) for line in f], OPENED, "the steps")
    sw.detach()
    nothing_left(sw)
