#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The watched machine: each card of tests/nic/nics, in every mode that its driver takes, at both MTUs, with its offloads and without."""
import contextlib
import os
import shutil
import socket
import sys
import threading
import time
import traceback
import xmlrpc.client

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lab  # noqa: E402
from instance import MODE_NAMES, MODES, Synwave, nothing_left  # noqa: E402
from lib import ROOT, SYNWAVE, Fail, check, equal, inside, run, until  # noqa: E402
from net import V4, listener, netstat, sysctl  # noqa: E402

# By the most queues: MTU, offloads, channels
ROWS = {1: [(1500, True, 1), (1500, False, 1), (9000, True, 1)],
        2: [(1500, True, 1), (1500, False, 2), (9000, True, 2)],
        4: [(1500, True, 1), (1500, False, 2), (9000, True, 2), (1500, True, 4)]}
MORE = {"virtio": [(2018, True, 1)]}  # the largest at which nothing is lost
FLOOD = 2000
FRAMES = 300  # more than a ring of buffers that were filled before the attach
passed = failed = skipped = 0


class Far(xmlrpc.client.ServerProxy):
    """The client's machine."""

    def there(self):
        try:
            self.flood_over()
        except OSError:
            return False
        except xmlrpc.client.Fault:
            pass
        return True


far = Far(f"http://{lab.CONTROL['cli']}:80", allow_none=True)


class Echo:
    """A service on a port of its own: says back what it is told, and ends a connection that says bye."""
    last = 8000

    def __init__(self):
        Echo.last += 1
        self.port, self.socks = Echo.last, []
        self.listener = listener("srv", V4, self.port)
        self.listener.settimeout(None)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.socks.append(s)
            threading.Thread(target=self.talk, args=[s], daemon=True).start()

    def talk(self, s):
        try:
            while (data := s.recv(65536)) and data != b"bye":
                s.sendall(data)
        except OSError:
            pass
        s.close()

    def close(self):
        for s in self.socks + [self.listener]:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()

    def ss(self, state):
        with inside("srv"):
            return len(run("ss", "-Htan", "state", state, "sport", "=", f":{self.port}").stdout.splitlines())


def counts(sw):
    """What it says is what both kernels say."""
    e = Echo()
    sysctl("srv", ipv4__tcp_syncookies=1)
    equal(far.hold(20, e.port), 20, "connections")
    # at once, each: on a busy machine a minute is soon over, and with it half-open and TIME_WAIT
    far.half_open(40, e.port)
    stats = sw.expect(half_open=lambda: e.ss("syn-recv"), handshakes__started=60)
    equal(stats["half_open"], 40, "half-open")
    far.part(5, True)
    far.part(6, False)
    stats = sw.expect(time_wait_local=lambda: e.ss("time-wait"), teardowns__completed=11, handshakes__completed=20,
                      time_wait=lambda: e.ss("time-wait") + far.ss("time-wait", e.port),
                      states__local__ESTABLISHED=lambda: e.ss("established"))
    # a FIN that came again may have ended a TIME_WAIT early, by a RST: both say so
    check(stats["time_wait_local"] >= 3 and stats["time_wait"] >= 8, f"TIME_WAIT: {stats['time_wait']}")
    equal(stats["states"]["local"]["ESTABLISHED"], 9, "established")
    e.close()
    far.drop()


def guarded(sw, none):
    """During a flood each client is served, by a cookie; none: where no cookie is sent, it is let in."""
    e = Echo()
    sysctl("srv", ipv4__tcp_syncookies=2)
    before = netstat("srv", "SyncookiesRecv")
    sw.cmd("guard", "set", "mode=enforce", "service.default=1/h burst 1 over cookie")
    far.flood(FLOOD, e.port)
    equal(far.served(8, e.port), 8, "clients served during a flood")
    until(far.flood_over, "the flood's end")
    g = sw.stats()["guard"]
    if none:
        equal((g["cookies_sent"], g["cookies_valid"]), (0, 0), "cookies")
        check(g["by_reason"]["no_cookie"] > 100, f"SYNs to which no cookie could be sent: {g['by_reason']}")
    else:
        check(g["cookies_sent"] == g["challenged"] > 100, f"cookies sent: {g['cookies_sent']} of {g['challenged']}")
        check(7 <= g["cookies_valid"] <= 8, f"valid cookies: {g['cookies_valid']}")
        equal(netstat("srv", "SyncookiesRecv") - before, g["cookies_valid"], "cookies that the kernel took back")
    check(far.echo(e.port, 300000), "a transfer")
    e.close()
    far.drop()


