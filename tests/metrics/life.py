# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What may happen under it."""
import json
import os
import signal
import threading
import time

import lib
import net
from lib import check, equal, until
from net import V4
from tools import HASTE, PATIENCE, Server, fetch, of, parse, test


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
    until(lambda: of(w.server.scrape(), "handshakes_completed_total") == 2, "counters to begin anew")
    equal(w.server.ask("/healthz")[0], 200, "/healthz")
    w.sw.detach()
    equal(w.server.ask("/healthz")[0], 503, "/healthz after detach")
    equal(w.server.ask("/metrics")[0], 503, "/metrics after detach")
    w.sw.attach("eth0", mode="tc")


@test
def other_services_never_go_back(w):
    ports = range(9001, 9026)
    doors = [net.listener("srv", V4, p) for p in ports]

    def knock(port, times):
        for _ in range(times):
            net.dial("cli", V4, port).close()

    for i, p in enumerate(ports):
        knock(p, i + 1)
    net.refused("cli", V4, 81)

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
    net.refused("cli", V4, 81)
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
    net.ip("srv", "link", "del", "eth0")
    status, _, text = w.server.ask("/healthz")
    check(status == 503 and "gone" in text, f"{status} {text}")


@test
def where_to_listen(w):
    with lib.inside("srv"):
        for where in (["[::1]:0"] if lib.IPV6 else []) + ["0.0.0.0:0", ":0"]:
            s = Server(w.sw, where)
            if where != "[::1]:0":
                s.at = ("127.0.0.1", s.at[1])
            equal(s.ask("/page.css")[0], 200, where)
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
    for who, patience in (("silent", HASTE), ("drip", HASTE), ("idle", PATIENCE)):
        seconds = w.patience.lived[who]
        check(patience <= seconds < patience + 5, f"{who}: {seconds:.1f} s")
    equal(w.patience.server.stop(), 0, "exit code")


@test
def ends_on_sigterm(w):
    idle = [w.server.socket() for _ in range(5)]
    begin = time.monotonic()
    equal(w.server.stop(), 0, "exit code")
    check(time.monotonic() - begin < 1, "took its time")
    for s in idle:
        s.close()
