# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The exporter: what it says against what `stats --json` says, and what clients may do to it; and what deploy/ makes of
it. This is what the tests share; run.py runs them one after the other, on one instance."""
import gzip
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.append(TOP + "/tests/e2e")
import lib  # noqa: E402
from lib import check, equal, until  # noqa: E402
from net import V4  # noqa: E402

OPENMETRICS = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75," \
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"  # as Prometheus 2.42 sends it
TESTS = []


def limit(name):
    """A number of user/http_clients.h."""
    with open(TOP + "/user/http_clients.h") as f:
        return int(re.search(rf"^#define {name} +(\d+)", f.read(), re.M)[1])


HASTE, PATIENCE = limit("HTTP_HASTE"), limit("HTTP_PATIENCE")
# what it may have open: connections, and what a scrape or a start needs
FILES = sum(map(limit, ("HTTP_WAITING", "HTTP_CLIENTS", "HTTP_SPARE"))) + 32


def test(function):
    TESTS.append(function)
    return function


def needed(name):
    """The path of an optional program, as metrics.sh found it."""
    path = os.environ.get(name)
    if not path:
        raise lib.Skip(f"no {name.lower()}: it is not installed, and apt could not fetch it (apt-get install prometheus)")
    return path


class Server:
    """`synwave export --listen`, in the server's namespace."""

    def __init__(self, sw, where="127.0.0.1:0", *options, under=()):
        with lib.inside("srv"):
            self.process = subprocess.Popen([*under, lib.SYNWAVE, "--pin", sw.pin, "export", "--listen", where, *options],
                                            stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        check("listening on http://" in line, f"first line of the server: {line!r}")
        url = urllib.parse.urlsplit(line.split()[-1])
        self.at = (url.hostname, url.port)

    def socket(self):
        with lib.inside("srv"):
            s = socket.socket(socket.AF_INET6 if ":" in self.at[0] else socket.AF_INET)
        s.settimeout(lib.PATIENCE)
        s.connect(self.at)
        return s

    def ask(self, path="/metrics", method="GET", body=None, **headers):
        """(status, headers, body as text) of one request."""
        c = http.client.HTTPConnection(*self.at, timeout=lib.PATIENCE)
        c.sock = self.socket()
        c.request(method, path, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})
        r = c.getresponse()
        data = r.read()
        c.close()
        if r.getheader("Content-Encoding") == "gzip":
            data = gzip.decompress(data)
        return r.status, r.headers, data.decode()

    def files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def scrape(self, **headers):
        status, _, text = self.ask(**headers)
        equal(status, 200, "/metrics: " + text[:200])
        return parse(text)

    def stop(self, sig=signal.SIGTERM):
        self.process.send_signal(sig)
        code = self.process.wait(5)
        self.process.stderr.close()
        return code


SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)')


def parse(text):
    """{(name, ((label, value), ...)): number}. Strict: no sample twice, every sample of the family before it."""
    found, family, kind, seen = {}, None, None, set()
    for line in text.splitlines():
        if line.startswith("#"):
            words = line.split(" ", 3)
            if line == "# EOF":
                continue
            check(words[1] in ("HELP", "TYPE", "UNIT"), line)
            if words[1] == "HELP":
                check(words[2] not in seen, f"family twice: {words[2]}")
                seen.add(words[2])
                family, kind = words[2], None
            elif words[1] == "TYPE":
                kind = words[3]
            equal(words[2], family, "family of " + line)
            continue
        m = SAMPLE.match(line)
        check(m, f"no sample: {line!r}")
        name, labels, number = m.groups()
        endings = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("", "_total"), "info": ("_info",)}
        check(any(name == family + e for e in endings.get(kind, ("",))), f"{name} below {family} ({kind})")
        pairs = tuple(LABEL.findall(labels or ""))
        equal(",".join(f'{k}="{v}"' for k, v in pairs), labels or "", "labels of " + line)
        check((name, pairs) not in found, f"twice: {line}")
        found[name, pairs] = float(number)
    return found


def of(samples, name, label=None):
    """One number, or {value of the label: number}."""
    if label is None:
        return samples["synwave_" + name, ()]
    return {dict(pairs)[label]: n for (who, pairs), n in samples.items() if who == "synwave_" + name}


def same(a, b):
    """Two readings, but for their clocks."""
    return all(a[k] == b[k] for k in a if k not in ("at_ns", "monotonic_ns"))


def settled(sw):
    """stats --json and the export's text, of a moment when nothing changed in between."""

    def met():
        before = sw.stats()
        text = sw.cmd("export").stdout
        after = sw.stats()
        return (after, text) if same(before, after) else None

    return until(met, "a moment without changes")


def fetch(port, times=1, addr=V4.srv):
    for _ in range(times):
        with lib.inside("cli"):
            s = socket.socket()
        s.settimeout(lib.PATIENCE)
        s.connect((addr, port))
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        while s.recv(65536):
            pass
        s.close()


class Patience:
    """A server with a client that says nothing, one that says a byte a second and one that has had its answer: how long
    they are let."""

    def __init__(self, sw):
        self.server, self.lived = Server(sw), {}
        self.threads = [threading.Thread(target=self.wait, args=(who, self.server.socket()), daemon=True)
                        for who in ("silent", "drip", "idle")]
        for t in self.threads:
            t.start()

    def wait(self, who, s):
        begin = time.monotonic()
        if who == "idle":
            s.sendall(b"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            s.recv(65536)
        s.settimeout(1)
        while time.monotonic() - begin < PATIENCE + 10:
            try:
                if who == "drip":
                    s.sendall(b"G")
                if not s.recv(1):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        self.lived[who] = time.monotonic() - begin
        s.close()


class World:
    sw = server = web = patience = prometheus = None
