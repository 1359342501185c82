# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The guard: who is limited, who is not, and that cookies of its making open connections."""
import contextlib
import json
import socket
import subprocess

from frames import ACK, OPTIONS, SYN, ethernet, packet
from instance import MODE_NAMES, Synwave, nothing_left
from lib import SYNFLOOD, Fail, check, equal, inside, scenario, until
from net import (FAMILIES, MAC, V4, V6, address, ghosts, ip, listener, meet, neighbour, netstat, pair, part, refused,
                 sysctl, talk, wire)

WSCALE, SACK, STAMPS = 4, 2, 1  # TCPI_OPT_*


def hosts(*modes, cookies=2, stamps=1):
    """Both hosts, one instance on the server's side. The client's end of the cable has a program of its own: without one,
    veth leaves what XDP sends back lying in its ring."""
    pair()
    sysctl("srv", ipv4__tcp_syncookies=cookies, ipv4__tcp_timestamps=stamps)
    far, sw = Synwave("far", ns="cli"), Synwave()
    far.attach("eth0", mode="native")
    sw.attach("eth0", mode=modes[0])
    return far, sw


def done(*instances):
    for sw in instances:
        sw.detach()
    nothing_left(*instances, spaces=("srv", "cli"))


def client(n, f):
    """One more address of the client's, a source of its own to every limit (IPv6: a /64)."""
    addr = f"10.9.0.{100 + n}" if f is V4 else f"fd00:9:0:{n:x}::2"
    address("cli", "eth0", addr, f.bits)
    if f is V6:
        ip("srv", "route", "add", f"fd00:9:0:{n:x}::/64", "dev", "eth0")
    neighbour("srv", "eth0", addr, MAC["cli"])
    return addr


def dial_from(source, f, port, patience=15.0):
    with inside("cli"):
        s = socket.socket(f.af)
    s.settimeout(patience)
    s.bind((source, 0))
    s.connect((f.srv, port))
    return s


def shut_out(source, f, port):
    """Not one SYN of it arrives."""
    with contextlib.suppress(TimeoutError):
        dial_from(source, f, port, patience=0.3).close()
        raise Fail(f"{source} was let in")


def meet_from(source, f, server):
    c = dial_from(source, f, server.getsockname()[1])
    # The client speaks first: if a flood swallows the ACK that opens a challenged connection, its data open it. A server
    # without memory cannot send its SYN-ACK again.
    c.sendall(b"first")
    s, _ = server.accept()
    s.settimeout(15)
    equal(s.recv(64), b"first", "what the server received")
    talk(c, s)
    return c, s


def guard(sw):
    return json.loads(sw.cmd("guard", "show", "--json").stdout)


@scenario(mode=MODE_NAMES)
def guard_is_off(mode):
    far, sw = hosts(mode)
    server = listener("srv", V4, 80)
    for _ in range(50):
        part(*meet(server, "cli", V4))
    stats = sw.expect(handshakes__completed=50, guard__mode="off", guard__passed=0, guard__dropped=0)
    equal(sum(stats["guard"]["by_reason"].values()), 0, "SYNs judged")
    check("off" in sw.cmd("status").stdout, "status does not say that the guard is off")
    done(far, sw)


