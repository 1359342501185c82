# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What a frame that came in proves: nothing of what this host said. Whoever sends frames becomes no verified source and gets
no SYN past the guard."""
from frames import ACK, FIN, OPTIONS, PSH, RST, SYN, ethernet, packet, spoiled
from instance import Synwave, nothing_left
from lib import equal, scenario, until
from net import FAMILIES, MAC, V4, V6, ghosts, listener, meet, pair, part, routed, ss, talk, wire
from t_guard import guard

HOOKS = ("tc", "native")


def reasons(sw):
    """How many SYNs were judged, by reason; what never happened is left out."""
    return {k: v for k, v in guard(sw)["by_reason"].items() if v}


def judged(sw, **want):
    """Waits until so many SYNs in all were judged: for these reasons."""
    until(lambda: sum(reasons(sw).values()) >= sum(want.values()), lambda: f"judged: {reasons(sw)}, expected {want}")
    equal(reasons(sw), want, "SYNs judged, by reason")


def stranger(f, group, n):
    """An address out of the ghosts' network; a source of its own to every limit: of IPv6 a /64."""
    return f"10.77.{group}.{n}" if f is V4 else f"fd00:77:{group:x}:{n:x}::1"


def per_source(f, limit):
    return f"source.{f.name}/{32 if f is V4 else 64}={limit}"


# --- verified ------------------------------------------------------------------------------------------------------


def forged_handshakes(f, x, y):
    """All that somebody at one end can say of a handshake between x and y, and of what came after it."""
    syn, synack = packet(x, y, 1, 0, SYN, options=OPTIONS), packet(y, x, 5000, 2, SYN | ACK, options=OPTIONS)
    ack, data = packet(x, y, 2, 5001, ACK), packet(x, y, 2, 5001, PSH | ACK, b"data")
    answer = packet(y, x, 5001, 6, PSH | ACK, b"answer")
    return [[synack, ack], [syn, synack, ack, data, answer, data], [ack, answer, data, answer], [data, data, data],
            [synack, answer, ack, data], [spoiled(p) for p in (syn, synack, ack, data)]]


def nobody_is_verified(mode, f, *words):
    """Handshakes of 100 sources, forged from one side; then the same sources over a service's limit, and an honest one."""
    pair()
    sw = Synwave()
    sw.attach("eth0", *words, mode=mode)
    sw.cmd("guard", "set", "mode=enforce", "service.default=none")
    server, w = listener("srv", f, 80), wire("cli")
    elsewhere = "203.0.113.5" if f is V4 else "2001:db8::5"
    sent = 0
    for n in range(1, 101):
        for kind, far in enumerate(((elsewhere, 443), (f.srv, 80), (f.srv, 443))):
            for variant, frames in enumerate(forged_handshakes(f, (stranger(f, kind, n), 2000 + n), far)):
                for l3 in frames if n % 6 == variant else ():
                    sent += w.send(ethernet(MAC["cli"], MAC["srv"], l3)) > 0
    until(lambda: sum(sw.stats()["segments"].values()) >= sent, "the forged segments to be counted")
    equal(guard(sw)["verified_sources"], 0, "verified by frames of one side")
    c, s = meet(server, "cli", f)

    def is_verified():
        talk(c, s)
        return guard(sw)["verified_sources"] == 1

    until(is_verified, "an honest client to be verified")
    judged_before = reasons(sw)
    sw.cmd("guard", "set", "service.default=1/h burst 1 over drop")
    w.send(ethernet(MAC["cli"], MAC["srv"], packet((stranger(f, 9, 9), 5), (f.srv, 80), 1, 0, SYN)))
    for n in range(1, 101):
        w.send(ethernet(MAC["cli"], MAC["srv"], packet((stranger(f, n % 3, n), 7000), (f.srv, 80), 1, 0, SYN)))
    judged(sw, within=judged_before["within"] + 1, service=100)
    for _ in range(3):
        part(*meet(server, "cli", f))  # over the limit, and known
    judged(sw, within=judged_before["within"] + 1, service=100, verified=3)
    sw.detach()
    nothing_left(sw)


@scenario(mode=HOOKS, family=FAMILIES, paired=True)
def forged_handshakes_verify_nobody(mode, f):
    nobody_is_verified(mode, f)


