# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What hangs on the server's interface, or in its kernel, while its traffic is measured: one a row. Each lets everything
pass; a count of its own must say that it saw the traffic."""
import os
import shutil
import subprocess
from collections import namedtuple

import lib
import net
from defences import nft, nothing, proxied, synwave, watched
from lib import inside, run, until

CONNTRACK = """table ip bench {
  chain input { type filter hook input priority filter
    ct state established,related accept
    ct state new counter accept
    ct state invalid drop
  }
}
"""
SYNPROXY = """table ip bench {
  chain raw { type filter hook prerouting priority raw
    meta l4proto tcp tcp flags syn notrack
  }
  chain input { type filter hook input priority filter
    meta l4proto tcp ct state { invalid, untracked } synproxy mss 1460 wscale 7 timestamp sack-perm
    ct state invalid drop
  }
}
"""
LIMIT = """table ip bench {
  set sources { type ipv4_addr; size 65536; flags dynamic,timeout; timeout 60s; }
  chain raw { type filter hook prerouting priority raw
    tcp flags & (fin|syn|rst|ack) == syn counter update @sources { ip saddr limit rate over 1000000/second } drop
  }
}
"""
GUARD = ("mode=enforce", "source.ipv4/32=1000000/s burst 1000000", "source.ipv4/24=1000000/s burst 1000000",
         "service.default=1000000/s burst 1000000 over cookie")


def synproxy(peer):
    nft(SYNPROXY)(peer)
    net.sysctl("srv", netfilter__nf_conntrack_tcp_loose=0)


def xdp_filter(peer):
    with inside("srv"):
        run("xdp-filter", "load", "--mode", "native", "eth0")
    peer.close.callback(lambda: run("nsenter", "--net=/run/netns/srv", "xdp-filter", "unload", "eth0", ok=None))


def tcpstates(peer):
    """Debian's tcpstates of libbpf-tools, which asks tracefs for the tracepoint's number; what it prints stays in memory."""
    if not os.path.exists("/sys/kernel/tracing/events") and lib.libc.mount(b"t", b"/sys/kernel/tracing", b"tracefs", 0, None):
        raise lib.Skip("tracefs cannot be mounted")
    peer.printed = "/run/tcpstates"
    with open(peer.printed, "wb") as out:
        p = subprocess.Popen([TCPSTATES], stdout=out, stderr=subprocess.STDOUT)
    peer.close.callback(p.wait, 20)
    peer.close.callback(p.kill)

    def tells():
        if p.poll() is not None:
            with open(peer.printed, encoding="utf-8") as f:
                raise lib.Skip(f"tcpstates: {f.read().strip()}")
        run("nsenter", "--net=/run/netns/cli", "curl", "-s", f"http://{net.V4.srv}/")
        return printed(peer)
    until(tells, "tcpstates to print")


def printed(peer):
    """Changes of state that it wrote."""
    with open(peer.printed, "rb") as f:
        return f.read().count(b"\n")


def tracked(_):
    with inside("srv"), open("/proc/sys/net/netfilter/nf_conntrack_count") as f:
        return int(f.read())


def limited(_):
    with inside("srv"):
        words = run("nft", "list", "chain", "ip", "bench", "raw").stdout.split()
    return int(words[words.index("packets") + 1])


def received(_):
    """xdp-filter counts what it passes."""
    with inside("srv"):
        words = run("xdp-filter", "status").stdout.split()
    return int(words[words.index("XDP_PASS") + 1])


TCPSTATES = "/usr/sbin/tcpstates"
# seen: a count of its own that grows with each connection. needs: a program or file without which it is skipped, and the
# Debian package that has it. reach: at least so much of bare, in each column. programs: it has some on the interface.
Beside = namedtuple("Beside", "name label setup seen needs reach programs", defaults=(None, (), False))
TC_REACH = {"one": 0.97, "four": 0.97, "new": 0.97}
BESIDES = [
    Beside("bare", "nothing", nothing, None),
    Beside("again", "nothing, once more (what chance does)", nothing, None),
    Beside("tc", "synwave, `--mode tc`", synwave(mode="tc"), watched, reach=TC_REACH, programs=True),
    Beside("tc-guard", "synwave, `--mode tc`, guard enforcing", synwave(*GUARD, mode="tc"), watched, reach=TC_REACH, programs=True),
    Beside("tc-bare", "synwave, `--mode tc --no-ladder`", synwave(mode="tc", more=["--no-ladder"]), watched, programs=True),
    Beside("native", "synwave, `--mode native`", synwave(), watched, programs=True),
    Beside("conntrack", "conntrack (nft `ct state`)", nft(CONNTRACK), tracked),
    Beside("synproxy", "nft `synproxy`", synproxy, proxied),
    Beside("limit", "nft `limit` per source", nft(LIMIT), limited),
    Beside("xdp-filter", "xdp-filter, native", xdp_filter, received, needs=("/usr/sbin/xdp-filter", "xdp-tools"),
           programs=True),
    Beside("tcpstates", "tcpstates (libbpf-tools)", tcpstates, printed, needs=(TCPSTATES, "libbpf-tools")),
]
TOOLS = {"iperf3": "iperf3", "wrk": "wrk", "nginx": "nginx-light", "nft": "nftables"}


def missing(words):
    """Of the programs among the keys, those that are not here, with the package that has them."""
    return [f"{program} (Debian package {package})" for program, package in words.items() if not shutil.which(program)]
