# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the guard says of SYNs in any shape, whom it charges, and that a dry run sees what is there."""
import contextlib
import json
import select
import socket

import lib
from frames import (ACK, FIN, OPTIONS, PADDING, PSH, RST, SYN, ethernet, extended, fragments, packet, read_packet,
                    skipped, spoiled, with_ip_options)
from instance import Synwave, nothing_left
from lib import check, equal, inside, scenario, until
from net import FAMILIES, MAC, V6, endpoint, ghosts, listener, meet, pair, part, ss, sysctl, talk, wire
from t_guard import guard
from t_trust import HOOKS, judged, per_source, reasons, stranger

Q = 0x8100


class Ear:
    """The SYN-ACKs that have come to a host."""

    def __init__(self, ns="cli"):
        self.ports = set()
        with inside(ns):
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.sock.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
            self.sock.bind(("eth0", 3))

    def heard(self):
        """The ports that they were for."""
        while select.select([self.sock], [], [], 0)[0]:
            frame, where = self.sock.recvfrom(2048)
            p = None if where[2] == socket.PACKET_OUTGOING or frame[12:14] not in (b"\x08\0", b"\x86\xdd") else \
                read_packet(frame[14:])
            if p and p[4] & (SYN | ACK) == SYN | ACK:
                self.ports.add(p[1][1])
        return self.ports

    def until(self, port):
        until(lambda: port in self.heard(), f"a SYN-ACK for port {port}")


# --- shapes --------------------------------------------------------------------------------------------------------


def in_two(first, headers=(), way=1):
    """In two fragments, each time under another number: the port's."""

    def shape(l3):
        port = int.from_bytes(l3[-40:-38], "big")
        return [ethernet(MAC["cli"], MAC["srv"], p) for p in fragments(extended(l3, *headers), first, port)[::way]]

    return shape


def tagged(count):
    return lambda l3: [ethernet(MAC["cli"], MAC["srv"], l3, (Q,) * count, vid=0)]


def chain(*headers):
    return lambda l3: [ethernet(MAC["cli"], MAC["srv"], extended(l3, *headers))]


# Per shape: the frames of a SYN, what is dropped of them because it cannot be followed, what shows that it is a SYN.
# 640 bytes of headers, twice: of IPv6 the kernel puts nothing together whose first part is shorter than 1,280 bytes.
SHAPES = {"whole": (tagged(0), 0, 1), "8 bytes of TCP first": (in_two(8), 2, 0), "16 bytes first": (in_two(16), 2, 0),
          "24 bytes first": (in_two(24), 1, 1), "the second fragment first": (in_two(8, way=-1), 2, 0),
          "4 tags": (tagged(4), 0, 1), "5 tags": (tagged(5), 1, 0), "6 tags": (tagged(6), 1, 0)}
SHAPES_OF = {
    "ipv4": {**SHAPES, "IP options": (lambda l3: [ethernet(MAC["cli"], MAC["srv"], with_ip_options(l3))], 0, 1)},
    "ipv6": {**SHAPES, "8 headers": (chain(*[(60, PADDING)] * 8), 0, 1), "9 headers": (chain(*[(60, PADDING)] * 9), 1, 0),
             "12 headers": (chain((0, PADDING), *[(60, PADDING)] * 11), 1, 0),
             "a long header": (chain((60, skipped(1030))), 1, 0),
             "24 bytes behind long headers": (in_two(1304, [(60, skipped(638))] * 2), 1, 1),
             "headers alone first": (in_two(24, [(60, PADDING)] * 3), 1, 0)}}
ANSWERED = {"ipv4": {"whole", "8 bytes of TCP first", "16 bytes first", "24 bytes first", "4 tags"},
            "ipv6": {"whole", "9 headers", "12 headers", "24 bytes behind long headers", "4 tags"}}


