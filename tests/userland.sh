#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# userland.sh SUITE [COMMAND...]: runs COMMAND as root in a Debian suite of its own, on this machine's kernel, in /synwave: a copy of what
# git knows of this tree. The suite (debootstrap's smallest) and the copy's build/ are kept below build/userlands. Without COMMAND: a shell.
set -eu
cd "$(dirname "$0")/.."
suite=$1 root=$PWD/build/userlands/$1
shift
[ "$(id -u)" = 0 ] || { echo "userland.sh: needs root" >&2; exit 1; }

if [ -z "${IN_USERLAND:-}" ]; then
	if [ ! -e "$root/synwave" ]; then
		command -v debootstrap > /dev/null || { echo "userland.sh: no debootstrap: apt-get install debootstrap" >&2; exit 1; }
		mirror=$(tests/mirror.sh)
		mkdir -p build/userlands
		to=$root.$$ # another may be at it
		trap 'rm -rf "$to"' EXIT
		timeout 1200 debootstrap --variant=minbase "$suite" "$to" "$mirror" > "build/userlands/$suite.log" 2>&1 || {
			echo "userland.sh: debootstrap of $suite failed: $(tail -n 1 "build/userlands/$suite.log")" >&2
			exit 1
		}
		printf "exit 101\n" > "$to/usr/sbin/policy-rc.d" # no service starts
		chmod +x "$to/usr/sbin/policy-rc.d"
		mkdir "$to/synwave"
		mv -nT "$to" "$root"
	fi
	python3 tests/copy.py "$root/synwave"
	IN_USERLAND=1 exec unshare --mount --pid --fork --kill-child=KILL "$0" "$suite" "$@"
fi

# In a mount namespace of our own: what it mounts goes with it.
mount --make-rprivate /
mount --bind "$root" "$root"
for kind in proc:/proc sysfs:/sys tmpfs:/run tmpfs:/tmp bpf:/sys/fs/bpf cgroup2:/sys/fs/cgroup; do
	mount -t "${kind%:*}" "${kind%:*}" "$root${kind#*:}"
done
mount --rbind /dev "$root/dev"
chmod 1777 "$root/tmp"
cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
exec chroot "$root" env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM="${TERM:-dumb}" LC_ALL=C.UTF-8 \
	sh -c 'cd /synwave && exec "$@"' sh "${@:-bash}"