@scenario(mode=MODE_NAMES, family=FAMILIES)
def guard_source(mode, f):
    far, sw = hosts(mode)
    server = listener("srv", f, 80)
    held = meet(server, "cli", f)
    bits = 32 if f is V4 else 64
    sw.cmd("guard", "set", "mode=enforce", f"source.{f.name}/{bits}=1/h burst 3")
    a, b = client(1, f), client(2, f)
    met = [meet_from(a, f, server) for _ in range(3)]
    shut_out(a, f, 80)
    met.append(meet_from(b, f, server))
    talk(*held)
    g = guard(sw)
    equal((g["passed"], g["by_reason"]["within"]), (4, 4), "passed")
    check(g["dropped"] >= 1 and g["dropped"] == g["by_reason"]["source"], f"dropped: {g}")
    equal([t["reason"] for t in g["top"]], ["source"], "top sources")
    check(g["top"][0]["source"] == (f"{a}/32" if f is V4 else "fd00:9:0:1::/64"), f"top source: {g['top']}")
    sw.cmd("guard", "set", "mode=dry-run")
    before = g["dropped"]
    met.append(meet_from(a, f, server))
    g = guard(sw)
    equal((g["dropped"], g["would_drop"]), (before, 1), "dry run: dropped, would drop")
    sw.cmd("guard", "set", "mode=off")
    met.append(meet_from(a, f, server))
    equal(guard(sw)["would_drop"], 1, "off: would drop")
    sw.cmd("guard", "set", "mode=enforce")
    shut_out(a, f, 80)
    for c, s in met + [held]:
        talk(c, s)
        part(c, s)
    stats = sw.expect(handshakes__completed=7, teardowns__completed=7, half_open=0)
    equal(stats["services"][0]["guard"]["would_drop"], 1, "of the service: would drop")
    done(far, sw)


@scenario(mode=MODE_NAMES)
def guard_lists(mode):
    far, sw = hosts(mode)
    server = listener("srv", V4, 80)
    a, b = client(1, V4), client(2, V4)
    sw.cmd("guard", "deny", "10.9.0.0/24")
    sw.cmd("guard", "allow", f"{b}/32")
    meet_from(a, V4, server)
    sw.cmd("guard", "set", "mode=enforce", "source.ipv4/32=1/h burst 1")
    shut_out(a, V4, 80)
    for _ in range(3):
        meet_from(b, V4, server)
    sw.cmd("guard", "remove", "10.9.0.0/24")
    meet_from(a, V4, server)
    shut_out(a, V4, 80)
    g = guard(sw)
    equal((g["by_reason"]["allow"], g["by_reason"]["within"]), (3, 1), "passed")
    check(g["by_reason"]["deny"] >= 1 and g["by_reason"]["source"] >= 1, f"dropped: {g['by_reason']}")
    check("is on the allow list" in sw.cmd("guard", "deny", b, ok=(2,)).stderr, "allowed and denied at once")
    done(far, sw)


