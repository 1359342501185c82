# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A real Prometheus with the configuration and rules of deploy/prometheus, and Grafana's queries put to it."""
import http.client
import json
import os
import random
import re
import shutil
import subprocess
import time
import urllib.parse
from datetime import datetime

import lib
import net
from lib import Skip, check, equal, until
from net import MAC, V4
from tools import TOP, Server, needed, test

HERE = TOP + "/deploy/prometheus"
FILES = ("prometheus.yml", "recording.yml", "alerts.yml")
CLIENTS = FLOOD = 3000
PATIENCE = 60


class Prometheus:
    """In the server's namespace. Its clock runs faster: what is said in seconds and minutes is done in less."""

    def __init__(self, program):
        self.dir = "/run/prometheus"
        os.mkdir(self.dir)
        for name in FILES:
            with open(f"{HERE}/{name}") as f:
                text, n = re.subn(r"^( *(?:(?:scrape|evaluation)_interval|for)): \w+$",
                                  lambda m: m[1] + (": 1s" if m[1].endswith("for") else ": 250ms"), f.read(), flags=re.M)
            check(n or name == "recording.yml", f"{name}: no duration found")
            with open(f"{self.dir}/{name}", "w") as f:
                f.write(text)
        self.log = open(self.dir + "/log", "w+")
        with lib.inside("srv"):
            self.process = subprocess.Popen(
                [program, "--config.file=prometheus.yml", "--storage.tsdb.path=data",
                 "--web.listen-address=127.0.0.1:9090"],
                cwd=self.dir, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def ask(self, path, **params):
        with lib.inside("srv"):
            c = http.client.HTTPConnection("127.0.0.1", 9090, timeout=PATIENCE)
            c.connect()
        c.request("GET", f"/api/v1/{path}?" + urllib.parse.urlencode(params))
        answer = json.loads(c.getresponse().read())
        c.close()
        equal(answer["status"], "success", f"{path} {params}: {answer.get('error')}")
        return answer["data"]

    def query(self, expr):
        """[(labels, number)]"""
        return [(r["metric"], float(r["value"][1])) for r in self.ask("query", query=expr)["result"]]

    def value(self, expr):
        found = self.query(expr)
        return found[0][1] if len(found) == 1 else None

    def rules(self):
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]

    def evaluated(self):
        """Waits until every rule has been asked anew."""
        now = time.time()

        def later():
            stamps = [re.fullmatch(r"(.{19})(?:\.\d+)?(Z|[+-].{5})", r["lastEvaluation"]).groups() for r in self.rules()]
            seconds = [datetime.fromisoformat(s + zone.replace("Z", "+00:00")).timestamp() for s, zone in stamps]
            return min(seconds) > now + 1  # they are cut

        until(later, "rules to be evaluated", PATIENCE)

    def raised(self):
        return {a["labels"]["alertname"] for a in self.ask("alerts")["alerts"]}


def running(w):
    if not w.prometheus:
        raise Skip("no Prometheus runs")
    return w.prometheus


def dashboard():
    with open(TOP + "/deploy/grafana/synwave.json") as f:
        return json.load(f)


@test
def rules_do_what_their_tests_say(w):
    r = subprocess.run([needed("PROMTOOL"), "test", "rules", "tests.yml"], cwd=HERE, capture_output=True, text=True,
                       timeout=60)
    equal(r.returncode, 0, r.stdout + r.stderr)


@test
def rules_and_configuration_are_in_order(w):
    r = subprocess.run([needed("PROMTOOL"), "check", "config", "prometheus.yml"], cwd=HERE, capture_output=True,
                       text=True, timeout=60)
    equal(r.returncode, 0, r.stdout + r.stderr)
    for name in ("recording.yml", "alerts.yml"):
        r = subprocess.run([needed("PROMTOOL"), "check", "rules", "--lint-fatal", name], cwd=HERE,
                           capture_output=True, text=True, timeout=60)
        check(r.returncode == 0 and "SUCCESS" in r.stdout, r.stdout + r.stderr)
    with open(HERE + "/alerts.yml") as f:
        alerts = re.findall(r"- alert: (\w+)", f.read())
    with open(HERE + "/tests.yml") as f:
        tests = f.read()
    for alert in alerts:
        cases = re.findall(rf"alertname: {alert}\b.*(?:\n +exp_alerts)?", tests)
        check(any("exp_alerts" in c for c in cases), f"{alert} is never raised in tests.yml")
        check(any("exp_alerts" not in c for c in cases), f"{alert} is always raised in tests.yml")


