# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Where the flood takes place: a server with nginx, a cable, and at its other end everybody else - the generator, honest
clients, and a program at which the answers to forged sources vanish, the same in every round."""
import contextlib
import json
import os
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE + "/../e2e")
import lib  # noqa: E402
import net  # noqa: E402
from lib import Fail, inside, run, until  # noqa: E402
from net import ip, neighbour, sysctl  # noqa: E402

FLOOD, CLIENTS = lib.ROOT + "/build/test/flood", lib.ROOT + "/build/test/clients"
GHOSTS = "198.18.0.0/15"  # 131,072 sources that do not exist
HONEST = "10.10.0.0/16"  # every address of it is the client's machine
SRV, CLI = net.V4.srv, net.V4.cli
CPUS = sorted(os.sched_getaffinity(0))
NGINX = """daemon off; pid /run/nginx/pid; error_log stderr crit; worker_processes auto;
events { worker_connections 8192; }
http {
  access_log off; keepalive_timeout 3600; keepalive_requests 1000000;
  server { listen 80; return 200 "served\\n"; }
}
"""


def queues(ns):
    """A queue a CPU, as a network card has them: what a CPU sends arrives in the queue that it serves itself."""
    setting = "; ".join(f"echo {1 << cpu:x} > /sys/class/net/eth0/queues/tx-{n}/xps_cpus" for n, cpu in enumerate(CPUS))
    run("nsenter", f"--net=/run/netns/{ns}", "unshare", "--mount", "sh", "-c", f"mount -t sysfs sysfs /sys; {setting}")


def cable():
    """As in lib.pair, with a queue for each CPU, and GRO: it makes both ends take redirected frames without XDP."""
    n = str(len(CPUS))
    for ns in ("srv", "cli"):
        net.netns(ns)
    ip("srv", "link", "add", "eth0", "address", net.MAC["srv"], "numtxqueues", n, "numrxqueues", n, "type", "veth",
       "peer", "name", "eth0", "address", net.MAC["cli"], "numtxqueues", n, "numrxqueues", n, "netns", "cli")
    for ns, addr in (("srv", SRV), ("cli", CLI)):
        ip(ns, "link", "set", "eth0", "up")
        net.address(ns, "eth0", addr, 24)
        with inside(ns):
            run("ethtool", "-K", "eth0", "gro", "on")
        queues(ns)
    neighbour("srv", "eth0", CLI, net.MAC["cli"])
    neighbour("cli", "eth0", SRV, net.MAC["srv"])
    ip("srv", "route", "add", "default", "via", CLI, "dev", "eth0")


class Helper:
    """A program of the bench that runs until its standard input ends; answers a line with a line."""

    def __init__(self, ns, *argv):
        with inside(ns):
            self.p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if not self.p.stdout.readline():
            raise Fail(f"{' '.join(argv)}: did not start")

    def ask(self):
        """(ns of the monotonic clock, packets that vanished until then)"""
        self.p.stdin.write("\n")
        self.p.stdin.flush()
        before, after, count = map(int, self.p.stdout.readline().split())
        return (before + after) / 2, count

    def end(self):
        self.p.stdin.close()
        self.p.wait(10)


class Held:
    """Established connections that go on talking until the end: each asks nginx again and again."""
    REQUEST = b"GET / HTTP/1.1\r\nHost: held\r\n\r\n"

    def __init__(self, count):
        self.socks = [net.dial("cli", net.V4, 80) for _ in range(count)]
        self.asked, self.lost, self.over = 0, None, threading.Event()
        self.thread = threading.Thread(target=self.talk, daemon=True)
        self.thread.start()

    def once(self):
        for s in self.socks:
            s.sendall(self.REQUEST)
        for s in self.socks:
            got = b""
            while not got.endswith(b"served\n"):
                more = s.recv(4096)
                if not more:
                    raise OSError("closed by the server")
                got += more
            self.asked += 1

    def talk(self):
        try:
            while not self.over.wait(0.1):
                self.once()
        except OSError as why:
            self.lost = why

    def end(self):
        """Answers in all; those after the flood included."""
        self.over.set()
        self.thread.join(60)
        if self.lost is None:
            try:
                self.once()
            except OSError as why:
                self.lost = why
        for s in self.socks:
            s.close()
        return self.asked


def netdev(ns):
    """Packets that the device took from its ring, and those that the ring had no room for."""
    with inside(ns), open("/proc/thread-self/net/dev") as f:
        word = next(line.split(":")[1] for line in f if "eth0:" in line).split()
    return int(word[1]), int(word[3])


def memory():
    """kB that the kernel took and cannot give back at once."""
    with open("/proc/meminfo") as f:
        info = {line.split(":")[0]: int(line.split()[1]) for line in f}
    return {"unreclaimable": info["SUnreclaim"] + info.get("Percpu", 0), "available": info["MemAvailable"]}


class Arena:
    def __init__(self, ghosts=GHOSTS):
        self.ghosts, self.close = ghosts, contextlib.ExitStack()

    def __enter__(self):
        try:
            self.build()
        except BaseException:
            self.close.close()
            raise
        return self

    def __exit__(self, *why):
        self.close.close()

    def build(self):
        self.close.callback(lambda: [run("ip", "netns", "del", ns, ok=None) for ns in ("srv", "cli")])
        cable()
        ip("cli", "route", "add", "local", HONEST, "dev", "lo")
        os.makedirs("/run/nginx", exist_ok=True)
        with open("/run/nginx/conf", "w") as f:
            f.write(NGINX)
        with inside("srv"):
            nginx = subprocess.Popen(["nginx", "-e", "stderr", "-p", "/run/nginx", "-c", "/run/nginx/conf"])
        self.close.callback(nginx.wait, 20)
        self.close.callback(nginx.terminate)
        until(lambda: nginx.poll() is None and net.ss("srv", "listening"), "nginx to listen")

    def helper(self, ns, *argv):
        h = Helper(ns, FLOOD, *argv)
        self.close.callback(h.end)
        return h

    def sink(self):
        return self.helper("cli", "sink", "eth0", self.ghosts)

    def cookies(self, value):
        sysctl("srv", ipv4__tcp_syncookies=value)

    def start_flood(self, seconds, source=GHOSTS, count=1 << 30, pps=0, cpus=CPUS):
        with inside("cli"):
            return subprocess.Popen([FLOOD, "send", "eth0", source, SRV, "80", net.MAC["cli"], net.MAC["srv"],
                                     str(seconds), str(count), str(pps), ",".join(map(str, cpus))],
                                    stdout=subprocess.PIPE, text=True)

    def start_clients(self, first, count, rate, seconds, patience=()):
        with inside("cli"):
            return subprocess.Popen([CLIENTS, SRV, "80", first, *map(str, (count, rate, seconds, *patience))],
                                    stdout=subprocess.PIPE, text=True)


def result(process, what, patience=120):
    """The JSON object that a program of the bench ends with."""
    out, _ = process.communicate(timeout=patience)
    if process.returncode:
        raise Fail(f"{what} ended with code {process.returncode}")
    return json.loads(out)
