# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Clients that are many, slow, silent or greedy: others are served all the same."""
import contextlib
import http.client
import resource
import socket
import subprocess
import time

import lib
from lib import check, equal, until
from tools import FILES, HASTE, TOP, Server, limit, test

resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
ASK = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"


@test
def silent_and_slow_clients(w):
    crowd = [w.server.socket() for _ in range(900)]  # more than there are places: the oldest have to go
    for s in crowd[:150]:
        try:
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: ")
        except OSError:
            pass
    slow = w.server.socket()  # asks, and does not read
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
    for _ in range(20):
        begin = time.monotonic()
        equal(w.server.ask()[0], 200, "among silent clients")
        check(time.monotonic() - begin < 2, "slow among silent clients")
    check(w.server.files() < FILES, f"{w.server.files()} open files")
    for s in crowd + [slow]:
        s.close()
    until(lambda: w.server.files() < 16, "files to be closed")


def memory(w):
    """Resident, in KB."""
    with open(f"/proc/{w.server.process.pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


@test
def a_thousand_connections(w):
    """Slow, silent, broken and greedy ones: memory and threads stay, others are served."""
    before, crowd = memory(w), []
    junk = [b"", b"GET /metrics HTTP/1.1\r\nHost: ", b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50,
            b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 20000,
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n" + b"y" * 20000,
            b"GET /" + b"%00" * 9000, b"GET / HTTP/9.9\r\n\r\n", b"\x00\xff" * 5000, b"GET / HTTP/1.1\r\n" + b"A: " * 20000,
            b"GET / HTTP/1.1\nHost: localhost\nContent-Length: -1\n\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    for i in range(1000):
        s = w.server.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        s.settimeout(0.05)
        try:
            s.sendall(junk[i % len(junk)])
        except OSError:  # thrown out already, or full
            pass
        crowd.append(s)
        if i % 100 == 0:
            equal(w.server.ask()[0], 200, f"among {i} others")
    for _ in range(10):
        equal(w.server.ask()[0], 200, "among a thousand others")
    with open(f"/proc/{w.server.process.pid}/status") as f:
        check("Threads:\t1\n" in f.read(), "threads")
    files, grown = w.server.files(), memory(w) - before
    check(files < FILES, f"{files} open files")
    check(grown < 32 << 10, f"{grown} KB more than before")
    for s in crowd:
        s.close()
    until(lambda: w.server.files() < 16, "files to be closed")
    equal(w.server.ask()[0], 200, "afterwards")
    return f"{max(grown, 0)} KB more"


def flood(w, *text):
    """100,000 connections come and go, from two processes, 1,600 of them at a time; meanwhile each scrape is answered."""
    program, port = "/run/connect_flood", str(w.server.at[1])
    lib.run("gcc", "-O2", "-o", program, TOP + "/tests/metrics/connect_flood.c")
    before, most, scrapes, begin = memory(w), 0, 0, time.monotonic()
    with lib.inside("srv"):
        flooders = [subprocess.Popen([program, port, "50000", "800", *text]) for _ in range(2)]
    try:
        while any(f.poll() is None for f in flooders):
            equal(w.server.ask()[0], 200, f"scrape {scrapes + 1} in a flood of connections")
            most, scrapes = max(most, w.server.files()), scrapes + 1
            check(time.monotonic() - begin < 120 * lib.SLOW, "the flood takes too long")
    finally:
        for f in flooders:
            f.kill()
            f.wait()
    took = time.monotonic() - begin
    equal([f.returncode for f in flooders], [0, 0], "exit codes of the flooders")
    check(most < FILES, f"{most} open files")
    check(memory(w) - before < 32 << 10, f"{memory(w) - before} KB more than before")
    until(lambda: w.server.files() < 16, "files to be closed")
    return f"{scrapes} scrapes in {took:.1f} s, {100 / took:.0f}k connections a second"


@test
def a_flood_of_connections(w):
    return flood(w)


@test
def a_flood_of_first_bytes(w):
    return flood(w, "G")


@contextlib.contextmanager
def small_buffers():
    """The kernel holds two or three answers ready for a client that does not read."""
    with lib.inside("srv"), open("/proc/sys/net/ipv4/tcp_wmem", "r+") as f:
        before = f.read()
        f.write("4096 16384 65536")
        f.flush()
        try:
            yield
        finally:
            f.write(before)


@test
def who_has_asked_is_kept(w):
    """However many come after it that do not ask: one that has had an answer, and one that has not read all of its own."""
    c = http.client.HTTPConnection(*w.server.at, timeout=lib.PATIENCE)
    c.sock = mine = w.server.socket()
    c.request("GET", "/metrics")
    c.getresponse().read()
    with small_buffers():
        slow = w.server.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(ASK * 8)
        equal(w.server.ask()[0], 200, "beside it")
    crowd = [w.server.socket() for _ in range(2 * limit("HTTP_WAITING"))]
    for s in crowd[-3 * limit("HTTP_CLIENTS"):]:
        s.sendall(b"G")
    equal(w.server.ask()[0], 200, "among them")
    c.request("GET", "/metrics")
    equal(c.getresponse().read()[:6], b"# HELP", "the second answer")
    check(c.sock is mine, "the connection was closed")
    answers, tail = 0, b""
    while answers < 8:
        data = slow.recv(1 << 20)
        check(data, f"closed after {answers} of 8 answers")
        answers += (tail + data).count(b"HTTP/1.1 200")
        tail = (tail + data)[-11:]
    for s in (*crowd, slow, c):
        s.close()


@test
def clients_that_never_read(w):
    """Three times as many as have room, with answers to come: the next one waits some seconds, not for them."""
    crowd = []
    with small_buffers():
        for _ in range(3 * limit("HTTP_CLIENTS")):
            s = w.server.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            with contextlib.suppress(OSError):  # had to go already
                s.sendall(ASK * 8)
            crowd.append(s)
        equal(w.server.ask()[0], 200, "beside them")
    for s in crowd:
        s.close()
    until(lambda: w.server.files() < 16, "files to be closed")


@test
def who_has_ended_is_let_go(w):
    """With the last bytes of its request, or before there was a whole one."""
    for request in ("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /healthz HTTP/1.1\r\nHost: lo", ""):
        crowd, begin = [w.server.socket() for _ in range(20)], time.monotonic()
        for s in crowd:
            s.sendall(request.encode())
            s.shutdown(socket.SHUT_WR)
        for s in crowd:
            while s.recv(65536):
                pass
            s.close()
        took = time.monotonic() - begin
        check(took < HASTE / 2, f"{request!r}: {took:.1f} s")


@test
def few_files(w):
    """Where it may open few, few wait, and maps can be read."""
    s = Server(w.sw, under=("prlimit", "--nofile=256"))
    crowd = [s.socket() for _ in range(400)]
    for _ in range(5):
        equal(s.ask()[0], 200, "among silent ones")
    check(s.files() < 150, f"{s.files()} open files")
    for c in crowd:
        c.close()
    equal(s.stop(), 0, "exit code")
