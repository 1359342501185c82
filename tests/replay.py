#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""synwave replay: link types, snapped and broken captures, time running backwards, ladders, more connections than the
table."""
import json
import os
import struct
import subprocess
import sys
import tempfile
import xml.dom.minidom

SYNWAVE = os.environ.get("SYNWAVE", "build/synwave")
passed = failed = 0


def check(ok, what):
    global passed, failed
    if ok:
        passed += 1
    else:
        failed += 1
        print("not ok -", what)


def tcp(sport, dport, seq, ack, flags, options=b"", payload=b""):
    return struct.pack(">HHIIBBHHH", sport, dport, seq, ack, (20 + len(options)) // 4 << 4, flags, 64240, 0, 0) \
        + options + payload


def ip4(src, dst, segment):
    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(segment), 1, 0x4000, 64, 6, 0, src, dst) + segment


SYN, ACK, FIN, RST = 2, 16, 1, 4
MSS = bytes((2, 4, 5, 180))
A, B = bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))


def exchange(port=40000):
    """Three segments to open, three to close; as IP packets."""
    c, s = (port, 80), (80, port)
    return [ip4(A, B, tcp(*c, 1000, 0, SYN, MSS)), ip4(B, A, tcp(*s, 5000, 1001, SYN | ACK, MSS)),
            ip4(A, B, tcp(*c, 1001, 5001, ACK)), ip4(A, B, tcp(*c, 1001, 5001, FIN | ACK)),
            ip4(B, A, tcp(*s, 5001, 1002, FIN | ACK)), ip4(A, B, tcp(*c, 1002, 5002, ACK))]


LINKS = {  # link type: its number, the header in front of an IPv4 packet
    "Ethernet": (1, bytes(12) + b"\x08\x00"),
    "raw": (101, b""),
    "IPv4": (228, b""),
    "null": (0, struct.pack("=I", 2)),
    "loop": (108, struct.pack(">I", 2)),
    "Linux cooked": (113, struct.pack(">HHHQH", 0, 1, 6, 0, 0x0800)),
    "Linux cooked v2": (276, struct.pack(">HHIHBBQ", 0x0800, 0, 1, 1, 0, 6, 0)),
}


def pcap(packets, link="Ethernet", times=None, snap=None):
    kind, head = LINKS[link]
    out = [struct.pack("<IHHiIII", 0xa1b23c4d, 2, 4, 0, 0, 262144, kind)]
    for i, p in enumerate(packets):
        frame = head + p
        at = times[i] if times else i * 1000000
        kept = frame[:snap] if snap else frame
        out.append(struct.pack("<IIII", 1000 + at // 10**9, at % 10**9, len(kept), len(frame)) + kept)
    return b"".join(out)


def replay(data, *args, stdin=False):
    with tempfile.NamedTemporaryFile(suffix=".pcap") as f:
        f.write(data)
        f.flush()
        with open(f.name, "rb") as pipe:
            p = subprocess.run([SYNWAVE, "replay", "--json", *args, "-" if stdin else f.name], stdin=pipe,
                               capture_output=True, text=True, timeout=120, check=False)
    return p.returncode, [json.loads(line) for line in p.stdout.splitlines()], p.stderr.strip()


def show(data, *words, locale="C.UTF-8"):
    """(exit code, lines, what was said) of `synwave replay FILE words`."""
    env = dict(os.environ, TZ="UTC", LC_ALL=locale)
    with tempfile.NamedTemporaryFile(suffix=".pcap") as f:
        f.write(data)
        f.flush()
        p = subprocess.run([SYNWAVE, "replay", f.name, *words], capture_output=True, text=True, timeout=120, env=env,
                           check=False)
    return p.returncode, p.stdout.splitlines(), p.stderr.strip()


LADDER = """\
client 192.0.2.1:40000                                       server 192.0.2.2:80
first segment 1970-01-01 00:16:40.000000
             SYN_SENT │── SYN seq 0 win 64240 ────────────────────►│ LISTEN
                      │    ISN 1000                                │
                      │    mss 1460                                │
  +1.00ms             │◄────────── SYN+ACK seq 0 ack 1 win 64240 ──│ SYN_RCVD
                      │                                ISN 5000    │
                      │                                mss 1460    │
  +1.00ms ESTABLISHED │── ACK seq 1 ack 1 win 64240 ──────────────►│ ESTABLISHED
                      ┊                                            ┊
  +1.00ms  FIN_WAIT_1 │── FIN+ACK seq 1 ack 1 win 64240 ──────────►│
  +1.00ms  FIN_WAIT_2 │◄────────── FIN+ACK seq 1 ack 2 win 64240 ──│ LAST_ACK
  +1.00ms   TIME_WAIT │── ACK seq 2 ack 2 win 64240 ──────────────►│ CLOSED
