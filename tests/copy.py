#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""copy.py DIRECTORY: makes it a copy of what git knows of this tree, and of its history (the version's date comes from it). Files that differ are
written anew, as of now: make sees them as changed, even if an older copy was built later than they were edited. build/ there stays."""
import filecmp
import os
import shutil
import subprocess
import sys

TREE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def known():
    """Paths of files, from the tree's top."""
    words = ["git", "-C", TREE, "-c", f"safe.directory={TREE}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout.decode().split("\0")
    for top, _, names in os.walk(f"{TREE}/.git"):
        files += [os.path.relpath(f"{top}/{n}", TREE) for n in names]
    return {f for f in files if f and os.path.isfile(f"{TREE}/{f}")}


def main():
    to, files = sys.argv[1], known()
    for top, dirs, names in os.walk(to):
        if top == to and "build" in dirs:
            dirs.remove("build")
        for name in names:
            path = f"{top}/{name}"
            if os.path.relpath(path, to) not in files:
                os.remove(path)
    for f in files:
        path = f"{to}/{f}"
        if not os.path.exists(path) or not filecmp.cmp(f"{TREE}/{f}", path, shallow=False):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            shutil.copy(f"{TREE}/{f}", path)


if __name__ == "__main__":
    main()
