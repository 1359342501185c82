# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Standard output that takes nothing: a pipe whose reader has left is no error, a full disk is one, with its name."""
import os
import signal
import struct
import subprocess

from instance import Synwave, nothing_left
from lib import PATIENCE, SYNWAVE, check, equal, inside, scenario
from net import V4, endpoint, half_open, listener, meet, pair, part

COMMANDS = "attach detach status stats top flows show trace guard replay export".split()
CAPTURE = "/run/many.pcap"


def write_capture(path, connections):
    """SYNs of as many clients, so that their records fill standard output's buffer more than once."""
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))  # LINKTYPE_RAW
        for n in range(connections):
            ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, 6, 0, bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2)))
            tcp = struct.pack("!HHIIBBHHH", 1024 + n, 80, n, 0, 0x50, 2, 65535, 0, 0)
            f.write(struct.pack("<IIII", 1700000000 + n // 1000, n % 1000 * 1000, 40, 40) + ip + tcp)


def writers(client, server):
    """Every command that writes to standard output: its words."""
    for name in COMMANDS:
        yield name, "--help"
    yield from (("--help",), ("--version",), ("status",), ("status", "--json"), ("flows",), ("flows", "--json"),
                ("stats",), ("stats", "--json"), ("stats", "--watch=0.05"), ("stats", "--json", "--watch=0.05"),
                ("show", client, server), ("show", client, server, "--json"), ("show", client, server, "--svg", "-"),
                ("trace",), ("guard",), ("guard", "show", "--json"), ("guard", "show", "--yaml"),
                ("export",), ("export", "--openmetrics"), ("export", "--describe"),
                ("replay", CAPTURE), ("replay", "--json", CAPTURE), ("replay", "--show", CAPTURE, CAPTURE),
                ("replay", CAPTURE, "--svg", "-", "show", "192.0.2.1:1024", "192.0.2.2:80"))


def dispose(how):
    """What SIGPIPE does in the command: a shell leaves it at its default, a service manager ignores it."""
    return lambda: signal.signal(signal.SIGPIPE, how)


def ends(sw, words, out, how):
    with inside("srv"):
        r = subprocess.run([SYNWAVE, "--pin", sw.pin, *words], stdin=subprocess.DEVNULL, stdout=out,
                           stderr=subprocess.PIPE, text=True, timeout=PATIENCE, preexec_fn=dispose(how))
    return r.returncode, r.stderr


@scenario(limit=120)
def output_lost():
    """A pipe that nobody reads any more ends each command quietly, however SIGPIPE was set; a full disk ends it with
    its own error, also when the write that failed was not the last one."""
    pair()
    sw = Synwave()
    sw.attach("eth0", mode="tc")
    server = listener("srv", V4, 80)
    c, s = meet(server, "cli", V4)
    client = endpoint(V4.cli, c.getsockname()[1])
    part(c, s)
    half_open(V4, 1500, 80)
    sw.expect(handshakes__started=1501)
    write_capture(CAPTURE, 2000)
    for words in ("flows",), ("flows", "--json"), ("replay", "--json", CAPTURE):
        check(len(sw.cmd(*words).stdout) > 2 << 16, f"{words}: too short to fill the buffer twice")
    tried = list(writers(client, endpoint(V4.srv, 80)))
    for words in tried:
        for how in signal.SIG_DFL, signal.SIG_IGN:
            reader, out = os.pipe()
            os.close(reader)
            equal(ends(sw, words, out, how), (0, ""), f"{' '.join(words)} into a closed pipe, SIGPIPE {how.name}")
            os.close(out)
        full = os.open("/dev/full", os.O_WRONLY)
        name = "" if words[0].startswith("-") else f"{words[0]}: "
        equal(ends(sw, words, full, signal.SIG_DFL),
              (1, f"synwave: {name}cannot write to standard output: No space left on device\n"),
              f"{' '.join(words)} onto a full disk")
        os.close(full)
    server.close()
    sw.detach()
    nothing_left(sw)
    return f"{len(tried)} commands"


@scenario()
def errors_lost():
    """A command that changes something is not killed between two steps because nobody reads its notes."""
    pair()
    sw = Synwave()
    for how in signal.SIG_DFL, signal.SIG_IGN:
        for words in ("attach", "eth0", "--mode", "tc"), ("guard", "deny", "192.0.2.0/24"), ("detach", "--all"):
            reader, err = os.pipe()
            os.close(reader)
            with inside("srv"):
                r = subprocess.run([SYNWAVE, "--pin", sw.pin, *words], stdin=subprocess.DEVNULL, stderr=err,
                                   preexec_fn=dispose(how), timeout=PATIENCE)
            os.close(err)
            equal(r.returncode, 0, f"{' '.join(words)}, its notes into a closed pipe")
        nothing_left(sw)
