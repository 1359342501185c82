# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The guard answers for services of this host alone, and for none of them in a way that its peers do not take."""
import socket
import struct

import lib
from frames import ACK, FIN, OPTIONS, PSH, SYN, ethernet, packet
from instance import Synwave, nothing_left
from lib import check, equal, inside, run, scenario, until
from net import (FAMILIES, MAC, ROUTED, V4, V6, address, endpoint, ip, listener, meet, neighbour, netns, pair, part, refused,
                 routed, sysctl, talk, veth, wire)
from t_guard import client, guard, hosts, meet_from, shut_out
from t_trust import HOOKS, judged, reasons, stranger
from t_trust_guard import Ear


# --- services of others --------------------------------------------------------------------------------------------


class Router:
    """A router that listens on port 80 of any address, and a server behind it that listens there, too. Both were answering
    before the guard began, and each has one SYN within its limit, which is used up."""

    def __init__(self, mode, f):
        routed()
        sysctl("mid", ipv4__tcp_syncookies=2)
        self.f, self.addr, self.server, self.w = f, ROUTED[f.name].r1, listener("srv", f, 80), wire("cli")
        self.own = listener("mid", f, 80, "0.0.0.0" if f is V4 else "::")
        self.far, self.sw = Synwave("far", ns="cli"), Synwave(ns="mid")
        self.far.attach("eth0", mode="native")
        self.older = meet(self.server, "cli", f)  # nobody here has seen it begin
        self.sw.attach("r1", mode=mode)
        meet(self.own, "cli", f, self.addr)
        meet(self.server, "cli", f)
        self.sw.cmd("guard", "set", "mode=enforce", "service.default=1/h burst 1 over cookie")
        self.send(1, f.srv, 1, 0, SYN)
        self.send(1, self.addr, 1, 0, SYN)
        judged(self.sw, within=2)

    def send(self, n, to, *segment):
        l3 = packet((stranger(self.f, 1, n), 3000 + segment[2]), (to, 80), *segment)
        self.w.send(ethernet(MAC["cli"], MAC["r1"], l3))

    def client(self, n):
        """One more address of the client's."""
        addr = f"10.9.1.{100 + n}" if self.f is V4 else f"fd00:8:0:{n}::2"
        address("cli", "eth0", addr, self.f.bits)
        neighbour("mid", "r1", addr, MAC["cli"])
        if self.f is V6:
            ip("mid", "route", "add", f"fd00:8:0:{n}::/64", "dev", "r1")
        return addr

    def meet_own(self, n):
        """A connection with the router itself."""
        with inside("cli"):
            c = socket.socket(self.f.af)
        c.bind((self.client(n), 0))
        c.settimeout(lib.PATIENCE)
        c.connect((self.addr, 80))
        s, _ = self.own.accept()
        s.settimeout(lib.PATIENCE)
        talk(c, s)
        return c, s

    def end(self):
        self.far.detach()
        self.sw.detach()
        nothing_left(self.sw, self.far, spaces=("mid", "cli"))


@scenario(mode=HOOKS, family=FAMILIES, paired=True)
def router_answers_for_itself_alone(mode, f):
    """Connections to the server behind a router are the server's, whatever listens on the router."""
    r = Router(mode, f)
    for n in (1, 2):
        part(*meet_from(r.client(n), f, r.server))
    judged(r.sw, within=2, not_local=2)
    part(*r.meet_own(3))
    g = guard(r.sw)
    equal((g["challenged"], g["cookies_valid"], g["passed"]), (1, 1, 4), "the router's own: challenged, valid, passed")
    r.sw.cmd("guard", "set", f"service.{endpoint(r.addr, 80)}=1/h burst 1 over cookie local no")
    for n in (3, 4):  # one is within
        r.send(n, r.addr, 1, 0, SYN)
    until(lambda: reasons(r.sw)["not_local"] == 3, lambda: f"local no: {reasons(r.sw)}")
    r.sw.cmd("guard", "set", "cookie_fallback=drop")
    shut_out(r.client(4), f, 80)
    g = guard(r.sw)
    check(g["dropped"] >= 1 and g["dropped"] == g["by_reason"]["not_local"] - 3, f"cookie_fallback=drop: {g}")
    equal(g["challenged"], 1, "challenged")
    r.end()


