# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Frames that no socket sends here: VLAN tags, a tun device without Ethernet, forged RSTs; and a router."""
import os
import socket
import time

from frames import ACK, FIN, OPTIONS, PSH, RST, SYN, ethernet, packet
from instance import MODE_NAMES, Synwave, nothing_left, tally
from lib import check, equal, inside, scenario, until
from net import (FAMILIES, HERE, MAC, ROUTED, V4, address, deaf, half_open, hearing, listener, meet, netns, netstat, pair, part,
                 read_tun, refused, routed, ss, talk, tun, wire)

Q, AD = 0x8100, 0x88a8
TAGS = [(Q,), (AD,), (AD, Q), (Q, Q), (AD, AD, Q), (Q, AD, Q, AD)]
SERVER_OPTIONS = bytes.fromhex("020405a0" "01" "030304")  # MSS 1440, scale 4


def script(x, y):
    """(who sends, packet), a whole connection from x to y: x closes first."""
    a, b = 1000, 0xfffffffe  # the server's numbers wrap
    return [("in", packet(x, y, a, 0, SYN, options=OPTIONS, window=4321)),
            ("out", packet(y, x, b, a + 1, SYN | ACK, options=SERVER_OPTIONS, window=1234)),
            ("in", packet(x, y, a + 1, b + 1, ACK)),
            ("in", packet(x, y, a + 1, b + 1, PSH | ACK, b"x" * 10)),
            ("out", packet(y, x, b + 1, a + 11, PSH | ACK, b"y" * 20)),
            ("in", packet(x, y, a + 11, b + 21, FIN | ACK)),
            ("out", packet(y, x, b + 21, a + 12, FIN | ACK)),
            ("in", packet(x, y, a + 12, b + 22, ACK))]


def tagged(mode, sw, send):
    """Plays the script under every stack of tags, for both families, and checks each record."""
    todo = {}
    for n, tags in enumerate(TAGS):
        for f in FAMILIES:
            port = 20000 + 10 * n + f.bits
            todo[port] = (f, tags, script((f.cli, port), (f.srv, 80)))
    sent = 0
    for step in range(8):
        for f, tags, frames in todo.values():
            way, l3 = frames[step]
            macs = (MAC["cli"], MAC["srv"]) if way == "in" else (MAC["srv"], MAC["cli"])
            send[way](ethernet(*macs, l3, tags))
        sent += len(todo)
        until(lambda: sum(sw.stats()["segments"].values()) >= sent,
              lambda: f"step {step}: of {sent} frames only {sum(sw.stats()['segments'].values())} were counted: "
                      f"{sw.stats()['ignored']}")
    for port, (f, tags, _) in todo.items():
        r = sw.flow(port)
        what = f"tags {' '.join(hex(t) for t in tags)} {f.name}: "
        equal([r["client"][k] for k in ("addr", "state", "isn", "window", "mss", "wscale", "sack_permitted",
                                        "timestamps")],
              [f.cli, "TIME_WAIT", 1000, 4321, 1460, 7, True, True], what + "client")
        equal([r["server"][k] for k in ("addr", "port", "state", "isn", "window", "mss", "wscale", "sack_permitted",
                                        "timestamps")],
              [f.srv, 80, "CLOSED", 0xfffffffe, 1234, 1440, 4, False, False], what + "server")
        equal([r[k] for k in ("conn_state", "local", "closed_first", "syn_retransmits", "synack_retransmits")],
              ["SF", "server", "client", 0, 0], what + "connection")
        check(r["syn_synack_ns"] > 0 and r["synack_ack_ns"] > 0, what + "times")
    stats = sw.stats()
    equal([stats["handshakes"][k] for k in ("started", "completed")], [len(todo)] * 2, "handshakes")
    equal([stats["teardowns"][k] for k in ("started", "completed")], [len(todo)] * 2, "teardowns")
    before = stats["ignored"]["vlan_tags"]
    syn = packet((V4.cli, 30000), (V4.srv, 80), 1, 0, SYN)
    for _ in range(7):
        send["in"](ethernet(MAC["cli"], MAC["srv"], syn, (Q,) * 6))
    until(lambda: sw.stats()["ignored"]["vlan_tags"] >= before + 7, "frames with 6 tags among the ignored (vlan_tags)")
    equal([r for r in sw.flows() if r["client"]["port"] == 30000], [], "a connection out of a frame with 6 tags")


@scenario(mode=MODE_NAMES)
def vlan(mode):
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    tagged(mode, sw, {"in": wire("cli").send, "out": wire("srv").send})
    sw.detach()
    nothing_left(sw)


