# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""`synwave top` on a terminal of tmux: what is on the screen, what keys do, and that the terminal comes back."""
import contextlib
import json
import os
import re
import signal
import threading

import instance
import lib
import net
from instance import Synwave, nothing_left
from lib import check, equal, inside, run, scenario, until
from net import V4, V6, address, half_open, ip, listener, meet, neighbour, pair, part, refused, veth
from screen import Screen
from t_guard import client, meet_from, shut_out

COLOR = set(range(31, 38))
PLAIN_TEXT = re.compile(r"[\n\x20-\x7e]*")


def hosts(columns=80, rows=24):
    pair()
    sw = Synwave()
    sw.attach("eth0", mode="tc")
    return sw, Screen(sw, columns, rows)


def done(sw):
    sw.detach()
    nothing_left(sw)


class Traffic:
    """Connections one after the other, until it is told to stop."""

    def __init__(self, f, port):
        self.f, self.server, self.ended = f, listener("srv", f, port), threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.ended.wait(0.005):
            part(*meet(self.server, "cli", self.f))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.server.close()


@scenario(limit=90)
def top_numbers():
    """What is on the screen is what was done, on screens of several sizes."""
    sw, screen = hosts()
    web, mail = listener("srv", V4, 80), listener("srv", V6, 25)
    long = "fd00:9::1234:5678:9abc:def0"
    address("srv", "eth0", long, 64)
    neighbour("cli", "eth0", long, net.MAC["srv"])
    held = [meet(web, "cli", V4) for _ in range(3)] + [meet(mail, "cli", V6)]
    for _ in range(5):
        part(*meet(web, "cli", V4))
    half_open(V4, 1200, 80)
    refused("cli", V4, 81)
    sw.expect(half_open=1200, handshakes__completed=9, handshakes__refused=1)
    screen.top()
    look = screen.tidy(lambda s: s.number("half-open") == "1,200")
    equal([look.number(n) for n in ("established", "TIME_WAIT", "on this host")], ["4", "5", "0"], "gauges")
    equal([look.number(n) for n in ("SYN/s", "handshakes/s", "failures/s")], ["0", "0", "0"], "rates")
    check(look.lines[0].startswith(f"synwave  eth0 {instance.TC}/{instance.TC}  guard off "), look.lines[0])
    check(re.search(r"every 0.2s  \d\d:\d\d:\d\d$", look.lines[0]), look.lines[0])
    check("guard passed/s" not in look.text, "rates of a guard that is off")
    rows = look.table()
    equal(rows, [{"name": "10.9.0.1:80", "SYN/s": "0", "SYN": "1,208", "HALF-OPEN": "1,200", "COMPLETED": "8",
                  "REFUSED": "0"},
                 {"name": "[fd00:9::1]:25", "SYN/s": "0", "SYN": "1", "HALF-OPEN": "0", "COMPLETED": "1",
                  "REFUSED": "0"},
                 {"name": "(others)", "SYN/s": "0", "SYN": "1", "HALF-OPEN": "0", "COMPLETED": "0", "REFUSED": "1"}],
          "services")
    with Traffic(V4, 8080):
        look = screen.tidy(lambda s: s.number("teardowns/s") not in "0-" and s.number("SYN/s") not in "0-"
                            and "p99" in s.text and "p50      -" not in s.text)
        equal(look.names()[0], "10.9.0.1:8080", "the busiest service now")
        check(re.search(r"SYN to SYN-ACK p50 +[\d.]+[um]s +p99 +[\d.]+[um]s", look.text), look.text)
        check(re.search(r"SYN/s +[\d.,]+ .*[▂-█]", look.text), f"no sparkline:\n{look.text}")
        for columns, rows, more in ((132, 50, {"COMPL./s", "LIMITED/s"}), (100, 30, {"COMPL./s"}), (64, 18, set())):
            screen.resize(columns, rows)
            look = screen.tidy()
            equal({"COMPL./s", "LIMITED/s"} & set(look.table()[0]), more, f"columns of {columns}x{rows}")
        check("REFUSED" not in look.table()[0] and "HALF-OPEN" in look.table()[0], "columns of 64x18")
        with listener("srv", V6, 443, long):
            net.dial("cli", V6, 443, long).close()
            look = screen.tidy(f"[{long}]:443 ")
            check("COMPLETED" not in look.table()[0], "a long name takes the room of other columns")
            screen.resize(132, 50)
            screen.tidy(lambda s: f"[{long}]:443" in s.names() and "LIMITED/s" in s.table()[0])
        screen.resize(40, 10)
        look = screen.until("40x10 is too small")
        check("top needs 64x18" in look.text and "half-open" not in look.text, look.text)
        screen.resize(80, 24)
        screen.tidy("half-open")
    screen.leave()
    for c, s in held:
        part(c, s)
    done(sw)


