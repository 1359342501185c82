#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The client's machine: does what watched.py asks of it."""
import os
import select
import socket
import struct
import subprocess
import sys
from xmlrpc.server import SimpleXMLRPCServer

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab  # noqa: E402
import net  # noqa: E402
from frames import checksum  # noqa: E402
from lib import PATIENCE, SYNFLOOD, inside, run  # noqa: E402

IDENT = 0x5379  # of our echo requests
held, flood = [], None


def greet(port, source=None):
    """A connection that was answered, or None."""
    try:
        with inside("cli"):
            s = socket.socket()
        s.settimeout(PATIENCE)
        if source:
            s.bind((source, 0))
        s.connect((net.V4.srv, port))
        s.sendall(b"hello")
        return s if s.recv(64) == b"hello" else None
    except OSError:
        return None


class Far:
    def plug(self, number):
        return lab.plug(number, "cli")

    def unplug(self, number):
        return lab.unplug(number, "cli")

    def settle(self, mtu, offloads):
        return lab.settle("cli", mtu, offloads, 1)

    def ping(self, count, size):
        """How many of them were answered: one at a time, but nobody waits long for one. ping(8) gives up those that are late."""
        with inside("cli"):
            s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        s.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER: in one piece
        s.connect((net.V4.srv, 0))
        answered = set()

        def hear(patience):
            came = select.select([s], [], [], patience)[0]
            if came:
                kind, _, _, ident, number = struct.unpack("!BBHHH", s.recv(65536)[20:28])
                if (kind, ident) == (0, IDENT):
                    answered.add(number)
            return came

        for number in range(count):
            echo = struct.pack("!BBHHH", 8, 0, 0, IDENT, number) + bytes(size)
            s.send(echo[:2] + struct.pack("!H", checksum(echo)) + echo[4:])
            while number not in answered and hear(0.25):
                pass
        while len(answered) < count and hear(3):
            pass
        s.close()
        return len(answered)

    def hold(self, count, port):
        held.extend(greet(port) for _ in range(count))
        return sum(s is not None for s in held)

    def part(self, count, server_first):
        for s in [held.pop() for _ in range(count)]:
            if server_first:
                s.sendall(b"bye")
                s.recv(64)
            else:
                s.shutdown(socket.SHUT_WR)
                s.recv(64)
            s.close()
        return True

    def echo(self, port, size):
        """So many bytes there and back."""
        s, sent, left = greet(port), os.urandom(size), size
        got = bytearray()
        while left:
            part = s.send(sent[size - left:size - left + 65536])
            left -= part
            while part:
                got += s.recv(part)
                part = size - left - len(got)
        s.close()
        return bytes(got) == sent

    def half_open(self, count, port):
        net.half_open(net.V4, count, port)
        return True

    def flood(self, count, port):
        global flood
        with inside("cli"):
            flood = subprocess.Popen([SYNFLOOD, "eth0", str(count), net.MAC["ghost"], net.MAC["srv"], "10.77.0.0",
                                      net.V4.srv, str(port), "7"], stdout=subprocess.DEVNULL)
        return True

    def flood_over(self):
        return flood.poll() is not None

    def served(self, count, port):
        """Of so many addresses, each with a connection, how many were served."""
        n = 0
        for i in range(count):
            source = f"10.9.0.{100 + i}"
            net.run("ip", "-n", "cli", "addr", "replace", source + "/24", "dev", "eth0")
            s = greet(port, source)
            n += s is not None
            held.append(s)
        return n

    def drop(self):
        """Every connection ends, by a RST."""
        for s in held:
            if s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                s.close()
        held.clear()
        return True

    def ss(self, state, port):
        with inside("cli"):
            return len(run("ss", "-Htan", "state", state, "dport", "=", f":{port}").stdout.splitlines())


lab.begin("cli")
server = SimpleXMLRPCServer((lab.CONTROL["cli"], 80), logRequests=False, allow_none=True)
server.register_instance(Far())
server.serve_forever()
