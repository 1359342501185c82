# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The hosts of a scenario: namespaces, the cables between them, sockets in them, hand-made frames on them.

One process plays every host: a socket belongs to the namespace in which it was made, whoever uses it later, so
`with inside("srv"): socket.socket()` is a socket of that host."""
import contextlib
import ctypes
import fcntl
import ipaddress
import os
import select
import socket
import struct
import time
from collections import namedtuple

from frames import OPTIONS, SYN, ethernet, packet, read_packet
from lib import IPV6, NO_IPV6, PATIENCE, Fail, Skip, equal, inside, run

# srv and cli: addresses on the wire between them; ghost: a network that is routed to a MAC address nobody has
Family = namedtuple("Family", "name af srv cli ghost bits")
V4 = Family("ipv4", socket.AF_INET, "10.9.0.1", "10.9.0.2", "10.77.0.0/16", 24)
V6 = Family("ipv6", socket.AF_INET6, "fd00:9::1", "fd00:9::2", "fd00:77::/64", 64)
FAMILIES = [V4, V6]


def lacks(f):
    return f.af == V6.af and not IPV6


HERE = [f for f in FAMILIES if not lacks(f)]
MAC = {"srv": "02:00:00:00:00:01", "cli": "02:00:00:00:00:02", "ghost": "02:00:00:00:00:77",
       "r0": "02:00:00:00:01:01", "r1": "02:00:00:00:01:02"}


queue = None  # of `together`


def ip(ns, *words):
    if queue is None:
        return run("ip", "-n", ns, *words)
    queue.setdefault(ns, []).append(" ".join(words))
    return None


@contextlib.contextmanager
def together():
    """What is asked of `ip` inside is done at the end, with one process a namespace, in the order in which they were named."""
    global queue
    queue = {}
    try:
        yield
        for ns, lines in queue.items():
            run("ip", "-n", ns, "-batch", "-", input="\n".join(lines))
    finally:
        queue = None


def sysctl(ns, **values):
    with inside(ns):
        for key, value in values.items():
            if key.startswith("ipv6") and not IPV6:
                continue
            with open("/proc/sys/net/" + key.replace("__", "/"), "w") as f:
                f.write(str(value))


def netns(name):
    run("ip", "netns", "add", name)
    sysctl(name, core__somaxconn=8192, ipv4__tcp_max_syn_backlog=8192, ipv4__ip_local_port_range="1024 65535",
           ipv6__conf__all__accept_dad=0, ipv6__conf__default__accept_dad=0,
           ipv6__conf__default__router_solicitations=0)
    ip(name, "link", "set", "lo", "up")


def veth(ns, name, mac, peer_ns, peer, peer_mac):
    ip(ns, "link", "add", name, "address", mac, "type", "veth",
       "peer", "name", peer, "address", peer_mac, "netns", peer_ns)
    for where, dev in ((ns, name), (peer_ns, peer)):
        ip(where, "link", "set", dev, "up")


def address(ns, dev, addr, bits):
    ip(ns, "addr", "add", f"{addr}/{bits}", "dev", dev, *(["nodad"] if ":" in addr else []))


def neighbour(ns, dev, addr, mac):
    ip(ns, "neigh", "replace", addr, "lladdr", mac, "dev", dev, "nud", "permanent")


def pair():
    """Two hosts and a cable: srv eth0 -- eth0 cli. What srv sends to a ghost address, cli drops without a word."""
    with together():
        netns("srv")
        netns("cli")
        veth("srv", "eth0", MAC["srv"], "cli", "eth0", MAC["cli"])
        for f in HERE:
            address("srv", "eth0", f.srv, f.bits)
            address("cli", "eth0", f.cli, f.bits)
            neighbour("srv", "eth0", f.cli, MAC["cli"])
            neighbour("cli", "eth0", f.srv, MAC["srv"])
            ghosts("srv", f, f.ghost)


# r0 and r1 of the router; the client and r1 have a network of their own
Routed = namedtuple("Routed", "r0 cli r1")
ROUTED = {"ipv4": Routed("10.9.0.77", "10.9.1.2", "10.9.1.1"),
          "ipv6": Routed("fd00:9::77", "fd00:8::2", "fd00:8::1")}


def routed():
    """A router between both hosts: srv eth0 -- r0 mid r1 -- eth0 cli."""
    with together():
        lay_router()
    sysctl("mid", ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)


def lay_router():
    for ns in ("srv", "cli", "mid"):
        netns(ns)
    veth("srv", "eth0", MAC["srv"], "mid", "r0", MAC["r0"])
    veth("cli", "eth0", MAC["cli"], "mid", "r1", MAC["r1"])
    for f in HERE:
        a = ROUTED[f.name]
        for ns, dev, addr in (("srv", "eth0", f.srv), ("mid", "r0", a.r0), ("cli", "eth0", a.cli), ("mid", "r1", a.r1)):
            address(ns, dev, addr, f.bits)
        for ns, gate, mac in (("srv", a.r0, MAC["r0"]), ("cli", a.r1, MAC["r1"])):
            neighbour(ns, "eth0", gate, mac)
            ip(ns, "route", "add", "default", "via", gate, "dev", "eth0")
        neighbour("mid", "r0", f.srv, MAC["srv"])
        neighbour("mid", "r1", a.cli, MAC["cli"])


def ghosts(ns, f, network):
    if lacks(f):
        return
    gate = "10.9.0.77" if f is V4 else "fd00:9::77"
    neighbour(ns, "eth0", gate, MAC["ghost"])
    ip(ns, "route", "add", network, "via", gate, "dev", "eth0")


def ss(ns, state, *which):
    with inside(ns):
        return len(run("ss", "-Htan", "state", state, *which).stdout.splitlines())


def netstat(ns, name):
    """A counter of /proc/net/netstat or snmp."""
    lines = []
    with inside(ns):
        for file in ("netstat", "snmp"):
            with open("/proc/thread-self/net/" + file) as f:
                lines += f.read().splitlines()
    for keys, values in zip(lines[::2], lines[1::2]):
        if name in keys.split():
            return int(values.split()[keys.split().index(name)])
    raise Skip(f"no {name} in /proc/net/netstat or snmp")


# --- sockets -----------------------------------------------------------------------------------------------------


def tcp(ns, f):
    if lacks(f):
        raise Skip(NO_IPV6)
    with inside(ns):
        return socket.socket(f.af)


def listener(ns, f, port, addr=None):
    s = tcp(ns, f)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((addr or f.srv, port))
    s.listen(8192)
    s.settimeout(PATIENCE)
    return s


def dial(ns, f, port, addr=None):
    s = tcp(ns, f)
    s.settimeout(PATIENCE)
    s.connect((addr or f.srv, port))
    return s


def meet(lsn, ns, f, addr=None):
    """A connection over which each side has sent something: (client's socket, server's socket)."""
    c = dial(ns, f, lsn.getsockname()[1], addr)
    s, _ = lsn.accept()
    s.settimeout(PATIENCE)
    talk(c, s)
    return c, s


def talk(c, s):
    for a, b in ((c, s), (s, c)):
        a.sendall(b"hello")
        equal(b.recv(64), b"hello", "what the other side received")


def endpoint(addr, port):
    return f"[{addr}]:{port}" if ":" in addr else f"{addr}:{port}"


def part(first, second):
    """`first` closes first and is left in TIME_WAIT."""
    first.shutdown(socket.SHUT_WR)
    equal(second.recv(1), b"", "end of stream")
    second.close()
    equal(first.recv(1), b"", "end of stream")
    first.close()


def deaf(*socks):
    """What arrives for these sockets is dropped in their host, behind the wire (a socket filter: return 0)."""
    code = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    for s in socks:
        s.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HP", 1, ctypes.addressof(code)))  # SO_ATTACH_FILTER


def hearing(*socks):
    for s in socks:
        s.setsockopt(socket.SOL_SOCKET, 27, 0)  # SO_DETACH_FILTER


def part_at_once(c, s):
    """FINs that cross: neither side hears the other's until both have sent theirs."""
    deaf(c, s)
    c.shutdown(socket.SHUT_WR)
    s.shutdown(socket.SHUT_WR)
    hearing(c, s)
    for sock in (c, s):
        equal(sock.recv(1), b"", "end of stream")
        sock.close()


