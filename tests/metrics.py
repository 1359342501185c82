# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The exporter: what it says against what `stats --json` says, and what clients may do to it. Run by metrics.sh."""
import concurrent.futures
import gzip
import http.client
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE + "/e2e")
import lib  # noqa: E402
from lib import V4, Fail, Skip, check, equal, until  # noqa: E402

PATIENCE = 30  # HTTP_PATIENCE of user/http.h
OPENMETRICS = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75," \
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"  # as Prometheus 2.42 sends it
TESTS = []


def test(function):
    TESTS.append(function)
    return function


# --- tools ---


class Server:
    """`synwave export --listen`, in the server's namespace."""

    def __init__(self, sw, where="127.0.0.1:0"):
        with lib.inside("srv"):
            self.process = subprocess.Popen([lib.SYNWAVE, "--pin", sw.pin, "export", "--listen", where],
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


def settled(sw):
    """stats --json and the export's text, of a moment when nothing changed in between."""

    def met():
        before = sw.stats()
        text = sw.cmd("export").stdout
        after = sw.stats()
        drop = ("at_ns",)
        same = all(before[k] == after[k] for k in before if k not in drop)
        return (after, text) if same else None

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


# --- one after the other, on one instance ---


class Patience:
    """A server with a client that says nothing and one that says a byte a second: how long they are let."""

    def __init__(self, sw):
        self.server, self.lived = Server(sw), {}
        self.threads = [threading.Thread(target=self.wait, args=(drip, self.server.socket()), daemon=True)
                        for drip in (False, True)]
        for t in self.threads:
            t.start()

    def wait(self, drip, s):
        begin = time.monotonic()
        s.settimeout(1)
        while time.monotonic() - begin < PATIENCE + 10:
            try:
                if drip:
                    s.sendall(b"G")
                if not s.recv(1):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        self.lived["drip" if drip else "silent"] = time.monotonic() - begin
        s.close()


class World:
    sw = server = web = patience = None


@test
def nothing_attached(w):
    r = w.sw.cmd("export", ok=(1,))
    check(r.stdout == "" and r.stderr.count("\n") == 1 and "nothing is attached" in r.stderr, r.stderr)
    w.server = Server(w.sw)
    for path in ("/healthz", "/metrics", "/"):
        status, _, text = w.server.ask(path)
        equal(status, 503, path)
        check("nothing is attached at " + w.sw.pin in text, text)
    w.patience = Patience(w.sw)


@test
def attached_under_it(w):
    w.sw.attach("eth0", mode="tc")
    equal(w.server.ask("/healthz")[::2], (200, "ok\n"), "/healthz")
    equal(w.server.ask()[0], 200, "/metrics")


@test
def values_are_those_of_stats(w):
    with lib.inside("srv"):
        w.web = subprocess.Popen([sys.executable, "-m", "http.server", "--bind", "0.0.0.0", "8000"], cwd="/run",
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with lib.inside("srv"):
        until(lambda: ":8000 " in lib.run("ss", "-Htln").stdout, "the web server")
    fetch(8000, 30)
    for _ in range(3):
        lib.refused("cli", V4, 81)
    lib.half_open(V4, 7, 8000)
    w.sw.expect(half_open=7)
    s, text = settled(w.sw)
    m = parse(text)
    h, t = s["handshakes"], s["teardowns"]
    check(h["completed"] >= 30 and h["refused"] == 3, f"traffic: {h}")
    want = {
        "half_open_connections": s["half_open"], "time_wait_connections": s["time_wait"],
        "handshakes_started_total": h["started"], "handshakes_completed_total": h["completed"],
        "handshakes_in_progress": h["in_progress"], "syn_retransmits_total": h["syn_retransmits"],
        "synack_retransmits_total": h["synack_retransmits"], "teardowns_started_total": t["started"],
        "teardowns_in_progress": t["in_progress"], "events_lost_total": s["events_lost"]}
    for name, value in want.items():
        equal(of(m, name), value, name)
    equal(of(m, "segments_total", "kind"), s["segments"], "segments")
    equal(of(m, "ignored_frames_total", "reason"), s["ignored"], "ignored")
    equal(of(m, "handshakes_failed_total", "reason"),
          {k: h[k] for k in ("refused", "reset", "timed_out", "evicted")}, "failed")
    kinds = of(m, "teardowns_completed_total", "kind")
    equal(set(kinds), {"four_way", "three_way", "simultaneous", "reset"}, "kinds of teardowns")
    equal(sum(kinds.values()), t["completed"] + t["reset"], "teardowns completed")
    for column in ("entries", "capacity"):
        equal(of(m, "table_" + column, "table"), {v["name"]: v[column] for v in s["tables"]}, column)
    equal(of(m, "table_evictions_total", "table"), {v["name"]: v["evicted"] for v in s["tables"]}, "evicted")
    equal(of(m, "table_errors_total", "table"), {v["name"]: v["errors"] for v in s["tables"]}, "errors")


@test
def states_in_the_words_of_node_exporter(w):
    s, text = settled(w.sw)
    words = {"LISTEN": "listen", "SYN_SENT": "syn_sent", "SYN_RCVD": "syn_recv", "ESTABLISHED": "established",
             "FIN_WAIT_1": "fin_wait1", "FIN_WAIT_2": "fin_wait2", "CLOSE_WAIT": "close_wait", "CLOSING": "closing",
             "LAST_ACK": "last_ack", "TIME_WAIT": "time_wait", "CLOSED": "close"}
    got = {tuple(v for _, v in pairs): n for (name, pairs), n in parse(text).items() if name == "synwave_connections"}
    equal(got, {(role, words[k]): n for role, states in s["states"].items() for k, n in states.items()}, "states")


@test
def histograms(w):
    s, text = settled(w.sw)
    m = parse(text)
    for name, key in (("syn_synack_seconds", "syn_synack"), ("synack_ack_seconds", "synack_ack")):
        le = [(float(k), n) for k, n in of(m, name + "_bucket", "le").items()]
        check(le == sorted(le) and [n for _, n in le] == sorted(n for _, n in le), name + ": not cumulative")
        equal(len(le), 54, "buckets")
        check(abs(le[0][0] - 1.024e-6) < 1e-15 and le[-2][0] == 68.719476736 and le[-1][0] == float("inf"), f"{le}")
        equal(le[-1][1], s["latency"][key]["count"], "+Inf")
        equal(of(m, name + "_count"), le[-1][1], "_count")
        equal(round(of(m, name + "_sum") * 1e9), s["latency"][key]["sum_ns"], "_sum")
        check(le[-1][1] >= 30, f"{name}: {le[-1][1]} samples of 30 connections")
        for bound, n in le[:-1]:
            equal(n, sum(c for up, c in s["latency"][key]["buckets"] if up and up <= round(bound * 1e9)), f"le={bound}")


@test
def labels_of_the_contract(w):
    m = parse(w.sw.cmd("export").stdout)
    equal([dict(p) for n, p in m if n == "synwave_attach_info"],
          [{"interface": "eth0", "ingress": lib.TC, "egress": lib.TC}], "attach_info")
    equal([dict(p)["kernel"] for n, p in m if n == "synwave_build_info"], [os.uname().release], "kernel")
    equal(of(m, "guard_mode", "mode"), {"off": 1, "dry-run": 0, "enforce": 0}, "guard_mode")
    equal(set(of(m, "guard_syn_total", "verdict")), {"pass", "drop", "challenge", "would_drop", "would_challenge"},
          "verdicts")
    equal(of(m, "guard_cookies_total", "result"), {"sent": 0, "valid": 0, "invalid": 0}, "cookies")
    syn = of(m, "service_syn_total", "service")
    check(syn[f"{V4.srv}:8000"] == 37 and syn["other"] == 3, f"services: {syn}")
    equal(of(m, "service_half_open", "service"), {f"{V4.srv}:8000": 7, "other": 0}, "half-open by service")


@test
def interface_of_an_odd_name(w):
    lib.veth("srv", 'a"b\\c', "02:00:00:00:00:03", "cli", "odd", "02:00:00:00:00:04")
    w.sw.attach('a"b\\c', mode="tc")
    text = w.sw.cmd("export").stdout
    check('interface="a\\"b\\\\c"' in text, text[:400])
    parse(text)
    w.sw.detach('a"b\\c')
    lib.ip("srv", "link", "del", 'a"b\\c')


@test
def promtool_has_no_complaint(w):
    promtool = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if not promtool:
        raise Skip("no promtool (apt-get install prometheus)")
    r = subprocess.run([promtool, "check", "metrics"], input=w.sw.cmd("export").stdout, text=True,
                       capture_output=True, timeout=60)
    check(r.returncode == 0 and not r.stdout and not r.stderr, r.stdout + r.stderr)


@test
def manual_is_the_table(w):
    with open(os.path.dirname(HERE) + "/docs/metrics.md") as f:
        manual = f.read()
    equal(w.sw.cmd("export", "--describe").stdout == manual, True, "docs/metrics.md is current (else: make docs)")
    bound = int(re.search(r"At most (\d+)", manual).group(1))
    samples = parse(w.sw.cmd("export").stdout)
    check(len(samples) <= bound, f"{len(samples)} series, {bound} promised")
    names = {re.sub("_(bucket|sum|count)$", "", n) if "_seconds_" in n else n for n, _ in samples}
    equal(names, set(re.findall(r"^\| `(\w+)`", manual, re.M)), "names in the manual")


@test
def openmetrics(w):
    status, headers, text = w.server.ask(Accept=OPENMETRICS)
    equal((status, headers["Content-Type"]), (200, "application/openmetrics-text; version=1.0.0; charset=utf-8"), "type")
    check(text.endswith("\n# EOF\n") and text.count("# EOF") == 1, "no # EOF at the end")
    check("# TYPE synwave_handshakes_started counter\n" in text, "a counter's family has no _total")
    check("# TYPE synwave_build info\n" in text and "\nsynwave_build_info{" in text, "info")
    check("# UNIT synwave_syn_synack_seconds seconds\n" in text, "unit")
    m = parse(text)
    status, headers, plain = w.server.ask()
    equal(headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8", "type without Accept")
    equal(set(m), set(parse(plain)), "the same samples in both formats")
    check("EOF" not in plain and "# UNIT" not in plain, "text 0.0.4 knows neither")
    for accept in ("text/plain", "*/*", "application/openmetrics-text;q=0", "application/openmetrics-text;q=0.2,text/plain"):
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


@test
def page(w):
    status, headers, text = w.server.ask("/")
    equal((status, headers["Content-Type"]), (200, "text/html; charset=utf-8"), "/")
    csp = headers["Content-Security-Policy"]
    check("default-src 'none'" in csp and "unsafe" not in csp, csp)
    check("<script" not in text and "style=" not in text and "http" not in text.replace("healthz", ""), "page")
    check(f"{V4.srv}:8000" in text and "<th scope=row>half-open</th><td>7</td>" in text, "numbers on the page")
    for link in re.findall(r"href=(\w[\w.]*)", text):
        equal(w.server.ask("/" + link)[0], 200, link)


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
def silent_and_slow_clients(w):
    crowd = [w.server.socket() for _ in range(300)]  # more than there are places: the oldest have to go
    for s in crowd[:150]:
        try:
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: ")
        except OSError:
            pass
    slow = w.server.socket()  # asks, and does not read
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
    for _ in range(20):
        begin = time.monotonic()
        equal(w.server.ask()[0], 200, "among silent clients")
        check(time.monotonic() - begin < 2, "slow among silent clients")
    files = len(os.listdir(f"/proc/{w.server.process.pid}/fd"))
    check(files < 130, f"{files} open files")
    for s in crowd + [slow]:
        s.close()
    until(lambda: len(os.listdir(f"/proc/{w.server.process.pid}/fd")) < 16, "files to be closed")


@test
def keep_alive(w):
    c = http.client.HTTPConnection(*w.server.at, timeout=lib.PATIENCE)
    c.sock = mine = w.server.socket()
    for _ in range(5):
        c.request("GET", "/metrics")
        equal(c.getresponse().read()[:6], b"# HELP", "answer")
    check(c.sock is mine, "the connection was closed")
    c.close()


def under(w, change):
    """Scrapes without a pause while `change` happens: the statuses seen."""
    done, seen = threading.Event(), []

    def read():
        while not done.is_set():
            seen.append(w.server.ask()[0])

    reader = threading.Thread(target=read)
    reader.start()
    try:
        change()
    finally:
        done.set()
        reader.join()
    return set(seen)


@test
def upgrade_under_it(w):
    before = of(w.server.scrape(), "handshakes_started_total")
    equal(under(w, lambda: [w.sw.attach("eth0", mode="tc") for _ in range(3)]), {200}, "answers")
    fetch(8000)
    until(lambda: of(w.server.scrape(), "handshakes_started_total") == before + 1, "counters to go on")


@test
def detach_and_attach_under_it(w):
    def change():
        for _ in range(4):
            w.sw.detach()
            w.sw.attach("eth0", mode="tc")

    check(under(w, change) <= {200, 503}, "answers")
    fetch(8000, 2)
    until(lambda: of(w.server.scrape(), "handshakes_started_total") == 2, "counters to begin anew")
    equal(w.server.ask("/healthz")[0], 200, "/healthz")
    w.sw.detach()
    equal(w.server.ask("/healthz")[0], 503, "/healthz after detach")
    equal(w.server.ask("/metrics")[0], 503, "/metrics after detach")
    w.sw.attach("eth0", mode="tc")


@test
def other_services_never_go_back(w):
    ports = range(9001, 9026)
    doors = [lib.listener("srv", V4, p) for p in ports]

    def knock(port, times):
        for _ in range(times):
            lib.dial("cli", V4, port).close()

    for i, p in enumerate(ports):
        knock(p, i + 1)
    lib.refused("cli", V4, 81)

    def syn():
        return of(w.server.scrape(), "service_syn_total", "service")

    first = syn()
    until(lambda: sum(syn().values()) == sum(range(26)) + 1, "all SYNs")
    first = syn()
    equal(len(first), 21, "services")
    knock(9001, 40)  # from the last place to the first: without a memory, `other` would lose it
    until(lambda: syn().get(f"{V4.srv}:9001") == 41, "the new busiest")
    second = syn()
    equal(second["other"], first["other"] + 40, "other: what happened while 9001 was in it")
    lib.refused("cli", V4, 81)
    until(lambda: syn()["other"] == first["other"] + 41, "other to go on")
    s = w.sw.stats()
    plain = of(parse(w.sw.cmd("export").stdout), "service_syn_total", "service")
    equal(plain["other"] + sum(n for k, n in plain.items() if k != "other"),
          sum(v["syn"] for v in s["services"]) + s["services_other"]["syn"], "all together")
    for d in doors:
        d.close()


@test
def maps_of_another_version(w):
    meta = w.sw.pin + "/meta"
    value = json.loads(lib.run("bpftool", "-j", "map", "lookup", "pinned", meta, "key", "0", "0", "0", "0").stdout)
    good = [int(b, 16) for b in value["value"]]
    bad = good[:8] + [99, 0, 0, 0] + good[12:]

    def write(data):
        lib.run("bpftool", "map", "update", "pinned", meta, "key", "0", "0", "0", "0", "value", *map(str, data))

    write(bad)
    for path in ("/healthz", "/metrics", "/"):
        status, _, text = w.server.ask(path)
        check(status == 503 and "layout 99" in text, f"{path}: {status} {text}")
    write(good)
    equal(w.server.ask("/healthz")[0], 200, "/healthz")
    os.rename(w.sw.pin + "/sets", w.sw.pin + "/away")
    status, _, text = w.server.ask("/healthz")
    check(status == 503 and "sets is missing" in text, text)
    os.rename(w.sw.pin + "/away", w.sw.pin + "/sets")


@test
def interface_gone(w):
    lib.ip("srv", "link", "del", "eth0")
    status, _, text = w.server.ask("/healthz")
    check(status == 503 and "gone" in text, f"{status} {text}")


@test
def where_to_listen(w):
    with lib.inside("srv"):
        for family, where in ((socket.AF_INET6, "[::1]:0"), (socket.AF_INET, "0.0.0.0:0"), (socket.AF_INET6, ":0")):
            s = Server(w.sw, where)
            if where != "[::1]:0":
                s.at = ("127.0.0.1", s.at[1])
            equal(s.ask("/style.css")[0], 200, where)
            equal(s.stop(signal.SIGINT), 0, "exit code on SIGINT")
    host, port = w.server.at
    r = w.sw.cmd("export", "--listen", f"{host}:{port}", ok=(1,))
    check("Address already in use" in r.stderr, r.stderr)
    for where in ("nonsense", "localhost:80", "127.0.0.1", "127.0.0.1:", "::1:80", "[::1]", "[::1", "1.2.3.4:65536",
                  "127.0.0.1:8x", "[]:80"):
        r = w.sw.cmd("export", "--listen", where, ok=(2,))
        check(r.stderr.count("\n") == 1, r.stderr)
    for words in (("x",), ("--listen", "--textfile", "/run/x"), ("--textfile",), ("--json",), ("--none",)):
        w.sw.cmd("export", *words, ok=(2,))


@test
def silent_clients_are_sent_away(w):
    for t in w.patience.threads:
        t.join()
    for who, seconds in w.patience.lived.items():
        check(PATIENCE <= seconds < PATIENCE + 5, f"{who}: {seconds:.1f} s")
    equal(w.patience.server.stop(), 0, "exit code")


@test
def ends_on_sigterm(w):
    idle = [w.server.socket() for _ in range(5)]
    begin = time.monotonic()
    equal(w.server.stop(), 0, "exit code")
    check(time.monotonic() - begin < 1, "took its time")
    for s in idle:
        s.close()


# --- the run ---


def prepare():
    lib.check(lib.libc.mount(b"none", b"/", None, 0x44000, None) == 0, "private mounts")
    for kind, where in ((b"tmpfs", b"/run"), (b"bpf", b"/sys/fs/bpf")):
        check(lib.libc.mount(kind, where, kind, 0, None) == 0, f"mount {kind}")
    os.mkdir("/run/netns")
    shutil.copy(os.environ["SYNWAVE"], lib.SYNWAVE)
    lib.pair()
    lib.ip("srv", "link", "set", "lo", "up")


def main():
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    wanted = [t for t in TESTS]
    count = {"passed": 0, "failed": 0, "skipped": 0}
    prepare()
    w = World()
    w.sw = lib.Synwave("swm")
    for one in wanted:
        name = "metrics: " + one.__name__.replace("_", " ")
        try:
            note = one(w)
            print(f"ok - {name}" + (f" ({note})" if note else ""), flush=True)
            count["passed"] += 1
        except Skip as why:
            print(f"skip - {name}: {why}", flush=True)
            count["skipped"] += 1
        except Exception as why:  # the others still run
            at = why.__traceback__
            while at.tb_next and at.tb_next.tb_frame.f_code.co_filename == __file__:
                at = at.tb_next
            print(f"not ok - {name}: line {at.tb_lineno}: {type(why).__name__ if not isinstance(why, Fail) else ''} {why}",
                  flush=True)
            count["failed"] += 1
    print("metrics: " + ", ".join(f"{n} {word}" for word, n in count.items()))
    return 1 if count["failed"] else 0


sys.exit(main())
