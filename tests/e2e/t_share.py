# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Who may read an instance, and that nobody else can; what attaching and exporting need at least."""
import ctypes
import errno
import json
import os
import stat
import struct

from instance import BPF_OBJ_GET, MODE_NAMES, Synwave, bpf, nothing_left, pins
from lib import SYNWAVE, check, equal, inside, run, scenario
from net import V4, listener, meet, pair, part

GROUP, OTHER = 61465, 61466
LOOKUP, UPDATE = 1, 2  # BPF_MAP_*_ELEM
RDONLY = 8  # BPF_F_RDONLY


def nobody(*groups, caps=""):
    """setpriv's words for a user who owns nothing, in these groups, with these capabilities and no others."""
    caps = "".join("," + c for c in caps.split())
    return ["setpriv", "--reuid", "65534", "--regid", "65534",
            *(["--groups", ",".join(map(str, groups))] if groups else ["--clear-groups"]), "--no-new-privs",
            "--inh-caps=-all" + caps, "--ambient-caps=-all" + caps, "--bounding-set=-all" + caps]


def may(path, groups, flags, command=None):
    """What the kernel says to nobody who opens a pin, and then reads or writes its first element: 0 or an errno."""
    there, here = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups(groups)
            os.setgid(65534)
            os.setuid(65534)
            name = ctypes.create_string_buffer(path.encode())
            room = ctypes.create_string_buffer(1 << 20)
            fd, _ = bpf(BPF_OBJ_GET, struct.pack("QII", ctypes.addressof(name), 0, flags))
            rc = fd
            if fd >= 0 and command:
                rc, _ = bpf(command, struct.pack("IIQQQ", fd, 0, ctypes.addressof(ctypes.c_uint64(0)),
                                                 ctypes.addressof(room), 0))
            os.write(here, struct.pack("i", 0 if rc >= 0 else ctypes.get_errno()))
        finally:
            os._exit(0)
    os.close(here)
    answer = os.read(there, 4)
    os.close(there)
    os.waitpid(child, 0)
    return errno.errorcode.get(struct.unpack("i", answer)[0], "ok")


def mode(path):
    st = os.stat(path)
    return f"{stat.S_IMODE(st.st_mode):04o} {st.st_gid}"


def closed():
    """As systemd mounts it."""
    os.chmod("/sys/fs/bpf", 0o700)


def as_(who, sw, *words, ok=(0,)):
    with inside("srv"):
        return run(*who, SYNWAVE, "--pin", sw.pin, *words, ok=ok)


@scenario()
def who_may_read():
    """Members of the group read, and only that; a stranger does nothing, CAP_BPF or not."""
    pair()
    closed()
    sw = Synwave()
    sw.attach("eth0", "--group", str(GROUP), mode="tc")
    part(*meet(listener("srv", V4, 80), "cli", V4))
    sw.expect(teardowns__completed=1)
    equal((mode("/sys/fs/bpf"), mode(sw.pin), mode(sw.pin + "/links")),
          (f"0710 {GROUP}", f"0710 {GROUP}", "0700 0"), "directories")
    readers = [nobody(GROUP), nobody(GROUP, caps="+bpf")]
    if not run(*nobody(GROUP), "unshare", "--user", "true", ok=None).returncode:  # refused in a chroot
        readers.append(nobody(GROUP) + ["unshare", "--user"])
    for who in readers:
        check("\nsynwave_handshakes_completed_total 1\n" in as_(who, sw, "export").stdout, "export")
        equal(json.loads(as_(who, sw, "stats", "--json").stdout)["handshakes"]["completed"], 1, "stats")
        equal(len(as_(who, sw, "flows").stdout.splitlines()), 2, "flows")
        check("off" in as_(who, sw, "guard", "show").stdout, "guard show")
        for words in (("attach", "eth0"), ("detach", "--all"), ("guard", "set", "mode=enforce"),
                      ("guard", "deny", "192.0.2.0/24")):
            r = as_(who, sw, *words, ok=(1,))
            equal(len(r.stderr.splitlines()), 1, "lines on standard error")
    maps = [p for p in pins(sw.pin) if "/links/" not in p]
    check(len(maps) >= 13, f"{maps}")
    for path in maps:
        equal(mode(path), f"0640 {GROUP}", path)
        equal(may(path, [GROUP], 0), "EACCES", "a member opens for writing " + path)
        equal(may(path, [GROUP], RDONLY), "ok", "a member opens for reading " + path)
        check(may(path, [GROUP], RDONLY, UPDATE) == "EPERM", "a member writes to " + path)
        for flags in (0, RDONLY):
            equal(may(path, [OTHER], flags), "EACCES", "a stranger opens " + path)
    equal(may(sw.pin + "/meta", [GROUP], RDONLY, LOOKUP), "ok", "a member reads meta")
    for path in (p for p in pins(sw.pin) if "/links/" in p):
        for flags in (0, RDONLY):
            equal(may(path, [GROUP], flags), "EACCES", "a member opens " + path)
    for who in (nobody(), nobody(OTHER), nobody(caps="+bpf"), nobody(OTHER, caps="+bpf,+net_admin,+perfmon")):
        for words in (("stats",), ("flows",), ("export",), ("guard", "show"), ("guard", "set", "mode=enforce"),
                      ("attach", "eth0"), ("detach", "--all")):
            r = as_(who, sw, *words, ok=(1,))
            check(len(r.stderr.splitlines()) == 1 and not r.stdout, r.stderr + r.stdout)
    sw.expect(teardowns__completed=1)
    sw.detach()
    equal(mode("/sys/fs/bpf"), "0700 0", "the BPF file system after detach")
    nothing_left(sw)