def refused(ns, f, port, addr=None):
    with contextlib.suppress(ConnectionRefusedError):
        dial(ns, f, port, addr)
        raise Fail(f"port {port} is open")


# --- hand-made frames --------------------------------------------------------------------------------------------


def wire(ns, dev="eth0"):
    """A packet socket: what is sent here leaves by the device, past its egress hook."""
    with inside(ns):
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        s.bind((dev, 0))
    return s


def half_open(f, count, port, start=1):
    """SYNs from `count` ghost addresses. Their answers go nowhere."""
    net = ipaddress.ip_network(f.ghost)
    s = wire("cli")
    for i in range(start, start + count):
        syn = packet((str(net[i]), 10000 + i), (f.srv, port), 1000 * i, 0, SYN, options=OPTIONS)
        s.send(ethernet(MAC["cli"], MAC["srv"], syn))
    s.close()


def tun(ns, name, tap):
    """A tun (L3) or tap device of the namespace; returns the file in which its frames are written and read."""
    if not os.path.exists("/dev/net/tun"):
        raise Skip("no /dev/net/tun")
    with inside(ns):
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", name.encode(), (2 if tap else 1) | 0x1000))  # TUNSETIFF
    ip(ns, "link", "set", name, "up")
    return fd


def read_tun(fd, port):
    """The next TCP packet for the port."""
    end = time.monotonic() + PATIENCE
    while select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
        p = read_packet(os.read(fd, 65536))
        if p and p[1][1] == port:
            return p
    raise Fail(f"no TCP packet for port {port} came out of the tun device")