@scenario(limit=90)
def top_keys():
    """Order, filter, scrolling, pause, interval, help."""
    sw, screen = hosts()
    doors = [listener("srv", V4, 9000 + n) for n in range(30)]
    for n, door in enumerate(doors):
        for _ in range(n % 7 + 1):
            part(*meet(door, "cli", V4))
    half_open(V4, 5, 9003)
    sw.expect(half_open=5)
    screen.top()

    def look(condition=lambda s: True):
        return screen.tidy(condition)

    def press(*keys, then):
        screen.keys(*keys)
        return look(then)

    equal(look().sorted_by(), ("SYN/s", "▾"), "order at first")
    view = press("s", then=lambda s: s.sorted_by()[0] == "SYN")
    counts = [int(r["SYN"]) for r in view.table()]
    check(counts[0] == 9 and counts == sorted(counts, reverse=True), f"by SYN: {counts}")
    view = press("s", then=lambda s: s.sorted_by()[0] == "HALF-OPEN")
    equal((view.names()[0], view.table()[0]["HALF-OPEN"]), ("10.9.0.1:9003", "5"), "most half-open")
    view = press("r", then=lambda s: s.sorted_by() == ("HALF-OPEN", "▴"))
    check("10.9.0.1:9003" not in view.names(), "reversed")
    view = press("S", then=lambda s: s.sorted_by() == ("SYN", "▾"))
    view = press("S", "S", then=lambda s: s.sorted_by() == ("ADDRESS", "▴"))
    first = [f"10.9.0.1:{9000 + n}" for n in range(30)]
    fit = len(view.names())
    equal(view.names(), first[:fit], "by address")
    check("row 1-" in view.text and "of 30" in view.text, view.text)

    equal(press("Down", then=lambda s: s.names()[0] == first[1]).names(), first[1:fit + 1], "a line down")
    equal(press("PageDown", then=lambda s: s.names()[0] == first[fit + 1]).names()[-1], first[2 * fit], "a page")
    equal(press("End", then=lambda s: s.names()[-1] == first[29]).names(), first[30 - fit:], "end")
    press("PageUp", "PageUp", "PageUp", "Down", "Up", then=lambda s: s.names()[0] == first[0])
    press("End", "Home", then=lambda s: s.names()[0] == first[0])

    screen.type("/902q")
    screen.keys("BSpace")
    screen.until("filter: 902")
    screen.keys("Enter")
    view = look(lambda s: "/902: 10 of 30" in s.text)
    equal(view.names(), first[20:30], "filtered")
    press("Escape", then=lambda s: s.names() == first[:fit])
    screen.type("/nothing\n")
    screen.until("no row has the filter's letters")
    press("Escape", then=lambda s: s.names() == first[:fit])

    view = press("Tab", then=lambda s: "REASON" in s.text)
    check("no source was over a limit" in view.text, view.text)
    equal(press("Tab", then=lambda s: "CAPACITY" in s.text).names(), ["flows", "half_open", "services"], "tables")
    press("Tab", then=lambda s: "HALF-OPEN" in s.text)
    press("BTab", then=lambda s: "CAPACITY" in s.text)
    press("Right", then=lambda s: "HALF-OPEN" in s.text)

    press("-", then=lambda s: "every 0.1s" in s.lines[0])
    press("+", "+", "+", then=lambda s: "every 1s" in s.lines[0])
    press("-", "-", then=lambda s: "every 0.2s" in s.lines[0])

    view = press("p", then=lambda s: "PAUSED" in s.text)
    half_open(V4, 3, 9004, start=100)
    sw.expect(half_open=8)
    press("r", then=lambda s: s.sorted_by() == ("ADDRESS", "▾"))
    equal(look().number("half-open"), "5", "half-open while it is paused")
    press("p", then=lambda s: s.number("half-open") == "8" and "PAUSED" not in s.text)

    screen.keys("?")
    view = screen.until("any key goes back")
    check(all(word in view.text for word in ("next list", "pause", "letters", "SYN_RCVD", "AT MOST OFF")), view.text)
    press("x", then=lambda s: "any key" not in s.text)
    screen.leave()
    done(sw)


