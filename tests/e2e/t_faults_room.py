# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""No room: no memory for the maps, no disk for the text file; and what lies in the text file's way."""
import os
import subprocess

from instance import Synwave, attached, nothing_left, owned, pins
from lib import SYNWAVE, Skip, check, equal, inside, libc, run, scenario, until
from t_faults import instance, line, seen, two_devices


class Cgroup:
    """A control group with a limit of memory: version 2, or 1 where memory is there."""

    def __init__(self):
        two = "/sys/fs/cgroup"
        one = two + "/memory"
        if os.path.exists(one + "/memory.limit_in_bytes"):
            self.top, self.limit, self.peak = one, "memory.limit_in_bytes", "memory.max_usage_in_bytes"
        elif "memory" in self.read(two + "/cgroup.subtree_control"):
            self.top, self.limit, self.peak = two, "memory.max", "memory.peak"
        else:
            raise Skip("no control group that limits memory can be made here")
        for name in os.listdir(self.top):  # of tests that were killed; what is in use refuses
            if name.startswith("synwave-test-"):
                self.drop(f"{self.top}/{name}")

    @staticmethod
    def read(path):
        try:
            with open(path) as f:
                return f.read()
        except OSError:
            return ""

    @staticmethod
    def drop(path):
        try:
            os.rmdir(path)
        except OSError:
            pass

    def run(self, number, *argv):
        """In a group of its own: (what came of it, the peak of its memory)."""
        path = f"{self.top}/synwave-test-{os.urandom(8).hex()}"
        while True:  # another test may take an empty group away
            try:
                os.mkdir(path)
                with open(f"{path}/{self.limit}", "w") as f:
                    f.write(str(number))
                inherit = 'echo 0 > "$0/cgroup.procs" && shift && exec "$@"'
                with inside("srv"):
                    r = run("sh", "-c", inherit, path, "", *argv, ok=None)
                break
            except FileNotFoundError:
                continue
            except OSError as why:
                self.drop(path)
                raise Skip(f"cannot limit memory: {why}")
        peak = self.read(f"{path}/{self.peak}")
        until(lambda: self.drop(path) or not os.path.exists(path), "the control group to be empty")
        return r, int(peak or 0)


