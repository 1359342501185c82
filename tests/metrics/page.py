# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The page on /, as it is served: without a browser, and so without a script."""
import html.parser
import json
import re
import time

import instance
import net
from lib import check, equal, until
from tools import TOP, same, test

TYPES = {"page.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml",
         **dict.fromkeys(("page.js", "charts.js", "lib.js", "dygraph.js"), "text/javascript; charset=utf-8")}


class Page(html.parser.HTMLParser):
    """tables: {caption: [[text of a cell, ...], ...]}, without their heads; keys: {data-k: text}."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.keys, self.links, self.open = {}, {}, [], []
        self.caption, self.rows, self.text, self.key = None, None, None, None
        self.feed(text)
        self.close()
        equal(self.open, [], "elements left open")

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        check("style" not in attrs and not any(a.startswith("on") for a in attrs), f"inline style or script: {attrs}")
        self.links += [attrs[a] for a in ("href", "src") if a in attrs]
        if tag in ("meta", "link"):
            return
        self.open.append(tag)
        if tag == "tbody":
            self.rows = self.tables[self.caption] = []
        elif tag == "tr" and self.rows is not None:
            self.rows.append([])
        elif tag in ("caption", "td", "th") or "data-k" in attrs:
            key = attrs.get("data-k")
            self.text, self.key = "", None if "data-permille" in attrs else key

    def handle_endtag(self, tag):
        equal(self.open.pop(), tag, "element closed")
        if self.text is not None and tag in ("caption", "td", "th", "span"):
            if tag == "caption":
                self.caption = self.text
            elif tag != "span" and self.rows is not None:
                self.rows[-1].append(self.text)
            if self.key:
                self.keys[self.key] = self.text
            self.text = self.key = None
        elif tag == "tbody":
            self.rows = None

    def handle_data(self, data):
        if self.text is not None:
            self.text += data


def read(w):
    status, headers, text = w.server.ask("/")
    equal((status, headers["Content-Type"]), (200, "text/html; charset=utf-8"), "/")
    return Page(text)


def number(value):
    return f"{value:,}" if isinstance(value, int) else value


def value_of(stats, key):
    """A member by its data-k; digits are places of a list."""
    for part in key.split("."):
        stats = stats[int(part) if part.isdigit() else part]
    return stats


@test
def page_without_a_script(w):
    wrong = {}

    def met():  # what the page shows was read up to a second ago
        before, page, after = w.sw.stats(), read(w), w.sw.stats()
        wrong.clear()
        wrong.update({k: (t, value_of(before, k)) for k, t in page.keys.items() if t != number(value_of(before, k))})
        return not wrong and same(before, after) and (after, page)

    s, page = until(met, lambda: f"on the page, and expected: {wrong}")
    want = {f"{group}.{key}" for group in ("handshakes", "segments") for key in s[group]}
    want |= {f"tables.{i}.{key}" for i in range(3) for key in ("entries", "capacity", "evicted", "errors")}
    want |= {f"states.{role}.{state}" for role in s["states"] for state in s["states"][role]}
    want |= {"half_open", "time_wait", "time_wait_local", "guard.mode", "guard.passed", "teardowns.completed"}
    equal(want - set(page.keys), set(), "numbers missing on the page")
    rows = [[v["addr"] + f":{v['port']}"] + [number(v[k]) for k in ("syn", "completed", "refused", "half_open")]
            for v in s["services"]]
    equal(page.tables["The busiest listeners since attach"][:-1], rows, "services")
    check(any(r[0].endswith(":8000") and r[4] == "7" for r in rows), f"half-open by service: {rows}")
    latency = page.tables["Latency since attach"]
    equal([r[1] for r in latency], [number(s["latency"][k]["count"]) for k in ("syn_synack", "synack_ack")], "samples")
    for cells in latency:
        check(all(re.fullmatch(r"[\d.]+\xa0(ns|µs|ms|s)", c) for c in cells[2:]), f"durations: {cells}")
    equal(page.tables["Interfaces"], [["eth0", instance.TC, instance.TC]], "interfaces")


@test
def page_with_an_interface_of_an_odd_name(w):
    odd = "<i>&\"'\xe9"
    net.veth("srv", odd, "02:00:00:00:00:05", "cli", "odd", "02:00:00:00:00:06")
    w.sw.attach(odd, mode="tc")
    page = until(lambda: len(read(w).tables["Interfaces"]) == 2 and read(w), "the interface on the page")
    rows = page.tables["Interfaces"]
    check([odd.replace("\xe9", "\\xc3\\xa9"), instance.TC, instance.TC] in rows, f"{rows}")
    w.sw.detach(odd)
    net.ip("srv", "link", "del", odd)


@test
def policy(w):
    for path in ("/", "/page.js", "/stats.json", "/nothing"):
        _, headers, _ = w.server.ask(path)
        csp = dict((words.split() + [""])[:2] for words in headers["Content-Security-Policy"].split(";"))
        for what in ("default-src", "base-uri", "form-action", "frame-ancestors"):
            equal(csp.pop(what), "'none'", f"{path}: {what}")
        equal(csp, dict.fromkeys(("script-src", "style-src", "img-src", "connect-src"), "'self'"), f"{path}: policy")
        for name, value in (("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"),
                            ("Cross-Origin-Resource-Policy", "same-origin")):
            equal(headers[name], value, f"{path}: {name}")
        equal(headers["Cache-Control"], "no-cache" if path == "/page.js" else "no-store", f"{path}: Cache-Control")


@test
def files_of_the_page(w):
    linked = {link for link in read(w).links if "." in link}
    equal(linked - {"stats.json"} <= set(TYPES), True, f"links: {linked}")
    for name, kind in TYPES.items():
        with open(f"{TOP}/build/page/{name}" if name == "dygraph.js" else f"{TOP}/user/page/{name}") as f:
            built = f.read()
        status, headers, plain = w.server.ask("/" + name, Accept_Encoding="identity")
        equal((status, headers["Content-Type"], headers["Content-Encoding"]), (200, kind, None), name)
        check(plain == built, f"{name} is not what was built")
        status, headers, zipped = w.server.ask("/" + name, Accept_Encoding="gzip")
        equal((status, headers["Content-Encoding"]), (200, "gzip"), name + ", gzipped")
        check(zipped == built, f"{name}, gzipped, is not what was built")
        status, again, text = w.server.ask("/" + name, If_None_Match=headers["ETag"])
        equal((status, text, again["ETag"]), (304, "", headers["ETag"]), name + ", had already")
        equal(w.server.ask("/" + name, If_None_Match='W/"00000000"')[0], 200, name + ", had another")
        status, headers, text = w.server.ask("/" + name, method="HEAD")
        check(status == 200 and not text and int(headers["Content-Length"]) > 100, f"HEAD {name}: {status}")
        equal(w.server.ask("/" + name, method="POST")[0], 405, "POST " + name)
        equal(w.server.ask(f"/{name}/")[0], 404, name + "/")
    with open(TOP + "/LICENSES/MIT.txt") as f:
        check(f.read() in w.server.ask("/dygraph.js")[2], "the licence is not in what is served")


@test
def no_other_host_is_named(w):
    known = {"icon.svg": {"http://www.w3.org/2000/svg"},  # a name, not a place
             "dygraph.js": {"https://github.com/danvk/dygraphs/blob/v2.2.1/LICENSE.txt"}}  # a comment
    for name in ["", "stats.json", *TYPES]:
        text = w.server.ask("/" + name)[2]
        found = set(re.findall(r"[a-z]+://[^\s\"'<>)]+", text))
        if name == "dygraph.js":
            found = {re.sub(r"/v[\d.]+/", "/v2.2.1/", f) for f in found}
        equal(found - known.get(name, set()), set(), f"/{name} names")
        check(not re.search(r"(src|href)=[\"']?//|url\(|@import", text) or name == "dygraph.js", f"/{name} loads")


@test
def stats_json(w):
    status, headers, text = w.server.ask("/stats.json")
    equal((status, headers["Content-Type"]), (200, "application/json"), "/stats.json")
    served = json.loads(text)
    equal(list(served), list(w.sw.stats()), "members")

    until(lambda: same(json.loads(w.server.ask("/stats.json")[2]), w.sw.stats()), "/stats.json to be stats --json")
    check(text.count("\n") == 1, "one line")


@test
def many_pages_share_a_reading(w):
    begin, seen = time.monotonic(), set()
    for _ in range(100):
        seen.add(json.loads(w.server.ask("/stats.json")[2])["monotonic_ns"])
    took = time.monotonic() - begin
    check(len(seen) <= took / 0.9 + 1, f"{len(seen)} readings in {took:.2f} s")
    until(lambda: json.loads(w.server.ask("/stats.json")[2])["monotonic_ns"] > max(seen), "another reading")
