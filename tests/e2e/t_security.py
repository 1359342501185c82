# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What an attacker can do to us, by packets and on the same host: docs/security.md names the test of each claim."""
import fcntl
import ipaddress
import json
import os
import re
import resource
import select
import socket
import stat
import time

import lib
import net
from frames import ACK, OPTIONS, SYN, ethernet, packet, read_packet
from instance import Synwave, nothing_left
from lib import PATIENCE, SYNWAVE, check, equal, inside, run, scenario
from net import FAMILIES, MAC, V4, address, ip, listener, meet, pair, talk, veth, wire
from t_share import GROUP, as_, closed, nobody

CONTROL = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]")  # but for the line feed
NAMES = [b"\x1b[2J\x1b]0;x\x07", b"\xc2\x9b31mred", b"\x9b\xff\xc3\x28", b"{a=\"b\",c}<i>&\\"]


def raw(sw, *words, ok=(0,)):
    """Both outputs, byte by byte."""
    with inside(sw.ns):
        return run(SYNWAVE, "--pin", sw.pin, *words, ok=ok, errors="surrogateescape")


def as_bytes(text):
    return text.encode("utf-8", "surrogateescape")


@scenario(mode=("tc",))
def hostile_names(mode):
    """Interface names are whatever their owner likes; a container may rename its own while we watch it."""
    pair()
    sw = Synwave()
    for i, name in enumerate(NAMES):
        dev = f"n{i}"
        veth("srv", dev, f"02:00:00:00:01:{i:02x}", "cli", dev, f"02:00:00:00:02:{i:02x}")
        text = name.decode("utf-8", "surrogateescape")
        ip("srv", "link", "set", dev, "down")
        ip("srv", "link", "set", dev, "name", text)
        ip("srv", "link", "set", text, "up")
        r = raw(sw, "attach", text, "--mode", mode, "--flows", "1024", "--half-open", "512")
        check(not CONTROL.search(as_bytes(r.stderr)), f"attach: {r.stderr!r}")
    for words in (("status",), ("stats",), ("status", "--json"), ("stats", "--json"), ("export",),
                  ("export", "--openmetrics")):
        out = as_bytes(raw(sw, *words).stdout)
        check(not CONTROL.search(out), f"{words}: {out!r}")
        out.decode("utf-8")  # strictly
    equal(raw(sw, "status").stdout.count("\\x1b[2J"), 1, "the name, as status writes it")
    found = {i["name"] for i in json.loads(raw(sw, "stats", "--json").stdout)["interfaces"]}
    equal(found, {"\x1b[2J\x1b]0;x\x07", "\\xc2\\x9b31mred", "\\x9b\\xff\\xc3(", NAMES[3].decode()}, "names in JSON")
    text = raw(sw, "export").stdout
    equal(len([line for line in text.splitlines() if line.startswith("synwave_attach_info{")]), len(NAMES), "series")
    r = raw(sw, "detach", "no\x1b[2J\xc2\x9bsuch", ok=(1,))
    check(not CONTROL.search(as_bytes(r.stderr)) and r.stderr.count("\n") == 1, f"{r.stderr!r}")
    sw.detach()
    for i in range(len(NAMES)):
        ip("cli", "link", "del", f"n{i}")
    nothing_left(sw)


BOMBS = {
    "deep brackets": "deny: " + "[" * 2000000,
    "deep braces": "{a: " * 500000,
    "deep lists": "- " * 1000000,
    "deep keys": "? " * 1000000,
    "anchors": "deny:\n" + "".join(f"- &a{i} x\n" for i in range(200000)),
    "laughs": "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30)),
    "itself": "source: &a [*a]\n",
    "tags": "".join(f"%TAG !{i}! tag:x\n" for i in range(150000)) + "---\nmode: off\n",
    "one word": "mode: " + "A" * 3000000,
    "one key": "B" * 3000000 + ": off\n",
    "many words": "deny: [" + "a," * 1500000 + "]",
    "NUL": "mode: off\0\n",
    "another NUL": 'mode: "off\\0"\n',
    "escape": 'mode: "\\e[2J\\x9b"\n',
    "not UTF-8": b"mode: \xff\xfe\xfd\n",
    "100 MB": b"#" * (100 << 20),
}


def little_memory():
    resource.setrlimit(resource.RLIMIT_AS, (512 << 20, 512 << 20))
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))