@scenario()
def group_given_and_withdrawn():
    pair()
    closed()
    one, two = Synwave("swt-one"), Synwave("swt-two")
    one.attach("eth0", mode="tc")
    equal((mode("/sys/fs/bpf"), mode(one.pin)), ("0700 0", "0700 0"), "without a group")
    as_(nobody(GROUP, caps="+bpf"), one, "export", ok=(1,))
    one.attach("eth0", "--group", str(GROUP), mode="tc")
    as_(nobody(GROUP), one, "export")
    one.attach("eth0", mode="tc")  # again: keeps it
    as_(nobody(GROUP), one, "export")
    two.attach("eth0", "--group", str(GROUP), mode="tc")
    one.detach()
    as_(nobody(GROUP), two, "export")
    two.attach("eth0", "--group", "root", mode="tc")
    r = as_(nobody(GROUP), two, "export", ok=(1,))
    check("--group" in r.stderr, r.stderr)
    equal({mode(p) for p in pins(two.pin)}, {"0600 0"}, "pins")
    equal(mode("/sys/fs/bpf"), "0700 0", "the way is closed again")
    one.attach("eth0", "--group", str(GROUP), mode="tc")
    r = two.attach("eth0", "--group", str(OTHER), mode="tc")  # the way is the first group's: said, not changed
    check(f"group {OTHER} cannot read" in r.stderr, r.stderr)
    as_(nobody(GROUP), one, "export")
    as_(nobody(GROUP), two, "export", ok=(1,))
    one.detach()
    two.attach("eth0", "--group", str(OTHER), mode="tc")
    as_(nobody(OTHER), two, "export")
    two.detach()
    equal(mode("/sys/fs/bpf"), "0700 0", "the way is closed again")
    nothing_left(one, two)


@scenario()
def group_and_the_file_system():
    """What others arranged at the BPF file system's root stays; what cannot be done is said."""
    pair()
    sw = Synwave()
    for before, word in ((0o755, None), (0o711, None), (0o750, "chmod o+x")):
        os.chmod("/sys/fs/bpf", before)
        r = sw.attach("eth0", "--group", str(GROUP), mode="tc")
        check((word or "eth0: attached") in r.stderr and ("/sys/fs/bpf" in r.stderr) == bool(word), r.stderr)
        equal(mode("/sys/fs/bpf"), f"{before:04o} 0", "the root")
        as_(nobody(GROUP), sw, "export", ok=(1,) if word else (0,))
        sw.detach()
        equal(mode("/sys/fs/bpf"), f"{before:04o} 0", "the root after detach")
    closed()
    r = sw.cmd("attach", "eth0", "--mode", "tc", "--group", "no such", ok=(1,))
    check(r.stderr.count("\n") == 1 and "--group no such" in r.stderr, r.stderr)
    nothing_left(sw)
    with open("/etc/group") as f:
        groups = [line for line in f if not line.startswith("synwave:")]
    with open("/run/group", "w") as f:
        f.writelines(groups + [f"synwave:x:{GROUP}:\n"])
    run("mount", "--bind", "/run/group", "/etc/group")
    sw.attach("eth0", mode="tc")
    equal(mode(sw.pin), f"0710 {GROUP}", "a new instance, with the usual group")
    as_(nobody(GROUP), sw, "export")
    sw.attach("eth0", "--group", "root", mode="tc")
    sw.attach("eth0", mode="tc")
    equal(mode(sw.pin), "0700 0", "a living instance keeps what it was told")
    sw.detach()
    r = sw.cmd("attach", "eth0", "eth9", "--mode", "tc", ok=(1,))
    equal(mode("/sys/fs/bpf"), "0700 0", "the root after an attach that failed")
    nothing_left(sw)


@scenario(mode=MODE_NAMES)
def least_capabilities(hook):
    """Root's user id with exactly what the units and the DaemonSet give: three to attach, each of them needed; one,
    or none on a kernel from 5.19 on, to read."""
    pair()
    closed()
    sw = Synwave()
    needed = ("bpf", "net_admin", "perfmon")

    def root(*caps):
        caps = "".join(",+" + c for c in caps)
        return ["setpriv", "--groups", str(GROUP), "--no-new-privs", "--inh-caps=-all" + caps,
                "--bounding-set=-all" + caps]

    order = ("attach", "eth0", "--mode", hook, "--flows", "4096", "--group", str(GROUP))
    for left_out in needed:
        r = as_(root(*(c for c in needed if c != left_out)), sw, *order, ok=(1,))
        check(f"CAP_{left_out.upper()} missing" in r.stderr, r.stderr)
    for _ in range(2):
        as_(root(*needed), sw, *order)
    part(*meet(listener("srv", V4, 80), "cli", V4))
    sw.expect(teardowns__completed=1)
    with inside("srv"):
        r = run(*root("bpf"), SYNWAVE, "--pin", sw.pin, "export")
    check("\nsynwave_teardowns_started_total 1\n" in r.stdout, "export by root with CAP_BPF")
    as_(nobody(GROUP, caps="+bpf"), sw, "export")
    as_(root(*needed), sw, "detach", "eth0")
    equal(mode("/sys/fs/bpf"), "0700 0", "the BPF file system after detach")
    nothing_left(sw)
