# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Where the load takes place: two hosts and a cable as in lib.pair, clients of many addresses, and what the kernel
itself says of them."""
import json
import os
import platform
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections import Counter

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE + "/../e2e", HERE + "/../bench"]
import lib  # noqa: E402
import net  # noqa: E402
from arena import memory  # noqa: E402, F401 (for the loads)
from lib import Fail, check, inside, until  # noqa: E402
from net import ip, sysctl  # noqa: E402
from rounds import map_bytes  # noqa: E402, F401

PEERS = lib.ROOT + "/build/test/peers"
# Networks of which every address is the client's machine, and where they begin
CROWD = {"ipv4": ("10.10.0.0/16", "10.10.0.1"), "ipv6": ("fd00:10::/64", "fd00:10::1")}
PORT = 9001
TW_BUCKETS = 1 << 22  # else the kernel ends a TIME_WAIT before its time


def build():
    """lib.pair, and addresses by the thousand behind the client's end."""
    net.pair()
    for f in net.HERE:
        ip("cli", "route", "add", "local", CROWD[f.name][0], "dev", "lo")
        ip("srv", "route", "add", CROWD[f.name][0], "via", f.cli, "dev", "eth0")
    for ns in ("srv", "cli"):
        sysctl(ns, ipv4__tcp_max_tw_buckets=TW_BUCKETS, ipv4__tcp_tw_reuse=1, core__somaxconn=65535)


class Peers:
    """tests/load/peers.c at work."""

    def __init__(self, ns, role, families=net.HERE, port=PORT, **options):
        words = {"at": ",".join(f.srv for f in families), "port": port, **options}
        if role == "call":
            words["from"] = ",".join(CROWD[f.name][1] for f in families)
        with inside(ns):
            self.p = subprocess.Popen([PEERS, role, *(f"{k}={v}" for k, v in words.items())], text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.read()

    def read(self):
        line = self.p.stdout.readline()
        if not line:
            raise Fail(f"{' '.join(self.p.args)}: ended with code {self.p.wait()}")
        return line

    def say(self, word):
        self.p.stdin.write(word + "\n")
        self.p.stdin.flush()

    def counts(self):
        self.say("?")
        return json.loads(self.read())

    def end(self):
        self.p.stdin.close()
        self.p.wait(120)


# --- what the kernel knows -----------------------------------------------------------------------------------------


def mib(ns):
    """/proc/net/snmp and netstat, TCP's part; IPv4 and IPv6 together."""
    found = {}
    with inside(ns):
        for name in ("snmp", "netstat"):
            with open("/proc/thread-self/net/" + name) as f:
                lines = f.read().splitlines()
            for keys, values in zip(lines[::2], lines[1::2]):
                if keys.startswith("Tcp"):
                    found.update(zip(keys.split()[1:], map(int, values.split()[1:])))
    return found


def difference(after, before):
    return {k: v - before[k] for k, v in after.items()}


def lost(ns):
    """Packets that the device had to drop: the other end had no room for them."""
    return json.loads(ip(ns, "-j", "-s", "link", "show", "eth0").stdout)[0]["stats64"]["tx"]["dropped"]


STATES = {1: "established", 2: "syn-sent", 3: "syn-recv", 4: "fin-wait-1", 5: "fin-wait-2", 6: "time-wait",
          8: "close-wait", 9: "last-ack", 11: "closing"}
SOCK_DIAG_BY_FAMILY, DUMP = 20, 0x301  # REQUEST | ROOT | MATCH


def sockets(ns, loopback=False):
    """The TCP sockets by state, as `ss` counts them, from the same source; those in TIME_WAIT whose time is over, which
    wait for the kernel's timer to notice, once more under 'overdue'."""
    count = Counter()
    with inside(ns):
        s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    for family, local in ((socket.AF_INET, b"\x7f"), (socket.AF_INET6, b"\0" * 15 + b"\1")):
        wanted = sum(1 << state for state in STATES)
        ask = struct.pack("=BBBBI48x", family, socket.IPPROTO_TCP, 0, 0, wanted)
        s.send(struct.pack("=IHHII", 16 + len(ask), SOCK_DIAG_BY_FAMILY, DUMP, 0, 0) + ask)
        while dump(s.recv(1 << 17), count, b"" if loopback else local):
            pass
    s.close()
    return count


def dump(data, count, local):
    """Adds one buffer's sockets; returns whether there is more to come. `local`: how addresses begin that do not count."""
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from("=IH", data, at)
        if kind != SOCK_DIAG_BY_FAMILY:
            check(kind == 3, "netlink refuses to list sockets")
            return False
        if not local or not data.startswith(local, at + 24):
            state = STATES[data[at + 17]]
            count[state] += 1
            if state == "time-wait" and not struct.unpack_from("=I", data, at + 68)[0]:
                count["overdue"] += 1
        at += size + 3 & ~3
    return True


def rss(pid):
    with open(f"/proc/{pid}/status") as f:
        return next((int(line.split()[1]) for line in f if line.startswith("VmRSS")), 0)  # 0: a process that ended


def machine():
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "unknown")
    with open("/proc/meminfo") as f:
        total = int(f.readline().split()[1])
    return f"{len(os.sched_getaffinity(0))} CPUs ({model}), {total / (1 << 20):.0f} GiB, Linux {platform.release()}, " \
           f"load {os.getloadavg()[0]:.1f}"


class Exporter:
    """`export --listen` at the server's host."""

    def __init__(self, pin):
        self.answered = 0
        with inside("srv"):
            self.p = subprocess.Popen([lib.SYNWAVE, "--pin", pin, "export", "--listen"], stderr=subprocess.DEVNULL,
                                      preexec_fn=lambda: lib.libc.prctl(1, 9))
        until(self.scrape, "the exporter to answer")

    def scrape(self):
        """(seconds, the answer), or None."""
        began = time.monotonic()
        try:
            with inside("srv"), urllib.request.urlopen("http://127.0.0.1:9465/metrics", timeout=30) as r:
                self.answered += 1
                return time.monotonic() - began, r.read().decode()
        except OSError:
            return None

    def rss(self):
        return rss(self.p.pid)

    def end(self):
        self.p.terminate()
        self.p.wait(10)


# --- samples -------------------------------------------------------------------------------------------------------


class Samples:
    """Readings of `stats` during a run. Each asks for the two laws (Synwave.stats), that no counter went back, and for
    what `rule` wants."""
    RISING = ("handshakes", "teardowns", "segments")
    GAUGES = ("in_progress",)

    def __init__(self, sw):
        self.sw, self.count, self.last, self.took, self.slowest = sw, 0, None, 0, 0

    def take(self):
        start = time.monotonic()
        stats = self.sw.stats()
        self.took = time.monotonic() - start
        self.slowest = max(self.slowest, self.took)
        for group in self.RISING if self.last else ():
            for key, value in stats[group].items():
                check(key in self.GAUGES or value >= self.last[group][key],
                      f"{group}.{key} went back: {value} after {self.last[group][key]}")
        self.count, self.last = self.count + 1, stats
        return stats

