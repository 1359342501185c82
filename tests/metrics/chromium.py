# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A headless Chromium, led over its DevTools pipe: what it asked for, what it complained of, what it shows."""
import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

import lib
from lib import Fail, check

NAMES = "chromium-headless-shell", "chromium", "google-chrome"
PATIENCE = 30  # seconds for an answer: it is big, and the machine may be small
# It sees one server, in a namespace without a way out, and wants nothing of its maker's hosts. Root cannot have its sandbox.
OPTIONS = ("--headless", "--no-sandbox", "--no-zygote", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
           "--no-default-browser-check", "--disable-background-networking", "--disable-component-update",
           "--disable-default-apps", "--disable-extensions", "--disable-sync", "--disable-domain-reliability",
           "--disable-client-side-phishing-detection", "--disable-breakpad", "--disable-crash-reporter", "--no-pings",
           "--metrics-recording-only", "--disable-features=OptimizationHints,MediaRouter,DialMediaRouteProvider,Translate",
           "--hide-scrollbars", "--remote-debugging-pipe")


def find():
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if not path:
        raise Fail("no Chromium: run `sudo make deps`, or say where it is: CHROMIUM=PROGRAM")
    return path


def pipe():
    """Above the two numbers that Chromium reads from and writes to, 3 and 4."""
    ends = os.pipe()
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in ends]
    for fd in ends:
        os.close(fd)
    return moved


class Browser:
    def __init__(self, ns):
        path, self.home = find(), tempfile.mkdtemp(prefix="chromium-", dir="/run")
        theirs_in, self.out = pipe()
        self.into, theirs_out = pipe()
        argv = ["/bin/bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", path, *OPTIONS,
                "--user-data-dir=" + self.home]
        with lib.inside(ns), open(self.home + "/log", "w") as log:
            self.process = subprocess.Popen(argv, pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env={**os.environ, "HOME": self.home},
                                            start_new_session=True)
        os.close(theirs_in)
        os.close(theirs_out)
        self.buffer, self.last, self.session, self.events = b"", 0, None, []
        try:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(domain + ".enable")
        except BaseException:
            self.close()
            raise

    def close(self):
        os.killpg(self.process.pid, signal.SIGKILL)  # its helpers, too
        self.process.wait()
        os.close(self.out)
        os.close(self.into)
        shutil.rmtree(self.home, ignore_errors=True)

    # --- the pipe: JSON, each message ended by a NUL

    def receive(self, seconds):
        end = time.monotonic() + seconds
        while b"\0" not in self.buffer:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.into], [], [], left)[0]:
                return None
            data = os.read(self.into, 1 << 20)
            if not data:
                raise Fail(self.last_words())
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(line)

    def send(self, method, params):
        self.last += 1
        message = {"id": self.last, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        try:
            os.write(self.out, json.dumps(message).encode() + b"\0")
        except BrokenPipeError:
            raise Fail(self.last_words()) from None
        return self.last

    def last_words(self):
        with open(self.home + "/log", errors="replace") as log:
            return "Chromium ended: " + log.read()[-500:]

    def call(self, method, **params):
        number, end = self.send(method, params), time.monotonic() + PATIENCE
        while True:
            answer = self.receive(end - time.monotonic())
            check(answer, f"Chromium does not answer {method}")
            if answer.get("id") == number:
                check("error" not in answer, f"{method}: {answer.get('error')}")
                return answer["result"]
            if "method" in answer:
                self.note(answer["method"], answer["params"])

    def note(self, event, params):
        self.events.append((event, params))
        if event == "Fetch.requestPaused":
            body = base64.b64encode(json.dumps(self.instead()).encode()).decode()
            self.send("Fetch.fulfillRequest", {"requestId": params["requestId"], "responseCode": 200, "body": body,
                      "responseHeaders": [{"name": "Content-Type", "value": "application/json"}]})

    # --- what a test asks

    def go(self, url):
        self.call("Page.navigate", url=url)

    def js(self, expression):
        """The value of an expression in the page, promises awaited."""
        r = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        check("exceptionDetails" not in r, f"{expression}: {r.get('exceptionDetails')}")
        return r["result"].get("value")

    def until(self, expression, what, patience=PATIENCE):
        def met():
            with contextlib.suppress(Fail):  # between two documents
                return self.js(expression)

        return lib.until(met, what, patience)

    def pretend(self, what=None):
        """/stats.json is what the function says; without one, the exporter's again."""
        if what:
            self.instead = what
            self.call("Fetch.enable", patterns=[{"urlPattern": "*/stats.json"}])
        else:
            self.call("Fetch.disable")  # until its answer comes, a request may still want one
            self.instead = None

    def look(self, dark=False, width=1280, scale=1):
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=scale,
                  mobile=width < 600)

    def screenshot(self, path):
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True,
                         clip={**size, "x": 0, "y": 0, "scale": 1})["data"]
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))

    def requests(self):
        return [p["request"]["url"] for m, p in self.events if m == "Network.requestWillBeSent"]

    def complaints(self):
        """Whatever a person would find in the console: violations of the policy, exceptions, warnings."""
        found = [p["entry"]["text"] + " " + p["entry"].get("url", "") for m, p in self.events
                 if m == "Log.entryAdded" and p["entry"]["level"] in ("warning", "error")]
        found += [str([a.get("value") for a in p["args"]]) for m, p in self.events
                  if m == "Runtime.consoleAPICalled" and p["type"] in ("warning", "error", "assert")]
        return found + [p["exceptionDetails"]["exception"].get("description", p["exceptionDetails"]["text"])
                        for m, p in self.events if m == "Runtime.exceptionThrown"]