def offered(sock):
    """tcp_info.tcpi_options of a socket."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[5] & (WSCALE | SACK | STAMPS)


def cookies(mode, f, stamps):
    far, sw = hosts(mode, stamps=stamps)
    server = listener("srv", f, 80)
    sw.cmd("guard", "set", "mode=enforce", "service.default=1/h burst 1 over cookie")
    met = [meet_from(client(n, f), f, server) for n in range(1, 9)]
    g = guard(sw)
    equal((g["by_reason"]["within"], g["challenged"], g["cookies_sent"], g["cookies_valid"], g["cookies_invalid"]),
          (1, 7, 7, 7, 0), "within, challenged, cookies sent, valid, invalid")
    equal(g["verified_sources"], 8, "verified sources")
    for n, (c, s) in enumerate(met):
        # no window scale for who was challenged: which one the kernel will use, nobody knows before it does
        want = WSCALE | SACK | STAMPS if n == 0 else SACK | STAMPS if stamps == 2 else 0
        equal((offered(c), offered(s)), (want, want), f"options that connection {n} kept")
        for _ in range(10):  # no more at a time than any kernel's buffers take
            c.sendall(b"x" * 30000)
            left = 30000
            while left:
                left -= len(s.recv(left))
    # they are verified now, and pass
    again = [meet_from(c.getsockname()[0], f, server) for c, _ in met]
    equal(guard(sw)["by_reason"]["verified"], 8, "verified sources that passed")
    flows = sw.flows()
    equal(sorted(r["origin"] for r in flows), ["cookie"] * 7 + ["syn"] * 9, "origins")
    equal({r["local"] for r in flows}, {"server"}, "whose end is here")
    stats = sw.expect(handshakes__completed=16, handshakes__started=16, half_open=0, states__local__ESTABLISHED=16)
    equal(stats["guard"]["challenged"], 7, "challenged")
    equal(stats["services"][0]["guard"]["challenged"] + stats["services_other"]["guard"]["challenged"], 7, "by service")
    for c, s in met + again:
        part(c, s)
    sw.expect(teardowns__completed=16, states__local__ESTABLISHED=0)
    check(netstat("srv", "SyncookiesRecv") >= 7, "the kernel took its cookies back")
    done(far, sw)


@scenario(mode=MODE_NAMES, family=FAMILIES)
def guard_cookies(mode, f):
    cookies(mode, f, stamps=1)


@scenario(mode=MODE_NAMES, family=FAMILIES)
def guard_cookies_keep_options(mode, f):
    cookies(mode, f, stamps=2)


@scenario(mode=MODE_NAMES, family=FAMILIES)
def guard_leaves_the_living(mode, f):
    """A SYN on a connection that lives is the kernel's, over whatever limit; also when we have never seen anything of it."""
    pair()
    sysctl("srv", ipv4__tcp_syncookies=2)
    server = listener("srv", f, 80)
    older = meet(server, "cli", f)
    far, sw = Synwave("far", ns="cli"), Synwave()
    far.attach("eth0", mode="native")
    sw.attach("eth0", mode=mode)
    seen = meet(server, "cli", f)
    frames = wire("cli")

    def syn_on(c):
        syn = packet(c.getsockname()[:2], (f.srv, 80), 7, 0, SYN, options=OPTIONS)
        frames.send(ethernet(MAC["cli"], MAC["srv"], syn))

    sw.cmd("guard", "set", "mode=enforce", "service.default=1/h burst 1 over cookie", "verified=1s")
    met = meet(server, "cli", f)  # the burst is used up
    until(lambda: not guard(sw)["verified_sources"], "the verified sources to be forgotten")
    before = netstat("srv", "TCPSYNChallenge")
    syn_on(older[0])
    syn_on(seen[0])
    until(lambda: netstat("srv", "TCPSYNChallenge") == before + 2, "the kernel to see both SYNs")
    g = guard(sw)
    equal((g["challenged"], g["by_reason"]["kernel"], g["passed"]), (0, 2, 3), "challenged, left to the kernel, passed")
    sw.cmd("guard", "set", "service.default=1/h burst 1 over drop")
    syn_on(seen[0])
    until(lambda: netstat("srv", "TCPSYNChallenge") == before + 3, "the kernel to see the third SYN")
    equal((guard(sw)["dropped"], guard(sw)["by_reason"]["connection"]), (0, 1), "dropped, spared")
    sw.cmd("guard", "deny", f.cli)
    syn_on(seen[0])
    until(lambda: guard(sw)["by_reason"]["deny"] == 1, "a denied source's SYN, on a living connection, to be dropped")
    for c, s in (older, seen, met):
        talk(c, s)
        part(c, s)
    done(far, sw)


@scenario(mode=MODE_NAMES)
def guard_waits_for_the_queue(mode):
    """tcp_syncookies=1: the kernel makes cookies when the listener's queue is full; until then it gets the SYNs."""
    far, sw = hosts(mode, cookies=1)
    with inside("srv"):
        server = socket.socket(V4.af)
    server.bind((V4.srv, 80))
    server.listen(8)
    server.settimeout(15)
    sw.cmd("guard", "set", "mode=enforce", "service.default=1/h burst 1 over cookie")
    check("when a listener's queue is full" in sw.cmd("status").stdout, "status")
    net = [f"10.77.0.{i}" for i in range(1, 41)]
    s = wire("cli")
    for i, src in enumerate(net):
        syn = packet((src, 10000 + i), (V4.srv, 80), 1000 * i, 0, SYN, options=OPTIONS)
        s.send(ethernet(MAC["cli"], MAC["srv"], syn))
    g = until(lambda: (lambda v: v if v["passed"] + v["challenged"] == 40 else None)(guard(sw)), "40 SYNs judged")
    check(g["by_reason"]["kernel"] >= 8 and g["challenged"] >= 20, f"judged: {g['by_reason']}")
    meet_from(client(1, V4), V4, server)
    equal(guard(sw)["cookies_valid"], 1, "valid cookies")
    s.close()
    done(far, sw)


