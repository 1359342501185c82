# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the table makes of frames that somebody forges: real connections keep their places and their records, and each is
counted once wherever it is seen."""
import os
import random
import socket

import lib
from frames import ACK, FIN, OPTIONS, PADDING, PSH, RST, SYN, ethernet, extended, fragments, packet, spoiled
from instance import Synwave, nothing_left
from lib import check, equal, inside, run, scenario, until
from net import (FAMILIES, HERE, MAC, ROUTED, V4, V6, address, deaf, dial, ghosts, hearing, ip, listener, meet, netns, pair,
                 part, routed, sysctl, talk, wire)
from t_guard import guard
from t_trust import HOOKS, judged, stranger


# --- protected places ----------------------------------------------------------------------------------------------


def shown(sw):
    """Connections that are open at both ends, by the client's port."""
    return {r["client"]["port"] for r in sw.flows() if r["client"]["state"] == r["server"]["state"] == "ESTABLISHED"}


def kernel_has(ns, *filters):
    """The ports of the far ends of what `ss` shows."""
    with inside(ns):
        lines = run("ss", "-Htan", *filters).stdout.splitlines()
    return {int(line.split()[-1].rsplit(":", 1)[1]) for line in lines}


def forged_flood(f, w, count, base):
    """What an attacker claims of `count` connections: ACKs, data and FINs to a closed port, which this host answers with
    RSTs, and SYN-ACKs with their ACKs, to nobody."""
    for n in range(base, base + count):
        x, y = (stranger(f, n >> 8 & 255, n & 255), 20000), (f.srv, 81)
        nobody = (stranger(f, 254, 1 + n % 200), 443)
        frames = [[packet(x, y, 5, 6, ACK)], [packet(nobody, x, 5, 6, SYN | ACK), packet(x, nobody, 6, 6, ACK)],
                  [packet(x, y, 5, 6, PSH | ACK, b"data")], [packet(x, y, 5, 6, FIN | ACK)]][n % 4]
        for l3 in frames:
            w.send(ethernet(MAC["cli"], MAC["srv"], l3))


@scenario(mode=HOOKS, family=FAMILIES, paired=True)
def forged_places(mode, f):
    """Forged connections, thousands to a small table, cost no real one its place, before it or after it; and they go."""
    pair()
    sw = Synwave()
    sw.attach("eth0", "--flows", "1024", "--half-open", "256", "--timeout", "one_sided=1s", "--timeout", "closed=1s",
              "--timeout", "fin_wait=1s", mode=mode, small=False)
    ghosts("srv", V6, "fd00:77::/32")
    server, w = listener("srv", f, 80), wire("cli")
    held = []
    for turn in range(2):
        forged_flood(f, w, 2000, 2000 * turn)
        held += [meet(server, "cli", f) for _ in range(60)]
    forged_flood(f, w, 2000, 4000)
    want = {c.getsockname()[1] for c, _ in held}
    equal(kernel_has("srv", "state", "established"), want, "the kernel's connections")
    sw.expect(segments__syn=120)
    check(shown(sw) >= want, f"{len(want - shown(sw))} of {len(want)} real connections are not shown")
    until(lambda: {r["client"]["port"] for r in sw.flows()} == want,
          lambda: f"{len(sw.flows())} connections are shown, {len(want)} are real")
    equal(shown(sw), want, "connections, when the forged ones are gone")
    for c, s in held[::10]:
        talk(c, s)
    equal(sw.stats()["handshakes"]["completed"] >= 120, True, "handshakes completed")
    sw.detach()
    nothing_left(sw)