@scenario(limit=90)
def top_guard():
    """Sources over a limit, with their counts; what the guard does, or would do."""
    sw, screen = hosts()
    server = listener("srv", V4, 80)
    sw.cmd("guard", "set", "mode=enforce", "source.ipv4/32=1/h burst 2")
    sw.cmd("guard", "deny", "10.77.0.0/24")
    a, b = client(1, V4), client(2, V4)
    met = [meet_from(x, V4, server) for x in (a, a, b, b)]
    screen.top()
    screen.keys("Tab")
    look = screen.tidy("no source was over a limit")
    check("guard enforce" in look.lines[0] and look.number("guard passed/s") == "0", look.text)
    half_open(V4, 1, 80, start=7)  # 10.77.0.7, denied
    for _ in range(3):
        half_open(V4, 1, 80, start=9)
    shut_out(a, V4, 80)
    screen.until(lambda s: s.number("guard dropped/s") != "-" and len(s.names()) == 3)
    look = screen.tidy(lambda s: s.number("guard dropped/s") == "0")
    told = {t["source"]: (f"{t['count']:,}", str(t["error"]), t["reason"]) for t in json.loads(
        sw.cmd("guard", "show", "--json").stdout)["top"]}
    equal({r["name"]: (r["SYN"], r["AT MOST OFF"], r["REASON"]) for r in look.table()}, told, "sources")
    equal({r["name"] for r in look.table()}, {"10.77.0.7", "10.77.0.9", f"{a}/32"}, "names of the sources")
    equal(told["10.77.0.9"][0], "3", "SYNs of a denied source")
    screen.type("/77\r")
    screen.until(lambda s: sorted(s.names()) == ["10.77.0.7", "10.77.0.9"])
    screen.keys("Escape")
    sw.cmd("guard", "set", "mode=dry-run")
    look = screen.tidy("would chall./s")
    check("guard dry-run" in look.lines[0] and "guard dropped/s" not in look.text, look.text)
    ended = threading.Event()

    def more():
        while not ended.wait(0.01):
            half_open(V4, 1, 80, start=7)

    thread = threading.Thread(target=more)
    thread.start()
    try:
        look = screen.until(lambda s: s.number("would drop/s") not in "0-" and s.names()[0] == "10.77.0.7"
                            and s.table()[0]["SYN/s"] not in "0-")
    finally:
        ended.set()
        thread.join()
    check(31 in screen.colors() or 33 in screen.colors(), "no colour warns")
    screen.resize(132, 50)
    screen.keys("BTab")
    screen.tidy(lambda s: "LIMITED/s" in s.text)
    screen.leave()
    for c, s in met:
        part(c, s)
    done(sw)


@scenario(limit=90)
def top_outlives_the_instance():
    """Detached under it: it says so and waits; attached again, it goes on."""
    sw, screen = hosts()
    server = listener("srv", V4, 80)
    part(*meet(server, "cli", V4))
    screen.top()
    screen.until(lambda s: s.number("TIME_WAIT") == "1")
    sw.detach()
    look = screen.tidy("no reading since")
    check(re.search(r"no reading since \d\d:\d\d:\d\d, waiting: nothing is attached", look.text), look.text)
    equal((look.number("TIME_WAIT"), look.table()[0]["SYN/s"], look.table()[0]["SYN"]), ("-", "-", "1"),
          "what is not known now, and what was")
    screen.keys("?")
    screen.until("any key goes back")
    screen.keys("x")
    since = screen.until("no reading since").lines[1].split(",")[0]
    equal(since, look.lines[1].split(",")[0], "since when")
    sw.attach("eth0", mode="tc")
    screen.tidy(lambda s: "no reading" not in s.text and s.number("TIME_WAIT") == "0" and s.number("SYN/s") == "0")
    for _ in range(2):
        part(*meet(server, "cli", V4))
    screen.until(lambda s: s.number("TIME_WAIT") == "2" and s.table()[0]["SYN"] == "2")
    sw.attach("eth0", mode="tc")  # an upgrade in place keeps the numbers
    screen.until(lambda s: s.number("TIME_WAIT") == "2" and "no reading" not in s.text)
    screen.leave()
    sw.detach()
    screen.order("clear; synwave top; echo code $?")
    screen.until(lambda s: "synwave: top: nothing is attached at" in s.text and "code 1" in s.text)
    nothing_left(sw)


def pid_of_top():
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as f:
            if f.read().startswith(b"synwave\0top\0"):
                return int(pid)
    return None


