# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What it says."""
import os
import re
import subprocess
import sys

import instance
import lib
import net
from lib import check, equal, until
from net import V4
from tools import TOP, Patience, Server, fetch, needed, of, parse, settled, test


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
        net.refused("cli", V4, 81)
    net.half_open(V4, 7, 8000)
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
          [{"interface": "eth0", "ingress": instance.TC, "egress": instance.TC}], "attach_info")
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
    net.veth("srv", 'a"b\\c', "02:00:00:00:00:03", "cli", "odd", "02:00:00:00:00:04")
    w.sw.attach('a"b\\c', mode="tc")
    text = w.sw.cmd("export").stdout
    check('interface="a\\"b\\\\c"' in text, text[:400])
    parse(text)
    w.sw.detach('a"b\\c')
    net.ip("srv", "link", "del", 'a"b\\c')


@test
def promtool_has_no_complaint(w):
    r = subprocess.run([needed("PROMTOOL"), "check", "metrics"], input=w.sw.cmd("export").stdout, text=True,
                       capture_output=True, timeout=60)
    check(r.returncode == 0 and not r.stdout and not r.stderr, r.stdout + r.stderr)


@test
def manual_is_the_table(w):
    with open(TOP + "/docs/metrics.md") as f:
        manual = f.read()
    equal(w.sw.cmd("export", "--describe").stdout == manual, True, "docs/metrics.md is current (else: make docs)")
    bound = int(re.search(r"At most (\d+)", manual).group(1))
    samples = parse(w.sw.cmd("export").stdout)
    check(len(samples) <= bound, f"{len(samples)} series, {bound} promised")
    names = {re.sub("_(bucket|sum|count)$", "", n) if "_seconds_" in n else n for n, _ in samples}
    equal(names, set(re.findall(r"^\| `(\w+)`", manual, re.M)), "names in the manual")