@scenario(mode=MODE_NAMES)
def guard_without_cookies(mode):
    """No cookie can be made: tcp_syncookies=0, or nobody listens."""
    far, sw = hosts(mode, cookies=0)
    server = listener("srv", V4, 80)
    sw.cmd("guard", "set", "mode=enforce", "service.default=1/h burst 1 over cookie")
    check("tcp_syncookies=0 (such SYNs are passed)" in sw.cmd("status").stdout, "status: passed")
    for _ in range(3):
        meet(server, "cli", V4)
    refused("cli", V4, 81)
    refused("cli", V4, 81)
    equal({k: v for k, v in guard(sw)["by_reason"].items() if v}, {"within": 2, "verified": 3}, "by reason")
    a = client(1, V4)
    dial_from(a, V4, 80)
    with contextlib.suppress(ConnectionRefusedError):
        dial_from(client(2, V4), V4, 81)
    equal({k: v for k, v in guard(sw)["by_reason"].items() if v},
          {"within": 2, "verified": 3, "no_cookie": 1, "not_local": 1}, "by reason")
    sw.cmd("guard", "set", f"service.{V4.srv}:81=1/h burst 1 over cookie local yes")
    for n in (4, 5):
        with contextlib.suppress(ConnectionRefusedError):
            dial_from(client(n, V4), V4, 81)
    equal(guard(sw)["by_reason"]["no_listener"], 1, "a service that is said to be here, and is not")
    sw.cmd("guard", "set", "cookie_fallback=drop")
    check("such SYNs are dropped" in sw.cmd("status").stdout, "status: dropped")
    shut_out(client(3, V4), V4, 80)
    check(guard(sw)["dropped"] >= 1, "dropped")
    done(far, sw)


@scenario(mode=MODE_NAMES)
def guard_bogus_acks(mode):
    """ACKs that claim a cookie: counted, passed on, and nothing is remembered of them."""
    far, sw = hosts(mode)
    server = listener("srv", V4, 80)
    sw.cmd("guard", "set", "mode=enforce", "service.default=1/h burst 1 over cookie")
    meet_from(client(1, V4), V4, server)
    c, s = meet_from(client(2, V4), V4, server)
    before = sw.stats()
    w = wire("cli")

    def bogus(base):
        for i in range(50):
            ack = packet((f"10.77.0.{i + 1}", base + i), (V4.srv, 80), 1000 * i, 77 * i, ACK)
            w.send(ethernet(MAC["cli"], MAC["srv"], ack))

    bogus(20000)
    stats = sw.expect(guard__cookies_invalid=50)
    equal(stats["states"], before["states"], "what is in the table")
    sw.cmd("guard", "set", "bogus_acks=drop")
    bogus(30000)
    sw.expect(guard__cookies_invalid=100)
    talk(c, s)
    w.close()
    done(far, sw)


