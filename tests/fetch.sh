#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# fetch.sh PROGRAM PACKAGE...: the path of a program that is in the first or the next of these Debian packages (its releases differ). If it is
# not installed, it is unpacked below build/: no service is started, nothing of the machine changes. Fails where that cannot be.
set -eu
cd "$(dirname "$0")/.."
program=$1
shift
command -v "$program" && exit
to=$PWD/build/debian/$program
if [ ! -x "$to/usr/bin/$program" ]; then
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	chmod 755 "$work" # for apt's own user
	mkdir -p build/debian
	for package in "$@"; do
		(cd "$work" && timeout 120 apt-get -qq download "$package" 2> /dev/null) || continue
		dpkg-deb -x "$work/$package"_*.deb "$to.$$"
		[ -x "$to.$$/usr/bin/$program" ] && break
		rm -rf "$to.$$"
	done
	[ -d "$to.$$" ] || { echo "fetch.sh: no $program: apt-get has no package ($*) that holds it" >&2; exit 1; }
	mv -nT "$to.$$" "$to" # another may have been faster
	rm -rf "$to.$$"
fi
echo "$to/usr/bin/$program"
