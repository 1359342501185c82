#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# fetch.sh PACKAGE PROGRAM: the path of a Debian package's program. If it is not installed, it is unpacked below build/:
# no service is started, nothing of the machine changes. Fails without a word where that cannot be.
set -eu
cd "$(dirname "$0")/.."
command -v "$2" && exit
to=$PWD/build/debian/$1
if [ ! -x "$to/usr/bin/$2" ]; then
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	chmod 755 "$work" # for apt's own user
	(cd "$work" && timeout 120 apt-get -qq download "$1" 2> /dev/null)
	mkdir -p build/debian
	dpkg-deb -x "$work"/*.deb "$to.$$"
	mv -nT "$to.$$" "$to" # another may have been faster
	rm -rf "$to.$$"
fi
echo "$to/usr/bin/$2"
