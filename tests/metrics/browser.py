# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The page on /, in a headless Chromium. With SYNWAVE_SCREENSHOTS=DIR, what it looked like is left there."""
import copy
import functools
import json
import os
import signal

import lib
import net
from chromium import Browser
from lib import check, dig, equal
from net import V4
from tools import Server, fetch, same, test

# Pixel columns of a chart in which a line of a colour is drawn, as [from, to) stretches. Neighbours of a pixel or two
# are one stretch: a line that ends between two pixels leaves none of its colour there.
STRETCHES = """((plot, line) => {
    const canvas = plot.querySelector('canvas');
    const copy = Object.assign(document.createElement('canvas'), {width: canvas.width, height: canvas.height});
    const probe = copy.getContext('2d', {willReadFrequently: true});
    probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(line);
    probe.fillRect(0, 0, 1, 1);
    const want = probe.getImageData(0, 0, 1, 1).data, found = [];
    probe.clearRect(0, 0, 1, 1);
    probe.drawImage(canvas, 0, 0);
    const {data, width, height} = probe.getImageData(0, 0, canvas.width, canvas.height);
    for (let x = 0; x < width; x++)
        for (let y = 0; y < height; y++) {
            const at = 4 * (y * width + x);
            if (data[at + 3] > 60 && [0, 1, 2].every(i => Math.abs(data[at + i] - want[i]) < 24)) {
                if (found.length && x - found.at(-1)[1] < 3)
                    found.at(-1)[1] = x + 1;
                else
                    found.push([x, x + 1]);
                break;
            }
        }
    return found;
})"""
CHART = "[...document.querySelectorAll('#charts figure')].find(f => f.querySelector('figcaption').textContent === '%s')"
STATE = "document.getElementById('state').textContent"
TITLES = ["Half-open connections", "Endpoints in TIME_WAIT", "SYNs per second", "Handshakes per second",
          "Latency, SYN to SYN-ACK", "Latency, SYN-ACK to ACK"]


def stretches(b, title, line="--line-1"):
    return b.js(f"{STRETCHES}({CHART % title}.querySelector('.plot'), '{line}')")


def width(b, title, line="--line-1"):
    return sum(to - since for since, to in stretches(b, title, line))


def legend(b, title):
    return b.js(f"Object.fromEntries([...{CHART % title}.querySelectorAll('.legend li')].map("
                "li => [li.childNodes[1].textContent.trim(), li.querySelector('b').textContent]))")


def cell(b, key):
    return b.js(f"document.querySelector('[data-k=\"{key}\"]').textContent")


def url(w):
    return "http://%s:%d/" % w.server.at


def with_browser(function):
    """A browser of its own for a test; what it complains of fails the test unless the test took note of it."""

    @functools.wraps(function)
    def run(w):
        b = Browser("srv")
        try:
            b.look()
            note = function(w, b)
            equal(b.complaints(), [], "complaints of the browser")
            equal([u for u in b.requests() if not u.startswith(url(w))], [], "requests to other places")
            return note
        finally:
            b.close()

    return test(run)


def live(w, b):
    b.go(url(w))
    b.until(f"{STATE} === 'Live.'", "the page to be live")