class Shaper:
    """SYNs of a source in every shape, from ports that are new each time."""

    def __init__(self, f):
        self.f, self.w, self.ear, self.port = f, wire("cli"), Ear(), 10000

    def send(self, source, port, shape=tagged(0)):
        for frame in shape(packet((source, port), (self.f.srv, 80), port, 0, SYN, options=OPTIONS)):
            self.w.send(frame)

    def answered(self, source):
        """The shapes in which this source's SYNs are answered. What came before a SYN that is answered was judged."""
        ports = {}
        for name, (shape, _, _) in SHAPES_OF[self.f.name].items():
            self.port += 1
            ports[name] = self.port
            self.send(source, self.port, shape)
        for _ in range(2):
            self.port += 1
            self.send(self.f.cli, self.port)
            self.ear.until(self.port)
        return {name for name, port in ports.items() if port in self.ear.heard()}


def unfollowed(sw):
    g = guard(sw)
    return g["by_reason"]["deny"], g["by_reason"]["fragment"] + g["by_reason"]["headers"], g["dropped"]


@scenario(mode=HOOKS, family=FAMILIES, paired=True)
def syn_in_any_shape(mode, f):
    """Fragments, headers and tags: from a denied source nothing is answered that the kernel would answer."""
    pair()
    ghosts("srv", V6, "fd00:77::/32")
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    server, shaper, bad, good = listener("srv", f, 80), Shaper(f), stranger(f, 1, 1), stranger(f, 2, 1)
    shapes = dict(SHAPES_OF[f.name])
    if mode == "tc":
        shapes["5 tags"] = (tagged(5), 0, 1)  # the stack has taken off one of them
    alone = shaper.answered(bad)
    check(ANSWERED[f.name] <= alone, f"the kernel answers {alone}")
    sw.cmd("guard", "deny", bad)
    sw.cmd("guard", "set", "mode=enforce")
    equal(shaper.answered(bad), set(), "answered to a denied source")
    lost = sum(lost for _, lost, _ in shapes.values())
    denied = sum(syn and not lost for _, lost, syn in shapes.values())
    equal(unfollowed(sw), (denied, lost, denied + lost), "denied, not to be followed, dropped")
    equal(shaper.answered(good), alone - {name for name, (_, lost, _) in shapes.items() if lost}, "to another source")
    sw.cmd("guard", "set", "fragments=pass")
    equal(shaper.answered(good), alone, "fragments=pass: answered to another source")
    before = guard(sw)["dropped"]
    syns = {name for name, (_, _, syn) in shapes.items() if syn}
    equal((shaper.answered(bad), guard(sw)["dropped"] - before), (alone - syns, len(syns)),
          "fragments=pass: answered to a denied source; dropped, what shows that it is a SYN")
    sw.cmd("guard", "set", "fragments=drop", "mode=dry-run")
    before = guard(sw)
    equal(shaper.answered(bad), alone, "dry run: answered to a denied source")
    g = guard(sw)
    equal((g["would_drop"], g["dropped"]), (before["would_drop"] + denied + lost, before["dropped"]),
          "dry run: would drop, dropped")
    server.close()
    sw.detach()
    nothing_left(sw)


