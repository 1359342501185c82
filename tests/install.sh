#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What `make install` and `make deb` put where; that units are in order and closed.
cd "$(dirname "$0")/.." || exit 1
passed=0 failed=0 skipped=0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
ok() { # NAME COMMAND...
	local name=$1 out
	shift
	if out=$("$@" 2>&1); then
		echo "ok - install: $name"
		((passed++))
	else
		echo "not ok - install: $name: $(tail -5 <<< "$out" | tr '\n' ' ')"
		((failed++))
	fi
}
skip() {
	echo "skip - install: $1"
	((skipped++))
}

# --- make install
to=$tmp/to prefix=/opt/synwave
ok "make install" timeout 300 make -s install DESTDIR="$to" PREFIX=$prefix
hardened() { # position independent, relocations read-only before main, no executable stack, checked calls, not setuid
	readelf -hW "$1" | grep -q 'Type: *DYN' && readelf -dW "$1" | grep -q BIND_NOW &&
		readelf -lW "$1" | grep -q GNU_RELRO && readelf -lW "$1" | grep 'GNU_STACK' | grep -q 'RW ' &&
		readelf -sW "$1" | grep -q __stack_chk_fail && readelf -sW "$1" | grep -q __snprintf_chk &&
		! readelf -dW "$1" | grep -qE 'RPATH|RUNPATH|TEXTREL' && [ ! -u "$1" ] && [ ! -g "$1" ]
}
ok "hardened" hardened "$to$prefix/sbin/synwave"
cat > "$tmp/want" << 'LIST'
644 etc/default/synwave
644 opt/synwave/lib/systemd/system/synwave-exporter.service
644 opt/synwave/lib/systemd/system/synwave@.service
644 opt/synwave/lib/sysusers.d/synwave.conf
644 opt/synwave/share/bash-completion/completions/synwave
644 opt/synwave/share/man/man8/synwave.8
644 opt/synwave/share/synwave/grafana/synwave.json
644 opt/synwave/share/synwave/kubernetes/daemonset.yaml
644 opt/synwave/share/synwave/prometheus/alerts.yml
644 opt/synwave/share/synwave/prometheus/prometheus.yml
644 opt/synwave/share/synwave/prometheus/recording.yml
644 opt/synwave/share/zsh/site-functions/_synwave
755 opt/synwave/sbin/synwave
LIST
list() { (cd "$1" && find . -path ./DEBIAN -prune -o -type f -printf '%m %P\n' | LC_ALL=C sort); }
ok "these files, and no others" diff "$tmp/want" <(list "$to")
ok "the program runs" "$to$prefix/sbin/synwave" --version
ok "units know where it is" diff <(grep -h "^Exec" "$to$prefix"/lib/systemd/system/* | grep -o '/[^ ]*/synwave' | sort -u) <(echo $prefix/sbin/synwave)
echo mine > "$to/etc/default/synwave"
ok "again" timeout 300 make -s install DESTDIR="$to" PREFIX=$prefix
ok "what an administrator changed stays" grep -qx mine "$to/etc/default/synwave"

# --- units, where they would be started from
if command -v systemd-analyze > /dev/null; then
	timeout 300 make -s install DESTDIR= PREFIX="$tmp/here" SYSCONFDIR="$tmp/etc" > /dev/null
	units=$tmp/here/lib/systemd/system
	mv "$units/synwave@.service" "$units/synwave@eth0.service"
	for unit in synwave@eth0 synwave-exporter; do
		ok "$unit.service: systemd-analyze verify" sh -c "out=\$(systemd-analyze verify --man=no '$units/$unit.service' 2>&1) && [ -z \"\$out\" ] || { echo \"\$out\"; false; }"
		# docs/deploy.md states them
		score=$(systemd-analyze security --offline=true --no-pager "$units/$unit.service" | sed -n 's/.*exposure level.*: \([0-9.]*\) .*/\1/p')
		said=$(sed -n "s/^| .${unit/eth0/}.service. .* | \([0-9.]*\) OK |/\1/p" docs/deploy.md)
		ok "$unit.service: exposure $score, as stated ($said), of 10" sh -c "[ -n '$said' ] && [ -n '$score' ] && [ \"\$(printf '%s\n' '$score' '$said' | sort -V | head -1)\" = '$score' ]"
	done
else
	skip "units: no systemd-analyze (apt-get install systemd)"
fi

# --- the package
package=$tmp/deb
mkdir "$package"
ok "make deb" timeout 300 deploy/debian/build.sh "$package" 9.8.7
file=$(echo "$package"/synwave_9.8.7_*.deb)
field() { dpkg-deb -f "$file" "$1"; }
sed -e "s|opt/synwave/share/zsh/site-functions|usr/share/zsh/vendor-completions|; s|opt/synwave|usr|; s|synwave\.8$|&.gz|" "$tmp/want" > "$tmp/deb.want"
cat >> "$tmp/deb.want" << 'LIST'
644 usr/share/doc/synwave/changelog.gz
644 usr/share/doc/synwave/copyright
644 usr/share/doc/synwave/metrics.md
644 usr/share/lintian/overrides/synwave
LIST
ok "its files" diff <(LC_ALL=C sort "$tmp/deb.want") <(list "$package/deb")
ok "all of them root's" sh -c "! dpkg-deb -c '$file' | grep -v ' root/root '"
ok "its version and architecture" test "$(field Version) $(field Architecture)" = "9.8.7 $(dpkg --print-architecture)"
libraries=$(objdump -p build/synwave | awk '$1 == "NEEDED" { print $2 }' | grep -v '^ld-linux' | tr '\n' ' ')
ok "it depends on libc alone, as does the program" test "$libraries$(field Depends | sed 's/ (.*//')" = "libc.so.6 libc6"
ok "its sums" sh -c "cd '$package/deb' && md5sum --quiet -c DEBIAN/md5sums"
ok "its configuration file" test "$(cat "$package/deb/DEBIAN/conffiles")" = /etc/default/synwave

tail=
[ "$skipped" = 0 ] || tail=", $skipped skipped"
echo "install: $passed passed, $failed failed$tail"
[ "$failed" = 0 ]
