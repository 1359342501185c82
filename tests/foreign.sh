#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# foreign.sh SUITE ARCHITECTURE: a Debian userland of another architecture, for a virtual machine (tests/vm/run.sh), with this project in
# /synwave, built for it by the cross compiler of that suite. Its packages are unpacked and not set up: nothing here can run their scripts. Kept
# below build/userlands, as what tests/userland.sh makes.
set -eu
cd "$(dirname "$0")/.."
suite=$1 arch=$2
root=$PWD/build/userlands/$suite-$arch
case $arch in
arm64) machine=aarch64 ;;
*) echo "foreign.sh: $arch: it is arm64" >&2 && exit 2 ;;
esac

fetch() { # what the tests run, into $1
	local list
	mapfile -t list < <(sed -n '/^# to run/,/^# to/ { /^#/d; /:/d; p }' packages.txt | grep -vE '^(chromium|zsh|tmux|ca-certificates)')
	tests/apt.sh "$suite" "$arch" apt-get -qqy --no-install-recommends --download-only -o "Dir::Cache::archives=$1" install \
		'?essential' mount busybox-static libbpf1 libxdp1 libyaml-0-2 libyajl2 "${list[@]}"
}

unpack() { # as a merged /usr, which the packages' scripts would see to
	local deb dir
	for dir in bin sbin lib; do
		mkdir -p "$2/usr/$dir"
		ln -s "usr/$dir" "$2/$dir"
	done
	for deb in "$1"/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$2"
	done
	cp "$2"/usr/share/base-passwd/passwd.master "$2/etc/passwd"
	cp "$2"/usr/share/base-passwd/group.master "$2/etc/group"
	ln -sf mawk "$2/usr/bin/awk"
	mkdir -p "$2"/{dev,proc,sys,run,tmp,mnt,root,synwave}
}

if [ ! -e "$root/synwave" ]; then
	to=$root.$$ # another may be at it
	trap 'rm -rf "$to" "$to.debs"' EXIT
	mkdir -p "$to" "$to.debs/partial"
	chmod 755 "$to.debs" # for apt's own user
	fetch "$to.debs"
	unpack "$to.debs" "$to"
	mv -nT "$to" "$root"
fi

# Built in that suite's userland, which is this machine's architecture. What is missing there is what make says.
read -r -d '' build << 'END' || true
make="make -s -j$(nproc) ARCH=$1"
apt-get update -qq
apt-get install -qqy --no-install-recommends git qemu-user $(sed -n '1,/^# to run/ { /^#/d; /:/d; p }' packages.txt) > /tmp/log
$make -n all 2>&1 | sed -n 's/.*: \*\*\* to build for.*, run: //; s/install/install -qqy --no-install-recommends/; s/\. *Stop\.$//p' > /tmp/do
sh -e /tmp/do > /tmp/log
$make deb build/"$1"/{test/{unit-plain,prog,verifier},synflood,older.so}
dpkg-query -W -f 'version ${Package} ${Version}\n' gcc clang libbpf-dev libxdp-dev
set +e
. tests/suites.sh
suite "unit: by an emulator of $1" "qemu-$2" build/"$1"/test/unit-plain
sum "userland: "
END
tests/userland.sh "$suite" bash -ec "$build" build "$arch" "$machine"
from=build/userlands/$suite/synwave
rm -rf "$root/synwave"
mkdir "$root/synwave"
tar -c -C "$from" --exclude ./build . | tar -x -C "$root/synwave"
cp -a "$from/build/$arch" "$root/synwave/build"