@scenario(mode=HOOKS, family=FAMILIES, paired=True)
def syn_with_odd_fields(mode, f):
    """Source port 0, flags and data on a SYN: what the kernel answers is judged; what it does not answer may be."""
    pair()
    ghosts("srv", V6, "fd00:77::/32")
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    server, shaper, bad = listener("srv", f, 80), Shaper(f), stranger(f, 1, 1)
    odd = {0: (SYN, b""), 1: (SYN | PSH, b""), 2: (SYN | 0x20, b""), 3: (SYN | 0xc0, b""), 4: (SYN, b"data"),
           5: (SYN | PSH | 0x20, b"data"), 6: (SYN | FIN, b""), 7: (SYN | RST, b"")}

    def answered():
        for port, (flags, data) in odd.items():
            l3 = packet((bad, port), (f.srv, 80), 1, 0, flags, data, OPTIONS)
            shaper.w.send(ethernet(MAC["cli"], MAC["srv"], l3))
        for _ in range(2):
            shaper.port += 1
            shaper.send(f.cli, shaper.port)
            shaper.ear.until(shaper.port)
        found = {port for port in odd if port in shaper.ear.heard()}
        shaper.ear.ports.clear()
        return found

    alone = answered()
    check({1, 2, 3, 4} <= alone, f"the kernel answers {alone}")
    until(lambda: ss("srv", "syn-recv") >= len(alone), "half-open connections")
    server.close()  # they go with it
    server = listener("srv", f, 80)
    sw.cmd("guard", "deny", bad)
    sw.cmd("guard", "set", "mode=enforce")
    equal(answered(), set(), "answered to a denied source")
    check(guard(sw)["by_reason"]["deny"] >= len(alone), f"denied: {reasons(sw)}")
    server.close()
    sw.detach()
    nothing_left(sw)
    return "port 0 is answered" if 0 in alone else "port 0 is not answered"


# --- charges -------------------------------------------------------------------------------------------------------


@scenario(mode=HOOKS, family=FAMILIES, paired=True)
def every_pass_is_charged(mode, f):
    """Whatever a SYN passes for, its source pays: 5 of 25 pass, and the service's own limit lets one in."""
    pair()
    ghosts("srv", V6, "fd00:77::/32")
    sysctl("srv", ipv4__tcp_syncookies=1)
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    w, server = wire("cli"), listener("srv", f, 80)
    c, s = meet(server, "cli", f)  # one that lives, and a service that was seen to be answered from here
    sw.cmd("guard", "set", "mode=enforce", "service.default=1/h burst 1 over cookie",
           f"service.{endpoint(f.srv, 82)}=1/h burst 1 over cookie local yes")
    sw.cmd("guard", "set", per_source(f, "1/h burst 5"))
    want = {"within": 3}

    def burst(source, port, tuples, count=25):
        for n in range(count):
            syn = packet((source, 20000 + n % tuples), (f.srv, port), 1, 0, SYN, options=OPTIONS)
            w.send(ethernet(MAC["cli"], MAC["srv"], syn))

    for port in (80, 81, 82):  # uses up each service's own
        burst(stranger(f, 9, port), port, 1, 1)
    judged(sw, **want)
    for n, (port, reason, tuples) in enumerate(((81, "not_local", 25), (82, "no_listener", 25), (80, "kernel", 25),
                                                (80, "kernel", 16), (81, "not_local", 1)), 1):
        burst(stranger(f, 1, n), port, tuples)
        want[reason] = want.get(reason, 0) + 5
        want["source"] = want.get("source", 0) + 20
        judged(sw, **want)
    sysctl("srv", ipv4__tcp_syncookies=0)
    burst(stranger(f, 2, 1), 80, 25)
    judged(sw, **{**want, "no_cookie": 5, "source": want["source"] + 20})
    want = reasons(sw)
    sw.cmd("guard", "set", "service.default=1/h burst 1 over drop")
    for n in range(25):  # on the connection that lives
        syn = packet(c.getsockname()[:2], (f.srv, 80), 1 + n, 0, SYN, options=OPTIONS)
        w.send(ethernet(MAC["cli"], MAC["srv"], syn))
    judged(sw, **{**want, "connection": 5, "source": want["source"] + 20})
    talk(c, s)
    sw.detach()
    nothing_left(sw)


# --- a dry run sees what is there ----------------------------------------------------------------------------------