@scenario()
def hostile_guard_files():
    """Refused by a line, in little memory; what is in force stays in force."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode="tc")
    sw.cmd("guard", "set", "mode=enforce", "source.ipv4/32=7/s burst 9")
    rules = sw.cmd("guard", "show", "--yaml").stdout

    def refused(path, what):
        with inside("srv"):
            r = run(SYNWAVE, "--pin", sw.pin, "guard", "apply", path, ok=(1,), preexec_fn=little_memory)
        check(r.stderr.count("\n") == 1 and path in r.stderr and "stays in force" in r.stderr, f"{what}: {r.stderr!r}")
        check(not CONTROL.search(as_bytes(r.stderr)) and len(r.stderr) < 1100, f"{what}: {r.stderr!r}")
        equal(sw.cmd("guard", "show", "--yaml").stdout, rules, f"rules after {what}")

    for what, text in BOMBS.items():
        with open("/run/rules", "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        refused("/run/rules", what)
    os.mkfifo("/run/fifo")
    for path in ("/run/fifo", "/dev/zero", "/run", "/proc/self/mem", "/dev/tty"):
        refused(path, path)
    os.symlink("/run/loop", "/run/loop")
    refused("/run/loop", "a link to itself")
    os.symlink("/run/fifo", "/run/link")
    refused("/run/link", "a link to a FIFO")
    sw.detach()
    nothing_left(sw)


@scenario()
def files_that_others_prepared():
    """SYNWAVE_PIN, text files and captures that point elsewhere."""
    pair()
    sw = Synwave()
    os.makedirs("/run/evil/links")
    for name in ("meta", "sets", "links/eth0"):
        with open("/run/evil/" + name, "w") as f:
            f.write("mine")
    for words in (("attach", "eth0"), ("detach", "--all"), ("detach", "eth0"), ("guard", "set", "mode=enforce"),
                  ("status",), ("stats",)):
        for pin in ("/run/evil", "/run/evil/links"):
            with inside("srv"):
                r = run(SYNWAVE, *words, ok=(0,) if "--all" in words else (1,), env={**os.environ, "SYNWAVE_PIN": pin})
            check(r.stderr.count("\n") == 1 and pin in r.stderr, r.stderr)
    for name in ("meta", "sets", "links/eth0"):
        with open("/run/evil/" + name) as f:
            equal(f.read(), "mine", name)
    sw.attach("eth0", mode="tc")
    with open("/run/secret", "w") as f:
        f.write("secret")
    os.chmod("/run/secret", 0o600)
    os.mkdir("/run/text")
    os.symlink("/run/secret", "/run/text/synwave.prom")
    sw.cmd("export", "--textfile", "/run/text/synwave.prom")
    with open("/run/secret") as f:
        equal(f.read(), "secret", "what the text file's link pointed to")
    equal(stat.S_IMODE(os.stat("/run/secret").st_mode), 0o600, "its mode")
    check(not os.path.islink("/run/text/synwave.prom"), "the link is still there")
    equal(os.listdir("/run/text"), ["synwave.prom"], "what lies beside it")
    for file in ("/run/secret", "/run/text", "/dev/null"):
        r = sw.cmd("replay", file, ok=(1,))
        check("secret" not in r.stderr.replace("/run/secret", "") and not r.stdout.strip().startswith("{"), r.stderr)
    sw.detach()
    nothing_left(sw)


def hold_lock(path, groups):
    """A child that is nobody and holds the lock on a directory, if it can; its pid and what the kernel said."""
    there, here = os.pipe()
    child = os.fork()
    if not child:
        lib.libc.prctl(1, 9)
        os.setgroups(groups)
        os.setgid(65534)
        os.setuid(65534)
        try:
            fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX)
            os.write(here, b"held")
        except OSError as why:
            os.write(here, why.strerror.encode())
        while True:
            time.sleep(60)
    os.close(here)
    word = os.read(there, 64).decode()
    os.close(there)
    return child, word


def end(child):
    os.kill(child, 9)
    os.waitpid(child, 0)


@scenario(limit=120)
def locks_of_others():
    """Nobody but root can hold what a command waits for."""
    pair()
    closed()
    sw = Synwave()
    sw.attach("eth0", "--group", str(GROUP), mode="tc")
    for groups in ([GROUP], []):
        for path in (sw.pin, "/sys/fs/bpf"):
            child, word = hold_lock(path, groups)
            end(child)
            equal(word, "Permission denied", f"the lock of {path}, to groups {groups}")
    as_(nobody(GROUP), sw, "stats")
    sw.detach()
    os.chmod("/sys/fs/bpf", 0o1777)  # as `mount -t bpf` makes it
    child, word = hold_lock("/sys/fs/bpf", [])
    equal(word, "held", "a lock on a directory that everybody may read")
    sw.attach("eth0", "--group", str(GROUP), mode="tc")
    sw.cmd("guard", "set", "mode=dry-run")
    sw.detach()
    end(child)
    nothing_left(sw)


# --- by packets ----------------------------------------------------------------------------------------------------


def series(sw):
    return [line for line in sw.cmd("export").stdout.splitlines() if not line.startswith("#")]


@scenario(mode=("tc",), family=FAMILIES)
def labels_and_series(mode, f):
    """SYNs to thousands of ports, from thousands of addresses: the series stay few, and no client is named in them."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    server = listener("srv", f, 80)
    c, s = meet(server, "cli", f)
    before = len(series(sw))
    w = wire("cli")
    for i in range(6000):  # more than there are places for services
        src = f"10.77.{i >> 8}.{i & 255}" if f is V4 else f"fd00:77::{i + 1:x}"
        w.send(ethernet(MAC["cli"], MAC["srv"], packet((src, 1024 + i), (f.srv, 1000 + i), i, 0, SYN, options=OPTIONS)))
    w.close()
    sw.expect(segments__syn=6001)
    lines = series(sw)
    services = {m.group(1) for line in lines if (m := re.search(r'service="([^"]*)"', line))}
    check(len(services) <= 21 and "other" in services, f"{len(services)} services")
    check(len(lines) < before + 21 * 5, f"{before} series before, {len(lines)} after")
    check(not any(net in line for line in lines for net in ("10.77.", "fd00:77:")), "a client's address in a label")
    equal(sum(float(line.split()[-1]) for line in lines if line.startswith("synwave_service_syn_total")), 6001,
          "SYNs by service, added up")
    talk(c, s)
    sw.detach()
    nothing_left(sw)