@scenario(mode=HOOKS)
def silence_ends_it(mode):
    """Two segments with wrong checksums keep nothing for longer than its own timeout; nor does what was sent before."""
    pair()
    sw = Synwave()
    sw.attach("eth0", "--timeout", "one_sided=1s", "--timeout", "close_wait=1s", mode=mode)
    server, w = listener("srv", V4, 80), wire("cli")
    c, s = meet(server, "cli", V4)
    half = c.getsockname()[1]
    c.shutdown(socket.SHUT_WR)
    equal(s.recv(1), b"", "end of stream")
    s.sendall(b"more")
    equal(c.recv(64), b"more", "data after the FIN")
    bad = spoiled(packet((V4.cli, 30000), (V4.srv, 81), 1, 1, ACK))
    for _ in range(2):
        before = sw.stats()["segments"]["ack"]
        w.send(ethernet(MAC["cli"], MAC["srv"], bad))
        until(lambda: sw.stats()["segments"]["ack"] > before, "the ACK to be counted")
    sw.flow(30000)
    until(lambda: not {half, 30000} & {r["client"]["port"] for r in sw.flows()}, lambda: f"still there: {sw.flows()}")
    sw.detach()
    nothing_left(sw)


@scenario(mode=HOOKS, family=FAMILIES, paired=True)
def services_of_forged_handshakes(mode, f):
    """A SYN and its SYN-ACK, both forged, give the alleged server no place among the services."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    server, w = listener("srv", f, 80), wire("cli")
    meet(server, "cli", f)
    for n in range(1200):  # more than there are places
        x, y = (stranger(f, 1 + (n >> 8), n & 255), 2000), (f.srv if n % 2 else stranger(f, 200, n & 255), 1000 + n)
        for l3 in (packet(x, y, 1, 0, SYN, options=OPTIONS), packet(y, x, 7, 2, SYN | ACK, options=OPTIONS),
                   packet(x, y, 2, 8, ACK)):
            w.send(ethernet(MAC["cli"], MAC["srv"], l3))
    sw.expect(segments__syn=1201, segments__syn_ack=1201)
    places = {t["name"]: t for t in sw.stats()["tables"]}["services"]
    equal((places["entries"], places["errors"]), (1, 0), "places of services, and those not found")
    server.close()
    sw.detach()
    nothing_left(sw)


# --- living connections --------------------------------------------------------------------------------------------


def vanish(*socks):
    """Their hosts forget these connections without a word (TCP_REPAIR)."""
    for s in socks:
        s.setsockopt(socket.IPPROTO_TCP, 19, 1)
        s.close()


def dial_as(ns, f, port, to):
    """A connection from a given port."""
    with inside(ns):
        s = socket.socket(f.af)
    s.settimeout(lib.PATIENCE)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("", port))
    s.connect(to)
    return s


def isns(r):
    return r["client"]["isn"], r["server"]["isn"]


def forged_on_the_living(mode, f, here, there):
    """The server is `here`, which is this host or the one that the forger sits at."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    w, addr = wire("cli"), {"srv": f.srv, "cli": f.cli}
    server = listener(here, f, 80, addr[here])
    c, s = meet(server, there, f, addr[here])
    port = c.getsockname()[1]
    x, y, before = (addr[there], port), (addr[here], 80), isns(sw.flow(port))
    segments = sw.stats()["segments"]
    for l3 in (packet(x, y, 7, 0, SYN, options=OPTIONS), packet(y, x, 9, 8, SYN | ACK, options=OPTIONS),
               packet(x, y, 8, 10, ACK), packet(y, x, 10, 8, PSH | ACK, b"data")):
        w.send(ethernet(MAC["cli"], MAC["srv"], l3))
    until(lambda: sw.stats()["segments"]["syn_ack"] > segments["syn_ack"], "the forged SYN-ACK to be counted")
    talk(c, s)
    r = sw.flow(port)
    equal((isns(r), r["client"]["state"], r["server"]["state"], sw.stats()["half_open"]),
          (before, "ESTABLISHED", "ESTABLISHED", 0), "the connection after forged segments")
    vanish(c, s)
    c = dial_as(there, f, port, (addr[here], 80))
    s, _ = server.accept()
    s.settimeout(lib.PATIENCE)
    talk(c, s)
    r = sw.flow(port)
    check(isns(r) != before, f"the record is that of the connection that is no more: {r}")
    equal((r["client"]["state"], r["server"]["state"]), ("ESTABLISHED", "ESTABLISHED"), "the new connection")
    part(c, s)
    sw.expect(teardowns__completed=1, half_open=0)
    server.close()
    sw.detach()
    nothing_left(sw)


