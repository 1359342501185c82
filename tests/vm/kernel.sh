#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# kernel.sh SUITE[-full|-16k] [ARCHITECTURE]: the directory of a Debian suite's kernel for clouds, or its full one with all drivers, or that
# with pages of 16 KB. Fetched once, below build/: nothing is installed.
set -eu
cd "$(dirname "$0")/../.."
suite=${1%-*} arch=${2:-$(dpkg --print-architecture)}
kernel=$PWD/build/kernels/$1-$arch
case $1 in
*-full) meta=linux-image-$arch ;;
*-16k) meta=linux-image-$arch-16k ;;
*) meta=linux-image-cloud-$arch ;;
esac
needs() { tests/apt.sh "$suite" "$arch" apt-cache depends "$1" | awk '$1 ~ /Depends:/ { print $2 }'; }

if [ ! -e "$kernel/done" ]; then
	to=$kernel.$$ # another may be at it
	trap 'rm -rf "$to"' EXIT
	mkdir -p "$to/deb"
	chmod 755 "$to" "$to/deb" # for apt's own user
	image=$(needs "$meta" | grep -m1 '^linux-image-[0-9]')
	# newer ones come in parts
	mapfile -t parts < <(needs "$image" | grep -xF "$(printf "linux-%s-${image#linux-image-}\n" binary modules base)")
	apt=$PWD/tests/apt.sh
	(cd "$to/deb" && timeout 600 "$apt" "$suite" "$arch" apt-get -qq download "$image" "${parts[@]}" 2> >(grep -v unsandboxed >&2))
	for deb in "$to"/deb/*.deb; do
		dpkg-deb -x "$deb" "$to"
	done
	rm -rf "$to/deb"
	# one place, for busybox's depmod, and no decompressor in an emulated machine
	[ -d "$to/lib/modules" ] || { mkdir -p "$to/lib" && mv "$to/usr/lib/modules" "$to/lib/modules"; }
	find "$to/lib/modules" -name '*.ko.xz' -exec xz -d {} +
	version=$(basename "$to"/lib/modules/*)
	busybox depmod -b "$to" "$version"
	touch "$to/done"
	rm -rf "$kernel"
	mv -nT "$to" "$kernel"
fi
echo "$kernel"