@scenario(mode=HOOKS, family=FAMILIES, paired=True)
def forged_handshakes_one_way(mode, f):
    """--ingress-only: there the kernel is asked for the socket."""
    nobody_is_verified(mode, f, "--ingress-only")


# --- a SYN after whatever else -------------------------------------------------------------------------------------


def claims(x, y):
    """One segment of a connection that there is not."""
    whole = [packet(x, y, 1, 1, ACK), packet(x, y, 1, 1, FIN | ACK), packet(x, y, 1, 1, PSH | ACK, b"data"),
             packet(x, y, 1, 1, RST), packet(x, y, 1, 1, RST | ACK), packet(x, y, 1, 1, SYN | ACK),
             packet(y, x, 1, 1, SYN | ACK), packet(y, x, 1, 1, PSH | ACK, b"data")]
    return whole + [spoiled(p) for p in whole]


def syns_are_judged(sw, f, macs):
    """Claims, twice each, so that what was answered to the first comes before the second; then a SYN on the same tuple, of
    sources that are over three limits in turn."""
    w, server, count = wire("cli"), (f.srv, 80), len(claims((f.srv, 1), (f.srv, 80)))
    sw.cmd("guard", "deny", "10.77.1.0/24" if f is V4 else "fd00:77:1::/48")
    sw.cmd("guard", "set", "mode=enforce", per_source(f, "1/h burst 1"), "service.default=1/h burst 1 over drop")
    w.send(ethernet(*macs, packet((stranger(f, 2, 1), 5), server, 1, 0, SYN)))  # all that is within
    judged(sw, within=1)
    sources = [((stranger(f, 1, n + 1), 10000 + n), (stranger(f, 2, 1), 10000 + n), (stranger(f, 3, n + 1), 10000 + n))
               for n in range(count)]  # denied, over the source's limit, over the service's
    for turn in (1, 2):
        for n, three in enumerate(sources):
            for x in three:
                w.send(ethernet(*macs, claims(x, server)[n]))
        until(lambda: sum(sw.stats()["segments"].values()) > 3 * count * turn, "the claims to be counted")
    for three in sources:
        for x in three:
            w.send(ethernet(*macs, packet(x, server, 77, 0, SYN, options=OPTIONS)))
    judged(sw, within=1, deny=count, source=count, service=count)
    equal((guard(sw)["verified_sources"], guard(sw)["dropped"]), (0, 3 * count), "verified sources, dropped SYNs")


def judged_by_a_host(mode, f, *words):
    pair()
    ghosts("srv", V6, "fd00:77::/32")
    sw = Synwave()
    sw.attach("eth0", *words, mode=mode)
    server = listener("srv", f, 80)
    syns_are_judged(sw, f, (MAC["cli"], MAC["srv"]))
    equal(ss("srv", "syn-recv"), 1, "half-open connections of the kernel")
    server.close()
    sw.detach()
    nothing_left(sw)


@scenario(mode=HOOKS, family=FAMILIES, paired=True)
def syn_after_a_claim(mode, f):
    """Two segments make nothing a living connection: the SYN after them is judged as any other."""
    judged_by_a_host(mode, f)


@scenario(mode=HOOKS, family=FAMILIES, paired=True)
def syn_after_a_claim_one_way(mode, f):
    judged_by_a_host(mode, f, "--ingress-only")


def judged_by_a_gateway(mode, f, *words):
    routed()
    sw = Synwave(ns="mid")
    sw.attach(*words, mode=mode)
    server = listener("srv", f, 80)
    syns_are_judged(sw, f, (MAC["cli"], MAC["r1"]))
    server.close()
    sw.detach()
    nothing_left(sw, spaces=("mid",))


@scenario(mode=HOOKS, family=FAMILIES, paired=True)
def syn_after_a_claim_forwarded(mode, f):
    """On a gateway: what the server behind it says of forged segments passes there, too."""
    judged_by_a_gateway(mode, f, "r1")


@scenario(mode=HOOKS, family=FAMILIES, paired=True)
def syn_after_a_claim_forwarded_twice(mode, f):
    """The same seen at both interfaces: what the forger sent leaves by the second."""
    judged_by_a_gateway(mode, f, "r0", "r1")


@scenario(mode=HOOKS, family=FAMILIES, paired=True)
def syn_after_a_claim_two_ingresses(mode, f):
    """Both interfaces, without their egress: what the server says comes in by the other one."""
    judged_by_a_gateway(mode, f, "r0", "r1", "--ingress-only")