@scenario(mode=HOOKS, family=FAMILIES, paired=True)
def forged_syn_and_answer(mode, f):
    """A SYN and its SYN-ACK, forged on a connection that lives, change nothing; a new connection on the same addresses and
    ports, which this host answers, does."""
    forged_on_the_living(mode, f, "srv", "cli")


@scenario(mode=HOOKS)
def same_index_in_two_namespaces(mode):
    """One instance on a host's eth0 and a pod's, of one index: each SYN is judged, charged and counted once."""
    for ns in ("cli", "srv", "pod"):
        netns(ns)
    for ns, dev, index, mac, far, there, far_mac in (("srv", "eth0", "7", MAC["srv"], "cli", "eth0", MAC["cli"]),
                                                     ("pod", "eth0", "7", MAC["r0"], "srv", "vpod", MAC["r1"])):
        ip(ns, "link", "add", dev, "index", index, "address", mac, "type", "veth",
           "peer", "name", there, "address", far_mac, "netns", far)
        ip(ns, "link", "set", dev, "up")
        ip(far, "link", "set", there, "up")
    for ns, dev, addr in (("srv", "eth0", V4.srv), ("cli", "eth0", V4.cli), ("srv", "vpod", "10.9.1.1"),
                          ("pod", "eth0", "10.9.1.2")):
        address(ns, dev, addr, 24)
    ip("cli", "route", "add", "default", "via", V4.srv)
    ip("pod", "route", "add", "default", "via", "10.9.1.1")
    sysctl("srv", ipv4__ip_forward=1)
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    sw.attach("eth0", mode=mode, ns="pod")
    server = listener("pod", V4, 80, "10.9.1.2")
    for _ in range(5):
        part(*meet(server, "cli", V4, "10.9.1.2"))
    stats = sw.expect(handshakes__started=5, handshakes__completed=5, teardowns__completed=5,
                      handshakes__syn_retransmits=0, handshakes__synack_retransmits=0)
    equal([stats["latency"][k]["count"] for k in ("syn_synack", "synack_ack")], [5, 5], "samples")
    sw.cmd("guard", "set", "mode=enforce", "source.ipv4/32=1/h burst 10")
    met = [meet(server, "cli", V4, "10.9.1.2") for _ in range(10)]
    judged(sw, within=10)
    wire("cli").send(ethernet(MAC["cli"], MAC["srv"], packet((V4.cli, 999), ("10.9.1.2", 80), 1, 0, SYN)))
    judged(sw, within=10, source=1)
    equal(len(met), 10, "connections let in")
    sw.detach(ns="pod")
    nothing_left(sw, spaces=("srv", "pod"))


@scenario(mode=HOOKS)
def same_frames_at_two_interfaces(mode):
    """A bridge and its port: what comes in at the port comes in at the bridge as well, and is judged, charged and counted
    once."""
    pair()
    ip("srv", "addr", "flush", "dev", "eth0")
    ip("srv", "link", "add", "br0", "address", MAC["srv"], "type", "bridge")
    ip("srv", "link", "set", "eth0", "master", "br0")
    ip("srv", "link", "set", "br0", "up")
    address("srv", "br0", V4.srv, 24)
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    sw.attach("br0", mode="tc")
    server = listener("srv", V4, 80)
    for _ in range(5):
        part(*meet(server, "cli", V4))
    stats = sw.expect(handshakes__started=5, handshakes__completed=5, teardowns__completed=5,
                      handshakes__syn_retransmits=0, handshakes__synack_retransmits=0)
    equal([stats["latency"][k]["count"] for k in ("syn_synack", "synack_ack")], [5, 5], "samples")
    sw.cmd("guard", "set", "mode=enforce", "source.ipv4/32=1/h burst 10")
    met = [meet(server, "cli", V4) for _ in range(10)]
    wire("cli").send(ethernet(MAC["cli"], MAC["srv"], packet((V4.cli, 999), (V4.srv, 80), 1, 0, SYN)))
    judged(sw, within=10, source=1)
    equal(len(met), 10, "connections let in")
    sw.detach()
    nothing_left(sw)


