# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Each kind of device, in each mode that it can: what synwave counts there is what the kernels at both ends count."""
import contextlib
import os
import socket
import struct
from collections import namedtuple

from instance import MODE_NAMES, Synwave, attached, nothing_left, pins
from lib import NO_IPV6, Fail, Skip, check, equal, inside, run, scenario, until
from net import (FAMILIES, V4, V6, address, deaf, ip, lacks, listener, meet, neighbour, netns, netstat, pair, part,
                 part_at_once, refused, ss, sysctl, veth)
from t_foreign import XDP, another

# `make`: what `ip` is told in each of both namespaces, joined by eth0 and, for bonds, eth1: {own} and {peer}
# are the IPv4 addresses beneath, {number} and {other} 1 and 2 or 2 and 1. `dev`: where synwave sits. `before`: what else
# it takes. Without an Ethernet header only tc can read.
Device = namedtuple("Device", "make dev families native ethernet before",
                    defaults=("dev0", FAMILIES, False, True, None))


def over_eth0(kind):
    return ["link add link eth0 name dev0 type " + kind]


def tunnel(kind, options="local {own} remote {peer}"):
    return [f"link add dev0 type {kind} {options}"]


def bond(mode):
    return Device([f"link add dev0 type bond miimon 100 mode {mode}", "link set eth0 down", "link set eth0 master dev0",
                   "link set eth1 down", "link set eth1 master dev0"], native=True, before=second_cable)


def second_cable():
    veth("srv", "eth1", "02:00:00:00:02:01", "cli", "eth1", "02:00:00:00:02:02")


def l3(kind, families=FAMILIES):
    return Device(tunnel(kind), families=families, ethernet=False)


