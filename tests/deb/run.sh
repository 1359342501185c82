#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# run.sh PACKAGE [SUITE]: the package in a fresh Debian of the release it was built on, or of SUITE: installed, used and purged in a chroot; then
# under a systemd of its own, in namespaces, as a server would have it. Needs debootstrap, and Debian's mirror ($MIRROR).
set -u
here=$(cd "$(dirname "$0")" && pwd)
package=$(realpath "$1")
# shellcheck source=/dev/null
suite=${2:-$(. /etc/os-release && echo "${VERSION_CODENAME:-sid}")}
[ "$(id -u)" = 0 ] || { echo "deb-check: needs root" >&2; exit 1; }
command -v debootstrap > /dev/null || { echo "deb-check: no debootstrap: apt-get install debootstrap" >&2; exit 1; }
work=$(mktemp -d "$(dirname "$package")/debian-XXXXXX")
root=$work/root cgroup=
cleanup() {
	if [ -n "$cgroup" ]; then
		echo $BASHPID > "$(dirname "$cgroup")/cgroup.procs"
		find "$cgroup" -depth -type d -exec rmdir {} \; 2> /dev/null
	fi
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

passed=0 failed=0 skipped=0
ok() { # NAME COMMAND...
	local name=$1
	shift
	if "$@" > "$work/out" 2>&1; then
		echo "ok - deb: $name"
		((passed++))
	else
		echo "not ok - deb: $name: $(tail -3 "$work/out" | tr '\n' ' ')"
		((failed++))
	fi
}
inside() { # private, so that nothing of it is seen or left outside
	unshare --mount --net --uts --ipc --pid --fork --kill-child=KILL chroot "$root" "$@"
}
files() { # what a package manager itself leaves is not judged
	(cd "$root" && find . -xdev \( -path ./proc -o -path ./sys -o -path ./dev -o -path ./tmp -o -path ./guest -o -path ./var/lib/dpkg \
		-o -path ./etc/mtab -o -path ./root/.ssh -o -path ./var/lib/private -o -path ./var/lib/systemd -o -path ./var/log -o -path ./var/cache \) -prune -o ! -name '*-' -print | sort
	cat etc/passwd etc/group etc/shadow etc/gshadow)
}

if command -v lintian > /dev/null; then
	ok "lintian" lintian --profile debian --allow-root --fail-on error,warning "$package"
else
	echo "skip - deb: lintian: it is not installed"
	((skipped++))
fi
echo "fetching Debian's $suite (minbase)"
mirror=$("$here/../mirror.sh") || exit 1
timeout 900 debootstrap --variant=minbase "$suite" "$root" "$mirror" > "$work/log" 2>&1 || {
	echo "deb-check: debootstrap failed: $(tail -1 "$work/log")" >&2
	exit 1
}
mkdir "$root/guest"
cp "$package" "$root/guest/synwave.deb"
files > "$work/before"
ok "installs with nothing but minbase" inside dpkg -i /guest/synwave.deb
ok "runs" inside sh -c 'synwave --version | grep -q "^synwave [0-9]"'
cat > "$root/guest/use" << 'USE'
set -e
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t bpf bpf /sys/fs/bpf
synwave attach lo --mode tc
synwave stats --json | grep -q '"half_open":0'
synwave detach lo
! ls -d /sys/fs/bpf/synwave
USE
ok "attaches, counts, detaches" inside sh /guest/use
ok "is removed" inside dpkg -r synwave
ok "its configuration stays" test -e "$root/etc/default/synwave"
ok "is purged" inside dpkg -P synwave
ok "and leaves nothing" diff "$work/before" <(files)

mnt=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
if [ -z "$mnt" ]; then
	echo "skip - deb: under systemd: no cgroup2 hierarchy is mounted"
	((skipped++))
else
	cgroup=$mnt$(awk -F: '$1 == 0 { print $3 }' /proc/self/cgroup)/synwave-deb-$$
	mkdir "$cgroup" && echo $BASHPID > "$cgroup/cgroup.procs"
	cp /etc/resolv.conf "$root/etc/resolv.conf" 2> /dev/null
	echo 'exit 101' > "$root/usr/sbin/policy-rc.d"
	chmod +x "$root/usr/sbin/policy-rc.d"
	ok "systemd comes into it" timeout 600 chroot "$root" env DEBIAN_FRONTEND=noninteractive \
		apt-get install -qqy --no-install-recommends systemd dbus iproute2
	rm -f "$root/usr/sbin/policy-rc.d"
	files > "$work/before"
	cp "$here/guest.sh" "$root/guest/"
	: > "$root/guest/result"
	timeout --kill-after=5 120 setpriv --pdeathsig KILL unshare --pid --mount --net --uts --ipc --cgroup --fork \
		--kill-child=KILL "$here/boot.sh" "$root" < /dev/null > "$work/log" 2>&1
	cat "$root/guest/result"
	((passed += $(grep -c '^ok' "$root/guest/result"), failed += $(grep -c '^not ok' "$root/guest/result")))
	ok "all of it was played" sh -c "grep -qx '# done' '$root/guest/result' || { cat '$work/log' '$root/guest/result.err'; false; }"
	ok "purged under systemd, it leaves nothing" diff "$work/before" <(files)
fi
tail=
[ "$skipped" = 0 ] || tail=", $skipped skipped"
echo "deb: $passed passed, $failed failed$tail"
[ "$failed" = 0 ]
