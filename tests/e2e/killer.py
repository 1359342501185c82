# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""kill -9 at a chosen instant: before or after a system call, counted, not timed. The same number is the same instant
on any machine, however busy; and between two system calls a process changes nothing but itself."""
import ctypes
import os
import random
import signal
import struct

from lib import check, inside, libc

SYSCALL, SETOPTIONS, GET_SYSCALL_INFO = 24, 0x4200, 0x420e
TRACESYSGOOD, EXITKILL = 1, 1 << 20
AT_SYSCALL = signal.SIGTRAP | 0x80

# What leaves something behind, on x86_64: sendto, sendmsg, write, flock, ftruncate, fsync, rename, mkdir, rmdir,
# unlink, chmod, fchmod, chown, fchown, clock_nanosleep; and these commands of bpf: a map or program made, an element
# written or deleted, a pin, a link made, changed, taken off. On other machines any call may be one.
OWNERSHIP = {84, 90, 91, 92, 93}  # rmdir, chmod, fchmod, chown, fchown
CALLS = {44, 46, 1, 73, 77, 74, 82, 83, 84, 87, 90, 91, 92, 93, 230}
BPF, BPF_COMMANDS = 321, {0, 2, 3, 5, 6, 8, 9, 26, 28, 29, 34}
KNOWN = os.uname().machine == "x86_64"


def ptrace(request, pid, at=0, data=0):
    got = libc.ptrace(ctypes.c_long(request), ctypes.c_int(pid), ctypes.c_void_p(at), ctypes.c_void_p(data))
    check(got != -1, f"ptrace: {os.strerror(ctypes.get_errno())}")


def changes(pid, calls, room=ctypes.create_string_buffer(88)):
    """Whether the system call at whose begin the process stands may change anything outside it; None: at no begin."""
    ptrace(GET_SYSCALL_INFO, pid, 88, ctypes.addressof(room))
    number, first = struct.unpack_from("QQ", room, 24)
    if room[0] != b"\1":
        return None
    return not KNOWN or number in calls or (calls is CALLS and number == BPF and first in BPF_COMMANDS)


def begin(ns, argv):
    with inside(ns):
        pid = os.fork()
        if pid:
            return pid
        try:
            for fd in range(3):
                os.dup2(os.open("/dev/null", os.O_RDWR), fd)
            libc.prctl(1, signal.SIGKILL)
            ptrace(0, 0)  # PTRACE_TRACEME
            os.execv(argv[0], argv)
        finally:
            os._exit(127)


def run_until(ns, argv, stop, seen=None, calls=CALLS):
    """Runs a command to its `stop`-th halt at a system call (two each: before it, after it) and kills it there.
    Returns how many halts there were, and the exit code: -9 if it was killed, else it came to its end before.
    seen: gets the numbers of the halts right before and after what may change something."""
    pid, halts, passed, after = begin(ns, argv), 0, 0, False
    os.waitpid(pid, 0)  # at the exec
    ptrace(SETOPTIONS, pid, 0, TRACESYSGOOD | EXITKILL)
    while True:
        if halts == stop:
            os.kill(pid, signal.SIGKILL)
        else:
            ptrace(SYSCALL, pid, 0, passed)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            return halts, os.waitstatus_to_exitcode(status)
        passed = os.WSTOPSIG(status)
        if passed == AT_SYSCALL:
            halts, passed = halts + 1, 0
            if seen is not None:
                now = changes(pid, calls)
                if now or (now is None and after):
                    seen.append(halts)
                after = now


class Victim:
    """A command that is to be killed, again and again. most: after so many halts its end is not waited for."""

    def __init__(self, ns, *argv, most=-1, calls=CALLS):
        self.ns, self.argv, self.marks = ns, argv, []
        self.halts, code = run_until(ns, argv, most, self.marks, calls)
        check(code == (0 if most < 0 else -9), f"{' '.join(argv)}: exit {code}")

    def kill(self, rnd):
        """At a random instant, half of them next to a change. Returns whether it was still running."""
        return self.kill_at(rnd.choice(self.marks) if self.marks and rnd.random() < 0.5 else rnd.randrange(self.halts))

    def kill_at(self, stop):
        code = run_until(self.ns, self.argv, stop)[1]
        check(code in (0, -9), f"{' '.join(self.argv)}, to be killed at halt {stop}: exit {code}")
        print("killed" if code else "ended", "at", stop, *self.argv[3:], flush=True)
        return code == -9


def seeded():
    """Chance that can be repeated: SEED= is what an earlier run has said."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    print("seed", seed, flush=True)
    return seed, random.Random(seed)


def kills(usual):
    """How many kills in a scenario; KILLS= asks for others."""
    return int(os.environ.get("KILLS") or usual)
