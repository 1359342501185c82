# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What clients may ask, and do."""
import concurrent.futures
import http.client
import os
import socket
import stat
import threading
import time

import lib
from lib import check, equal, until
from tools import OPENMETRICS, Server, parse, test


@test
def openmetrics(w):
    status, headers, text = w.server.ask(Accept=OPENMETRICS)
    equal(status, 200, "status")
    equal(headers["Content-Type"], "application/openmetrics-text; version=1.0.0; charset=utf-8", "type")
    check(text.endswith("\n# EOF\n") and text.count("# EOF") == 1, "no # EOF at the end")
    check("# TYPE synwave_handshakes_started counter\n" in text, "a counter's family has no _total")
    check("# TYPE synwave_build info\n" in text and "\nsynwave_build_info{" in text, "info")
    check("# UNIT synwave_syn_synack_seconds seconds\n" in text, "unit")
    m = parse(text)
    status, headers, plain = w.server.ask()
    equal(headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8", "type without Accept")
    equal(set(m), set(parse(plain)), "the same samples in both formats")
    check("EOF" not in plain and "# UNIT" not in plain, "text 0.0.4 knows neither")
    for accept in ("text/plain", "*/*", "application/openmetrics-text;q=0",
                   "application/openmetrics-text;q=0.2,text/plain"):
        check("EOF" not in w.server.ask(Accept=accept)[2], "OpenMetrics for Accept: " + accept)
    check(w.sw.cmd("export", "--openmetrics").stdout.endswith("# EOF\n"), "--openmetrics")


@test
def compression(w):
    for header, zipped in (("gzip", True), ("deflate, gzip;q=0.3", True), ("gzip;q=0", False), ("br", False)):
        status, headers, text = w.server.ask(Accept_Encoding=header)
        equal(headers["Content-Encoding"], "gzip" if zipped else None, "Accept-Encoding: " + header)
        parse(text)
    check("Accept-Encoding" in headers["Vary"], "Vary")


@test
def methods_and_paths(w):
    status, headers, text = w.server.ask(method="HEAD")
    check(status == 200 and not text and int(headers["Content-Length"]) > 1000, f"HEAD: {status} {headers}")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        status, headers, _ = w.server.ask(method=method, body=b"x" * 100000 if method == "POST" else None)
        equal((status, headers["Allow"]), (405, "GET, HEAD"), method)
    for path in ("/nothing", "/metrics/", "//", "/../etc/passwd"):
        equal(w.server.ask(path)[0], 404, path)
    equal(w.server.ask("/metrics?x=1")[0], 200, "a query")
    for junk in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"\0" * 100, b"A" * 100000,
                 b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 9000):
        s = w.server.socket()
        try:
            s.sendall(junk + b"\r\n\r\n")
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
        except OSError:
            pass
        s.close()
    equal(w.server.ask("/healthz")[0], 200, "after junk")


def status(server, request):
    """Of a request as it is written here, and the first line of what follows the headers."""
    s = server.socket()
    s.sendall(request.replace("\n", "\r\n").encode("latin-1") + b"Connection: close\r\n\r\n")
    answer = b""
    while data := s.recv(65536):
        answer += data
    s.close()
    head, body = answer.decode().split("\r\n\r\n", 1)
    return head.split("\r\n")[0].removeprefix("HTTP/1.1 "), body.partition("\n")[0]


FOREIGN = "421 Misdirected Request"
HOSTS = {  # whom a browser or a Prometheus says that it asks
    "200 OK": ("127.0.0.1", "127.0.0.1:9465", "192.0.2.7", "[::1]:80", "localhost", "LOCALHOST:1", "metrics.example",
               "b.example:9465"),
    FOREIGN: ("evil.example", "evil.example:9465", "127.0.0.1.evil.example", "b.example.evil.example", "",
              "[evil.example]", "127.0.0.1, evil.example", "\xff\x1b[31m"),
}