@scenario(mode=MODE_NAMES, limit=120, alone=True)
def guard_flood(mode):
    """A flood from random sources: honest newcomers are served while it runs, and it leaves nothing in the table."""
    far, sw = hosts(mode)
    ghosts("srv", V4, "198.18.0.0/16")
    server = listener("srv", V4, 80)
    held = [meet(server, "cli", V4) for _ in range(20)]
    sw.cmd("guard", "set", "mode=enforce", "source.ipv4/32=50/s burst 100",
           "service.default=100/s burst 100 over cookie")
    newcomers = [client(n, V4) for n in range(1, 41)]
    with inside("cli"):
        flood = subprocess.Popen([SYNFLOOD, "eth0", "200000", MAC["cli"], MAC["srv"], "198.18.0.0", V4.srv, "80", "7"],
                                 stdout=subprocess.DEVNULL)
    met = [meet_from(a, V4, server) for a in newcomers]
    equal(flood.wait(), 0, "the flood's exit")
    g = until(lambda: (lambda v: v if v["passed"] + v["challenged"] >= 200040 else None)(guard(sw)), "the flood was judged")
    check(g["challenged"] > 150000, f"challenged: {g}")
    for c, s in held + met:
        talk(c, s)
    stats = sw.stats()
    check(stats["handshakes"]["started"] < 10000, f"handshakes begun: {stats['handshakes']}")
    equal(stats["states"]["local"]["ESTABLISHED"], 60, "established")
    equal(stats["teardowns"]["started"], 0, "teardowns")
    for c, s in held + met:
        part(c, s)
    done(far, sw)
    return f"{g['challenged']} challenged"


GOOD = """mode: enforce
source:
  - {family: ipv4, prefix: 32, rate: 1/h, burst: 1}
service:
  "10.9.0.1:80": {rate: 7/s, burst: 9, over: drop}
allow: [192.0.2.0/24]
deny:  [198.51.100.0/24]
"""


@scenario()
def guard_file(mode="tc"):
    pair()
    sw = Synwave()
    with open("/run/good", "w") as f:
        f.write(GOOD)
    with open("/run/bad", "w") as f:
        f.write(GOOD + "mood: enforce\n")
    r = sw.cmd("attach", "eth0", "--mode", "tc", "--config", "/run/bad", ok=(1,))
    check("/run/bad:8: mood: no such key here; nothing was attached" in r.stderr, r.stderr)
    check("nothing is attached" in sw.cmd("status", ok=(1,)).stderr, "something was attached")
    sw.cmd("attach", "eth0", "--mode", "tc", "--config", "/run/good")
    rules = sw.cmd("guard", "show", "--yaml").stdout
    check("rate: 7/s" in rules and "198.51.100.0/24" in rules, rules)
    for words, why, code in ((("apply", "/run/bad"), "mood", 1), (("set", "mode=off", "speed=9"), "speed", 2),
                             (("set", "source.ipv4/32=9"), "rate: 9", 2), (("deny", "192.0.2.0/24"), "allow list", 2),
                             (("allow", "192.0.2.1/24"), "bits beyond", 2), (("remove", "192.0.9.0/24"), "neither", 2),
                             (("apply", "/run/none"), "No such file", 1), (("sit",), "neither show", 2)):
        r = sw.cmd("guard", *words, ok=(code,))
        check(why in r.stderr and r.stderr.count("\n") == 1, f"{words}: {r.stderr}")
        equal(sw.cmd("guard", "show", "--yaml").stdout, rules, f"rules after {words}")
    with open("/run/again", "w") as f:
        f.write(rules)
    sw.cmd("guard", "set", "mode=off", "service.10.9.0.1:80=none", "service.default=5/m over drop")
    check("5/m" in sw.cmd("guard", "show", "--yaml").stdout, "set")
    sw.cmd("guard", "apply", "/run/again")
    equal(sw.cmd("guard", "show", "--yaml").stdout, rules, "rules after what was shown was applied")
    # what was used up stays so, whatever is changed around it; an upgrade in place keeps the rules
    server = listener("srv", V4, 80)
    meet(server, "cli", V4)
    sw.cmd("guard", "allow", "203.0.113.0/24")
    sw.cmd("attach", "eth0", "--mode", "tc")
    shut_out(V4.cli, V4, 80)
    done_here = guard(sw)
    check(done_here["dropped"] >= 1 and done_here["mode"] == "enforce", f"{done_here}")
    sw.detach()
    nothing_left(sw)