# --- random frames beside real connections -------------------------------------------------------------------------


def attacker(rnd, real):
    """One frame or two: of a stranger, or on the addresses and ports of a real connection, whose numbers he does not know."""
    f = rnd.choice(FAMILIES)
    server = (f.srv, rnd.choice((80, 81, rnd.randrange(1, 65536))))
    x, y = (stranger(f, rnd.randrange(1, 250), rnd.randrange(1, 250)), rnd.randrange(65536)), server
    flags = rnd.choice((SYN, SYN | ACK, ACK, PSH | ACK, FIN | ACK, RST, RST | ACK, rnd.randrange(256)))
    if rnd.random() < 0.2:
        f, x, y = rnd.choice(real)
        # a RST or a FIN is believed for a while (t_wire.py forged_rst): not what is asked here
        flags = rnd.choice((SYN, SYN | ACK, ACK, PSH | ACK))
    if rnd.random() < 0.3:
        x, y = y, x
    data = b"x" * rnd.choice((0, 0, 1, 500))
    # few numbers, so that what he says fits together, and all, in case that one of the hosts' own is hit
    seq, ack = (rnd.randrange(1, 5) if rnd.random() < 0.8 else rnd.getrandbits(32) for _ in range(2))
    l3 = packet(x, y, seq, ack, flags, data, rnd.choice((b"", OPTIONS)))
    if rnd.random() < 0.4:
        l3 = spoiled(l3)
    shape = rnd.randrange(6)
    parts = [l3]
    if shape == 0:
        parts = fragments(l3, rnd.choice((8, 16, 24)), rnd.getrandbits(16) if f is V4 else rnd.getrandbits(32))
        parts = rnd.choice((parts, parts[:1], parts[1:], parts[::-1]))
    elif shape == 1 and f is not V4:
        parts = [extended(l3, *[(60, PADDING)] * rnd.randrange(12))]
    elif shape == 2:
        parts = [l3[:rnd.randrange(1, len(l3))]]
    tags = (0x8100,) * rnd.choice((0, 0, 0, 1, 2, 5))
    return [ethernet(MAC["cli"], MAC["srv"], part_, tags, vid=rnd.choice((0, 100))) for part_ in parts]


OPEN = {"ESTAB": "ESTABLISHED", "FIN-WAIT-2": "FIN_WAIT_2", "CLOSE-WAIT": "CLOSE_WAIT", "SYN-RECV": "SYN_RCVD"}


def kernel_states(ns, ports):
    """State of the sockets, by the port of the far end, in the words of RFC 9293."""
    with inside(ns):
        lines = [line.split() for line in run("ss", "-Htan").stdout.splitlines()]
    found = {int(words[4].rsplit(":", 1)[1]): words[0] for words in lines if words[0] != "LISTEN"}
    return {port: OPEN.get(found.get(port), "over") for port in ports}


def our_states(sw, ports):
    flows = {r["client"]["port"]: r["server"]["state"] for r in sw.flows() if r["client"]["addr"] in (
        f.cli for f in FAMILIES)}
    return {port: flows[port] if flows.get(port) in OPEN.values() else "over" for port in ports}