@with_browser
def browser_draws_charts(w, b):
    live(w, b)
    served = w.sw.stats()["handshakes"]["completed"]

    def drawn():
        fetch(8000, 3)
        # of some 500 for a minute: points 3 seconds apart. All in TIME_WAIT are this host: one line on the other
        return all(width(b, title, f"--line-{1 + (title == TITLES[1])}") >= 25 for title in TITLES)

    lib.until(drawn, lambda: f"charts: {[(t, stretches(b, t)) for t in TITLES]}")
    b.until(f"{CHART % TITLES[3]}.querySelector('.legend b').textContent !== '0'", "handshakes a second")
    check(float(legend(b, TITLES[3])["completed"].replace(",", "")) > 0, "no rate")

    def met():
        s = w.sw.stats()
        keys = b.js("[...document.querySelectorAll('td[data-k]:not([data-permille])')].map(e => e.dataset.k)")
        shown = {k: cell(b, k) for k in keys if not k.startswith("tables")}
        return same(s, w.sw.stats()) and shown == {k: f"{dig(s, k):,}" for k in shown} and \
            s["handshakes"]["completed"] > served and s

    s = lib.until(met, "the tables to hold the numbers of stats --json")
    equal(legend(b, TITLES[0])["half-open"], f"{s['half_open']:,}", "half-open above its chart")
    for title, key in ((TITLES[4], "syn_synack"), (TITLES[5], "synack_ack")):
        rows = b.js(f"[...{CHART % title}.querySelectorAll('tbody tr')].map(r => [...r.cells].map(c => c.textContent))")
        equal(rows[0][1], f"{s['latency'][key]['count']:,}", title + ": samples")
        check(0 < int(rows[1][1]) <= int(rows[0][1]), f"{title}: last minute: {rows}")
        there = b.js(f"[...document.querySelectorAll('[data-k=\"latency.{key}\"]')].map(c => c.textContent)")
        equal(rows[0][2:], there, title + ": quantiles")
        # the server's arithmetic against the browser's: the page as it was served, while nothing changed
        text = w.server.ask("/")[2]
        check(all(f">{t.replace(chr(160), '&nbsp;').replace('µ', '&micro;')}<" in text for t in there), f"{there}")


@with_browser
def browser_keeps_ten_minutes(w, b):
    """Its clock runs a hundred times as fast."""
    b.call("Page.addScriptToEvaluateOnNewDocument",
           source="{const now = performance.now.bind(performance); performance.now = () => 100 * now();}")
    live(w, b)
    b.js("""(window.drawn = [], (real => Dygraph.prototype.updateOptions = function (what, ...more) {
        if (what.dateWindow && what.file[0][0] instanceof Date)
            drawn.push({rows: what.file.length, last: +what.file.at(-1)[0], from: what.file[0][0] - what.dateWindow[1],
                        shown: what.dateWindow[1] - what.dateWindow[0]});
        return real.call(this, what, ...more);
    })(Dygraph.prototype.updateOptions))""")
    b.until("new Set(drawn.map(d => d.last)).size >= 12", "twelve readings, 90 seconds apart")
    drawn = b.js("drawn")
    # what is shown ends with a reading; on a slow machine these are further apart
    check(300e3 < max(d["shown"] for d in drawn) <= 600e3, f"milliseconds shown: {[d['shown'] for d in drawn]}")
    check(max(d["rows"] for d in drawn) <= 8, f"rows kept: {max(d['rows'] for d in drawn)}")
    check(min(d["from"] for d in drawn) > -720e3, "older than ten minutes and a reading")


@with_browser
def browser_light_dark_and_narrow(w, b):
    live(w, b)
    lib.until(lambda: fetch(8000) or width(b, TITLES[3]) > 10, "a line")
    grounds = {}
    for dark in (False, True):
        for wide in (1280, 390):
            b.look(dark, wide)
            name = f"{'dark' if dark else 'light'}-{wide}"
            lib.until(lambda: width(b, TITLES[3]) > 10 and width(b, TITLES[4], "--line-1") > 10, f"{name}: lines")
            equal(b.js("document.documentElement.scrollWidth"), wide, name + ": width of what is shown")
            equal(b.js("[...document.querySelectorAll('.scroll, figure')].filter(e => e.scrollWidth > e.clientWidth)"
                       ".map(e => e.innerText.slice(0, 30))"), [], name + ": clipped")
            grounds.setdefault(dark, b.js("getComputedStyle(document.body).backgroundColor"))
            if os.environ.get("SYNWAVE_SCREENSHOTS"):
                b.screenshot(f"{os.environ['SYNWAVE_SCREENSHOTS']}/page-{name}.png")
    equal(grounds, {False: "rgb(255, 255, 255)", True: "rgb(20, 23, 27)"}, "grounds")


