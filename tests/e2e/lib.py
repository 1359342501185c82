# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""What every scenario needs: where it stands in the register, how it fails, how it runs a program in a namespace. Nothing
sleeps to wait: it polls, with a deadline. Hosts and their sockets: net.py; synwave itself: instance.py."""
import contextlib
import ctypes
import itertools
import os
import subprocess
import time
import zlib
from collections import namedtuple

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SYNWAVE = "/run/synwave"  # a copy, in each test's own /run: one file is all that it needs
SYNFLOOD = ROOT + "/build/synflood"
OLDER = ROOT + "/build/older.so"
IPV6 = os.path.exists("/proc/net/if_inet6")  # else ipv6.disable=1, or a kernel without
NO_IPV6 = "this kernel has no IPv6"
SLOW = float(os.environ.get("E2E_SLOW", 1))  # how many times slower than usual this machine is
PATIENCE = 15 * SLOW  # seconds that a condition may take to come true

libc = ctypes.CDLL(None, use_errno=True)


class Fail(Exception):
    pass


class Skip(Exception):
    pass


def skip(why):
    raise Skip(why)


# --- the register of scenarios -----------------------------------------------------------------------------------

Scenario = namedtuple("Scenario", "name run limit alone restore chosen")
SCENARIOS = []


def scenario(mode=(None,), family=(None,), limit=60, alone=False, restore=None, paired=False, elsewhere=False):
    """Registers a function once for each mode and family; paired: the first mode with the first family, and so on. Chosen
    for `make check` are tc and one of the XDP modes, of a grid each with one family: which, a function's name decides; not what
    runs elsewhere: in a virtual machine, whose kernel has such devices. limit: seconds. alone: nothing may run beside it. restore: called outside its namespaces when all its processes are gone,
    however they ended; for what it changes of the machine."""

    def add(function):
        turn = zlib.crc32(function.__name__.encode())
        left_out = ("native", "generic")[turn & 1] if len(mode) == 3 else None
        for m, f in zip(mode, family) if paired else itertools.product(mode, family):
            given = ([m] if m else []) + ([f] if f else [])
            words = [function.__name__] + ([m] if m else []) + ([f.name] if f else [])
            one_family = paired or len(mode) == 1 or family[((m == "tc") + (turn >> 1)) % len(family)] == f
            chosen = one_family and m != left_out and not elsewhere
            able = IPV6 or not f or f.name != "ipv6"
            SCENARIOS.append(Scenario(" ".join(words), lambda g=given, a=able: function(*g) if a else skip(NO_IPV6), limit,
                                      alone, restore, chosen))
        return function

    return add


# --- checks ------------------------------------------------------------------------------------------------------


def check(condition, why):
    if not condition:
        raise Fail(why)


def equal(got, want, what):
    check(got == want, f"{what}: {got!r}, expected {want!r}")


def until(condition, what, patience=PATIENCE):
    """Polls until `condition()` is true and returns its value. `what` may be a function: the failure in words. What takes
    long is asked for less often: others need the CPU that asking takes."""
    start = time.monotonic()
    while True:
        value = condition()
        if value:
            return value
        waited = time.monotonic() - start
        if waited > patience:
            raise Fail(what() if callable(what) else f"waited {patience} s for {what}")
        time.sleep(0.01 + min(waited / 10, 0.3))


# --- processes and namespaces ------------------------------------------------------------------------------------


def run(*argv, ok=(0,), timeout=30, **more):
    more = more if "input" in more else more | {"stdin": subprocess.DEVNULL}
    r = subprocess.run(argv, capture_output=True, text=True, timeout=timeout * SLOW, **more)
    if ok is not None and r.returncode not in ok:
        raise Fail(f"{' '.join(argv)}: exit {r.returncode}: {r.stderr.strip() or r.stdout.strip()}")
    return r


@contextlib.contextmanager
def inside(ns):
    """This thread, and what it starts, in the namespace. /sys stays: `ip netns exec` would hide the bpffs."""
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open("/run/netns/" + ns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        check(libc.setns(there, 0x40000000) == 0, f"setns {ns}: {os.strerror(ctypes.get_errno())}")
        yield
    finally:
        check(libc.setns(back, 0x40000000) == 0, "setns back")
        os.close(there)
        os.close(back)


def dig(obj, path):
    for key in path.split("."):
        obj = obj.get(key) if isinstance(obj, dict) else None
    return obj
