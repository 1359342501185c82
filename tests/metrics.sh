#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# metrics.sh [SUITE]: metrics, the exporter against a living instance; or deploy, what deploy/ ships against the real
# things. All of it in namespaces of its own, BPF file system included, that end with their first process, and that one
# with this script.
here=$(cd "$(dirname "$0")" && pwd)
export SYNWAVE=${SYNWAVE:-$here/../build/synwave}
[ "$(id -u)" = 0 ] || { echo "metrics: needs root (namespaces and BPF)" >&2; exit 1; }
[ -x "$SYNWAVE" ] || { echo "metrics: no $SYNWAVE: run make first" >&2; exit 1; }
PROMTOOL=${PROMTOOL:-$("$here/fetch.sh" promtool promtool prometheus)}
PROMETHEUS=${PROMETHEUS:-$("$here/fetch.sh" prometheus prometheus)}
export PROMTOOL PROMETHEUS

setpriv --pdeathsig KILL timeout --kill-after=5 540 \
	setpriv --pdeathsig KILL unshare --mount --net --pid --fork --kill-child=KILL --mount-proc \
	/usr/bin/python3 -B "$here/metrics/run.py" "${1:-metrics}" &
trap 'kill -KILL $! 2> /dev/null; wait; exit 130' INT TERM HUP
wait $!