@scenario(mode=MODE_NAMES)
def vlan_tap(mode):
    netns("srv")
    fd = tun("srv", "tap0", tap=True)
    sw = Synwave()
    sw.attach("tap0", mode=mode)
    tagged(mode, sw, {"in": lambda frame: os.write(fd, frame), "out": wire("srv", "tap0").send})
    sw.detach()
    nothing_left(sw)


@scenario(family=FAMILIES)
def tun_l3(f):
    """A client made of raw packets at one end of a tun device, the kernel's listener at the other."""
    netns("srv")
    fd = tun("srv", "tun0", tap=False)
    address("srv", "tun0", f.srv, f.bits)
    sw = Synwave()
    sw.attach("tun0", mode="tc")
    server = listener("srv", f, 80)
    x, y = (f.cli, 4000), (f.srv, 80)
    os.write(fd, packet(x, y, 700, 0, SYN, options=OPTIONS, window=4321))
    _, _, isn, ack, flags, _ = read_tun(fd, 4000)
    equal((ack, flags & (SYN | ACK)), (701, SYN | ACK), "the kernel's answer")
    sw.expect(half_open=1)
    os.write(fd, packet(x, y, 701, isn + 1, ACK))
    s, _ = server.accept()
    sw.expect(half_open=0, states__local__ESTABLISHED=1)
    s.close()
    _, _, seq, _, flags, _ = read_tun(fd, 4000)
    check(flags & FIN, "no FIN from the kernel")
    os.write(fd, packet(x, y, 701, seq + 1, FIN | ACK))
    read_tun(fd, 4000)
    stats = sw.expect(handshakes__completed=1, teardowns__completed=1, time_wait_local=lambda: ss("srv", "time-wait"))
    equal(stats["time_wait"], 1, "TIME_WAIT")
    r = sw.flow(4000)
    equal([r["client"][k] for k in ("addr", "state", "isn", "window", "mss", "wscale")],
          [f.cli, "CLOSED", 700, 4321, 1460, 7], "client")
    equal([r["server"][k] for k in ("addr", "state", "isn")], [f.srv, "TIME_WAIT", isn], "server")
    equal([r[k] for k in ("conn_state", "local", "closed_first")], ["SF", "server", "server"], "connection")
    refused_by_kernel(fd, f, sw)
    sw.detach()
    nothing_left(sw)


def refused_by_kernel(fd, f, sw):
    os.write(fd, packet((f.cli, 4001), (f.srv, 81), 9, 0, SYN))
    check(read_tun(fd, 4001)[4] & RST, "no RST from the kernel")
    sw.expect(handshakes__refused=1)


@scenario(mode=MODE_NAMES)
def router(mode):
    """Both interfaces of a router: each connection passes four hooks and is one connection."""
    routed()
    sw = Synwave(ns="mid")
    sw.attach("r0", "r1", mode=mode)
    held, n, k = [], 0, len(HERE)
    for f in HERE:
        server = listener("srv", f, 80)
        for i in range(15):
            c, s = meet(server, "cli", f)
            part(*((s, c) if i < 6 else (c, s)))
        held += [meet(server, "cli", f) for _ in range(4)]
        for _ in range(3):
            refused("cli", f, 81)
        n += 22
    stats = sw.expect(handshakes__started=n, handshakes__completed=19 * k, handshakes__refused=3 * k, half_open=0,
                      teardowns__started=15 * k, teardowns__completed=15 * k, time_wait_local=0,
                      time_wait=lambda: ss("srv", "time-wait") + ss("cli", "time-wait"),
                      states__client__ESTABLISHED=lambda: ss("cli", "established"))
    equal(stats["handshakes"]["syn_retransmits"], netstat("cli", "TCPSynRetrans"), "SYN retransmissions")
    equal(stats["handshakes"]["synack_retransmits"], netstat("srv", "TCPSynRetrans"), "SYN-ACK retransmissions")
    equal(stats["latency"]["syn_synack"]["count"], 19 * k, "samples")
    flows = sw.flows()
    equal(len(flows), n, "flows")
    equal({r["local"] for r in flows}, {None}, "local")
    equal({r["client"]["addr"] for r in flows}, {ROUTED[f.name].cli for f in HERE}, "clients")
    for c, s in held:
        talk(c, s)
        part(c, s)
    sw.expect(handshakes__started=n, teardowns__completed=19 * k)
    sw.detach()
    nothing_left(sw, spaces=("srv", "cli", "mid"))


