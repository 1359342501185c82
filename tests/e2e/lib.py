# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What the scenarios share: namespaces, sockets in them, hand-made frames, and synwave itself.

One process plays every host: a socket belongs to the namespace in which it was made, whoever uses it later, so
`with inside("srv"): socket.socket()` is a socket of that host. Nothing sleeps to wait: it polls, with a deadline."""
import contextlib
import ctypes
import fcntl
import ipaddress
import json
import os
import select
import socket
import struct
import subprocess
import time
from collections import namedtuple

from frames import ACK, FIN, OPTIONS, PSH, RST, SYN, ethernet, packet, read_packet  # noqa: F401 (for the scenarios)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SYNWAVE = "/run/synwave"  # a copy, in each test's own /run: one file is all that it needs
SYNFLOOD = ROOT + "/build/synflood"
OLDER = ROOT + "/build/older.so"
SLOW = float(os.environ.get("E2E_SLOW", 1))  # how many times slower than usual this machine is
PATIENCE = 15 * SLOW  # seconds that a condition may take to come true
TC = "tcx" if tuple(int(n) for n in os.uname().release.split("-")[0].split(".")[:2]) >= (6, 6) else "clsact"
MODES = {"native": "xdp-native", "generic": "xdp-generic", "tc": TC}
MODE_NAMES = list(MODES)

# srv and cli: addresses on the wire between them; ghost: a network that is routed to a MAC address nobody has
Family = namedtuple("Family", "name af srv cli ghost bits")
V4 = Family("ipv4", socket.AF_INET, "10.9.0.1", "10.9.0.2", "10.77.0.0/16", 24)
V6 = Family("ipv6", socket.AF_INET6, "fd00:9::1", "fd00:9::2", "fd00:77::/64", 64)
FAMILIES = [V4, V6]
MAC = {"srv": "02:00:00:00:00:01", "cli": "02:00:00:00:00:02", "ghost": "02:00:00:00:00:77"}

libc = ctypes.CDLL(None, use_errno=True)


class Fail(Exception):
    pass


class Skip(Exception):
    pass


# --- the register of scenarios -----------------------------------------------------------------------------------

Scenario = namedtuple("Scenario", "name run limit alone restore")
SCENARIOS = []


def scenario(mode=(None,), family=(None,), limit=60, alone=False, restore=None):
    """Registers a function once a mode and family. limit: seconds. alone: nothing may run beside it. restore: called
    outside its namespaces when all its processes are gone, however they ended; for what it changes of the machine."""

    def add(function):
        for m in mode:
            for f in family:
                given = ([m] if m else []) + ([f] if f else [])
                words = [function.__name__] + ([m] if m else []) + ([f.name] if f else [])
                SCENARIOS.append(Scenario(" ".join(words), lambda g=given: function(*g), limit, alone, restore))
        return function

    return add


# --- checks ------------------------------------------------------------------------------------------------------


def check(condition, why):
    if not condition:
        raise Fail(why)


def equal(got, want, what):
    check(got == want, f"{what}: {got!r}, expected {want!r}")


def until(condition, what, patience=PATIENCE):
    """Polls until `condition()` is true and returns its value. `what` may be a function: the failure in words."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Fail(what() if callable(what) else f"waited {patience} s for {what}")
        time.sleep(0.01)


# --- processes and namespaces ------------------------------------------------------------------------------------


def run(*argv, ok=(0,), timeout=30, **more):
    r = subprocess.run(argv, capture_output=True, text=True, timeout=timeout * SLOW, stdin=subprocess.DEVNULL, **more)
    if ok is not None and r.returncode not in ok:
        raise Fail(f"{' '.join(argv)}: exit {r.returncode}: {r.stderr.strip() or r.stdout.strip()}")
    return r


