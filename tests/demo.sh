#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The demo: two hosts and a cable (network namespaces and a veth pair), synwave at the server's end of it.
# All of it lives in namespaces of its own, BPF file system included, that end with their first process; that one ends
# with this script, however this script ends.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export SYNWAVE=${SYNWAVE:-$here/../build/synwave}

if [ "${1-}" != inside ]; then
	[ "$(id -u)" = 0 ] || { echo "demo: needs root (namespaces and BPF): sudo make demo" >&2; exit 1; }
	[ -x "$SYNWAVE" ] || { echo "demo: no $SYNWAVE: run make first" >&2; exit 1; }
	setpriv --pdeathsig KILL unshare --mount --net --pid --fork --kill-child=KILL --mount-proc "$0" inside &
	trap 'exec 2>/dev/null; kill -KILL $!; wait; exit 130' INT TERM HUP
	wait $!
	exit
fi

bold='' dim='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; fi

title() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }
text() { printf '%s%s%s\n' "$dim" "$1" "$plain"; }
on() { # HOST KEY COMMAND...: shows the command, runs it there; KEY: the column to sort by, 0 = as it comes
	local host=$1 key=$2 sorted=''
	shift 2
	[ "$key" = 0 ] || sorted=" | sort -bk$key"
	printf '  %s# %s%s\n' "$host" "$*" "$sorted"
	nsenter --net="/run/netns/$host" "$@" 2>&1 | by_column "$key" | sed 's/^/    /; s/ *$//'
}
by_column() { # the heading stays on top
	if [ "$1" = 0 ]; then cat; return; fi
	IFS= read -r heading
	printf '%s\n' "$heading"
	sort -bk"$1"
}

mount -t tmpfs tmpfs /run
mount -t bpf bpf /sys/fs/bpf
mkdir /run/netns
install -m 755 "$SYNWAVE" /run/synwave
PATH=/run:/usr/sbin:/sbin:$PATH
mkfifo /run/orders /run/answers
(cd "$here/e2e" && exec /usr/bin/python3 -B demo_hosts.py) </run/orders >/run/answers &
exec 3>/run/orders 4</run/answers
order() { # one step of demo_hosts.py; its answer is what it did
	echo "$1" >&3
	IFS= read -r -t 20 answer <&4 || { echo "demo: the clients did not get to the end" >&2; exit 1; }
	printf '    %s\n' "${answer//$'\t'/$'\n'    }"
}

title "Two hosts and a cable"
order ready

title "1. Attach to the server's network interface"
text "   From now on the kernel itself observes: no daemon, nothing to keep running."
on server 0 synwave attach eth0

title "2. Clients connect, talk and leave: port 80 is a server, port 81 is closed"
for step in by_client by_server at_once abort refused open half_open; do order "$step"; done

title "3. What synwave saw: every connection, the state of both its ends"
on server 3 synwave flows
text "   The first of them, segment by segment:"
on server 0 synwave show 10.9.0.2:40001 10.9.0.1:80
text "   All of them again, as the two kernels see it - each its own end only:"
on server 5 ss -tan state all exclude listening
on client 4 ss -tan state all

title "4. The numbers: handshakes, teardowns, latencies"
on server 0 synwave stats

title "5. Do they agree with the kernel?"
order compare

title "6. A SYN flood, the guard off"
text "   (by tc from here on: veth hands on what XDP sends back only to a peer with an XDP program)"
on server 0 synwave attach eth0 --mode tc
order flood
on server 0 sh -c "synwave stats | grep -A4 -E '^since|half-open'"
order newcomers

title "7. The same flood, the guard on: over 100 SYNs a second, cookies answer once the listener's queue is full"
on server 0 synwave guard set mode=enforce 'source.ipv4/32=50/s burst 100' 'service.default=100/s burst 100 over cookie'
order flood
order newcomers
on server 0 synwave guard show

title "8. Detach: nothing is left behind"
on server 0 synwave detach --all
order left
