# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Limits per source, measured on the wire; and a recorded flood, judged four times."""
import json
import socket
import struct
import threading
import time

import instance
import lib
import net
from arena import Arena, Held, result
from lib import inside, run
from rounds import percentile

ROWS = ("source.ipv4/32=50/s burst 100", "source.ipv4/24=500/s burst 1000")
# flooders, their limit a second, and neighbours that it does not concern
CASES = [("one source", "198.18.7.7/32", 50, "198.18.7.8", 200), ("a /24", "198.18.7.0/24", 500, "198.18.8.1", 250)]


def one_limit(name, flooders, rate, neighbour, count, seconds):
    """tcp_syncookies=2 makes the kernel answer each SYN that reaches it once and forget it: what the far end of the cable
    counts is what the guard let pass."""
    with Arena(ghosts=flooders) as a:
        a.cookies(2)
        net.ip("cli", "route", "add", "local", "198.18.0.0/20", "dev", "lo")
        sink = a.sink()
        sw = instance.Synwave("bench")
        sw.cmd("attach", "eth0", "--mode", "native")
        a.close.callback(sw.detach)
        sw.cmd("guard", "set", "mode=enforce", *ROWS)
        held = Held(10)
        flood = a.start_flood(seconds + 3, source=flooders)
        time.sleep(1.5)  # the burst is used up
        t0, n0 = sink.ask()
        neighbours = a.start_clients(neighbour, count, 20, seconds - 0.5)
        time.sleep(seconds)
        t1, n1 = sink.ask()
        sent = result(flood, "the generator")
        served = result(neighbours, "the neighbours")
        stats = sw.stats()
        asked = held.end()
        found = (n1 - n0) / ((t1 - t0) / 1e9)
        times = served.pop("connect_ns")
        out = {"name": name, "flooders": flooders, "limit": rate, "seconds": (t1 - t0) / 1e9, "passed": n1 - n0,
               "per_second": found, "off_percent": 100 * (found / rate - 1), "flood_pps": sent["sent"] / sent["ns"] * 1e9,
               "neighbours": served, "neighbours_connect_ns": {"p50": percentile(times, 0.5), "p99": percentile(times, 0.99)},
               "held_answers": asked, "guard": stats["guard"], "failures": []}
    if abs(out["off_percent"]) > 1:
        out["failures"].append(f"{found:.2f} a second passed, the limit is {rate}")
    if served["served"] != served["started"]:
        out["failures"].append(f"{served['started'] - served['served']} of {served['started']} neighbours were not served")
    if held.lost:
        out["failures"].append(f"an established connection was lost: {held.lost}")
    return out


def limits(seconds, failures):
    out = []
    for case in CASES:
        try:
            out.append(one_limit(*case, seconds))
            failures += [f"limit of {case[0]}: {why}" for why in out[-1]["failures"]]
        except lib.Fail as why:
            failures.append(f"limit of {case[0]}: {why}")
    return out


# --- a recorded flood ------------------------------------------------------------------------------------------------

CAPTURE = "/run/flood.pcap"
RULES = """source:
- {family: ipv4, prefix: 32, rate: 50/s, burst: 100}
- {family: ipv4, prefix: 24, rate: 500/s, burst: 1000}
service:
  default: {rate: 2000/s, burst: 4000, over: %s}
deny: [198.19.128.0/17]
"""
SCENES = [("198.18.7.7/32", 20000), ("198.18.9.0/24", 20000), ("198.18.0.0/15", 80000)]


class Recorder:
    """Writes what arrives at the server's end, with the kernel's time stamps."""

    def __init__(self, path):
        with inside("srv"):
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.sock.bind(("eth0", 3))
        self.sock.setsockopt(socket.SOL_SOCKET, 33, 1 << 29)  # SO_RCVBUFFORCE
        self.sock.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
        self.sock.settimeout(0.2)
        self.path, self.frames, self.over = path, 0, threading.Event()
        self.thread = threading.Thread(target=self.record)
        self.thread.start()

    def record(self):
        with open(self.path, "wb") as f:
            f.write(struct.pack("<IHHiIII", 0xa1b23c4d, 2, 4, 0, 0, 65535, 1))
            while True:
                try:
                    frame, aux, _, _ = self.sock.recvmsg(65535, 64)
                except TimeoutError:
                    if self.over.is_set():
                        return
                    continue
                sec, ns = next(struct.unpack("qq", data) for _, kind, data in aux if kind == 35)
                f.write(struct.pack("<IIII", sec, ns, len(frame), len(frame)) + frame)
                self.frames += 1

    def end(self):
        """Frames recorded, frames that the socket had no room for."""
        self.over.set()
        self.thread.join()
        packets, drops = struct.unpack("II", self.sock.getsockopt(263, 6, 8))  # PACKET_STATISTICS
        return self.frames, drops


def record():
    with Arena() as a:
        a.sink()
        a.cookies(2)
        recorder = Recorder(CAPTURE)
        clients = a.start_clients("10.10.0.1", 1000, 100, 4)
        for source, count in SCENES:
            result(a.start_flood(20, source=source, count=count, pps=count, cpus=[0]), "the generator")
        result(clients, "the clients")
        frames, drops = recorder.end()
    if drops or frames < sum(n for _, n in SCENES):
        raise lib.Fail(f"recorded {frames} frames, {drops} had no room")
    return frames


def judged(mode, over, engine):
    with open("/run/rules.yaml", "w") as f:
        f.write(f"mode: {mode}\n" + RULES % over)
    r = run(lib.SYNWAVE, "--json", "replay", CAPTURE, "--engine", engine, "--guard", "/run/rules.yaml", timeout=300)
    return json.loads(r.stdout.splitlines()[-1])["guard"]


def as_enforced(guard):
    """The counters, a dry run's under the names that they would have had."""
    found = {"passed": guard["passed"], "dropped": guard["dropped"] + guard["would_drop"],
             "challenged": guard["challenged"] + guard["would_challenge"]}
    return found | {"by " + reason: n for reason, n in sorted(guard["by_reason"].items()) if n}


def replays(failures):
    out = {"rows": []}
    try:
        out["frames"] = record()
        for over in ("cookie", "drop"):
            rows = [(mode, engine, as_enforced(judged(mode, over, engine)))
                    for mode in ("enforce", "dry-run") for engine in ("native", "kernel")]
            first = rows[0][2]
            for mode, engine, found in rows:
                out["rows"].append({"over": over, "mode": mode, "engine": engine, "syns": found})
                if found != first:
                    failures.append(f"replay, over {over}: {mode} by {engine} judged {found}, enforce by native {first}")
            if not all(first.get("by " + why) for why in ("within", "deny", "source", "service")):
                failures.append(f"replay, over {over}: not every rule was needed: {first}")
    except lib.Fail as why:
        failures.append(f"replay: {why}")
    return out
