# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A terminal for the scenarios: tmux, its server in the test's own namespaces, a shell in it, and what is on the screen."""
import os
import re
import shutil

from lib import Fail, Skip, check, equal, inside, run, until

ARROWS = str.maketrans("▾▴", "  ")


class Screen:
    def __init__(self, sw, columns=80, rows=24):
        if not shutil.which("tmux"):
            raise Skip("tmux is not installed")
        self.sw, self.socket, self.size = sw, "/run/tmux", (columns, rows)
        with open("/run/tmux.conf", "w") as f:
            f.write("set -g default-terminal tmux-256color\nset -g status off\nset -s escape-time 0\n")
        env = {"PATH": "/run:" + os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "xterm", "HOME": "/run", "TZ": "UTC",
               "SYNWAVE_PIN": sw.pin}
        with inside(sw.ns):
            self.tmux("-f", "/run/tmux.conf", "new-session", "-d", "-x", str(columns), "-y", str(rows),
                      "PS1='shell> ' exec bash --norc --noprofile", env=env)
            self.tmux("set", "-g", "window-size", "manual")  # tmux 3.3 dies of this in its file
        self.until("shell>")

    def tmux(self, *words, **more):
        return run("tmux", "-u", "-S", self.socket, *words, **more).stdout

    def keys(self, *keys):
        """Names of keys as tmux has them: Tab, C-c, PageDown; or plain letters."""
        self.tmux("send-keys", *keys)

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def order(self, line):
        """A line for the shell."""
        self.type(line)
        self.keys("Enter")

    def top(self, before="", after=""):
        """Starts it and waits for a screen with rates."""
        self.order(f"{before} synwave top --interval 0.2; echo code $?; {after}")
        return self.until(lambda s: re.search(r"SYN/s +[\d.]", s.text))

    def leave(self):
        self.keys("q")
        self.until("code 0")

    def resize(self, columns, rows):
        self.size = (columns, rows)
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def look(self):
        return Look(self.tmux("capture-pane", "-p"), *self.size)

    def colors(self):
        """The colours that are set on the screen: 31 red ..."""
        codes = re.findall(r"\x1b\[([\d;]*)m", self.tmux("capture-pane", "-p", "-e"))
        return {int(n) for code in codes for n in code.split(";") if n and 30 <= int(n) < 38}

    def until(self, what):
        """Polls until a text is on the screen, or a condition on it holds, and returns what was seen then. A screen may be
        caught half drawn: only one that was seen twice counts, and what is not found on it is looked for again."""
        seen, why = [], [""]

        def met():
            seen[:], why[:] = [self.look()], [""]
            try:
                found = what in seen[0].text if isinstance(what, str) else what(seen[0])
                return seen[0] if found and self.look().text == seen[0].text else None
            except (Fail, LookupError) as fail:
                why[:] = [f"{fail} on the screen:\n{seen[0].text}"]
                return None

        return until(met, lambda: why[0] or f"waited for {what!r} on the screen:\n{seen[0].text}")

    def tidy(self, what=""):
        """The same, and the whole screen is in order."""
        return self.until(lambda s: (what in s.text if isinstance(what, str) else what(s)) and s.tidy())


class Look:
    """What was on the screen at one moment."""

    def __init__(self, text, columns, rows):
        self.text, self.lines = text, text.splitlines()
        self.columns, self.rows = columns, rows

    def number(self, label):
        """The number behind a label of the upper half, as written."""
        found = re.search(rf"(?:^|  |\s){re.escape(label)} +(\S+)", self.text, re.M)
        check(found, f"no {label} on the screen:\n{self.text}")
        return found[1]

    def heading(self):
        return next((i for i, line in enumerate(self.lines) if re.match(r"(ADDRESS|SOURCE|TABLE)\b", line)), None)

    def table(self):
        """The lower list: [{title: text}]. That each number ends below the end of its title is checked here."""
        at = self.heading()
        check(at is not None and len(self.lines) == self.rows, f"no list on the screen:\n{self.text}")
        titles = [(m[0], m.end()) for m in re.finditer(r"\S+(?: \S+)*", self.lines[at].translate(ARROWS))]
        rows = []
        for line in self.lines[at + 1:self.rows - 1]:
            if line[:1] in ("", " "):  # the last row, or why there is none
                break
            row, begin = {}, 0
            for i, (title, end) in enumerate(titles):
                if i == 0:
                    name = re.match(r"\S+", line)
                    check(name, f"a row without a name: {line!r}")
                    row["name"], begin = name[0], name.end()
                    continue
                cell = line[begin:end]
                check(cell[:1] == " " and cell[-1:] not in ("", " ") and line[end:end + 1] in ("", " "),
                      f"{title} is not aligned in {line!r}, a row of\n{self.text}")
                row[title], begin = cell.strip(), end
            equal(line[begin:].strip(), "", f"behind the last column of {line!r}")
            rows.append(row)
        return rows

    def names(self):
        return [row["name"] for row in self.table()]

    def sorted_by(self):
        """(title, arrow) of the column that the list is sorted by."""
        check(self.heading() is not None, f"no list on the screen:\n{self.text}")
        line = self.lines[self.heading()]
        found = re.search(r"([▾▴])(\S+)", line) or re.search(r"^(\w+)([▾▴])", line)
        check(found, f"no mark in {line!r}")
        return found[2] if found[1] in "▾▴" else found[1], "▾" if "▾" in found[0] else "▴"

    def tidy(self):
        """Nothing is wider or higher than the screen, both halves' numbers are aligned, the keys are at the bottom."""
        check(len(self.lines) <= self.rows, f"{len(self.lines)} lines on a screen of {self.rows}")
        for line in self.lines:
            check(len(line) <= self.columns, f"wider than {self.columns}: {line!r}")
        ends = set()
        for label in ("half-open", "established", "TIME_WAIT", "  on this host"):
            found = re.search("^" + re.escape(label) + r" +\S+", self.text, re.M)
            check(found, f"no {label} on\n{self.text}")
            ends.add(found.end() - found.start())
        equal(len(ends), 1, f"ends of the numbers of the left half {sorted(ends)} in\n{self.text}")
        check(self.lines[self.rows - 1:] and self.lines[-1].startswith("q quit  ? help"),
              f"no keys at the bottom:\n{self.text}")
        self.table()
        return self
