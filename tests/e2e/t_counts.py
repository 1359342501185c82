# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The numbers of `stats` and `flows` are the kernel's."""
import time

from instance import MODE_NAMES, Synwave, nothing_left, tally
from lib import check, equal, scenario
from net import FAMILIES, V4, endpoint, half_open, listener, meet, netstat, pair, part, part_at_once, refused, ss


@scenario(mode=MODE_NAMES, family=FAMILIES)
def counts(mode, f):
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    server = listener("srv", f, 80)
    for i in range(50):
        c, s = meet(server, "cli", f)
        part(*((s, c) if i < 20 else (c, s)))
    held = [meet(server, "cli", f) for _ in range(17)]
    for _ in range(5):
        refused("cli", f, 81)
    half_open(f, 200, 80)

    sw.expect(half_open=200, time_wait_local=20, time_wait=50, states__local__ESTABLISHED=17, handshakes__refused=5)
    stats = sw.expect(half_open=lambda: ss("srv", "syn-recv"),
                      time_wait_local=lambda: ss("srv", "time-wait"),
                      time_wait=lambda: ss("srv", "time-wait") + ss("cli", "time-wait"),
                      states__local__ESTABLISHED=lambda: ss("srv", "established"))
    h, t = stats["handshakes"], stats["teardowns"]
    equal((h["started"], h["completed"], h["in_progress"]), (272, 67, 200), "handshakes started, completed, going on")
    equal((h["reset"], h["timed_out"], h["evicted"]), (0, 0, 0), "handshakes reset, timed out, evicted")
    equal((t["started"], t["completed"], t["in_progress"]), (50, 50, 0), "teardowns started, completed, going on")
    check(h["syn_retransmits"] <= netstat("cli", "TCPSynRetrans"), "more SYN retransmissions than the client made")
    check(h["synack_retransmits"] <= netstat("srv", "TCPSynRetrans"), "more SYN-ACK retransmissions than the server's")
    samples = stats["latency"]["syn_synack"]["count"]
    check(267 - h["syn_retransmits"] <= samples <= 267, f"samples SYN to SYN-ACK: {samples}")
    compare_flows(sw, f)
    del held
    sw.detach()
    nothing_left(sw)


def compare_flows(sw, f):
    flows = sw.flows()
    equal(tally(flows), {("CLOSED", "TIME_WAIT", "SF"): 20, ("TIME_WAIT", "CLOSED", "SF"): 30,
                         ("ESTABLISHED", "ESTABLISHED", "S1"): 17, ("CLOSED", "CLOSED", "REJ"): 5,
                         ("SYN_SENT", "SYN_RCVD", "S1"): 200}, "flows by state")
    equal({r["local"] for r in flows}, {"server"}, "local")
    equal({r["origin"] for r in flows}, {"syn"}, "origin")
    equal({r["family"] for r in flows}, {f.name}, "family")
    equal(sum(r["closed_first"] == "server" for r in flows), 20, "closed first by the server")
    equal(sum(r["reset_by"] == "server" for r in flows), 5, "reset by the server")
    now = time.time_ns()
    for r in flows:
        check(now - 60e9 < r["first_ns"] <= r["changed_ns"] <= now, f"times: {r}")
        equal(r["server"]["addr"], f.srv, "server's address")
        equal((r["synack_ack_ns"] is None), r["conn_state"] == "REJ" or r["server"]["state"] == "SYN_RCVD",
              "no time from SYN-ACK to ACK")
    colon80 = endpoint(f.srv, 80)
    equal(len(sw.flows("--state", "ESTABLISHED")), 17, "flows --state ESTABLISHED")
    equal(len(sw.flows("--state", "TIME_WAIT")), 50, "flows --state TIME_WAIT")
    equal(len(sw.flows("--service", colon80)), 267, "flows --service " + colon80)
    equal(len(sw.flows("--limit", "10")), 10, "flows --limit 10")