# What attach says of a mode that cannot be had, and how the table says it
REFUSED = {"has no native XDP": "not in the driver", "takes no native XDP": "refused, MTU",
           "MTU 9000 too large": "refused, MTU", "shows native XDP no frames": "refused, blind"}


def cell(mode, mtu, carried):
    """All of it in one mode: how the table says it. carried: the card itself carries frames of the MTU's size."""
    sw = Synwave()
    try:
        said = sw.attach("eth0", mode=mode).stderr
    except Fail as why:
        found = [short for words, short in REFUSED.items() if words in str(why)]
        if not found or mode != "native":
            raise
        return found[0]
    lost = FRAMES - far.ping(FRAMES, mtu - 28) if carried else 0
    warned, none = "loses frames" in said, "no queue to send cookies from" in said
    check(not lost or warned, f"{lost} of {FRAMES} frames of the MTU's size are lost after the attach")
    if carried:
        counts(sw)
        guarded(sw, none)
    sw.detach()
    nothing_left(sw)
    if lost:
        print(f"{lost} of {FRAMES} frames of the MTU's size were lost after the attach, as it had said", flush=True)
    return ("exact" if carried else "attaches") + (", warns of lost frames" if warned else "") + (", no cookies" if none else "")


def taken(native, mtu, carried):
    """What auto takes: native if nothing at all is against it, else it says why not, and nothing is lost."""
    sw = Synwave()
    said = sw.cmd("attach", "eth0", "--mode", "auto").stderr
    mode = {v: k for k, v in MODES.items()}[sw.stats()["interfaces"][0]["ingress"]]
    equal(mode, "native" if native in ("exact", "attaches") else "generic", "mode that auto takes")
    check(f"auto took {mode}" in said and "eth0: " in said, f"auto says: {said}")
    if carried:
        equal(far.ping(FRAMES, mtu - 28), FRAMES, "frames of the MTU's size after auto's attach")
    sw.detach()
    return mode


def tried(name, what):
    global passed, failed
    start = time.monotonic()
    try:
        found = what()
        passed += 1
        print(f"ok - {name}: {found} ({time.monotonic() - start:.0f} s)", flush=True)
        return found
    except Exception as why:
        failed += 1
        if not isinstance(why, Fail):
            traceback.print_exc()
        print(f"not ok - {name}: {why}", flush=True)
        Synwave().cmd("detach", "--all", ok=None)
        far.drop()
        return "**fails**"


def row(card, mtu, offloads, channels):
    """One line of the table."""
    global skipped
    lab.settle("srv", mtu, offloads, channels)
    far.settle(mtu, offloads)
    until(lambda: far.ping(1, 56) == 1, "the wire")
    queues, on = lab.queues("srv"), "on" if offloads else "off"
    name = f"{card.name}, {queues} queues, MTU {mtu}, offloads {on}"
    # some cards lose a frame when they have just come up: that is not about synwave
    came = max(far.ping(FRAMES, mtu - 28), far.ping(FRAMES, mtu - 28))
    if not came:
        skipped += 1
        print(f"skip - {name}: the card carries no frame of that size, also without synwave", flush=True)
    else:
        tried(f"{name}, without synwave", lambda: equal(came, FRAMES, "frames of the MTU's size") or "nothing is lost")
    cells = [tried(f"{name}, {mode}", lambda m=mode: cell(m, mtu, came)) for mode in MODE_NAMES]
    cells.append(tried(f"{name}, auto", lambda: taken(cells[0], mtu, came)))
    print(f"| {card.name} | {queues} | {mtu} | {on} | {' | '.join(cells)} |", flush=True)


def main(chosen):
    lab.begin("srv")
    shutil.copy(ROOT + "/build/synwave", SYNWAVE)
    until(far.there, "the client's machine", 300)
    for card in lab.cards():
        if chosen and card.name not in chosen:
            continue
        start = time.monotonic()
        lab.plug(card.number, "srv")
        far.plug(card.number)
        for mtu, offloads, channels in ROWS[card.queues] + MORE.get(card.name, []):
            row(card, mtu, offloads, channels)
        far.unplug(card.number)
        lab.unplug(card.number, "srv")
        print(f"{card.name}: {time.monotonic() - start:.0f} s", flush=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return failed != 0


sys.exit(main(sys.argv[1:]))
