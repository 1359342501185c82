# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The ladder of one connection (`show`)."""
import json

from instance import Synwave, nothing_left
from lib import check, equal, scenario, until
from net import FAMILIES, V4, endpoint, half_open, listener, meet, pair, part, part_at_once


def undated(ladder):
    """Without the wall clock's time, which each command asks anew: two of them may differ by a microsecond."""
    return [line for line in ladder.splitlines() if not line.startswith("first segment ")]


@scenario(family=FAMILIES)
def show_ladders(f):
    """Text, picture, either order; what closed how; without ladders, what the record tells."""
    pair()
    for extra in ([], ["--no-ladder"]):
        sw = Synwave()
        sw.attach("eth0", *extra, mode="tc")
        server = listener("srv", f, 80)
        end = endpoint(f.srv, 80)
        conns = {}
        for how, do in (("client", part), ("server", lambda c, s: part(s, c)), ("both", part_at_once),
                        ("open", lambda c, s: None)):
            c, s = meet(server, "cli", f)
            conns[how] = endpoint(f.cli, c.getsockname()[1])
            do(c, s)
            conns[how, "keep"] = (c, s)
        sw.expect(teardowns__completed=3, states__client__ESTABLISHED=1)
        for how in ("client", "server", "both", "open"):
            r = sw.cmd("show", conns[how], end)
            lines = r.stdout.splitlines()
            equal(r.stderr, "", f"{how}: standard error")
            check(all(len(line) <= 80 for line in lines), f"{how}: lines wider than 80 columns")
            check(sum("ESTABLISHED" in line for line in lines) == 1, f"{how}: {r.stdout}")
            equal(sum("FIN+ACK" in line for line in lines), 0 if how == "open" else 2, f"{how}: FINs in {r.stdout}")
            equal(sum("does not acknowledge the one above" in line for line in lines), how == "both", f"{how}: crossed")
            equal("--no-ladder" in lines[-1], bool(extra), f"{how}: says what is missing")
            swapped = sw.cmd("show", end, conns[how])
            equal(undated(swapped.stdout), undated(r.stdout), f"{how}: the other way round")
            check("is the server of this connection" in swapped.stderr, swapped.stderr)
            sw.cmd("show", conns[how], end, "--svg", "/run/a.svg")
            with open("/run/a.svg") as svg:
                picture = svg.read()
            equal((picture.count("<svg "), picture.count("</svg>"), picture.count("FIN+ACK")),
                  (1, 1, 0 if how == "open" else 2), f"{how}: the picture")
        server.close()
        part(*conns["open", "keep"])
        sw.detach()
        nothing_left(sw)


@scenario()
def show_retransmissions():
    """A SYN-ACK that nobody answers is sent again: one arrow, and how often."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode="tc")
    lsn = listener("srv", V4, 80)
    half_open(V4, 1, 80)
    net = V4.ghost.split("/")[0].rsplit(".", 1)[0] + ".1"
    sw.expect(half_open=1)
    until(lambda: sw.stats()["handshakes"]["synack_retransmits"], "a SYN-ACK sent again")
    out = json.loads(sw.cmd("show", "--json", f"{net}:10001", "10.9.0.1:80").stdout)
    equal([("+".join(g["flags"]), g["client_state"], g["server_state"]) for g in out["segments"]],
          [("SYN", "SYN_SENT", "LISTEN"), ("SYN+ACK", "SYN_SENT", "SYN_RCVD")], "the ladder")
    check(out["segments"][1]["repeated"] >= 1, out["segments"][1])
    check(out["segments"][1]["repeated_last_ns"] > out["segments"][1]["time_ns"] + 9 * 10**8, "when")
    check("sent " in sw.cmd("show", f"{net}:10001", "10.9.0.1:80").stdout, "said in words")
    lsn.close()
    sw.detach()
    nothing_left(sw)