@scenario(mode=MODE_NAMES, family=FAMILIES)
def closing(mode, f):
    """Every way to end a connection."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    server = listener("srv", f, 80)
    ways = {"client": lambda c, s: part(c, s), "server": lambda c, s: part(s, c), "at once": part_at_once}
    ports = {}
    for name, way in ways.items():
        c, s = meet(server, "cli", f)
        ports[name] = c.getsockname()[1]
        way(c, s)
    c, s = meet(server, "cli", f)  # lingering for 0 s: a RST instead of a FIN
    ports["abort"] = c.getsockname()[1]
    c.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")
    c.close()
    c, s = meet(server, "cli", f)  # half closed: data still flows the other way
    ports["half"] = c.getsockname()[1]
    c.shutdown(1)
    equal(s.recv(1), b"", "end of stream")
    s.sendall(b"still here")
    stats = sw.expect(teardowns__started=5, teardowns__completed=3, teardowns__reset=1, teardowns__in_progress=1,
                      teardowns__simultaneous=1, time_wait_local=lambda: ss("srv", "time-wait"))
    equal(stats["time_wait"], ss("srv", "time-wait") + ss("cli", "time-wait"), "TIME_WAIT, both ends")
    want = {"client": ("TIME_WAIT", "CLOSED", "SF", "client", None, False),
            "server": ("CLOSED", "TIME_WAIT", "SF", "server", None, False),
            "at once": ("TIME_WAIT", "TIME_WAIT", "SF", "client", None, True),
            "abort": ("CLOSED", "CLOSED", "RSTO", None, "client", False),
            "half": ("FIN_WAIT_2", "CLOSE_WAIT", "S2", "client", None, False)}
    for name, port in ports.items():
        r = sw.flow(port)
        got = (r["client"]["state"], r["server"]["state"], r["conn_state"], r["closed_first"], r["reset_by"],
               r["simultaneous_close"])
        if name == "at once":  # who was first is a matter of the wire
            got = got[:3] + ("client",) + got[4:]
        equal(got, want[name], f"closed by {name}")
    sw.detach()
    nothing_left(sw)


@scenario(limit=120)
def expiry():
    """With nobody at work: half-open connections and TIME_WAIT end when the kernel ends them."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode="tc")
    server = listener("srv", V4, 80)
    for i in range(12):
        c, s = meet(server, "cli", V4)
        part(*((s, c) if i % 2 else (c, s)))
    half_open(V4, 40, 80)
    start = time.monotonic()
    sw.expect(half_open=40, time_wait_local=6, time_wait=12)
    apart = {"half_open": 0.0, "time_wait_local": 0.0}
    while True:
        stats, now = sw.stats(), time.monotonic()
        kernel = {"half_open": ss("srv", "syn-recv"), "time_wait_local": ss("srv", "time-wait")}
        for key, value in kernel.items():
            if stats[key] != value:
                apart[key] += time.monotonic() - now
        if now - start < 55:
            equal({k: stats[k] for k in kernel}, kernel, f"after {now - start:.0f} s")
        if not any(kernel.values()) and not any(stats[k] for k in kernel):
            break
        check(now - start < 100, f"after {now - start:.0f} s: {kernel}, synwave {[stats[k] for k in kernel]}")
        time.sleep(0.2)
    seconds = time.monotonic() - start
    equal(stats["handshakes"]["timed_out"], 40, "handshakes timed out")
    equal(stats["time_wait"], 0, "TIME_WAIT")
    sw.detach()
    nothing_left(sw)
    return f"all over after {seconds:.0f} s; the last ones apart from the kernel's: " + \
        ", ".join(f"{k} {v:.1f} s" for k, v in apart.items())


@scenario(mode=MODE_NAMES)
def timeouts(mode):
    """Set at attach, and anew at another attach."""
    pair()
    sw = Synwave()
    sw.attach("eth0", "--timeout", "time_wait=300ms", mode=mode)
    server = listener("srv", V4, 80)
    for i in range(6):
        c, s = meet(server, "cli", V4)
        part(*((s, c) if i % 2 else (c, s)))
    half_open(V4, 9, 80)
    sw.expect(time_wait=0, time_wait_local=0, half_open=9, teardowns__completed=6)
    sw.attach("eth0", "--timeout", "syn_recv=300ms", mode=mode)
    half_open(V4, 9, 81, start=100)  # refused: to addresses that never hear it
    half_open(V4, 4, 80, start=200)
    sw.expect(handshakes__timed_out=4, half_open=9, handshakes__refused=9)
    sw.detach()
    nothing_left(sw)


@scenario(mode=MODE_NAMES, family=FAMILIES)
def latency_by_service(mode, f):
    """Each service has its own, on whatever CPU its clients were heard, and together they are all there is."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    for port, count in ((80, 40), (443, 7)):
        server = listener("srv", f, port)
        for _ in range(count):
            part(*meet(server, "cli", f))
    refused("cli", f, 81)
    stats = sw.expect(handshakes__completed=47, teardowns__completed=47)
    by_port = {s["port"]: s["latency"] for s in stats["services"]}
    equal(set(by_port), {80, 443}, "services")
    for leg in ("syn_synack", "synack_ack"):
        equal((by_port[80][leg]["count"], by_port[443][leg]["count"]), (40, 7), f"samples of {leg}")
        equal(sum(l[leg]["sum_ns"] for l in by_port.values()), stats["latency"][leg]["sum_ns"], f"sum of {leg}")
        for l in by_port.values():
            check(0 < l[leg]["p50_ns"] <= l[leg]["p90_ns"] <= l[leg]["p99_ns"] < 10 ** 10, f"quantiles of {leg}: {l[leg]}")
    sw.detach()
    nothing_left(sw)
