# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The hosts of tests/demo.sh and what they do: a step a line of standard input, its story a line of standard output."""
import ipaddress
import random
import socket
import struct
import sys
import time

from frames import OPTIONS, SYN, ethernet, packet
from instance import Synwave, attached, pins
from lib import Fail, dig, inside, until
from net import MAC, V4, address, deaf, ghosts, listener, netns, part, part_at_once, ss, talk, veth, wire


class Hosts:
    def __init__(self):
        netns("server")
        netns("client")
        veth("server", "eth0", MAC["srv"], "client", "eth0", MAC["cli"])
        address("server", "eth0", V4.srv, 24)
        address("client", "eth0", V4.cli, 24)
        self.server = listener("server", V4, 80)
        self.port, self.kept, self.frames = 40000, [], []

    def ready(self):
        return f"{V4.srv} server  eth0 ------ eth0  client {V4.cli}"

    def caller(self):
        """A client with a port that is easy to find again."""
        self.port += 1
        with inside("client"):
            c = socket.socket()
        c.bind((V4.cli, self.port))
        c.settimeout(10)
        return c

    def meet(self):
        c = self.caller()
        c.connect((V4.srv, 80))
        s, _ = self.server.accept()
        talk(c, s)
        return c, s

    def by_client(self):
        part(*self.meet())
        return f"{self.port}         the client closes first"

    def by_server(self):
        c, s = self.meet()
        part(s, c)
        return f"{self.port}         the server closes first"

    def at_once(self):
        part_at_once(*self.meet())
        return f"{self.port}         both close at the same moment: their FINs cross on the wire"

    def abort(self):
        c, _ = self.meet()
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.close()
        return f"{self.port}         the client aborts: RST instead of FIN"

    def refused(self):
        c = self.caller()
        try:
            c.connect((V4.srv, 81))
        except ConnectionRefusedError:
            return f"{self.port}         knocks at port 81, where nobody listens: refused"
        raise Fail("port 81 is open")

    def open(self):
        self.kept += [self.meet() for _ in range(2)]
        return f"{self.port - 1}..{self.port}  stay connected"

    def half_open(self):
        """Their host loses what the server answers, so they never send the last ACK."""
        for _ in range(3):
            c = self.caller()
            deaf(c)
            c.setblocking(False)
            c.connect_ex((V4.srv, 80))
            self.kept.append(c)
        until(lambda: ss("server", "syn-recv") == 3, "three half-open connections")
        return f"{self.port - 2}..{self.port}  never hear the server's answer: half-open"

    def compare(self):
        sw = Synwave("synwave", ns="server")
        rows = [("half-open", "half_open", lambda: ss("server", "syn-recv")),
                ("established, server", "states__local__ESTABLISHED", lambda: ss("server", "established")),
                ("TIME_WAIT, server", "time_wait_local", lambda: ss("server", "time-wait")),
                ("TIME_WAIT, both hosts", "time_wait", lambda: ss("server", "time-wait") + ss("client", "time-wait"))]
        stats = sw.expect(**{path: kernel for _, path, kernel in rows})  # else: fails, and says by what
        lines = [f"{'':24}{'synwave':>8}{'ss':>8}"]
        lines += [f"{name:24}{dig(stats, path.replace('__', '.')):8}{kernel():8}" for name, path, kernel in rows]
        return "\t".join(lines)

    def flood(self):
        """SYNs from addresses that nobody has; what the server answers them goes nowhere."""
        if not self.frames:
            ghosts("server", V4, "198.18.0.0/15")
            net = int(ipaddress.ip_address("198.18.0.0"))
            rnd = random.Random(1)
            for i in range(20000):
                src = str(ipaddress.ip_address(net + rnd.randrange(1 << 17))), 1024 + i
                syn = packet(src, (V4.srv, 80), rnd.randrange(1 << 32), 0, SYN, options=OPTIONS)
                self.frames.append(ethernet(MAC["cli"], MAC["srv"], syn))
            for n in range(10):
                address("client", "eth0", f"10.9.0.{100 + n}", 24)
        s, begun = wire("client"), time.monotonic()
        for f in self.frames:
            s.send(f)
        took = time.monotonic() - begun
        s.close()
        return f"{len(self.frames):,} SYNs from random addresses, {len(self.frames) / took:,.0f} a second"

    def newcomers(self):
        """Ten clients from ten addresses that have never been here, right after the flood."""
        slowest = 0
        for n in range(10):
            with inside("client"):
                c = socket.socket()
            c.settimeout(10)
            c.bind((f"10.9.0.{100 + n}", 0))
            begun = time.monotonic()
            c.connect((V4.srv, 80))
            slowest = max(slowest, time.monotonic() - begun)
            s, peer = self.server.accept()
            while peer[0] != f"10.9.0.{100 + n}":
                s, peer = self.server.accept()
            talk(c, s)
            part(c, s)
        return f"10 of 10 newcomers are served, the slowest connected in {slowest * 1e3:.1f} ms"

    def left(self):
        return f"programs on the interface: {len(attached('server'))}, pinned objects: {len(pins())}"


def main():
    hosts = Hosts()
    for line in sys.stdin:
        try:
            print(getattr(hosts, line.strip())(), flush=True)
        except Fail as why:
            sys.exit(f"demo: {line.strip()}: {why}")


main()