@scenario(mode=HOOKS, family=FAMILIES, paired=True)
def router_sees_one_way(mode, f):
    """Without their egress, a router's two interfaces see both ends of what it forwards, which its routes then prove, and one of
    its own connections, which its sockets prove: a service of its own is that of a socket, though it listens on all."""
    routed()
    own, server, sw = listener("mid", f, 80, "0.0.0.0" if f is V4 else "::"), listener("srv", f, 80), Synwave(ns="mid")
    sw.attach("r0", "r1", "--ingress-only", mode=mode)
    met = [meet(server, "cli", f), meet(own, "cli", f, ROUTED[f.name].r1)]
    for pair_ in met:
        talk(*pair_)

    sw.cmd("guard", "set", "mode=enforce", "service.default=1/h burst 1 over cookie")
    sysctl("mid", ipv4__tcp_syncookies=2)
    w = wire("cli")
    for to in (f.srv, ROUTED[f.name].r1):
        for n in (1, 2):
            w.send(ethernet(MAC["cli"], MAC["r1"], packet((stranger(f, 1, n), 5), (to, 80), 1, 0, SYN, options=OPTIONS)))
    judged(sw, within=2, not_local=1, service=1)
    equal(guard(sw)["challenged"], 1, "challenged, of the router's own")
    equal(sw.stats()["handshakes"]["completed"], 2, "completed")
    for pair_ in met:
        part(*pair_)
    sw.detach()
    nothing_left(sw, spaces=("mid",))


@scenario(mode=HOOKS, family=FAMILIES, paired=True)
def bogus_acks_of_a_router(mode, f):
    """`bogus_acks: drop` takes nothing of connections that are forwarded, and everything of those to the router itself that
    there are not, with FIN or without."""
    r = Router(mode, f)
    r.sw.cmd("guard", "set", "bogus_acks=drop")
    part(*r.meet_own(1))  # cookies are out
    met = [meet_from(r.client(n), f, r.server) for n in (2, 3)] + [r.older]
    for pair_ in met:
        talk(*pair_)
    equal(guard(r.sw)["cookies_invalid"], 0, "forwarded segments taken for cookies")
    rst = r.sw.stats()["segments"]["rst"]
    for n in range(1, 21):
        for flags, data in ((ACK, b""), (FIN | ACK, b""), (PSH | ACK, b"x")):
            r.send(n, r.addr, 5, 6 + n, flags, data)
    r.sw.expect(guard__cookies_invalid=60)
    for pair_ in met:
        part(*pair_)
    equal((guard(r.sw)["cookies_invalid"], r.sw.stats()["segments"]["rst"]), (60, rst), "invalid, RSTs of this host")
    r.end()


@scenario(mode=HOOKS)
def guests_behind_a_bridge(mode):
    """A host with a guest behind a bridge: frames for the guest's MAC are not the host's, whatever it listens on, and whatever
    the rules say; its own service is challenged."""
    netns("srv")
    netns("cli")
    netns("vm")
    veth("srv", "eth0", MAC["srv"], "cli", "eth0", MAC["cli"])
    veth("vm", "eth0", MAC["r0"], "srv", "tap0", MAC["r1"])
    ip("srv", "link", "add", "br0", "address", MAC["srv"], "type", "bridge")
    for dev in ("eth0", "tap0"):
        ip("srv", "link", "set", dev, "master", "br0")
    ip("srv", "link", "set", "br0", "up")
    for ns, dev, addr in (("srv", "br0", V4.srv), ("cli", "eth0", V4.cli), ("vm", "eth0", "10.9.0.3")):
        address(ns, dev, addr, 24)
    sysctl("srv", ipv4__tcp_syncookies=2)
    own, guest = listener("srv", V4, 80, "0.0.0.0"), listener("vm", V4, 80, "10.9.0.3")
    far, sw = Synwave("far", ns="cli"), Synwave()
    far.attach("eth0", mode="native")
    sw.attach("eth0", mode=mode)
    meet(own, "cli", V4)
    meet(guest, "cli", V4, "10.9.0.3")
    sw.cmd("guard", "set", "mode=enforce", "service.default=1/h burst 1 over cookie",
           "service.10.9.0.3:80=1/h burst 1 over cookie local yes", "verified=1s")
    w = wire("cli")
    for mac, addr in ((MAC["srv"], V4.srv), (MAC["r0"], "10.9.0.3")):
        w.send(ethernet(MAC["cli"], mac, packet(("10.9.0.99", 5), (addr, 80), 1, 0, SYN)))
    judged(sw, within=2)
    met = [meet(guest, "cli", V4, "10.9.0.3")]
    judged(sw, within=2, not_local=1)
    until(lambda: not guard(sw)["verified_sources"], "the verified sources to be forgotten")
    met.append(meet(own, "cli", V4))
    equal((guard(sw)["challenged"], guard(sw)["cookies_valid"]), (1, 1), "challenged for the host, valid")
    for c, s in met:
        talk(c, s)
    far.detach()
    sw.detach()
    nothing_left(sw, far, spaces=("srv", "cli"))


