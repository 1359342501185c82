#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Runs under the systemd of boot.sh, as root, and plays what an administrator does.
ok() { # NAME COMMAND...
	local name=$1
	shift
	if out=$("$@" 2>&1); then
		echo "ok - deb, systemd: $name"
	else
		echo "not ok - deb, systemd: $name: $(tail -4 <<< "$out" | tr '\n' ' ')"
	fi
}
until_() { # COMMAND...: within 15 s
	for ((i = 0; i < 150; i++)); do
		"$@" > /dev/null 2>&1 && return
		sleep 0.1
	done
	echo "after 15 s: $*"
	"$@"
}
# The exporter is the server, the other host the client: each question is a connection over eth0.
# shellcheck disable=SC2016 # that shell's $0
ask() {
	nsenter --net=/run/netns/peer bash -c 'exec 3<>/dev/tcp/10.9.0.1/9465 && printf "GET $0 HTTP/1.0\r\n\r\n" >&3 && cat <&3' "$1"
}
metric() { # NAME: its value
	ask /metrics | sed -n "s/^synwave_$1 //p"
}
at_least() { # NAME COUNT
	local value
	value=$(metric "$1")
	[ "${value:-0}" -ge "$2" ] || { echo "$1 is '$value'"; return 1; }
}
answers() { # STATUS PATH
	ask "$2" | head -1 | grep -q " $1 "
}
of_exporter() { # FIELD: of /proc/PID/status
	sed -n "s/^$1:[[:space:]]*//p" "/proc/$(systemctl show -p MainPID --value synwave-exporter)/status"
}
equal() { [ "$1" = "$2" ] || { echo "'$1', not '$2'"; return 1; }; }
mode() { stat -c '%a %G' "$1"; }
refuses() { # WORD COMMAND...: fails, and says the word
	local word=$1 out
	shift
	if out=$("$@" 2>&1) || ! grep -q "$word" <<< "$out"; then
		echo "$out"
		return 1
	fi
}
stranger() { setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs "$@"; }

ip netns add peer
ip link set eth1 netns peer
ip -n peer addr add 10.9.0.2/24 dev eth1
ip -n peer link set eth1 up
ok "installs" dpkg -i /guest/synwave.deb
ok "nothing runs unasked" equal "$(systemctl is-active synwave-exporter)" inactive
ok "units are in order" systemd-analyze verify --man=no synwave-exporter.service synwave@eth0.service
sed -i 's/^#SYNWAVE_OPTIONS=.*/SYNWAVE_OPTIONS="--mode tc --flows 8192"/; s/^#SYNWAVE_LISTEN=.*/SYNWAVE_LISTEN=":9465"/
	s/^#SYNWAVE_EXPORT_OPTIONS=.*/SYNWAVE_EXPORT_OPTIONS="--host a.example --host b.example"/' \
	/etc/default/synwave

ok "the exporter starts before anything is attached" systemctl start synwave-exporter
ok "and says so" answers 503 /metrics
ok "an interface is attached" systemctl start synwave@eth0
ok "as the defaults say" sh -c "synwave status | grep 'eth0 .*up .*tcx\|eth0 .*up .*clsact'"
ok "the file system is the group's to pass" equal "$(mode /sys/fs/bpf)" "1710 synwave"
ok "the maps are the group's to read" equal "$(mode /sys/fs/bpf/synwave/sets)" "640 synwave"
ok "connections are seen" until_ at_least handshakes_completed_total 3
ok "by a user that is nobody" test "$(of_exporter Uid | cut -f1)" -ge 61184
ok "who has no capability" equal "$(of_exporter CapEff) $(of_exporter CapPrm) $(of_exporter CapBnd)" \
	"0000000000000000 0000000000000000 0000000000000000"
ok "nor can get one" equal "$(of_exporter NoNewPrivs) $(of_exporter Seccomp)" "1 2"
ok "a stranger may not read" refuses 'ermission denied' stranger synwave stats

# as docs/deploy.md says, for libxdp's dispatcher
mkdir -p /run/systemd/system/synwave@.service.d
printf '[Service]\nCapabilityBoundingSet=CAP_SYS_ADMIN\n' > /run/systemd/system/synwave@.service.d/dispatcher.conf
systemctl daemon-reload
ok "with CAP_SYS_ADMIN, attaching is as before" systemctl reload synwave@eth0
rm -r /run/systemd/system/synwave@.service.d
systemctl daemon-reload
systemctl restart synwave-exporter

before=$(metric handshakes_completed_total)
attached=$(synwave status --json | grep -o '"created":"[^"]*"')
pid=$(systemctl show -p MainPID --value synwave-exporter)
ok "upgrades" dpkg -i /guest/synwave.deb
ok "the configuration stays" grep -q '^SYNWAVE_LISTEN=":9465"' /etc/default/synwave
ok "the exporter is the new one" test "$pid" != "$(systemctl show -p MainPID --value synwave-exporter)"
ok "the instance lives on" equal "$(synwave status --json | grep -o '"created":"[^"]*"')" "$attached"
ok "and has forgotten nothing" until_ at_least handshakes_completed_total "$((before + 1))"
ok "reload keeps it, too" systemctl reload synwave@eth0
ok "after which it counts on" until_ at_least handshakes_completed_total "$((before + 2))"

ok "stop detaches" systemctl stop synwave@eth0
ok "to the last pin" refuses 'No such file' ls -d /sys/fs/bpf/synwave
ok "and closes the file system" equal "$(mode /sys/fs/bpf)" "1700 root"
ok "the exporter says why it has nothing" answers 503 /healthz
ok "it is enabled" systemctl enable --now synwave@eth0 synwave-exporter
ok "removing it" dpkg -r synwave
ok "takes the programs off" sh -c '! ip link show eth0 | grep -q xdp && ! ls -d /sys/fs/bpf/synwave 2> /dev/null'
ok "and ends the exporter" refuses inactive systemctl is-active synwave-exporter
ok "purging it" dpkg -P synwave
ok "takes the group along" refuses '' getent group synwave
rm -f /etc/systemd/system/guest.service
echo '# done'
