# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Namespaces of its own for a program that measures: they end with it, however it ends."""
import ctypes
import os
import signal
import subprocess
import sys

import lib

PROGRAM = os.environ.get("SYNWAVE", lib.ROOT + "/build/synwave")


def isolate(script):
    """Runs the script once more, in mount, process and network namespaces that end with this process."""
    if os.environ.get("BENCH_INSIDE") == str(os.getppid()):
        return
    argv = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", sys.executable,
            os.path.abspath(script), *sys.argv[1:]]

    def die_too():
        lib.libc.prctl(1, signal.SIGKILL)

    os.environ["BENCH_INSIDE"] = "0"  # inside, the parent is not visible
    sys.exit(subprocess.run(argv, preexec_fn=die_too).returncode)


def prepare(name):
    for kind, where in (("tmpfs", "/run"), ("bpf", "/sys/fs/bpf")):
        if lib.libc.mount(kind.encode(), where.encode(), kind.encode(), 0, None):
            sys.exit(f"{name}: mount {kind} on {where}: {os.strerror(ctypes.get_errno())}")
    os.mkdir("/run/netns")
    with open(PROGRAM, "rb") as source, open(os.open(lib.SYNWAVE, os.O_WRONLY | os.O_CREAT, 0o755), "wb") as f:
        f.write(source.read())
