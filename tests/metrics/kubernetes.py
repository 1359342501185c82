# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The DaemonSet: what its containers run, with the very user, groups and capabilities that they are given."""
import json
import os
import re

import lib
import net
from lib import Skip, check, equal
from net import V4
from tools import TOP, parse, test

FILE = TOP + "/deploy/kubernetes/daemonset.yaml"


def objects():
    try:
        import yaml
    except ImportError:
        raise Skip("no python3-yaml (apt-get install python3-yaml)") from None
    with open(FILE) as f:
        return [o for o in yaml.safe_load_all(f) if o]


def pod():
    return next(o for o in objects() if o["kind"] == "DaemonSet")["spec"]["template"]["spec"]


def apply(at, operation):
    """One operation of a JSON patch."""
    *way, last = [int(word) if word.isdigit() else word for word in operation["path"].strip("/").split("/")]
    for word in way:
        at = at[word]
    if operation["op"] == "remove":
        del at[last]
    else:
        check(operation["op"] == "replace" and last in at, f"{operation}")
        at[last] = operation["value"]


def as_container(c, args=None):
    """Of a container's rights: its user, its group, the capabilities that it may have; in effect, if it is root."""
    s = c["securityContext"]
    caps = "-all" + "".join(",+" + name.lower() for name in s["capabilities"]["add"])
    with lib.inside("srv"):
        return lib.run("setpriv", "--reuid", str(s["runAsUser"]), "--regid", str(s["runAsGroup"]), "--clear-groups",
                       "--no-new-privs", "--inh-caps=-all", "--bounding-set=" + caps, lib.SYNWAVE, *(args or c["args"]))


@test
def manifest_asks_for_little(w):
    spec = pod()
    text = json.dumps(spec)
    for word in ("privileged", "hostPID", "hostIPC", "SYS_ADMIN", "Unconfined"):
        check(word not in text, f"{word} in {FILE}")
    equal(spec["securityContext"], {"seccompProfile": {"type": "RuntimeDefault"}}, "securityContext")
    equal(spec["automountServiceAccountToken"], False, "token")
    given = {}
    for c in spec["initContainers"] + spec["containers"]:
        s = c["securityContext"]
        equal((s["allowPrivilegeEscalation"], s["readOnlyRootFilesystem"], s["capabilities"]["drop"]),
              (False, True, ["ALL"]), c["name"])
        given[c["name"]] = (s["runAsUser"] == 0, s["capabilities"]["add"])
        equal([m["mountPath"] for m in c["volumeMounts"]], ["/sys/fs/bpf"], "mounts of " + c["name"])
        check(c["resources"]["limits"]["memory"], c["name"])
    equal(given, {"attach": (True, ["BPF", "NET_ADMIN", "PERFMON"]), "exporter": (False, ["BPF"])}, "rights")
    equal([v["hostPath"] for v in spec["volumes"]], [{"path": "/sys/fs/bpf", "type": "Directory"}], "volumes")
    selector = next(o for o in objects() if o["kind"] == "DaemonSet")["spec"]
    equal(selector["selector"]["matchLabels"], selector["template"]["metadata"]["labels"], "labels")


@test
def containers_do_with_it(w):
    spec = pod()
    attach, exporter = spec["initContainers"][0], spec["containers"][0]
    os.chmod("/sys/fs/bpf", 0o700)
    try:
        for _ in range(2):  # a pod, and the next one
            as_container(attach)
        door = net.listener("srv", V4, 8001)
        net.part(*net.meet(door, "cli", V4))
        once = [exporter["args"][0]]
        lib.until(lambda: parse(as_container(exporter, once).stdout)["synwave_teardowns_started_total", ()] == 1,
                  "the connection")
        with open(TOP + "/docs/deploy.md") as f:
            patch = json.loads(re.search(r"-p '(\[.*?\])'", f.read(), re.S).group(1))
        daemonset = next(o for o in objects() if o["kind"] == "DaemonSet")
        for p in patch:
            apply(daemonset, p)
        check("readinessProbe" not in json.dumps(daemonset), "a rollout would stop at the first node")
        as_container(daemonset["spec"]["template"]["spec"]["initContainers"][0])
        check(not os.path.exists("/sys/fs/bpf/synwave"), "something is left")
        as_container(attach)  # and a third one
        as_container(exporter, once)
    finally:
        with lib.inside("srv"):
            lib.run(lib.SYNWAVE, "detach", "--all")