@scenario(mode=HOOKS, limit=120)
def random_frames_beside_real_ones(mode):
    """20,000 frames of somebody who sees nothing. Real connections in every state stay shown as `ss` shows them."""
    pair()
    sysctl("srv", ipv4__tcp_syncookies=0)
    sw = Synwave()
    # room enough: a flood of half-open connections may evict half-open ones
    sw.attach("eth0", "--flows", "65536", "--half-open", "65536", mode=mode, small=False)
    sw.cmd("guard", "set", "mode=enforce", "verified=1d")
    held, real, waiting = [], [], []
    for f in HERE:
        server = listener("srv", f, 80)
        met = [meet(server, "cli", f) for _ in range(15)]
        for c, s in met[:5]:
            part(s, c)  # TIME_WAIT here
        for c, s in met[5:10]:
            c.shutdown(socket.SHUT_WR)
            equal(s.recv(1), b"", "end of stream")
        held += met[5:]
        with inside("cli"):
            late = [socket.socket(f.af) for _ in range(5)]
        deaf(*late)
        for c in late:
            c.bind((f.cli, 0))
            real.append((f, (f.cli, c.getsockname()[1]), (f.srv, 80)))
            c.setblocking(False)
            c.connect_ex((f.srv, 80))
        waiting += late
        real += [(f, (f.cli, c.getsockname()[1]), (f.srv, 80)) for c, _ in met[5:]]
        held.append((server, server))
    ports = [x[1] for _, x, _ in real]
    until(lambda: our_states(sw, ports) == kernel_states("srv", ports), "all of them to be shown as they are")
    tally = sorted(our_states(sw, ports).values())
    n = len(HERE)
    equal(tally, ["CLOSE_WAIT"] * 5 * n + ["ESTABLISHED"] * 5 * n + ["SYN_RCVD"] * 5 * n, "real connections")
    equal(guard(sw)["verified_sources"], n, "verified before")
    rnd, w, sent = random.Random(20261127), wire("cli"), 0
    while sent < 20000:
        for frame in attacker(rnd, real):
            sent += 1
            w.send(frame)
        if sent % 4000 == 0:
            sw.stats()
    w.close()
    until(lambda: our_states(sw, ports) == kernel_states("srv", ports), lambda: "ours, the kernel's: " + ", ".join(
        f"{p} {a} {b}" for p, a, b in zip(ports, our_states(sw, ports).values(), kernel_states("srv", ports).values())
        if a != b))
    equal(guard(sw)["verified_sources"], n, "verified sources")
    stats = sw.stats()
    equal(stats["events"]["evicted_half_open"] + stats["events"]["evicted_unprotected"], 0, "evicted")
    check(sum(stats["segments"].values()) > 8000 and sum(stats["ignored"].values()) > 2000, f"{stats['segments']}")
    hearing(*waiting)
    sw.detach()
    nothing_left(sw)


# --- two interfaces ------------------------------------------------------------------------------------------------


@scenario(family=FAMILIES)
def rst_overtakes_data(f):
    """On a forwarder XDP sees a RST before the egress hook has seen the data before it: GRO holds them back. The RST counts
    once, and what it overtook contradicts nothing."""
    routed()
    sw = Synwave(ns="mid")
    sw.attach("r0", "r1", mode="native")
    os.mkdir("/run/sys")
    with inside("mid"):
        run("mount", "-t", "sysfs", "sysfs", "/run/sys")
    with open("/run/sys/class/net/r1/gro_flush_timeout", "w") as file:
        file.write("200000000")
    a, server, cable = ROUTED[f.name], listener("srv", f, 80), wire("cli")
    with inside("cli"):
        run("nft", "add table inet t; add chain inet t o { type filter hook output priority 0; }; "
            "add rule inet t o tcp flags & rst == rst drop")
    for n in range(1, 6):
        c = dial("cli", f, 80)
        s, _ = server.accept()
        s.settimeout(lib.PATIENCE)
        port = c.getsockname()[1]
        until(lambda: sw.flow(port)["server"]["state"] == "ESTABLISHED", "the handshake")
        r = sw.flow(port)
        ends, seq, ack = ((a.cli, port), (f.srv, 80)), r["client"]["isn"] + 1, r["server"]["isn"] + 1
        data = sw.stats()["segments"]["data"]
        vanish(c)
        segment = packet(*ends, seq, ack, ACK, b"x" * 100)
        for l3 in (segment, packet(*ends, seq + 100, ack, RST | ACK), segment):  # the last was overtaken on its way here
            cable.send(ethernet(MAC["cli"], MAC["r1"], l3))
        until(lambda: sw.stats()["segments"]["data"] == data + 4, "the data at both hooks")
        sw.expect(events__rst_counted=n, teardowns__reset=n, events__rst_contradicted=0,
                  states__client__ESTABLISHED=0)
        s.close()
    sw.detach()
    run("umount", "/run/sys")
    nothing_left(sw, spaces=("mid",))
