# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Beside another XDP program, xdp-tools' xdp-filter, in libxdp's dispatcher. Where the kernel does not run it, the two
refuse each other with a reason; either way each comes and goes without a trace in the other."""
import contextlib
import json
import os
import shutil
import socket

from instance import TC, Synwave, attached, nothing_left
from lib import SYNWAVE, Fail, Skip, check, equal, inside, run, scenario
from net import FAMILIES, V4, listener, meet, pair, part
from t_guard import client, done, guard, hosts as guarded, meet_from

MUST = os.environ.get("E2E_DISPATCHER") == "1"  # it runs on this kernel: being alone is a failure
XDP = {"native": "native", "generic": "skb"}  # xdp-filter's words
WAYS = [f"{mode} {leaver}" for mode in XDP for leaver in ("ours-leaves", "theirs-leaves")]


def xdp_filter(*words, ok=(0,)):
    with inside("srv"):
        return run("xdp-filter", *words, ok=ok)


def load_filter(mode, ok=(0,)):
    """It drops what goes to port 81."""
    r = xdp_filter("load", "--mode", XDP[mode], "eth0", ok=ok)
    if not r.returncode:
        xdp_filter("port", "81", "--mode", "dst")
    return r


def needs_filter():
    if not shutil.which("xdp-filter"):
        raise Skip("no xdp-filter (Debian: xdp-tools)")


def hosts():
    needs_filter()
    pair()
    return listener("srv", V4, 80), listener("srv", V4, 81)


def filtered(closed):
    """Port 80 is always open; 81 only without the filter. Nothing that the kernel sends again counts here."""
    with inside("cli"):
        s = socket.socket()
    s.settimeout(0.5 if closed else 60)
    with contextlib.suppress(TimeoutError):
        s.connect((V4.srv, 81))
        check(not closed, "port 81 is open: the filter does not run")
        s.close()
        return
    s.close()
    check(closed, "port 81 is closed without the filter")


def status(sw):
    return json.loads(sw.cmd("status", "--json").stdout)


def told(sw, message):
    """Which program runs, and why, in both forms of `status` and by attach."""
    out, text = status(sw), sw.cmd("status").stdout
    one, works = out["interfaces"][0], out["features"]["xdp_dispatcher"]
    why = one["why"]
    equal(one["program"], "synwave_xdp_pad" if one["chained"] and why else "synwave_xdp", "the program")
    check(why or one["chained"], "no word of why it is alone")
    check(not why or why in message, f"{why} is not in {message}")
    check(not works or "does not run libxdp's dispatcher" not in message + text, message)
    equal(f"eth0 runs {one['program']}" in text, works and bool(why), "a word of it in the text of status")


def count(sw, server, closed):
    """A connection is seen, and so is a SYN that the filter drops behind us: it was on the wire."""
    before = sw.stats()
    part(*meet(server, "cli", V4))
    sw.expect(handshakes__completed=before["handshakes"]["completed"] + 1,
              teardowns__completed=before["teardowns"]["completed"] + 1)
    if closed:
        syns = sw.stats()["segments"]["syn"]
        filtered(True)
        check(sw.stats()["segments"]["syn"] > syns, "SYNs that the filter drops are not seen")


def beside(sw, server, mode):
    """Both run."""
    one = status(sw)["interfaces"][0]
    equal((one["chained"], one["ingress"], one["egress"], one["state"]), (True, "xdp-" + mode, TC, "up"), "the hooks")
    count(sw, server, closed=True)
    told(sw, sw.cmd("attach", "eth0", "--mode", mode).stderr)  # in place
    sw.owned |= attached("srv")
    equal(status(sw)["interfaces"][0]["chained"], True, "chained after attaching again")
    count(sw, server, closed=True)


def leave(sw, server, ours_first):
    if ours_first:
        sw.detach()
        part(*meet(server, "cli", V4))
        filtered(True)
        xdp_filter("unload", "eth0")
    else:
        xdp_filter("unload", "eth0")
        equal(status(sw)["interfaces"][0]["state"], "up", "ours after the filter went")
        filtered(False)
        count(sw, server, closed=False)
        sw.detach()
    part(*meet(server, "cli", V4))
    filtered(False)
    nothing_left(sw)


def apart(refused):
    """No dispatcher here: the first one stays, the second one is told so."""
    if MUST:
        raise Fail("libxdp's dispatcher runs on this kernel, and the two did not share it: " + refused.stderr)
    check(refused.stderr.strip(), "no word of why")
    return "this kernel does not run the dispatcher: the second one is refused"


@scenario(mode=WAYS)
def chain_filter_first(way):
    mode, leaver = way.split()
    server, _ = hosts()
    sw = Synwave()
    load_filter(mode)
    filtered(True)
    theirs = attached("srv")
    r = sw.cmd("attach", "eth0", "--mode", mode, "--flows", "16384", ok=(0, 1))
    if not r.returncode:
        sw.owned |= attached("srv")
        beside(sw, server, mode)
        return leave(sw, server, leaver == "ours-leaves")
    note = apart(r)
    equal(len(r.stderr.splitlines()), 1, "lines on standard error")
    check("eth0: XDP is taken by program" in r.stderr, r.stderr)
    equal(attached("srv"), theirs, "on the interface after an attach that was refused")
    sw.cmd("attach", "eth0", "--mode", "auto", "--flows", "16384")
    sw.owned |= attached("srv")
    equal(status(sw)["features"]["xdp_dispatcher"], False, "the dispatcher in status")
    part(*meet(server, "cli", V4))
    sw.expect(teardowns__completed=1)
    filtered(True)
    leave(sw, server, leaver == "ours-leaves")
    return note


@scenario(mode=WAYS)
def chain_filter_second(way):
    mode, leaver = way.split()
    server, _ = hosts()
    sw = Synwave()
    told(sw, sw.attach("eth0", mode=mode).stderr)
    ours = attached("srv")
    r = load_filter(mode, ok=None)
    sw.owned |= attached("srv")
    if not r.returncode:
        beside(sw, server, mode)
        return leave(sw, server, leaver == "ours-leaves")
    note = apart(r)
    equal(attached("srv"), ours, "on the interface after the filter was refused")
    equal(status(sw)["features"]["xdp_dispatcher"], False, "the dispatcher in status")
    count(sw, server, closed=False)
    sw.detach()
    nothing_left(sw)
    return note


@scenario(mode=list(XDP), family=FAMILIES)
def chain_cookies(mode, f):
    """The guard beside the filter: each SYN is judged once, and answered in XDP, by whichever program the dispatcher
    takes."""
    needs_filter()
    far, sw = guarded(mode)
    beside_it = not load_filter(mode, ok=None).returncode
    sw.owned |= attached("srv")
    equal(status(sw)["interfaces"][0]["chained"], beside_it, "chained")
    server = listener("srv", f, 80)
    sw.cmd("guard", "set", "mode=enforce", "service.default=1/h burst 1 over cookie")
    met = [meet_from(client(n, f), f, server) for n in range(1, 6)]
    g, syns = guard(sw), sw.stats()["segments"]["syn"]
    equal((g["by_reason"]["within"], g["challenged"], g["cookies_sent"], g["cookies_valid"], g["cookies_invalid"]),
          (1, 4, 4, 4, 0), "within, challenged, cookies sent, valid, invalid")
    equal(g["passed"] + g["dropped"] + g["challenged"], syns, "SYNs judged, of those that came")
    met.append(meet_from(met[4][0].getsockname()[0], f, server))
    equal(guard(sw)["by_reason"]["verified"], 1, "verified sources that passed")
    for c, s in met:
        part(c, s)
    sw.expect(handshakes__completed=6, teardowns__completed=6, half_open=0)
    if beside_it:
        xdp_filter("unload", "eth0")
    elif MUST:
        raise Fail("libxdp's dispatcher runs on this kernel, and the two did not share it")
    done(far, sw)
    return None if beside_it else "this kernel does not run the dispatcher: alone"


@scenario()
def chain_three_capabilities():
    """Who may not ask for programs by id runs alone; and root's program in a dispatcher is neither moved nor removed."""
    server, _ = hosts()
    sw = Synwave()
    caps = "-all,+bpf,+net_admin,+perfmon"

    def least(*words, ok=(0,)):
        with inside("srv"):
            return run("setpriv", "--no-new-privs", "--inh-caps=" + caps, "--bounding-set=" + caps, SYNWAVE, "--pin",
                       sw.pin, *words, ok=ok)

    r = least("attach", "eth0", "--mode", "native", "--flows", "4096")
    check("alone" in r.stderr and "CAP_SYS_ADMIN" in r.stderr, r.stderr)
    equal(status(sw)["interfaces"][0]["chained"], False, "chained")
    least("detach", "eth0")
    sw.attach("eth0", mode="native")
    before = attached("srv")
    if not status(sw)["interfaces"][0]["chained"]:
        sw.detach()
        nothing_left(sw)
        if MUST:
            raise Fail("root's attach is not in the dispatcher")
        return "alone, for root too"
    for words in (["attach", "eth0", "--mode", "native"], ["attach", "eth0", "--mode", "tc"], ["detach", "eth0"]):
        r = least(*words, ok=(1,))
        check("CAP_SYS_ADMIN" in r.stderr, r.stderr)
        equal(attached("srv"), before, f"on the interface after {words} that was refused")
    count(sw, server, closed=False)
    sw.detach()
    nothing_left(sw)