# What is cut or broken: [element, why]. A text that sticks out of its element, an element that sticks out of the window or
# of what holds it, a number or an endpoint on two lines.
CUT = """[
    ...[...document.querySelectorAll('html, main, section, .tables, .charts, .scroll, figure, table')]
        .filter(e => e.scrollWidth > e.clientWidth).map(e => [e, `${e.scrollWidth} pixels in ${e.clientWidth}`]),
    ...[...document.querySelectorAll('th, td, caption, figcaption, .legend li, header p, footer p')].flatMap(e => {
        const range = document.createRange(), box = e.getBoundingClientRect();
        range.selectNodeContents(e);
        const texts = [...range.getClientRects()].filter(r => r.width);
        const holder = (e.closest('.scroll') ?? e.closest('figure') ?? document.body).getBoundingClientRect();
        const out = (inner, outer) => inner.left < outer.left - 1 || inner.right > outer.right + 1;
        const whole = e.matches('td, #service-table tbody th') && new Set(texts.map(r => r.top)).size > 1;
        return texts.some(r => out(r, box)) || out(box, holder) || out(box, {left: 0, right: innerWidth}) ? [[e, 'sticks out']]
            : whole ? [[e, 'is broken']] : [];
    }),
].map(([e, why]) => `${e.tagName} '${e.textContent.slice(0, 50)}' ${why}`)"""
LONG = ("2001:db8:1234:5678:9abc:def0:1234:5678", "203.0.113.254", "fd00::7")


def flooded(s):
    """A reading of some minutes into a flood."""
    for group in ("handshakes", "teardowns", "segments"):
        s[group] |= dict.fromkeys(s[group], 9876543)
    for role in s["states"].values():
        role |= dict.fromkeys(role, 98765)
    s |= {"half_open": 65536, "time_wait": 98765, "time_wait_local": 87654, "services_other": {
        "syn": 9876543, "completed": 98765, "half_open": 65432, "refused": 87654}}
    s["services"] = [{"addr": LONG[i % 3], "port": 65535 - i, "syn": 9876543 - i, "completed": 98765, "half_open": 65432,
                      "refused": 87654, "guard": {}} for i in range(20)]
    s["guard"] |= {"mode": "enforce", "by_reason": dict.fromkeys(s["guard"]["by_reason"], 9876543)}
    s["guard"] |= dict.fromkeys((k for k, v in s["guard"].items() if isinstance(v, int)), 9876543)
    for i, table in enumerate(s["tables"]):
        s["tables"][i] = table | {"entries": 262144, "capacity": 262144, "evicted": 9876543, "errors": 98765}
    for hist in s["latency"].values():
        hist |= {"count": 9876543, "buckets": [[1280, 900000], [104857, 900000], [114294784, 8076543]]}
    s["interfaces"] = [{"name": "enp129s0f1np1.4", "ingress": "xdp-generic", "egress": "clsact"}]
    return s


def grow(s, by):
    """All counters, a second later."""
    s["monotonic_ns"] += 10 ** 9
    for group in (s["handshakes"], s["teardowns"], s["segments"], s["guard"], s["guard"]["by_reason"], *s["services"]):
        group |= {k: v + by for k, v in group.items() if isinstance(v, int) and k not in ("port", "half_open")}
    return copy.deepcopy(s)


@with_browser
def browser_cuts_nothing_in_a_flood(w, b):
    """Numbers of five digits and more, the longest addresses: whole, in their places, each on its line."""
    live(w, b)
    s = flooded(json.loads(w.server.ask("/stats.json")[2]))
    b.pretend(lambda: grow(s, 18432))
    rate = "document.querySelector('#service-table tbody tr').cells[2].textContent"
    b.until(f"{rate} === '18,432'", "rates")
    headers = set()
    for wide, dark in ((390, False), (390, True), (320, False), (360, False), (640, False), (768, False), (1280, False)):
        b.look(dark, wide)
        name = f"flood-{'dark' if dark else 'light'}-{wide}"
        lib.until(lambda: b.js("1") and width(b, TITLES[0]) > 5, f"{name}: a line")
        if os.environ.get("SYNWAVE_SCREENSHOTS"):
            b.screenshot(f"{os.environ['SYNWAVE_SCREENSHOTS']}/page-{name}.png")
        equal(b.js("innerWidth"), wide, name + ": width of the window")
        equal(b.js(CUT), [], name + ": cut or broken")
        equal(b.js("document.querySelectorAll('#service-table tbody tr').length"), 21, name + ": services")
        b.call("Accessibility.enable")
        roles = [n["role"]["value"] for n in b.call("Accessibility.getFullAXTree")["nodes"] if not n["ignored"]]
        headers.add(tuple(roles.count(role) for role in ("table", "rowheader", "columnheader", "cell")))
    equal(len(headers), 1, f"tables, row and column headers, cells for a screen reader: {headers}")
    b.pretend()


