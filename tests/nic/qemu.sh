#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# qemu.sh: the program that plays the cards: this machine's QEMU, or Debian's backport of a newer one if it is too old for igb (8.0). That is fetched
# once, below build/: nothing is installed. It is to be called in a mount namespace of the caller's: it finds its modules in one place only.
set -eu
cd "$(dirname "$0")/../.."
qemu=qemu-system-x86_64 own=$PWD/build/qemu
! $qemu -device help 2> /dev/null | grep -q '"igb"' || { echo $qemu; exit; }

fetch() {
	local to=$own.$$ apt=$PWD/tests/apt.sh suite arch deb
	# shellcheck source=/dev/null
	suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")-backports arch=$(dpkg --print-architecture)
	mkdir -p "$to/deb"
	chmod 755 "$to" "$to/deb" # for apt's own user
	(cd "$to/deb" && timeout 600 "$apt" "$suite" "$arch" apt-get -qq download qemu-system-{x86,common,data} 2> >(grep -v unsandboxed >&2)) || return
	for deb in "$to"/deb/*.deb; do
		dpkg-deb -x "$deb" "$to"
	done
	rm -rf "$to/deb"
	cat > "$to/qemu" <<- 'END'
		#!/bin/sh
		own=$(dirname "$(readlink -f "$0")")
		for modules in "$own"/usr/lib/*/qemu; do
			mount --bind "$modules" "${modules#"$own"}"
		done
		exec "$own/usr/bin/qemu-system-x86_64" -L "$own/usr/share/qemu" -L /usr/share/seabios "$@"
	END
	chmod +x "$to/qemu"
	mv -nT "$to" "$own"
	rm -rf "$to"
}
[ -e "$own/qemu" ] || fetch >&2 || { echo "nic: no newer QEMU to be had, so no igb" >&2; echo $qemu; exit; }
echo "$own/qemu"