@contextlib.contextmanager
def inside(ns):
    """This thread, and what it starts, in the namespace. /sys stays: `ip netns exec` would hide the bpffs."""
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open("/run/netns/" + ns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        check(libc.setns(there, 0x40000000) == 0, f"setns {ns}: {os.strerror(ctypes.get_errno())}")
        yield
    finally:
        check(libc.setns(back, 0x40000000) == 0, "setns back")
        os.close(there)
        os.close(back)


def ip(ns, *words):
    return run("ip", "-n", ns, *words)


def sysctl(ns, **values):
    with inside(ns):
        for key, value in values.items():
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
    netns("srv")
    netns("cli")
    veth("srv", "eth0", MAC["srv"], "cli", "eth0", MAC["cli"])
    for f in FAMILIES:
        address("srv", "eth0", f.srv, f.bits)
        address("cli", "eth0", f.cli, f.bits)
        neighbour("srv", "eth0", f.cli, MAC["cli"])
        neighbour("cli", "eth0", f.srv, MAC["srv"])
        ghosts("srv", f, f.ghost)


def ghosts(ns, f, network):
    gate = "10.9.0.77" if f is V4 else "fd00:9::77"
    neighbour(ns, "eth0", gate, MAC["ghost"])
    ip(ns, "route", "add", network, "via", gate, "dev", "eth0")


def ss(ns, state):
    with inside(ns):
        return len(run("ss", "-Htan", "state", state).stdout.splitlines())


def netstat(ns, name):
    """A counter of /proc/net/netstat."""
    with inside(ns), open("/proc/thread-self/net/netstat") as f:
        lines = f.read().splitlines()
    for keys, values in zip(lines[::2], lines[1::2]):
        if name in keys.split():
            return int(values.split()[keys.split().index(name)])
    raise Skip(f"no {name} in /proc/net/netstat")


# --- sockets -----------------------------------------------------------------------------------------------------


def listener(ns, f, port, addr=None):
    with inside(ns):
        s = socket.socket(f.af)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((addr or f.srv, port))
    s.listen(8192)
    s.settimeout(PATIENCE)
    return s


def dial(ns, f, port, addr=None):
    with inside(ns):
        s = socket.socket(f.af)
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


# --- synwave -----------------------------------------------------------------------------------------------------


def dig(obj, path):
    for key in path.split("."):
        obj = obj.get(key) if isinstance(obj, dict) else None
    return obj


def tally(flows):
    """How many of each: (client's state, server's state, conn_state)."""
    n = {}
    for r in flows:
        key = (r["client"]["state"], r["server"]["state"], r["conn_state"])
        n[key] = n.get(key, 0) + 1
    return n


class Synwave:
    """An instance: a pin directory of its own."""

    def __init__(self, name="swt", ns="srv"):
        self.pin, self.ns, self.owned = "/sys/fs/bpf/" + name, ns, set()

    def cmd(self, *words, ok=(0,), ns=None):
        with inside(ns or self.ns):
            return run(SYNWAVE, "--pin", self.pin, *words, ok=ok)

    def attach(self, *words, mode, ns=None, small=True):
        size = ["--flows", "16384", "--half-open", "4096"] if small else []
        r = self.cmd("attach", *words, "--mode", mode, *size, ns=ns)
        for dev in self.stats()["interfaces"]:
            if dev["name"] in words:
                equal(dev["ingress"], MODES[mode], f"ingress hook of {dev['name']}")
                equal(dev["egress"], "none" if "--ingress-only" in words else TC, f"egress hook of {dev['name']}")
        self.owned |= owned(self.pin, ns or self.ns)
        return r

    def detach(self, *words, ns=None):
        return self.cmd("detach", *(words or ["--all"]), ns=ns)

    def stats(self):
        """The numbers; that the two laws hold is asked at every reading."""
        out = json.loads(self.cmd("stats", "--json").stdout)
        h, t = out["handshakes"], out["teardowns"]
        equal(h["started"], sum(h[k] for k in ("completed", "refused", "reset", "timed_out", "evicted", "in_progress")),
              "the law of handshakes: started")
        equal(t["started"], sum(t[k] for k in ("completed", "reset", "timed_out", "evicted", "in_progress")),
              "the law of teardowns: started")
        return out

    def flows(self, *words):
        return [json.loads(line) for line in self.cmd("flows", "--json", *words).stdout.splitlines()]

    def flow(self, port):
        """The one connection whose client has this port."""
        found = [r for r in self.flows() if r["client"]["port"] == port]
        equal(len(found), 1, f"connections of client port {port}")
        return found[0]

    def expect(self, **want):
        """Polls `stats` until these numbers are there; keys are paths with __ for the dot. A value that is a function
        is asked anew each time: a number of the kernel's."""
        seen = {}

        def met():
            stats = self.stats()
            seen.clear()
            for path, value in want.items():
                path = path.replace("__", ".")
                value, got = value() if callable(value) else value, dig(stats, path)
                if got is None and value == 0 and path.startswith("states."):
                    got = 0
                if got != value:
                    seen[path] = (got, value)
            return None if seen else stats

        return until(met, lambda: "; ".join(f"{k} is {g}, expected {w}" for k, (g, w) in seen.items()))


# --- what belongs to an instance, and whether it is gone -----------------------------------------------------------

BPF_OBJ_GET, BPF_PROG_QUERY = 7, 16
BY_ID = {"prog": 13, "map": 14, "link": 30}  # BPF_*_GET_FD_BY_ID
TCX = {"ingress": 46, "egress": 47}


def bpf(command, attr):
    attr = ctypes.create_string_buffer(attr, max(len(attr), 128))
    return libc.syscall(321 if os.uname().machine == "x86_64" else 280, command, attr, 128), attr.raw


def pinned(path):
    """(kind, id) of a pinned object, and of a link its program."""
    name = ctypes.create_string_buffer(path.encode())
    fd, _ = bpf(BPF_OBJ_GET, struct.pack("QII", ctypes.addressof(name), 0, 0))
    check(fd >= 0, f"{path}: {os.strerror(ctypes.get_errno())}")
    with open(f"/proc/self/fdinfo/{fd}") as f:
        info = dict(line.split(":", 1) for line in f if ":" in line)
    os.close(fd)
    kind = next(k for k in ("link", "map", "prog") if k + "_id" in info)
    found = {(kind, int(info[kind + "_id"]))}
    return found | {("prog", int(info["prog_id"]))} if kind == "link" else found


def attached(ns):
    """(kind, id) of what hangs on the devices of a namespace: XDP programs, TCX programs and links, clsact filters."""
    found = set()
    with inside(ns):
        for link in json.loads(run("ip", "-j", "-d", "link").stdout):
            xdp = link.get("xdp", {})
            for one in [xdp.get("prog", {})] + [a.get("prog", {}) for a in xdp.get("attached", [])]:
                if one.get("id"):
                    found.add(("prog", one["id"]))
            for hook in TCX:
                for one in json.loads(run("tc", "-j", "filter", "show", "dev", link["ifname"], hook, ok=None).stdout
                                      or "[]"):
                    if one.get("options", {}).get("prog"):
                        found.add(("prog", one["options"]["prog"]["id"]))
            for hook in TCX.values():
                progs, links = (ctypes.c_uint32 * 64)(), (ctypes.c_uint32 * 64)()
                rc, attr = bpf(BPF_PROG_QUERY, struct.pack("IIIIQIIQQQQ", link["ifindex"], hook, 0, 0,
                                                           ctypes.addressof(progs), 64, 0, 0,
                                                           ctypes.addressof(links), 0, 0))
                count = struct.unpack_from("I", attr, 24)[0] if rc == 0 else 0
                found |= {("prog", progs[i]) for i in range(count)} | {("link", links[i]) for i in range(count)}
    return found - {("link", 0)}


def pins(top="/sys/fs/bpf"):
    return [os.path.join(where, name) for where, _, names in os.walk(top) for name in names
            if name not in ("maps.debug", "progs.debug")]  # the BPF file system's own


def owned(pin, *spaces):
    """Everything of an instance: pinned, attached, and the maps that its programs use."""
    found = set()
    for path in pins(pin):
        if not os.path.islink(path):
            with contextlib.suppress(Fail):  # a plain file (lock), or gone in between
                found |= pinned(path)
    for ns in spaces:
        found |= attached(ns)
    for kind, number in list(found):
        if kind == "prog":
            r = run("bpftool", "-j", "prog", "show", "id", str(number), ok=None)
            found |= {("map", m) for m in json.loads(r.stdout or "{}").get("map_ids", [])}
    return found


def exists(kind, number):
    fd, _ = bpf(BY_ID[kind], struct.pack("III", number, 0, 0))
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def nothing_left(*instances, spaces=("srv",)):
    """No pin, no program on a device, and of the ids that the instances ever had none is alive."""
    for sw in instances:
        check(not os.path.exists(sw.pin), f"{sw.pin} is still there: {pins(sw.pin)}")
    equal(pins(), [], "pins left in the BPF file system")
    for ns in spaces:
        equal(attached(ns), set(), f"programs left on the devices of {ns}")
    ids = set().union(*(sw.owned for sw in instances))
    until(lambda: not [i for i in ids if exists(*i)], lambda: f"still alive: {[i for i in ids if exists(*i)]}")