@with_browser
def browser_reads_it_aloud(w, b):
    live(w, b)
    b.call("Accessibility.enable")
    nodes = [(n["role"]["value"], n.get("name", {}).get("value", ""))
             for n in b.call("Accessibility.getFullAXTree")["nodes"] if not n["ignored"]]
    roles = [role for role, _ in nodes]
    for role in ("banner", "main", "contentinfo", "navigation", "status"):
        equal(roles.count(role), 1, f"landmarks: {role}")
    equal([n for n in nodes if n == ("region", "")], [], "regions without a name")
    check(roles.count("table") >= 9, f"{roles.count('table')} tables")
    equal([n for n in nodes if n[0] == "table" and not n[1]], [], "tables without a name")
    equal([n for n in nodes if n[0] in ("Canvas", "canvas")], [], "canvases that a screen reader meets")
    b.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
    equal(b.js("document.activeElement.textContent"), "Pause", "the first thing that Tab reaches")
    for text, word in (("\r", "Paused"), ("\r", "Live.")):
        b.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", text=text, windowsVirtualKeyCode=13)
        b.call("Input.dispatchKeyEvent", type="keyUp", key="Enter", windowsVirtualKeyCode=13)
        b.until(f"{STATE}.startsWith('{word}')", word)


@with_browser
def browser_policy_is_in_force(w, b):
    """That silence means something: what the policy forbids is complained of, and does not work."""
    live(w, b)
    equal(b.complaints(), [], "complaints before")
    b.js("document.body.setAttribute('style', 'color: red')")
    b.js("document.head.append(Object.assign(document.createElement('script'), {textContent: 'window.bad = 1'}))")
    b.js("fetch('http://10.9.0.2/').catch(() => 0)")
    lib.until(lambda: b.js("1") and len(b.complaints()) >= 3, "complaints")
    equal(b.js("window.bad ?? getComputedStyle(document.body).color"), "rgb(28, 33, 40)", "forbidden things")
    b.events = [e for e in b.events if e[0] not in ("Log.entryAdded", "Network.requestWillBeSent")]


@with_browser
def browser_waits_and_recovers(w, b):
    """Detached: it says since when, and why. Attached anew: it goes on, with a gap, and no rate below zero."""
    live(w, b)
    b.js("""(window.seen = [], new MutationObserver(() => document.querySelectorAll('.legend b').forEach(
         e => seen.push(e.textContent))).observe(document.getElementById('charts'),
         {subtree: true, childList: true, characterData: true}))""")
    lib.until(lambda: fetch(8000, 5) or width(b, TITLES[3]) > 15, "a line")
    w.sw.detach()
    b.until(f"/^No answer since [0-9:]+ UTC: nothing is attached at .*\\(synwave attach/.test({STATE})", "the reason")
    equal(legend(b, TITLES[0])["half-open"], "-", "half-open when there is no answer")
    gap = width(b, TITLES[3])
    w.sw.attach("eth0", mode="tc")
    b.until(f"{STATE} === 'Live.'", "to be live again")
    lib.until(lambda: fetch(8000, 5) or width(b, TITLES[3]) > gap + 15, "the line to go on")
    check(len(stretches(b, TITLES[3])) > 1, f"no gap: {stretches(b, TITLES[3])}")
    completed = w.sw.stats()["handshakes"]["completed"]
    lib.until(lambda: cell(b, "handshakes.completed") == f"{completed:,}", "new counts")
    seen = b.js("seen")
    check(len(seen) > 20 and not [t for t in seen if t.startswith("-") and t != "-"], f"rates below zero: {seen}")
    b.events = [e for e in b.events if e[0] != "Log.entryAdded" or "503" not in e[1]["entry"]["text"]]


