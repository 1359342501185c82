# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What stands between the flood and nginx: one a row."""
from collections import namedtuple

import instance
import net
from arena import GHOSTS
from lib import inside, run

SYNPROXY = """table ip bench {
  chain raw { type filter hook prerouting priority raw
    tcp dport 80 tcp flags syn notrack
  }
  chain input { type filter hook input priority filter
    tcp dport 80 ct state { invalid, untracked } synproxy mss 1460 wscale 7 timestamp sack-perm
    ct state invalid drop
  }
}
"""
DYNAMIC_SET = """table ip bench {
  set sources { type ipv4_addr; size 262144; flags dynamic,timeout; timeout 60s; }
  chain raw { type filter hook prerouting priority raw
    tcp dport 80 tcp flags & (fin|syn|rst|ack) == syn \\
      update @sources { ip saddr limit rate over 50/second burst 100 packets } counter drop
  }
}
"""
LIMIT = "service.default=2000/s burst 4000 over "


def nft(rules):
    def setup(_):
        with open("/run/bench.nft", "w") as f:
            f.write(rules)
        with inside("srv"):
            run("nft", "-f", "/run/bench.nft")
    return setup


def synproxy(arena):
    nft(SYNPROXY)(arena)
    net.sysctl("srv", netfilter__nf_conntrack_tcp_loose=0)


def synwave(*rules, mode="native", more=()):
    def setup(arena):
        sw = instance.Synwave("bench")
        sw.cmd("attach", "eth0", "--mode", mode, *more)
        arena.close.callback(sw.detach)
        if rules:
            sw.cmd("guard", "set", *rules)
        arena.synwave = sw
    return setup


def program(name, *more):
    """One of flood.bpf.c's at the server's end."""
    return lambda arena: arena.helper("srv", name, "eth0", *more)


def nothing(_):
    pass


def tcp_segments(_):
    """That reached the server's TCP."""
    with inside("srv"), open("/proc/thread-self/net/snmp") as f:
        names, values = [line.split() for line in f if line.startswith("Tcp:")]
    return int(values[names.index("InSegs")])


def proxied(_):
    with inside("srv"), open("/proc/thread-self/net/stat/synproxy") as f:
        f.readline()
        return sum(int(line.split()[1], 16) for line in f)


def watched(arena):
    return arena.synwave.stats()["segments"]["syn"]


# cookies: net.ipv4.tcp_syncookies. seen: a counter of the defence's own that every SYN moves. other: one of those that
# synwave is compared with. serves: clients that must be served.
Defence = namedtuple("Defence", "name label setup cookies seen other serves")
BOTH, KNOWN = ("new", "known"), ("known",)
DEFENCES = [
    Defence("floor", "generator alone, into XDP_DROP", program("drop"), 1, None, False, ()),
    Defence("bounce", "generator, every frame back by XDP_TX", program("bounce"), 1, None, False, ()),
    Defence("kernel", "kernel alone, tcp_syncookies=1", nothing, 1, tcp_segments, True, BOTH),
    Defence("kernel-2", "kernel alone, tcp_syncookies=2", nothing, 2, tcp_segments, True, BOTH),
    Defence("synproxy", "nft synproxy", synproxy, 1, proxied, True, BOTH),
    Defence("set", "nft dynamic set, limit rate 50/s", nft(DYNAMIC_SET), 1, tcp_segments, True, BOTH),
    Defence("observe", "synwave, guard off", synwave(), 1, watched, False, BOTH),
    Defence("cookie", "synwave, over cookie, tcp_syncookies=1", synwave("mode=enforce", LIMIT + "cookie"), 1, watched,
            False, BOTH),
    Defence("cookie-2", "synwave, over cookie, tcp_syncookies=2", synwave("mode=enforce", LIMIT + "cookie"), 2, watched,
            False, BOTH),
    Defence("drop", "synwave, over drop", synwave("mode=enforce", LIMIT + "drop"), 1, watched, False, KNOWN),
    Defence("kernel-cut", "kernel, tcp_syncookies=2, answers cut at the server", program("cut", GHOSTS), 2,
            tcp_segments, False, BOTH),
]