@test
def target_is_up(w):
    program = needed("PROMETHEUS")
    w.sw.attach("eth0", mode="tc", small=False)
    w.server = Server(w.sw, "127.0.0.1:9465")
    w.prometheus = Prometheus(program)

    def up():
        if w.prometheus.process.poll() is not None:
            w.prometheus.log.seek(0)
            raise lib.Fail(w.prometheus.log.read()[-500:])
        try:
            return [t["health"] for t in w.prometheus.ask("targets")["activeTargets"]] == ["up"]
        except (OSError, ValueError):  # not yet
            return False

    until(up, "the target to be up", PATIENCE)
    equal(w.prometheus.query('up{job="synwave"}'),
          [({"__name__": "up", "instance": "127.0.0.1:9465", "job": "synwave"}, 1)], "up")


@test
def rules_are_loaded(w):
    p = running(w)
    until(lambda: all(r["health"] != "unknown" for r in p.rules()), "rules to be evaluated", PATIENCE)
    wrong = [(r["name"], r.get("lastError")) for r in p.rules() if r["health"] != "ok"]
    check(not wrong, f"{wrong}")
    written = []
    for name in FILES:
        with open(f"{HERE}/{name}") as f:
            written += re.findall(r"- (?:alert|record): (\S+)", f.read())
    equal(sorted(r["name"] for r in p.rules()), sorted(written), "rules")


@test
def busy_honest_clients_raise_nothing(w):
    p = running(w)
    door = net.listener("srv", V4, 8000)
    for _ in range(CLIENTS):
        c = net.dial("cli", V4, 8000)
        s, _ = door.accept()
        c.close()
        s.close()
    net.refused("cli", V4, 81)
    until(lambda: (p.value("synwave_handshakes_completed_total") or 0) >= CLIENTS, "the clients", PATIENCE)
    check(p.value('synwave_segments_total{kind="syn"}') >= CLIENTS, "SYNs")
    p.evaluated()
    equal(p.query('ALERTS{alertname!="SynwaveHandshakeFailures"}'), [], "alerts")
    door.close()
    return f"{CLIENTS} connections"


@test
def every_query_of_the_dashboard(w):
    p = running(w)
    known = {"$job": ".*", "$instance": ".*", "$interface": ".*", "$__rate_interval": "1m"}

    def ready(expr):
        for name, value in known.items():
            expr = expr.replace(name, value)
        check("$" not in expr, f"unknown variable: {expr}")
        return expr

    board, asked = dashboard(), 0
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            found = p.query(ready(target["expr"]))
            check(found, f"{panel['title']}: nothing found by {target['expr']}")
            quantile = "histogram_quantile" in target["expr"]
            check(not quantile or all(0 < v < 10 for _, v in found), f"{panel['title']}: {found}")
            legend = re.findall(r"{{(\w+)}}", target["legendFormat"])
            check(all(label in labels for labels, _ in found for label in legend), f"{panel['title']}: {legend} {found[:3]}")
            asked += 1
    for variable in board["templating"]["list"]:
        if variable["type"] != "query":
            continue
        metric, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]).groups()
        values = p.ask(f"label/{label}/values", **{"match[]": ready(metric)})
        equal(values, {"job": ["synwave"], "instance": ["127.0.0.1:9465"], "interface": ["eth0"]}[variable["name"]],
              "values of $" + variable["name"])
        asked += 1
    check(asked > 30, f"only {asked} queries")
    equal(p.value(ready(panel_of(board, "Half-open")["targets"][0]["expr"])), 0, "half-open")
    return f"{asked} queries"


def panel_of(board, title):
    return next(p for p in board["panels"] if p["title"] == title)