@test
def only_known_hosts(w):
    """Another name that leads here is somebody's who wants to read the numbers through a browser: DNS rebinding."""
    s = Server(w.sw, "127.0.0.1:0", "--host", "metrics.example", "--host=B.example.")
    for path in ("/metrics", "/", "/stats.json", "/healthz", "/page.js", "/nothing"):
        got, body = status(s, f"GET {path} HTTP/1.1\nHost: evil.example\n")
        equal(got, FOREIGN, path)
        check(body.endswith("synwave export --listen --host evil.example"), body)
    for want, hosts in HOSTS.items():
        for host in hosts:
            got, body = status(s, f"GET /healthz HTTP/1.1\nHost: {host}\n")
            equal(got, want, f"Host: {host!r}")
            check(got == "200 OK" or ("--host " in body and body.isascii() and body.isprintable()), body)
    equal(status(s, "POST / HTTP/1.1\nHost: evil.example\nContent-Length: 0\n")[0], FOREIGN, "POST")
    for head, want in (("GET /healthz HTTP/1.0\n", "200 OK"),
                       ("GET /healthz HTTP/1.0\nHost: evil.example\n", FOREIGN),
                       ("GET /healthz HTTP/1.1\n", "400 Bad Request"),
                       ("GET /healthz HTTP/1.1\nHost: localhost\nhost: evil.example\n", "400 Bad Request"),
                       ("GET /healthz HTTP/1.1\nHost: localhost\nHost: localhost\n", "400 Bad Request"),
                       ("GET http://evil.example/healthz HTTP/1.1\nHost: localhost\n", "404 Not Found")):
        equal(status(s, head)[0], want, repr(head))
    equal(s.stop(), 0, "exit code")
    equal(status(w.server, "GET /healthz HTTP/1.1\nHost: metrics.example\n")[0], FOREIGN, "without --host")
    for words in (("--host", "a"), ("--host",), ("--listen", "--host", "a:80"), ("--listen", "--host", "[::1]"),
                  ("--listen", "--host", ""), ("--listen", *("--host", "a") * 33)):
        r = w.sw.cmd("export", *words, ok=(2,))
        check(r.stderr.count("\n") == 1 and "--host" in r.stderr, r.stderr)


@test
def textfile(w):
    os.makedirs("/run/text")
    path = "/run/text/synwave.prom"
    old = os.umask(0o077)
    w.sw.cmd("export", "--textfile", path)
    os.umask(old)
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o644, "mode")
    equal(os.listdir("/run/text"), ["synwave.prom"], "files")
    done, bad = threading.Event(), []

    def read():
        while not done.is_set():
            with open(path) as f:
                text = f.read()
            if not text.startswith("# HELP synwave_build_info") or "\nsynwave_events_lost_total 0\n" not in text:
                bad.append(text)

    reader = threading.Thread(target=read)
    reader.start()
    first = os.stat(path).st_ino
    for _ in range(20):
        w.sw.cmd("export", "--textfile", path)
    done.set()
    reader.join()
    check(not bad, f"{len(bad)} half files")
    check(os.stat(path).st_ino != first, "written in place")
    with open(path) as f:
        before = f.read()
    for where, word in (("/run/none/x.prom", "No such file"), ("/run/text", "directory"), ("/proc/x.prom", "")):
        r = w.sw.cmd("export", "--textfile", where, ok=(1,))
        check(r.stderr.count("\n") == 1 and where in r.stderr and word in r.stderr, r.stderr)
    r = lib.run(lib.SYNWAVE, "--pin", "/sys/fs/bpf/nobody", "export", "--textfile", path, ok=(1,))
    with open(path) as f:
        equal(f.read(), before, "the file, after a failure")
    equal(os.listdir("/run/text"), ["synwave.prom"], "files left")


@test
def only_the_right_to_read_maps(w):
    with open(f"/proc/{w.server.process.pid}/status") as f:
        s = dict(line.rstrip("\n").split(":\t", 1) for line in f)
    for key in ("CapEff", "CapPrm", "CapInh"):
        equal(int(s[key], 16) & ~(1 << 39), 0, key)
    equal(int(s["CapEff"], 16), 1 << 39, "CapEff")
    equal(s["NoNewPrivs"], "1", "NoNewPrivs")
    equal(s["Threads"], "1", "threads")


@test
def fifty_at_once(w):
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        begin = time.monotonic()
        answers = list(pool.map(lambda i: w.server.ask(Accept=OPENMETRICS if i % 2 else "", Accept_Encoding="gzip"),
                                range(200)))
    equal({a[0] for a in answers}, {200}, "statuses")
    for _, _, text in answers[::20]:
        parse(text)
    return f"200 answers in {time.monotonic() - begin:.1f} s"


@test
def keep_alive(w):
    c = http.client.HTTPConnection(*w.server.at, timeout=lib.PATIENCE)
    c.sock = mine = w.server.socket()
    for _ in range(5):
        c.request("GET", "/metrics")
        equal(c.getresponse().read()[:6], b"# HELP", "answer")
    check(c.sock is mine, "the connection was closed")
    c.close()
