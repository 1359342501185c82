#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The program and the build in odd environments do, and say, what they do and say in a plain one. In namespaces of its own, with all
# that it writes in memory there: they end with this script, however it ends.
cd "$(dirname "$0")/.." || exit 1
case ${1-} in
"")
	[ "$(id -u)" = 0 ] || { echo "tests/environment.sh: needs root (namespaces and BPF)" >&2; exit 1; }
	setpriv --pdeathsig KILL unshare --mount --net --pid --fork --kill-child=KILL --mount-proc "$0" inside < /dev/null &
	trap 'exec 2> /dev/null; kill -KILL $!; wait; exit 130' INT TERM HUP
	wait $!
	exit
	;;
round) # what an operator does, without times
	synwave=/run/synwave
	{
		"$synwave" --version
		"$synwave" attach v0 --flows 1024 --half-open 1024
		find /sys/fs/bpf/synwave -printf '%M %u:%g %f\n' | LC_ALL=C sort
		"$synwave" status
		"$synwave" stats --json
		"$synwave" flows --state time_wait --state TIME-WAIT
		printf 'mode: dry-run\nsource: [{family: ipv4, prefix: 24, rate: 1500/s, burst: 3000}]\n' > "/run/a b/rules"
		"$synwave" guard apply "/run/a b/rules"
		"$synwave" guard show --yaml
		"$synwave" export
		"$synwave" export --textfile "/run/a b/synwave.prom"
		stat -c '%A %U:%G %n' "/run/a b/synwave.prom"
		"$synwave" replay --json tests/fuzz/corpus/replay/decades-between
		"$synwave" no-such-command
		"$synwave" detach --all
		ls /sys/fs/bpf
	} 2>&1 | sed -E '/^(process_|synwave_scrape_duration)/d; s/[0-9-]{10}T[0-9:]{8}Z/TIME/g; s/"(at|monotonic|created)_ns":[0-9]+//g'
	exit
	;;
esac

passed=0 failed=0
ok() { # NAME COMMAND...
	local name=$1 out
	shift
	if out=$("$@" 2>&1); then
		echo "ok - environment: $name"
		((passed++))
	else
		echo "not ok - environment: $name: $(tail -5 <<< "$out" | tr '\n' ' ' | cut -c 1-600)"
		((failed++))
	fi
}
same() { diff <(echo "$1") <(echo "$2"); }

mount -t tmpfs -o mode=755 run /run
mount -t bpf bpf /sys/fs/bpf
mkdir "/run/a b" /run/locale
install -m 755 build/synwave /run/synwave
export PATH=$PATH:/usr/sbin:/sbin TMPDIR=/run
ip link add v0 type veth peer v1

# --- the program
plain=$("$0" round)
well() { grep -q "ingress xdp-native" <<< "$plain" && grep -q "rate: 1500/s" <<< "$plain"; }
ok "a round through the commands" well
odd() { # NAME COMMAND...: one that sets an environment up for what follows
	local name=$1
	shift
	ok "$name" same "$plain" "$("$@" "$BASH" "$0" round)"
}
for locale in de_DE tr_TR; do # decimal commas; an i without a dot. Where localedef has not their sources, they are not there
	localedef -i $locale -f UTF-8 "/run/locale/$locale.UTF-8" > /dev/null 2>&1
done
# shellcheck disable=SC2016 # the inner shell's
umask_() { sh -c 'umask "$0"; exec "$@"' "$@"; }
# shellcheck disable=SC2016
tmp_() { unshare --mount sh -c 'mount -t tmpfs -o "$0" tmp /tmp && exec "$@"' "$@"; }
# shellcheck disable=SC2016
odd "nothing in the environment, umask 077, standard input closed" umask_ 077 env -i sh -c 'exec "$@" <&-' sh
odd "tr_TR, Asia/Kathmandu, no sbin in PATH, TERM=dumb, umask 000" \
	umask_ 000 env LOCPATH=/run/locale LC_ALL=tr_TR.UTF-8 TZ=Asia/Kathmandu PATH=/usr/bin:/bin TERM=dumb
odd "de_DE, no HOME, TERM=xterm-256color, /tmp read-only" \
	tmp_ ro env -u HOME LOCPATH=/run/locale LC_ALL=de_DE.UTF-8 TERM=xterm-256color
odd "LC_ALL=C, no TERM, /tmp noexec and full" tmp_ noexec,size=4k env -u TERM LC_ALL=C

# --- make, in a checkout of another user's with spaces in its path
tree="/run/a b/syn wave"
mkdir -p "$tree/build"
tar -c --exclude=./build . | tar -x -C "$tree"
cp -a build/{synwave*,absent.c,compiler,user,page} "$tree/build" # nothing is to be compiled but what is touched below
chown -R nobody: "$tree"
strange() { # COMMAND...
	# shellcheck disable=SC2016
	env -i PATH=/usr/bin:/bin LOCPATH=/run/locale LC_ALL=tr_TR.UTF-8 TZ=Asia/Kathmandu TMPDIR="/run/a b" \
		sh -c 'umask 077; cd "$0" && exec "$@" <&-' "$tree" "$@"
}
list() { (cd "$1" && find . -printf '%M %u:%g %P\n' | LC_ALL=C sort); }
ok "make install, as it is" make -s install DESTDIR=/run/plain
ok "make install, both paths with spaces" strange make -s install DESTDIR="/run/a b/to"
ok "the same files, rights and directories" same "$(list /run/plain)" "$(list "/run/a b/to")"
ok "the same contents" diff -r /run/plain "/run/a b/to"
ok "make deb, as it is" deploy/debian/build.sh /run/package 1.2.3
ok "make deb, in a path with spaces" strange deploy/debian/build.sh build/package 1.2.3
ok "the same package" cmp /run/package/*.deb "$tree"/build/package/*.deb
touch "$tree/user/main.c"
ok "make" strange make -s all
ok "what it built" same "$(build/synwave --help)" "$(strange build/synwave --help)"
ok "a test" strange tests/e2e/run "late tc ipv4"
ok "a PREFIX with a space is refused" sh -c 'make -s install DESTDIR=/run/no PREFIX="/opt/a b" 2>&1 | grep "PREFIX" && [ ! -e /run/no ]'

echo "environment: $passed passed, $failed failed"
[ "$failed" = 0 ]