@scenario(limit=120)
def out_of_memory():
    """The kernel has no memory for the maps, or for some of them: one line, nothing left; an instance that was there
    stays as it is. Where so little is left that the kernel kills the command, the next one puts it right."""
    two_devices()
    group, sw = Cgroup(), Synwave()
    order = (SYNWAVE, "--pin", sw.pin, "attach", "eth0", "--mode", "tc", "--flows", "65536")
    r, peak = group.run(1 << 40, *order)
    equal(r.returncode, 0, r.stderr)
    sw.owned |= owned(sw.pin, "srv")
    sw.detach()
    if peak < 50 << 20:
        raise Skip(f"maps are not charged to control groups here: {peak} bytes")
    ends = {0: 0, 1: 0, -9: 0, 137: 0}
    for percent in (10, 25, 40, 55, 70, 80, 85, 90, 93, 96, 98):
        r, _ = group.run(peak * percent // 100, *order)
        said = f"{percent} % of {peak} bytes: exit {r.returncode}: {r.stderr!r}"
        check(r.returncode in ends, said)
        ends[r.returncode] += 1
        if r.returncode == 1:
            check(r.stderr.count("\n") == 1 and "Cannot allocate memory" in r.stderr, said)
            check(not pins() and not attached("srv"), f"{said}; left: {pins()} {attached('srv')}")
        elif r.returncode:
            sw.cmd(*order[3:])
        if os.path.exists(sw.pin):
            sw.detach()
        nothing_left(sw)
    check(ends[1] >= 3, f"ends: {ends}")
    sw.cmd(*order[3:])
    seen(sw)
    r, _ = group.run(3 << 20, *order)
    check(r.returncode in (1, -9, 137), f"attach again with no memory: {r.returncode} {r.stderr}")
    equal(sw.stats()["handshakes"]["completed"], 1, "completed")
    seen(sw)
    sw.detach()
    nothing_left(sw)
    return f"refused {ends[1]}, killed {ends[-9] + ends[137]}, attached {ends[0]} times"


@scenario(limit=120)
def few_files():
    """A limit of open files, wherever it strikes: one line, nothing left; what cannot be looked at is not taken for
    gone."""
    two_devices()
    sw = Synwave()
    order = ("attach", "eth0", "--mode", "tc", "--flows", "4096")

    def limited(n, *words):
        with inside("srv"):
            r = run("prlimit", f"--nofile={n}", SYNWAVE, "--pin", sw.pin, *words, ok=(0, 1))
        check(not r.returncode or (r.stderr.count("\n") == 1 and not r.stdout), f"{n} files, {words}: {r.stderr}")
        said = any(w in r.stderr for w in ("Too many open files", "ulimit -n", "eth9"))
        check(not r.returncode or said, f"{n} files, {words}: {r.stderr}")
        return r.returncode

    refused = 0
    for n in (4, 6, *range(16, 160, 12)):
        if not limited(n, *order):
            break
        refused += 1
        check(not pins() and not attached("srv"), f"{n} files; left: {pins()} {attached('srv')}")
    check(refused > 5, f"refused: {refused}")
    sw.detach()
    sw.cmd(*order)
    sw.cmd("attach", "eth1", "--mode", "tc")
    seen(sw)
    links = {i for i in attached("srv") if i[0] == "link"}
    sw.owned |= owned(sw.pin, "srv")
    for n in (4, 6, 20, 22, 40, 68):
        for words in (("stats",), ("flows",), ("status",), ("export",), ("guard", "allow", "192.0.2.1"), order,
                      ("detach", "eth9")):
            limited(n, *words)
        check(links <= attached("srv"), f"taken off, {n} files")
        sw.owned |= attached("srv")
    equal(sw.stats()["handshakes"]["completed"], 1, "completed")
    sw.detach()
    nothing_left(sw)
    return f"refused {refused} times"


@scenario()
def disk_full():
    """No room for the text file: the one that was there stays whole, and nothing lies beside it."""
    two_devices()
    sw = instance()
    os.mkdir("/run/text")
    run("mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", "/run/text")
    path, order = "/run/text/synwave.prom", ("export", "--textfile", "/run/text/synwave.prom")
    sw.cmd(*order)
    with open(path) as f:
        before = f.read()
    with open("/run/text/ballast", "wb") as f:
        room = os.statvfs("/run/text")
        f.write(bytes(room.f_bavail * room.f_bsize))
    line(sw, order, f"cannot write {path}: No space left on device; make room")
    with open(path) as f:
        equal(f.read(), before, "the file")
    equal(sorted(os.listdir("/run/text")), ["ballast", "synwave.prom"], "files")
    os.truncate("/run/text/ballast", 0)
    sw.cmd(*order)
    run("mount", "-o", "remount,ro", "/run/text")
    line(sw, order, f"cannot write {path}: Read-only file system; name a file")
    run("umount", "/run/text")
    os.rmdir("/run/text")
    line(sw, order, f"cannot write {path}: No such file or directory; make its directory")
    with open("/dev/full", "w") as full:  # standard output
        with inside("srv"):
            r = subprocess.run([SYNWAVE, "--pin", sw.pin, "export"], stdout=full, stderr=subprocess.PIPE, text=True)
    check(r.returncode == 1 and r.stderr.count("\n") == 1 and "No space left" in r.stderr, r.stderr)
    sw.detach()
    nothing_left(sw)


@scenario()
def text_file_name_taken():
    """What lies under the temporary file's name: a killed command's is taken over, another's is not written to."""
    two_devices()
    sw = instance()
    os.mkdir("/run/text")
    path, temp, order = "/run/text/x.prom", "/run/text/.x.prom.new", ("export", "--textfile", "/run/text/x.prom")
    with open(temp, "w") as f:
        f.write("half a line")
    sw.cmd(*order)
    equal(os.listdir("/run/text"), ["x.prom"], "files")
    victim = "/run/text/victim"
    for make in (lambda: os.symlink(victim, temp), lambda: os.link(victim, temp), lambda: os.mkfifo(temp),
                 lambda: (open(temp, "w").close(), os.chown(temp, 65534, 65534))):
        with open(victim, "w") as f:
            f.write("precious")
        make()
        line(sw, order, f"cannot write {path}: File exists; the hidden .new")
        with open(victim) as f:
            equal(f.read(), "precious", "what is another's")
        os.unlink(temp)
    sw.cmd(*order)
    sw.detach()
    nothing_left(sw)


@scenario()
def no_kernel_types():
    """A kernel without BTF: attach says so in one line, and leaves nothing; what is attached goes on."""
    two_devices()
    sw, second = Synwave(), Synwave("second")
    sw.attach("eth0", mode="tc")
    for name in ("/sys/kernel/btf", "/boot", "/lib/modules", "/usr/lib/debug"):  # where libbpf looks
        if os.path.isdir(name):
            check(libc.mount(b"tmpfs", name.encode(), b"tmpfs", 0, None) == 0, f"a file system over {name}")
    for mode in ("tc", "native"):
        line(second, ("attach", "eth1", "--mode", mode), "CONFIG_DEBUG_INFO_BTF")
    equal([p for p in pins() if p.startswith(second.pin)], [], "pins left")
    seen(sw)
    sw.detach()
    nothing_left(sw)