@scenario(mode=MODE_NAMES, family=FAMILIES)
def forged_rst(mode, f):
    """A RST that the receiver does not take must not make us blind to a connection that lives on."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    server = listener("srv", f, 80)
    cable = {"client": (wire("cli"), MAC["cli"], MAC["srv"]), "server": (wire("srv"), MAC["srv"], MAC["cli"])}
    done = 0
    for by in ("client", "server"):
        for seq in (0x40000000, -0x40000000, 70000):  # far ahead, far behind, near the window's end
            c, s = meet(server, "cli", f)
            port = c.getsockname()[1]
            r = sw.flow(port)
            ends = {"client": (f.cli, port), "server": (f.srv, 80)}
            other = "server" if by == "client" else "client"
            sock, smac, dmac = cable[by]
            rst = packet(ends[by], ends[other], r[by]["isn"] + 1 + seq, 0, RST)
            seen = sw.stats()["segments"]["rst"]
            sock.send(ethernet(smac, dmac, rst))
            until(lambda: sw.stats()["segments"]["rst"] > seen, "the RST to be counted")
            equal(ss("srv", "established"), 1, "the kernel's connections after the RST")

            def restored():
                talk(c, s)
                time.sleep(0.05)
                return sw.flow(port)["server"]["state"] == "ESTABLISHED"

            until(restored, f"the connection to be ESTABLISHED again after a RST by the {by} at {seq:+d}")
            done += 1
            stats = sw.expect(states__local__ESTABLISHED=1)
            equal(stats["events"]["rst_contradicted"] + stats["events"]["rst_ignored"], done,
                  "RSTs ignored or contradicted")
            part(c, s)
            sw.expect(states__local__ESTABLISHED=0, time_wait=lambda: ss("cli", "time-wait"))
    stats = sw.stats()
    check(stats["events"]["rst_contradicted"] > 0, "no RST contradicted")
    equal(stats["handshakes"]["completed"], done, "handshakes completed")
    equal(stats["teardowns"]["completed"], done, "teardowns completed")
    sw.detach()
    nothing_left(sw)


@scenario(mode=MODE_NAMES, family=FAMILIES)
def wild_rst_half_open(mode, f):
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    listener_ = listener("srv", f, 80)
    half_open(f, 1, 80)
    sw.expect(half_open=1)
    r = sw.flows()[0]
    x, y = (r["client"]["addr"], r["client"]["port"]), (f.srv, 80)
    cable = wire("cli")
    for n, seq in enumerate((5, 0x12345678, r["client"]["isn"] - 7), 1):
        cable.send(ethernet(MAC["cli"], MAC["srv"], packet(x, y, r["client"]["isn"] + seq + 0x10000, 0, RST)))
        sw.expect(events__rst_ignored=n)
    stats = sw.stats()
    equal((stats["half_open"], ss("srv", "syn-recv")), (1, 1), "half-open here and in the kernel")
    cable.send(ethernet(MAC["cli"], MAC["srv"], packet(x, y, r["client"]["isn"] + 1, 0, RST)))  # this one is right
    sw.expect(half_open=0, handshakes__reset=1)
    until(lambda: ss("srv", "syn-recv") == 0, "the kernel to drop its half-open connection")
    equal([(r["conn_state"], r["reset_by"]) for r in sw.flows()], [("RSTO", "client")], "the record")
    listener_.close()
    sw.detach()
    nothing_left(sw)


@scenario(mode=MODE_NAMES)
def lost_and_again(mode):
    """Retransmissions are counted as the kernel counts them, and are no new connections."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    server = listener("srv", V4, 80)
    with inside("cli"):
        socks = [socket.socket() for _ in range(3)]
    deaf(*socks)
    for c in socks:
        c.setblocking(False)
        c.connect_ex((V4.srv, 80))  # its SYN-ACK is thrown away at the client: SYN and SYN-ACK come again
    sw.expect(half_open=3)
    until(lambda: netstat("cli", "TCPSynRetrans") >= 3, "SYN retransmissions")
    hearing(*socks)
    done = [server.accept()[0] for _ in socks]
    stats = sw.expect(half_open=0, handshakes__started=3, handshakes__completed=3,
                      handshakes__syn_retransmits=lambda: netstat("cli", "TCPSynRetrans"),
                      states__local__ESTABLISHED=lambda: ss("srv", "established"))
    check(stats["handshakes"]["synack_retransmits"] >= 3, "no SYN-ACK retransmission")
    equal(stats["latency"]["syn_synack"]["count"], 3, "samples SYN to SYN-ACK (the first one came at once)")
    equal(stats["latency"]["synack_ack"]["count"], 0, "samples after a retransmission (Karn)")
    equal(tally(sw.flows()), {("ESTABLISHED", "ESTABLISHED", "S1"): 3}, "flows")
    equal(len(done), 3, "accepted")
    sw.detach()
    nothing_left(sw)