conn_state SF, closed first by the client""".splitlines()
ASCII = [line.translate(str.maketrans("│┊─►◄", "|:-><")) for line in LADDER]


def brief(records):
    return [(r["client"]["state"], r["server"]["state"], r["conn_state"]) for r in records]


CLOSED = [("TIME_WAIT", "CLOSED", "SF")]
root = os.geteuid() == 0

for link in LINKS:
    code, records, err = replay(pcap(exchange(), link))
    check((code, brief(records), err) == (0, CLOSED, ""), f"{link}: {code} {brief(records)} {err}")
    if root:
        check(replay(pcap(exchange(), link), "--engine", "kernel") == (code, records, err), f"{link}: kernel differs")
code, records, err = replay(pcap(exchange()), stdin=True)
check((code, brief(records)) == (0, CLOSED), f"standard input: {code} {err}")

# 54 bytes: Ethernet, IP and TCP without options; the lengths on the wire count
code, records, err = replay(pcap(exchange(), snap=54))
check((code, brief(records), records[0]["client"]["mss"]) == (0, CLOSED, None), f"snapped: {code} {brief(records)} {err}")
if root:
    check(replay(pcap(exchange(), snap=54), "--engine", "kernel") == (code, records, err), "snapped: kernel differs")

data = pcap(exchange())
code, records, err = replay(data[:-10])
check(code == 1 and "after packet 5" in err and brief(records) == [("FIN_WAIT_2", "LAST_ACK", "SF")],
      f"cut in its last packet: {code} {brief(records)} {err}")
for bad, word in ((b"", "capture"), (b"nonsense" * 9, "capture")):
    code, records, err = replay(bad)
    check(code == 1 and word in err and len(err.splitlines()) == 1, f"no capture: {code} {err}")

code, records, err = replay(pcap(exchange(), times=[5, 6, 7, 3, 8, 9]))
check(code == 0 and brief(records) == CLOSED and "1 packets are older" in err, f"backwards: {code} {err}")

# years between segments: a record says what the wire proved, however long ago
code, records, err = replay(pcap(exchange() + exchange(40001)[:1], times=[0, 1, 2, 3, 4, 5, 10**9 * 86400 * 800]))
check(brief(records)[:1] == CLOSED, f"two years later: {brief(records)}")

# ladders: of one connection, of all, in either order, without the strokes of UTF-8, as JSON, as a picture
ENDS = ("192.0.2.1:40000", "192.0.2.2:80")
data = pcap(exchange())
check(show(data, "show", *ENDS) == (0, LADDER, ""), f"show: {show(data, 'show', *ENDS)}")
check(show(data, "show", *ENDS, locale="C") == (0, ASCII, ""), f"show, ASCII: {show(data, 'show', *ENDS, locale='C')}")
code, lines, err = show(data, "show", *ENDS[::-1])
check((code, lines) == (0, LADDER) and "is the server" in err, f"show, swapped: {code} {err}")
code, lines, err = show(data, "show", "192.0.2.1:40001", ENDS[1])
check((code, lines) == (1, []) and "no connection" in err, f"show, not there: {code} {lines} {err}")
code, lines, err = show(pcap(exchange() + exchange(40001)), "--show")
check(code == 0 and lines[:len(LADDER)] == LADDER and lines.count(LADDER[-1]) == 2, f"--show: {code} {err}")
for words in (("show",), ("show", ENDS[0]), ("show", *ENDS, "more"), ("--show", "show", *ENDS), ("--svg", "x"),
              ("show", "192.0.2.1", ENDS[1]), ("show", "192.0.2.1:40000", "[192.0.2.2]:80")):
    code, lines, err = show(data, *words)
    check(code == 2 and not lines and len(err.splitlines()) == 1, f"{words}: {code} {lines} {err}")
again = exchange() + [ip4(A, B, tcp(40000, 80, 90000, 0, SYN, MSS))]  # the same ports, a new connection
code, lines, err = show(pcap(again), "show", *ENDS)
check(code == 0 and lines[:len(LADDER)] == LADDER and lines[-1] == "conn_state S0", f"show, twice: {lines}")
code, lines, err = show(data, "--json", "show", *ENDS)
segments = json.loads("".join(lines))["segments"]
check([(s["from"], "+".join(s["flags"]), s["seq"], s["seq_relative"], s["ack_relative"], s["delta_ns"])
       for s in segments] ==
      [("client", "SYN", 1000, 0, None, None), ("server", "SYN+ACK", 5000, 0, 1, 1000000),
       ("client", "ACK", 1001, 1, 1, 1000000), ("client", "FIN+ACK", 1001, 1, 1, 1000000),
       ("server", "FIN+ACK", 5001, 1, 2, 1000000), ("client", "ACK", 1002, 2, 2, 1000000)], f"show --json: {segments}")
with tempfile.TemporaryDirectory() as d:
    code, lines, err = show(data, "show", *ENDS, "--svg", d + "/a.svg")
    svg = xml.dom.minidom.parse(d + "/a.svg").documentElement
    words = "".join(n.data for t in svg.getElementsByTagName("text") for k in (t, *t.childNodes)
                    for n in (k.childNodes or [k]) if n.nodeType == n.TEXT_NODE)
    check((code, lines, err) == (0, [], "") and len(svg.getElementsByTagName("path")) == 6 and
          all(w in words for w in (*ENDS, "SYN+ACK", "TIME_WAIT", "mss 1460")), f"--svg: {code} {err} {words}")
    code, lines, err = show(data, "show", *ENDS, "--svg", d)
    check(code == 1 and d in err, f"--svg into a directory: {code} {err}")

# 250,000 half-open connections are more than the table holds
flood = [ip4(bytes((10, n >> 16 & 255, n >> 8 & 255, n & 255)), B, tcp(1024 + (n >> 24), 80, n, 0, SYN))
         for n in range(250000)]
code, records, err = replay(pcap(flood))
check(code == 0 and len(records) == len(flood) and "evicted" in err, f"more than the table: {code} {len(records)} {err}")

print(f"replay: {passed} passed, {failed} failed")
sys.exit(failed > 0)