@scenario(mode=("tc",))
def full_of_real_connections(mode):
    """Who has real addresses can fill the table: nothing is refused, what was there stays, what found no place is said."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    pair()
    sw = Synwave()
    sw.cmd("attach", "eth0", "--mode", mode, "--flows", "256", "--half-open", "64")
    server = listener("srv", V4, 80)
    c, s = meet(server, "cli", V4)
    port = c.getsockname()[1]
    held = [meet(server, "cli", V4) for _ in range(1500)]
    stats = sw.stats()  # the two laws
    equal(stats["handshakes"]["completed"], 1501, "handshakes completed")
    table = {t["name"]: t for t in stats["tables"]}
    check(all(t["entries"] <= t["capacity"] for t in table.values()), f"more entries than room: {table}")
    check(sum(t["evicted"] for t in table.values()) > 500, f"evicted: {table}")
    equal(sw.flow(port)["client"]["state"], "ESTABLISHED", "the connection that was there first")
    for pair_ in [(c, s)] + held[::100]:
        talk(*pair_)
    sw.stats()
    sw.detach()
    nothing_left(sw)


def sniffer(ns):
    with inside(ns):
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        s.bind(("eth0", 3))
    return s


def answers(s, to, patience):
    """Frames that came back for these addresses and ports, until nothing has come for `patience` seconds."""
    found = []
    while select.select([s], [], [], patience)[0]:
        frame, where = s.recvfrom(2048)
        p = None if where[2] == socket.PACKET_OUTGOING else read_packet(frame[14:])
        if p and p[1] in to:
            found.append((frame, p))
    return found


@scenario(mode=("tc",), family=FAMILIES)
def challenge_is_no_amplifier(mode, f):
    """One answer a SYN, not sent again, hardly longer than what was asked; and what its ACK is good for."""
    pair()
    net.sysctl("srv", ipv4__tcp_syncookies=2)
    with inside("cli"):  # no RST from the kernel for connections that only we know
        run("nft", "add table inet t; add chain inet t o { type filter hook output priority 0; }; "
            "add rule inet t o tcp flags & rst == rst drop")
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    server = listener("srv", f, 80)
    sw.cmd("guard", "set", "mode=enforce", "service.default=1/h burst 1 over cookie")
    w, heard = wire("cli"), sniffer("cli")

    def send(src, seq, ack, flags, options=b"", data=b""):
        frame = ethernet(MAC["cli"], MAC["srv"], packet(src, (f.srv, 80), seq, ack, flags, data, options))
        w.send(frame)
        return len(frame)

    send((f.cli, 4000), 1, 0, SYN)  # uses up the limit
    answers(heard, [(f.cli, 4000)], 0.5)
    asked = {(f.cli, 5000 + n): max(60, send((f.cli, 5000 + n), 1000, 0, SYN, options)) for n, options in
             enumerate((b"", bytes.fromhex("020405b4"), OPTIONS, bytes.fromhex("020405b4") + b"\x01" * 36))}
    got = answers(heard, asked, 3.5)  # the kernel would have sent its SYN-ACKs again after 1 and 3 s
    equal(sorted(p[1] for _, p in got), sorted(asked), "answers, one each")
    for frame, p in got:
        check(len(frame) <= asked[p[1]] + 18, f"{len(frame)} bytes to a SYN of {asked[p[1]]}")
        equal(p[4], SYN | ACK, "flags of the answer")
    equal(json.loads(sw.cmd("guard", "show", "--json").stdout)["cookies_sent"], 4, "cookies sent")

    # the cookie of the last one: good for its own address and port, and once
    src = (f.cli, 5003)
    cookie = next(p[2] for _, p in got if p[1] == src)
    for other in ((f.cli, 6000), (str(ipaddress.ip_address(f.cli) + 5), 5003)):
        send(other, 1001, cookie + 1, ACK)
    sw.expect(guard__cookies_invalid=2, guard__cookies_valid=0)
    send(src, 1001, cookie + 1000, ACK)  # the lowest bits say the MSS, and may differ
    sw.expect(guard__cookies_invalid=3, guard__cookies_valid=0)
    for _ in range(5):
        send(src, 1001, cookie + 1, ACK)
    stats = sw.expect(guard__cookies_valid=1, guard__cookies_invalid=3)
    equal(stats["handshakes"]["completed"], 1, "handshakes completed by five ACKs of one cookie")
    equal(len([r for r in sw.flows() if r["origin"] == "cookie"]), 1, "connections by cookie")
    server.settimeout(PATIENCE)
    server.accept()[0].close()
    w.close()
    sw.detach()
    nothing_left(sw)


@scenario(mode=("tc",))
def forged_neighbour(mode):
    """A forged source uses up what that source is allowed, and that of nobody else; a service over its limit charges none."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    server = listener("srv", V4, 80)
    for n in range(1, 41):
        address("cli", "eth0", f"10.9.0.{100 + n}", 24)
        net.neighbour("srv", "eth0", f"10.9.0.{100 + n}", MAC["cli"])
    sw.cmd("guard", "set", "mode=enforce", "source.ipv4/32=1/h burst 3")
    w = wire("cli")
    for i in range(2000):
        w.send(ethernet(MAC["cli"], MAC["srv"], packet(("10.9.0.101", 1024 + i), (V4.srv, 80), i, 0, SYN)))

    def may(source):
        with inside("cli"):
            s = socket.socket()
        s.settimeout(0.4)
        s.bind((source, 0))
        try:
            s.connect((V4.srv, 80))
        except TimeoutError:
            return False
        finally:
            s.close()
        return True

    check(not may("10.9.0.101"), "whose address was forged is let in")  # said in docs/security.md
    for n in range(2, 41):
        check(may(f"10.9.0.{100 + n}"), f"neighbour {n} is shut out")
    # over the service's limit: what is dropped there costs its alleged source nothing
    sw.cmd("guard", "set", "source.ipv4/32=none", "service.default=1/h burst 1 over drop")
    sw.cmd("guard", "set", "source.ipv4/24=1/h burst 50")
    for i in range(2000):
        w.send(ethernet(MAC["cli"], MAC["srv"], packet(("10.77.0.9", 1024 + i), (V4.srv, 80), i, 0, SYN)))
    g = json.loads(sw.cmd("guard", "show", "--json").stdout)
    check(g["by_reason"]["service"] >= 1999, f"dropped by the service's limit: {g['by_reason']}")
    top = [t for t in g["top"] if t["source"].startswith("10.77.0.")]
    equal(top, [], "sources that were charged by a flood that the service's limit stopped")
    w.close()
    sw.detach()
    nothing_left(sw)


@scenario(mode=("tc",))
def services_and_forged_answers(mode):
    """SYN-ACKs that nobody asked for come from thousands of alleged servers: ours keep, and get, places of their own."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode=mode)
    old = listener("srv", V4, 80)
    meet(old, "cli", V4)
    w = wire("cli")
    for i in range(6000):
        synack = packet((f"10.77.{i >> 8}.{i & 255}", 1024 + i), (V4.srv, 5000 + i), i, 77, SYN | ACK, options=OPTIONS)
        w.send(ethernet(MAC["cli"], MAC["srv"], synack))
    w.close()
    sw.expect(segments__syn_ack=6001)
    new = listener("srv", V4, 81)
    for _ in range(50):
        meet(new, "cli", V4)
        meet(old, "cli", V4)
    found = {v["port"]: v["completed"] for v in sw.stats()["services"] if v["addr"] == V4.srv}
    equal((found.get(80), found.get(81)), (51, 50), "handshakes of the services that are here")
    sw.detach()
    nothing_left(sw)