@scenario(mode=HOOKS)
def translated_ports(mode):
    """A port that nft sends on to another namespace, with a listener on the same port here, as docker-proxy has."""
    pair()
    netns("pod")
    veth("pod", "eth0", MAC["r0"], "srv", "vpod", MAC["r1"])
    for ns, dev, addr in (("srv", "vpod", "10.9.1.1"), ("pod", "eth0", "10.9.1.2")):
        address(ns, dev, addr, 24)
    ip("pod", "route", "add", "default", "via", "10.9.1.1")
    sysctl("srv", ipv4__ip_forward=1, ipv4__tcp_syncookies=2)
    with inside("srv"):
        run("nft", "add table ip n; add chain ip n p { type nat hook prerouting priority -100; }; "
            "add rule ip n p ip daddr 10.9.0.1 tcp dport 80 dnat to 10.9.1.2:80")
    proxy, pod = listener("srv", V4, 80, "0.0.0.0"), listener("pod", V4, 80, "10.9.1.2")
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    meet(pod, "cli", V4)
    sw.cmd("guard", "set", "mode=enforce", "service.default=1/h burst 1 over cookie", "bogus_acks=drop")
    wire("cli").send(ethernet(MAC["cli"], MAC["srv"], packet(("10.9.0.99", 5), (V4.srv, 80), 1, 0, SYN)))
    judged(sw, within=1)
    met = [meet_from(client(n, V4), V4, pod) for n in (1, 2)]
    judged(sw, within=1, not_local=2)
    for c, s in met:
        talk(c, s)
        part(c, s)
    proxy.close()
    sw.detach()
    nothing_left(sw)


@scenario(mode=HOOKS, family=FAMILIES, paired=True)
def only_on_loopback(mode, f):
    """A service that listens on a loopback address only: over its limit it is as closed to the wire as it was."""
    pair()
    sysctl("srv", ipv4__tcp_syncookies=2)
    inner = listener("srv", f, 80, "127.0.0.1" if f is V4 else "::1")
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    sw.cmd("guard", "set", "mode=enforce", "service.default=1/h burst 1 over cookie local yes")
    w, ear = wire("cli"), Ear()
    for n in range(5):
        for to in (f.srv, inner.getsockname()[0]):
            l3 = packet((f.cli, 3000 + n), (to, 80), 1, 0, SYN, options=OPTIONS)
            w.send(ethernet(MAC["cli"], MAC["srv"], l3))
    judged(sw, within=2, no_listener=4, not_local=4)
    refused("cli", f, 80)
    equal(ear.heard(), set(), "SYN-ACKs")
    equal(guard(sw)["challenged"], 0, "challenged")
    inner.close()
    sw.detach()
    nothing_left(sw)


# --- peers that sign, peers that are near --------------------------------------------------------------------------


def md5_key(f, peer):
    """struct tcp_md5sig"""
    raw = socket.inet_pton(f.af, peer)
    addr = struct.pack("HH4s", f.af, 0, raw) if f is V4 else struct.pack("HHI16sI", f.af, 0, 0, raw, 0)
    return socket.IPPROTO_TCP, 14, addr.ljust(128, b"\0") + struct.pack("BBHi80s", 0, 0, 6, 0, b"secret")


def near(f):
    """TTL 255, and nothing less is taken (RFC 5082)."""
    if f is V4:
        return (socket.IPPROTO_IP, 2, 255), (socket.IPPROTO_IP, 21, 255)
    return (socket.IPPROTO_IPV6, 16, 255), (socket.IPPROTO_IPV6, 73, 255)


def meet_with(server, source, f, *options):
    with inside("cli"):
        c = socket.socket(f.af)
    for option in options:
        c.setsockopt(*option)
    c.bind((source, 0))
    c.settimeout(lib.PATIENCE)
    c.connect((f.srv, server.getsockname()[1]))
    s, _ = server.accept()
    s.settimeout(lib.PATIENCE)
    talk(c, s)
    return c, s


@scenario(mode=HOOKS, family=FAMILIES, paired=True)
def signed_and_near_peers(mode, f):
    """Peers of BGP connect while the service is over its limit: TCP-MD5 by the kernel, TTL security by a challenge of its own."""
    far, sw = hosts(mode)
    bgp, gtsm = listener("srv", f, 179), listener("srv", f, 180)
    peers = [client(n, f) for n in range(1, 5)]
    for peer in peers[:2]:
        try:
            bgp.setsockopt(*md5_key(f, peer))
        except OSError as why:
            raise lib.Skip(f"no TCP-MD5 in this kernel: {why}") from None
    for option in near(f):
        gtsm.setsockopt(*option)
    met = [meet_with(bgp, peers[0], f, md5_key(f, f.srv)), meet_with(gtsm, peers[2], f, *near(f))]
    sw.cmd("guard", "set", "mode=enforce", "service.default=1/h burst 1 over cookie")
    w = wire("cli")
    for port in (179, 180):
        w.send(ethernet(MAC["cli"], MAC["srv"], packet((stranger(f, 1, 1), 5), (f.srv, port), 1, 0, SYN)))
    judged(sw, within=2)
    met.append(meet_with(bgp, peers[1], f, md5_key(f, f.srv)))
    judged(sw, within=2, signed=1)
    met.append(meet_with(gtsm, peers[3], f, *near(f)))
    g = guard(sw)
    equal((g["challenged"], g["cookies_valid"], g["by_reason"]["signed"]), (1, 1, 1), "challenged, valid, signed")
    for c, s in met:
        part(c, s)
    for one in (sw, far):
        one.detach()
    nothing_left(sw, far, spaces=("srv", "cli"))