@scenario(limit=90)
def top_gives_the_terminal_back():
    """However it ends: the modes of the terminal are as they were, and what was on the screen is there again."""
    sw, screen = hosts()
    screen.order("stty -g > /run/before")
    ways = [("q", lambda: screen.keys("q")), ("^C", lambda: screen.keys("C-c")), ("^\\", lambda: screen.keys("C-\\"))]
    ways += [(s.name, lambda s=s: os.kill(pid_of_top(), s)) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    for name, end in ways:
        screen.top(before="clear; echo on the screen before;", after="stty -g | cmp - /run/before && echo modes kept")
        end()
        look = screen.until(lambda s: "code " in s.text and "shell>" in s.text)
        equal(look.text.split("\n")[:3], ["on the screen before", "code 0", "modes kept"], f"after {name}")
        equal(pid_of_top(), None, f"after {name}: processes")

    screen.top()
    screen.keys("C-z")
    look = screen.until("Stopped")
    check("half-open" not in look.text, look.text)
    screen.order("clear; stty -g | cmp - /run/before && echo modes kept")
    screen.until(lambda s: s.lines[:1] == ["modes kept"])
    screen.resize(100, 30)
    screen.order("fg")
    screen.tidy()
    screen.keys("Tab")
    screen.tidy("REASON")
    screen.tmux("kill-server")  # the terminal is gone
    until(lambda: not pid_of_top(), "top to end with its terminal")
    done(sw)


@scenario(limit=90)
def top_terminals():
    """Which terminals it takes, and what it shows on them."""
    sw, screen = hosts()
    with inside("srv"):
        r = run(lib.SYNWAVE, "--pin", sw.pin, "top", ok=(1,))
        equal((r.stdout, r.stderr), ("", "synwave: top: standard output is no terminal; use `synwave stats --watch`\n"),
              "in a pipe")
        for words in (("--interval", "0"), ("--interval=often",), ("--interval",), ("now",), ("--json",)):
            r = run(lib.SYNWAVE, "--pin", sw.pin, "top", *words, ok=(2,))
            check(r.stderr.count("\n") == 1 and "--help" in r.stderr, f"{words}: {r.stderr}")

    def refuses(before, why, after=""):
        screen.order(f"clear; {before} synwave top {after}; echo code $?")
        screen.until(lambda s: "synwave: top: " + why in s.text.replace("\n", "") and "code 1" in s.text)

    refuses("", "standard input is no terminal", "< /dev/null")
    refuses("TERM=dumb", "TERM=dumb: this terminal cannot move its cursor; use `synwave stats --watch`")
    refuses("TERM=frob", "TERM=frob: no such terminal in the terminfo database")
    refuses("TERM=", "TERM is not set")
    refuses("env -u TERM", "TERM is not set")

    screen.top()
    check(COLOR & screen.colors(), f"no colours: {screen.colors()}")
    screen.leave()
    screen.order("clear")
    for term in ("xterm-256color", "screen", "linux", "vt100", "xterm-mono"):
        screen.top(before=f"clear; TERM={term}")
        look = screen.tidy("half-open") if term != "linux" else screen.until("half-open")
        equal(bool(PLAIN_TEXT.fullmatch(look.text)), term == "linux", f"plain ASCII with TERM={term}")
        screen.leave()
    screen.top(before="clear; NO_COLOR=1")
    equal(COLOR & screen.colors(), set(), "colours though NO_COLOR is set")
    screen.leave()
    screen.top(before="clear; NO_COLOR=")
    check(COLOR & screen.colors(), "no colours though NO_COLOR is empty")
    screen.leave()
    screen.top(before="clear; LC_ALL=C")
    screen.resize(100, 24)
    look = screen.until(lambda s: "COMPL./s" in s.text)
    check(PLAIN_TEXT.fullmatch(look.text) and "-SYN/s" in look.text, f"not plain ASCII:\n{look.text}")
    screen.leave()
    screen.resize(80, 24)

    for where in ("/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo"):
        if os.path.isdir(where):
            check(lib.libc.mount(b"tmpfs", where.encode(), b"tmpfs", 0, None) == 0, f"tmpfs on {where}")
    refuses("TERM=xterm", "TERM=xterm: no such terminal in the terminfo database")
    screen.keys("C-c")
    done(sw)


@scenario()
def top_with_cap_bpf():
    """It reads maps, and needs no other right."""
    sw, screen = hosts()
    screen.top(before="setpriv --bounding-set -all,+bpf --inh-caps -all,+bpf")
    check(re.search(r"CapEff:\s+0*8000000000\n", open(f"/proc/{pid_of_top()}/status").read()), "capabilities")
    screen.tidy("half-open")
    screen.leave()
    done(sw)


@scenario()
def top_with_odd_names():
    """Nobody's name reaches the terminal as an order."""
    odd = "a\x1b[31mz\x9b7m\xe9"
    pair()
    sw = Synwave()
    veth("srv", odd, "02:00:00:00:00:05", "cli", "odd", "02:00:00:00:00:06")
    sw.cmd("attach", odd, "--mode", "tc", "--flows", "16384", "--half-open", "4096")
    ip("srv", "link", "set", odd, "name", "plain")  # top shows the name that it was attached by
    screen = Screen(sw)
    screen.tmux("pipe-pane", "cat > /run/stream")
    screen.top()
    look = screen.tidy("half-open")
    check(look.lines[0].startswith("synwave  a?[31mz"), look.lines[0])
    screen.leave()
    with open("/run/stream", "rb") as f:
        stream = f.read()
    check(b"half-open" in stream, "the stream was not recorded")
    check(b"\x1b[31mz" not in stream and b"\x9b" not in stream, "the name reached the terminal")
    done(sw)
