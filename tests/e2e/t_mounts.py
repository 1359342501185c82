# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Pins live as long as the BPF file system they are in, and that as long as the mount namespaces that have it."""
import os

from instance import Synwave, attached, nothing_left, owned
from lib import SYNWAVE, check, equal, run, scenario, until
from net import pair
from t_faults import SMALL

PIN = "/sys/fs/bpf/swt"
READING = [("status",), ("stats",), ("flows",), ("show", "10.9.0.2:1", "10.9.0.1:80"), ("export",), ("guard", "show"),
           ("trace", "--count", "1")]
CHANGING = [("guard", "set", "mode=dry-run"), ("detach", "eth0")]
HINT = "nsenter --net=/run/netns/NAME synwave"


def unmount_all():
    while os.path.ismount("/sys/fs/bpf"):
        run("umount", "/sys/fs/bpf")


def line(r, *said, code=1):
    """One line on standard error, with all of these words, and nothing else."""
    lines = r.stderr.splitlines()
    check((r.returncode, r.stdout, len(lines)) == (code, "", 1) and all(w in lines[0] for w in said),
          f"{' '.join(r.args)}: exit {r.returncode}, {lines} {r.stdout!r}, expected {said}")


def shell(script, *wrap):
    return run(*wrap, "sh", "-c", script, ok=None)


ATTACH = f"{SYNWAVE} --pin {PIN} attach eth0 {' '.join(SMALL)}"
IN_NETNS = ("ip", "netns", "exec", "srv")


@scenario(limit=90)
def mounts_of_netns_exec():
    """`ip netns exec` has mounts of its own that end with the command: attach refuses to pin there, and whoever finds
    nothing there says where to look. With nsenter all of it works, also if the file system must be mounted first."""
    pair()
    for mounted in (True, False):
        if not mounted:
            unmount_all()
        line(run(*IN_NETNS, *ATTACH.split(), ok=None), "no BPF file system at /sys/fs/bpf", "would end with it", HINT)
        line(shell(ATTACH, *IN_NETNS), "no BPF file system at /sys/fs/bpf", HINT)
        equal(attached("srv"), set(), "on the devices")
        r = run("nsenter", "--net=/run/netns/srv", *ATTACH.split())
        check("alone" not in r.stderr.replace("(alone", ""), r.stderr)
        sw = Synwave()
        sw.owned = owned(PIN, "srv")
        for words in READING:
            line(run(*IN_NETNS, SYNWAVE, "--pin", PIN, *words, ok=None), f"nothing is attached at {PIN}", HINT)
        for words in CHANGING:
            line(run(*IN_NETNS, SYNWAVE, "--pin", PIN, *words, ok=None), f"nothing is attached at {PIN}", HINT)
        run("nsenter", "--net=/run/netns/srv", SYNWAVE, "--pin", PIN, "stats")
        sw.detach()
        nothing_left(sw)
        r = sw.cmd("stats", ok=(1,))  # here it is the truth, and all of it
        equal(r.stderr, f"synwave: stats: nothing is attached at {PIN} (synwave attach IFACE)\n", "stats afterwards")


@scenario()
def mounts_not_told():
    """Where process 1's mounts cannot be read, nothing is mounted in the hope that it lasts; what is mounted is used."""
    pair()
    hide = "mount -t tmpfs none /proc/1"
    enter = ("nsenter", "--net=/run/netns/srv", "unshare", "--mount")
    for wrap in (("unshare", "--mount"), IN_NETNS):
        unmount_all()
        line(shell(f"{hide}; {ATTACH}", *wrap), "cannot be told (/proc/1/mountinfo", "nsenter --net=",
             "mount -t bpf bpf /sys/fs/bpf")
    run("mount", "-t", "bpf", "bpf", "/sys/fs/bpf")
    sw = Synwave()
    r = shell(f"{hide}; {ATTACH}; {SYNWAVE} --pin {PIN} stats", *enter)
    check(r.returncode == 0 and "handshakes" in r.stdout.lower() and "alone;" not in r.stderr, r.stdout + r.stderr)
    sw.owned = owned(PIN, "srv")
    sw.stats()
    sw.detach()
    nothing_left(sw)


@scenario()
def mounts_of_a_container():
    """Whoever has a process 1 of its own has mounts that last as long as that; process 1 itself does not outlive
    itself."""
    pair()
    unmount_all()
    box = ("nsenter", "--net=/run/netns/srv", "unshare", "--mount", "--pid", "--fork", "--mount-proc")
    r = shell(f"{ATTACH} && {SYNWAVE} --pin {PIN} stats", *box)
    check(r.returncode == 0 and "alone;" not in r.stderr, r.stderr)
    until(lambda: not attached("srv"), "the programs to go with the container")
    line(run(*box, *ATTACH.split(), ok=None), "would end with it")
    equal(attached("srv"), set(), "on the devices")


@scenario()
def mounts_of_a_lab():
    """A BPF file system that somebody mounted for a mount namespace alone: theirs to choose. It is said how long that
    lasts, and so long it does."""
    pair()
    lab = "mount -t tmpfs none /tmp && mkdir /tmp/lab && mount -t bpf -o mode=0700 bpf /tmp/lab"
    at = ATTACH.replace(PIN, "/tmp/lab/x")
    r = shell(f"{lab}; {at} && {SYNWAVE} --pin /tmp/lab/x stats && {SYNWAVE} --pin /tmp/lab/y stats",
              "nsenter", "--net=/run/netns/srv", "unshare", "--mount")
    check("/tmp/lab/x: its BPF file system is mounted in this mount namespace alone" in r.stderr, r.stderr)
    check("handshakes" in r.stdout.lower() and "nothing is attached at /tmp/lab/y" in r.stderr, r.stdout + r.stderr)
    until(lambda: not attached("srv"), "the programs to go with the mount namespace")