def netkit(mode):
    """A pair of them instead of the cable; Debian 12's `ip` does not know them."""
    def attr(kind, value):
        return struct.pack("HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)

    def make():
        with inside("srv"), open("/run/netns/cli") as there, \
                socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
            info, name = struct.pack("BxHiII", 0, 0, 0, 0, 0), attr(3, b"dev0\0")
            peer = info + name + attr(28, struct.pack("I", there.fileno()))  # IFLA_IFNAME, IFLA_NET_NS_FD
            data = attr(1, peer) + attr(5, struct.pack("I", mode))  # IFLA_NETKIT_PEER_INFO, _MODE
            link = info + name + attr(18, attr(1, b"netkit\0") + attr(2, data))  # IFLA_LINKINFO
            s.send(struct.pack("IHHII", 16 + len(link), 16, 0x605, 1, 0) + link)  # RTM_NEWLINK
            error = -struct.unpack_from("i", s.recv(4096), 16)[0]
        if error == 95:
            raise Skip("no netkit in this kernel")
        equal(error, 0, f"errno of a netkit device: {os.strerror(error)}")

    return Device([], before=make)


def wireguard():
    keys = {}
    for ns in ("srv", "cli"):
        ip(ns, "link", "add", "dev0", "type", "wireguard")
        try:
            keys[ns] = run("wg", "genkey").stdout
        except FileNotFoundError:
            raise Skip("no wg: sudo make deps")
        with open("/run/key." + ns, "w") as f:
            f.write(keys[ns])
    for ns, other in (("srv", "cli"), ("cli", "srv")):
        with inside(ns):
            run("wg", "set", "dev0", "private-key", "/run/key." + ns, "listen-port", "51820", "peer",
                run("wg", "pubkey", input=keys[other]).stdout.strip(), "allowed-ips", "0.0.0.0/0,::/0",
                "endpoint", getattr(V4, other) + ":51820")


def ipvlan_l3():
    """It sends by the routes of the namespace of the device beneath: that is another one, as with containers."""
    macs = {"a": "02:00:00:00:03:01", "b": "02:00:00:00:03:02"}
    for outer in macs:
        netns(outer)
    veth("a", "eth0", macs["a"], "b", "eth0", macs["b"])
    for outer, inner, other, gate in (("a", "srv", "cli", "b"), ("b", "cli", "srv", "a")):
        ip(outer, "link", "add", "link", "eth0", "name", "dev0", "type", "ipvlan", "mode", "l3")
        ip(outer, "link", "set", "dev0", "netns", inner)
        for f in HOSTS.values():
            ip(outer, "route", "add", getattr(f, other), "dev", "eth0")
            neighbour(outer, "eth0", getattr(f, other), macs[gate])


def vrf():
    for line in ("link add red type vrf table 10", "link set red up", "link set eth0 master red"):
        ip("srv", *line.split())
    sysctl("srv", ipv4__tcp_l3mdev_accept=1)


MACSEC = over_eth0("macsec encrypt on") + [
    "macsec add dev0 tx sa 0 pn 1 on key 0{number} 0{number}000000000000000000000000000000",
    "macsec add dev0 rx port 1 address 02:00:00:00:00:0{other}",
    "macsec add dev0 rx port 1 address 02:00:00:00:00:0{other} sa 0 pn 1 on key 0{other} "
    "0{other}000000000000000000000000000000"]

DEVICES = {
    "veth": Device([], dev="eth0", native=True),
    "vlan": Device(over_eth0("vlan id 5")),
    "qinq": Device(["link add link eth0 name outer type vlan proto 802.1ad id 6", "link set outer up",
                    "link add link outer name dev0 type vlan id 7"]),
    "bond active-backup": bond("active-backup"),
    "bond 802.3ad": bond("802.3ad lacp_rate fast"),
    "bond balance-rr": bond("balance-rr"),
    "bridge": Device(["link add dev0 type bridge", "link set eth0 master dev0"]),
    "macvlan": Device(over_eth0("macvlan mode bridge")),
    "ipvlan l2": Device(over_eth0("ipvlan mode l2")),
    "ipvlan l3": Device([], before=ipvlan_l3),
    "vxlan": Device(tunnel("vxlan", "id 9 dev eth0 remote {peer} dstport 4789")),
    "geneve": Device(tunnel("geneve", "id 9 remote {peer}")),
    "gretap": Device(tunnel("gretap")),
    "gre": l3("gre"),
    "ipip": l3("ipip", [V4]),
    "sit": l3("sit", [V6]),
    "wireguard": Device([], ethernet=False, before=wireguard),
    "macsec": Device(MACSEC),
    "netkit l2": netkit(0),
    "netkit l3": netkit(1),
    "vrf slave": Device([], dev="eth0", native=True, before=vrf),
}
HOSTS = {V4: V4._replace(srv="10.8.0.1", cli="10.8.0.2"), V6: V6._replace(srv="fd00:8::1", cli="fd00:8::2")}


def unknown(why):
    if "nknown device type" not in str(why):
        raise why
    raise Skip("this kernel has no such device")


def lay(d):
    """The device in both namespaces, with addresses of its own, and both ends reach each other."""
    d = d._replace(families=[f for f in d.families if not lacks(f)])
    if not d.families:
        raise Skip(NO_IPV6)
    pair()
    try:
        if d.before:
            d.before()
        for ns, other, number in (("srv", "cli", 1), ("cli", "srv", 2)):
            words = {"own": getattr(V4, ns), "peer": getattr(V4, other), "number": number, "other": 3 - number}
            for line in d.make:
                ip(ns, *line.format(**words).split())
    except Fail as why:
        unknown(why)
    for ns in ("srv", "cli"):
        sysctl(ns, ipv4__tcp_l3mdev_accept=1)
        for f in d.families:
            address(ns, d.dev, getattr(HOSTS[f], ns), f.bits)
        ip(ns, "link", "set", d.dev, "up")
    for f in d.families:
        with inside("cli"):
            until(lambda: not run("ping", "-c1", "-W1", HOSTS[f].srv, ok=None).returncode,
                  f"an answer of {HOSTS[f].srv}")
    return d


ANY = {"ipv4": "0.0.0.0", "ipv6": "::"}
COUNTERS = {"srv": ("InSegs", "OutSegs", "OutRsts", "PassiveOpens", "RetransSegs", "TCPSynRetrans"),
            "cli": ("ActiveOpens", "TCPSynRetrans")}


def counters():
    return {(ns, name): netstat(ns, name) for ns, names in COUNTERS.items() for name in names}


def disagreement(sw, since, ports):
    """What synwave counts and the kernels do not: {number: (synwave's, the kernels')}."""
    which = " or ".join(f"{end} = :{port}" for port in ports for end in ("sport", "dport"))
    stats, n = sw.stats(), {k: value - since[k] for k, value in counters().items()}
    shakes, again = stats["handshakes"], n["srv", "TCPSynRetrans"]
    numbers = {
        # OutSegs has none that are sent again (RFC 1213), but for SYN-ACKs
        "segments": (sum(stats["segments"].values()),
                     n["srv", "InSegs"] + n["srv", "OutSegs"] + n["srv", "RetransSegs"] - again),
        "RST": (stats["segments"]["rst"], n["srv", "OutRsts"]),
        "SYNs sent again": (shakes["syn_retransmits"], n["cli", "TCPSynRetrans"]),
        "SYN-ACKs sent again": (shakes["synack_retransmits"], again),
        "handshakes started": (shakes["started"], n["cli", "ActiveOpens"]),
        "completed": (shakes["completed"], n["srv", "PassiveOpens"]),
        "half-open": (stats["half_open"], ss("srv", "syn-recv", which)),
        "established": (stats["states"]["local"].get("ESTABLISHED", 0), ss("srv", "established", which)),
        "TIME_WAIT here": (stats["time_wait_local"], ss("srv", "time-wait", which)),
        "TIME_WAIT": (stats["time_wait"], sum(ss(ns, "time-wait", which) for ns in COUNTERS))}
    return {what: pair for what, pair in numbers.items() if pair[0] != pair[1]}


def exact(sw, d, port):
    """Connections of every fate, for both families: what synwave counts is what the kernels count and `ss` shows."""
    since, held, sockets = counters(), [], []
    n, ports = len(d.families), [port + f.bits for f in d.families]
    for f in (HOSTS[f] for f in d.families):
        server = listener("srv", f, port + f.bits, ANY[f.name])
        for i in range(4):
            c, s = meet(server, "cli", f)
            part(*((s, c) if i < 1 else (c, s)))
        part_at_once(*meet(server, "cli", f))
        held += [meet(server, "cli", f) for _ in range(2)]
        refused("cli", f, port - 1)
        with inside("cli"):
            c = socket.socket(f.af)
        deaf(c)
        c.setblocking(False)
        c.connect_ex((f.srv, port + f.bits))  # its SYN-ACK is thrown away at the client: half-open, and sent again
        sockets += [server, c]
    seen = {}

    def agree():
        seen.clear()
        seen.update(disagreement(sw, since, ports))
        return not seen

    until(agree, lambda: "; ".join(f"{k}: {g}, the kernels' {w}" for k, (g, w) in seen.items()))
    stats = sw.stats()
    equal([stats["handshakes"][k] for k in ("started", "completed", "refused")], [9 * n, 7 * n, n], "handshakes")
    equal([stats["teardowns"][k] for k in ("completed", "simultaneous")], [5 * n, n], "teardowns")
    equal([stats[k] for k in ("half_open", "time_wait_local", "time_wait")], [n, 2 * n, 6 * n], "half-open, TIME_WAIT")
    for c, s in held:
        part(c, s)
    for s in sockets:
        s.close()
    sw.expect(teardowns__completed=7 * n)


@scenario(mode=list(DEVICES), limit=100, elsewhere=True)
def devices(name):
    """The same connections in every mode that the device has; native where its driver has none is refused."""
    d = lay(DEVICES[name])
    taken = []
    for port, mode in zip((1000, 2000, 3000), MODE_NAMES):
        sw = Synwave()
        able = mode == "tc" or d.ethernet and (mode == "generic" or d.native)
        if able:
            sw.attach(d.dev, mode=mode)
            exact(sw, d, port)
            sw.detach()
            taken.append(mode)
        else:
            refuses(sw, d.dev, "--mode", mode, words=["no native XDP" if d.ethernet else "no Ethernet header"])
        nothing_left(sw)
    return ", ".join(taken)


def refuses(sw, *args, words, ns="srv"):
    before = attached(ns)
    r = sw.cmd("attach", *args, ok=(1,), ns=ns)
    equal(len(r.stderr.splitlines()), 1, f"lines on standard error: {r.stderr}")
    for word in words:
        check(word in r.stderr, f"no {word!r} in: {r.stderr}")
    equal(attached(ns), before, "on the interfaces after an attach that was refused")
    check(not os.path.exists(sw.pin), f"pins of an attach that was refused: {pins(sw.pin)}")
    return r.stderr


def put(dev, flag):
    """A program that is not ours, on a device of srv; returns what takes it off."""
    _, path = another(XDP)
    with inside("srv"):
        run("ip", "link", "set", "dev", dev, flag, "pinned", path)

    def off():
        with inside("srv"):
            run("ip", "link", "set", "dev", dev, flag, "off")

    return off


def takes_tc(d, dev, *words, port=1000):
    """Left to itself synwave takes tc, says why, and counts all."""
    before, sw = attached("srv"), Synwave()
    r = sw.cmd("attach", *dev)
    sw.owned |= attached("srv") - before
    for word in (*words, "auto took tc"):
        check(word in r.stderr, f"no {word!r} in: {r.stderr}")
    exact(sw, d, port)
    sw.detach()
    equal(attached("srv"), before, "on the interfaces after our detach")
    return sw


def upper_xdp(d, upper, mode):
    """Where an upper device has an XDP program the kernel takes none beneath it: that is what the message says."""
    off, sw = put(upper, "xdpgeneric"), Synwave()
    refuses(sw, "eth0", "--mode", mode, words=["eth0", f"upper device {upper} has an XDP program", "--mode tc"])
    if mode == "generic":
        sw = takes_tc(d, ["eth0"], f"upper device {upper}")
    off()
    nothing_left(sw)


@scenario(mode=["native", "generic"], elsewhere=True)
def devices_upper_xdp(mode):
    d = lay(DEVICES["bridge"])
    upper_xdp(d, "dev0", mode)


@scenario(mode=["native", "generic"], elsewhere=True)
def devices_vrf_xdp(mode):
    d = lay(DEVICES["vrf slave"])
    upper_xdp(d, "red", mode)


@scenario(elsewhere=True)
def devices_vrf_master():
    """No frame passes its hooks: refused, alone and next to others, and what lies beneath is named."""
    lay(DEVICES["vrf slave"])
    sw = Synwave()
    for more in ([], ["eth0"], ["--mode", "tc"], ["--mode", "generic"]):
        refuses(sw, "red", *more, words=["red: ", "type vrf", "attach to eth0 instead"])
    ip("srv", "link", "set", "eth0", "nomaster")
    refuses(sw, "red", words=["there is none here"])
    nothing_left(sw)


@scenario(elsewhere=True)
def devices_ipvlan_l3s():
    """The same: what it receives changes its device behind all hooks."""
    pair()
    try:
        ip("srv", "link", "add", "link", "eth0", "name", "dev0", "type", "ipvlan", "mode", "l3s")
    except Fail as why:
        unknown(why)
    ip("srv", "link", "set", "dev0", "up")
    sw = Synwave()
    refuses(sw, "dev0", words=["type ipvlan", "attach to eth0 instead"])
    nothing_left(sw)


@scenario(mode=MODE_NAMES, elsewhere=True)
def devices_bond_slaves(mode):
    """Both devices of a bond see what it does; not by XDP as long as it has a program itself. (With balance-rr a SYN that
    is sent again by the other device is the same SYN, seen twice.)"""
    d = lay(DEVICES["bond active-backup"])
    sw = Synwave()
    sw.attach("eth0", "eth1", mode=mode)
    exact(sw, d, 1000)
    sw.detach()
    if mode != "tc":
        sw.attach("dev0", mode=mode)
        r = sw.cmd("attach", "eth0", "--mode", mode, ok=(1,))
        check("eth0: " in r.stderr and "upper device dev0 has an XDP program" in r.stderr, r.stderr)
        sw.detach()
    nothing_left(sw)


@scenario(elsewhere=True)
def devices_bond_without():
    """A bond has native XDP in some of its modes, and if none of its devices has its own."""
    d = lay(DEVICES["bond active-backup"])
    ip("srv", "link", "set", "eth1", "nomaster")
    off = put("eth1", "xdpdrv")
    ip("srv", "link", "set", "eth1", "down")
    ip("srv", "link", "set", "eth1", "master", "dev0")
    native, why = ["dev0", "--mode", "native"], "dev0: native XDP refused (driver bonding): "
    slave = refuses(Synwave(), *native, words=[why, "XDP program loaded"])
    ip("srv", "link", "set", "eth1", "nomaster")
    off()
    ip("srv", "link", "set", "dev0", "down")
    for dev in ("eth0", "eth1"):
        ip("srv", "link", "set", dev, "nomaster")
    ip("srv", "link", "set", "dev0", "type", "bond", "mode", "balance-alb")
    alb = refuses(Synwave(), *native, words=[why, "bonding mode"])
    nothing_left(Synwave())
    return slave + alb