@with_browser
def browser_outlives_the_exporter(w, b):
    s = Server(w.sw)
    b.go("http://%s:%d/" % s.at)
    b.until(f"{STATE} === 'Live.'", "the page to be live")
    equal(s.stop(signal.SIGTERM), 0, "exit code")
    b.until(f"/^No answer since .*cannot be reached/.test({STATE})", "the exporter to be missed")
    s = Server(w.sw, "%s:%d" % s.at)
    b.until(f"{STATE} === 'Live.'", "the exporter to be back")
    equal(s.stop(), 0, "exit code")
    b.events = [e for e in b.events if e[0] not in ("Log.entryAdded", "Network.requestWillBeSent")]


@with_browser
def browser_shows_what_the_guard_does(w, b):
    """An exporter of another day: a guard at work, services and reasons of any name, counters that go back."""
    odd = "<img src=x onerror=alert(1)>&amp;\"'"
    live(w, b)
    s = json.loads(w.server.ask("/stats.json")[2])
    s["interfaces"][0]["name"] = odd
    s["services"] = [{"addr": "fd00::7" if i % 2 else "192.0.2.7", "port": i + 1, "syn": 1000 - i, "completed": i,
                      "half_open": 1, "refused": 0, "guard": {}} for i in range(30)]
    s["services_other"] = {"syn": 5, "completed": 4, "half_open": 3, "refused": 2}
    s["guard"] |= {"mode": odd, "passed": 100}
    s["guard"]["by_reason"]["source"] = 3

    def next_reading():
        s["monotonic_ns"] += 2 * 10 ** 9
        s["guard"]["passed"] += 20
        s["guard"]["dropped"] += 8
        s["guard"]["by_reason"]["source"] += 8
        return copy.deepcopy(s)

    b.pretend(next_reading)
    title = "Guard: SYNs per second"
    b.until(f"{CHART % title}.hidden === false && {CHART % title}.querySelector('b').textContent === '10.0'", "rates")
    equal(legend(b, title), {"passed": "10.0", "dropped": "4.0", "challenged": "0", "would drop": "0",
                             "would challenge": "0"}, "rates of the guard")
    equal(cell(b, "guard.mode"), odd, "mode")
    lib.until(lambda: b.js("1") and width(b, title) > 15, "the guard's chart")
    row = "document.querySelector('[data-k=\"guard.by_reason.source\"]').parentNode"
    equal(b.js(f"{row}.cells[2].textContent"), "4.0", "source, per second")
    equal(b.js("document.getElementById('interface-table').tBodies[0].rows[0].cells[0].textContent"), odd, "a name")
    equal(b.js("document.images.length"), 0, "pictures")
    rows = b.js("[...document.getElementById('service-table').tBodies[0].rows].map("
                "r => [...r.cells].map(c => c.textContent))")
    equal((len(rows), rows[1]), (21, ["[fd00::7]:2", "999", "0", "1", "0", "1"]), "services")
    equal(rows[20], ["all others", f"{sum(1000 - i for i in range(20, 30)) + 5:,}", "-",
                     str(sum(range(20, 30)) + 4), "2", "13"], "all others")
    # back to an earlier count, in the same instance: unknown, not negative
    s["guard"]["passed"] = -1000
    b.until(f"{CHART % title}.querySelector('b').textContent === '-'", "a rate that is not known")
    b.until(f"{CHART % title}.querySelector('b').textContent === '10.0'", "it to be known again")
    b.pretend()
    b.until(f"document.querySelector('[data-k=\"guard.mode\"]').textContent === 'off'", "the exporter's own numbers")


@with_browser
def browser_shows_nothing_attached(w, b):
    w.sw.detach()
    b.go(url(w))
    b.until(f"/^nothing is attached at .*asks again/.test({STATE})", "the reason")
    equal(b.js("document.querySelectorAll('table, canvas').length"), 0, "tables")
    w.sw.attach("eth0", mode="tc")
    b.until(f"{STATE} === 'Live.' && document.querySelectorAll('#charts canvas').length > 0", "the numbers to appear")
    fetch(8000)
    net.half_open(V4, 7, 8000)
    b.until("document.querySelector('[data-k=half_open]').textContent === '7'", "half-open connections")
    b.events = [e for e in b.events if e[0] != "Log.entryAdded" or "503" not in e[1]["entry"]["text"]]