@test
def flood_raises_the_alert(w):
    p = running(w)
    flood = "/run/synflood"
    lib.run("gcc", "-O2", "-o", flood, TOP + "/tests/e2e/synflood.c")
    seed = random.SystemRandom().randrange(1 << 32)
    net.ghosts("srv", V4, "198.18.0.0/16")
    door = net.listener("srv", V4, 8000)
    with lib.inside("cli"):
        lib.run(flood, "eth0", str(FLOOD), MAC["cli"], MAC["srv"], "198.18.0.0", V4.srv, "8000", str(seed))

    def firing():
        return [a for a in p.ask("alerts")["alerts"]
                if a["labels"]["alertname"] == "SynwaveHalfOpenSurge" and a["state"] == "firing"]

    alert = until(firing, "the alert", PATIENCE)[0]
    equal(alert["labels"], {"alertname": "SynwaveHalfOpenSurge", "instance": "127.0.0.1:9465", "job": "synwave",
                            "severity": "warning"}, "labels")
    check(re.match(r"127\.0\.0\.1:9465: \d+ half-open connections", alert["annotations"]["summary"]), str(alert))
    half_open = p.value("synwave_half_open_connections")
    check(FLOOD * 0.9 < half_open <= FLOOD, f"{half_open} half-open connections of {FLOOD} SYNs")
    check("SynwaveExporterDown" not in p.raised(), f"raised: {p.raised()}")
    board = dashboard()
    shown = p.query(board["annotations"]["list"][0]["expr"].replace("$job", ".*").replace("$instance", ".*"))
    check("SynwaveHalfOpenSurge" in {labels["alertname"] for labels, _ in shown}, f"annotations: {shown}")
    net.dial("cli", V4, 8000).close()  # served in the middle of it
    door.close()
    return f"{half_open:.0f} half-open, seed {seed}"


@test
def guard_raises_the_alert(w):
    p = running(w)
    check("SynwaveGuardActive" not in p.raised(), f"raised without a guard: {p.raised()}")
    w.sw.cmd("guard", "set", "mode=dry-run", "source.ipv4/32=10/s burst 10")
    door = net.listener("srv", V4, 8000)
    for _ in range(200):
        net.dial("cli", V4, 8000).close()
    door.close()

    def firing():
        return [a["labels"] for a in p.ask("alerts")["alerts"]
                if a["labels"]["alertname"] == "SynwaveGuardActive" and a["state"] == "firing"]

    equal([labels["verdict"] for labels in until(firing, "the alert", PATIENCE)], ["would_drop"], "verdicts")
    equal(p.query("synwave_guard_mode > 0")[0][0]["mode"], "dry-run", "mode")
    w.sw.cmd("guard", "set", "mode=off")


@test
def exporter_down_raises_the_alert(w):
    p = running(w)
    w.sw.detach()
    until(lambda: "SynwaveExporterDown" in p.raised(), "the alert, with nothing attached", PATIENCE)
    equal(p.value('up{job="synwave"}'), 0, "up")
    w.sw.attach("eth0", mode="tc")
    until(lambda: "SynwaveExporterDown" not in p.raised(), "the alert to end", PATIENCE)
    p.process.terminate()
    p.process.wait(PATIENCE)
    equal(w.server.stop(), 0, "exit code of the exporter")
    w.sw.detach()
    shutil.rmtree(p.dir)


@test
def dashboard_is_sound(w):
    """What Grafana asks of a dashboard before it shows anything."""
    board = dashboard()
    ids = [p["id"] for p in board["panels"]]
    equal(len(set(ids)), len(ids), "panel ids")
    taken = set()
    for p in board["panels"]:
        g = p["gridPos"]
        cells = {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
        check(g["x"] + g["w"] <= 24 and not cells & taken, f"{p['title']}: no place of its own")
        taken |= cells
        if p["type"] == "row":
            continue
        for t in p["targets"]:
            check('job=~"$job", instance=~"$instance"' in t["expr"], f"{p['title']}: not of the chosen instances")
            equal(t["datasource"]["uid"], "${datasource}", p["title"])
        refs = [t["refId"] for t in p["targets"]]
        equal(len(set(refs)), len(refs), p["title"])
    equal([v["name"] for v in board["templating"]["list"]], ["datasource", "job", "interface", "instance"], "variables")
    with open(TOP + "/docs/metrics.md") as f:
        known = set(re.findall(r"^\| `(\w+)`", f.read(), re.M))
    used = {re.sub(r"_bucket$", "", m) for p in board["panels"] for t in p.get("targets", [])
            for m in re.findall(r"\bsynwave_\w+", t["expr"])}
    equal(used - known, set(), "metrics that do not exist")
    # a teardown's start and what is in progress follow from others; sets that change too fast to be read are a reader's affair
    unused = {"synwave_teardowns_started_total", "synwave_teardowns_in_progress", "synwave_handshakes_in_progress",
              "synwave_table_sets_changing"}
    equal(known - used, unused, "metrics that nobody sees")