def everyday(f, base, w, server):
    """A fixed script: real clients, then hand-made frames, some of which a guard would drop."""
    for n in range(10):
        with inside("cli"):
            c = socket.socket(f.af)
        c.settimeout(lib.PATIENCE)
        c.bind((f.cli, base + n))
        if n > 7:
            with contextlib.suppress(ConnectionRefusedError):
                c.connect((f.srv, 81))
            c.close()
            continue
        c.connect((f.srv, 80))
        s, _ = server.accept()
        s.settimeout(lib.PATIENCE)
        talk(c, s)
        part(*((c, s) if n % 2 else (s, c)))
    for n in range(40):
        x, y = (stranger(f, 1 + n % 2, 1), base + 100 + n), (f.srv, 80)
        syn = packet(x, y, 1000, 0, SYN, options=OPTIONS)
        frames = [[syn], [syn, packet(x, y, 1000, 0, SYN, options=OPTIONS)], [packet(x, y, 5, 6, PSH | ACK, b"data")],
                  fragments(syn, 8, n), fragments(syn, 24, n), [spoiled(syn)], [packet(x, y, 9, 9, SYN | ACK)],
                  [packet(x, y, 7, 7, FIN | ACK)]][n % 8]
        for l3 in frames:
            w.send(ethernet(MAC["cli"], MAC["srv"], l3))
        w.send(ethernet(MAC["cli"], MAC["srv"], syn, (Q,) * 6))


TIMES = ("first_ns", "changed_ns", "syn_synack_ns", "synack_ack_ns")


def as_seen(sw, base):
    """Everything that is told of it, but for times and numbers that the kernels drew."""
    flows = []
    for r in sw.flows():
        for key in TIMES:
            r.pop(key)
        for end in ("client", "server"):
            port = r[end]["port"]
            r[end]["port"] = port - base if port >= base else port
            r[end]["isn"] = r[end]["isn"] is not None
        flows.append(json.dumps(r, sort_keys=True))
    stats = sw.stats()
    told = {k: stats[k] for k in ("handshakes", "teardowns", "states", "half_open", "time_wait", "time_wait_local")}
    told["latency"] = {k: v["count"] for k, v in stats["latency"].items()}
    told["events"] = {k: v for k, v in stats["events"].items() if k not in ("three_way", "four_way")}
    told["segments"] = {k: v for k, v in stats["segments"].items() if k != "ack"}  # some are delayed, some are not
    told["ignored"] = {k: v for k, v in stats["ignored"].items() if k not in ("not_ip", "not_tcp")}
    told["services"] = [{k: v for k, v in one.items() if k not in ("guard", "latency")} for one in stats["services"]]
    return {"flows": sorted(flows), **told}


@scenario(mode=HOOKS, family=FAMILIES, paired=True)
def dry_run_sees_the_same(mode, f):
    """The same traffic, with the guard off and in a dry run that would drop nearly all of it."""
    pair()
    ghosts("srv", V6, "fd00:77::/32")
    sysctl("srv", ipv4__tcp_synack_retries=0, ipv4__tcp_syncookies=0)
    w, seen = wire("cli"), []
    rules = "mode=dry-run", per_source(f, "1/h burst 2"), "service.default=1/h burst 1 over cookie"
    for turn, words in enumerate(((), rules)):
        base = 20000 + 10000 * turn
        sw = Synwave(f"swt{turn}")
        sw.attach("eth0", mode=mode)
        if words:
            sw.cmd("guard", "deny", stranger(f, 1, 1))
            sw.cmd("guard", "set", *words)
        server = listener("srv", f, 80)
        everyday(f, base, w, server)
        until(lambda: sw.stats()["ignored"]["vlan_tags"] >= 40, "the last frame to be counted")
        sw.expect(handshakes__refused=2)
        seen.append(as_seen(sw, base))
        g = guard(sw)
        server.close()
        sw.detach()
    check(g["would_drop"] > 30 and g["dropped"] == 0, f"the dry run would have dropped: {g}")
    for key in seen[0]:
        equal(seen[1][key], seen[0][key], f"{key}: dry run, off")
    check(len(seen[0]["flows"]) > 25, "connections")
    nothing_left(sw)
