#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# run.sh [all | TEST...]: the suites on Debian 12's own kernel (6.1), in a virtual machine; TESTs are names of e2e tests.
# Its root is this machine's, read-only, under an overlay in memory: it has the same programs, libraries and tests.
# Nothing is left on this machine but the kernel below build/, not even after SIGKILL.
set -eu
cd "$(dirname "$0")/../.."
kernel=$PWD/build/vm-kernel
virtiofsd=/usr/lib/qemu/virtiofsd

skip() {
	echo "skip - vm: $1"
	echo "vm: 0 passed, 0 failed, 1 skipped"
	exit 0
}

fetch_kernel() { # into $kernel, by way of a directory of our own: another may be at it
	local package version to=$kernel.$$
	package=$(apt-cache depends linux-image-cloud-amd64 2> /dev/null | awk '/Depends: linux-image/ { print $2; exit }')
	[ -n "$package" ] || return 1
	mkdir -p "$to/deb"
	chmod 755 "$to" "$to/deb" # for apt's own user
	if ! (cd "$to/deb" && timeout 300 apt-get -qq download "$package" 2> /dev/null) || ! dpkg-deb -x "$to"/deb/*.deb "$to"; then
		rm -rf "$to"
		return 1
	fi
	rm -rf "$to/deb"
	version=$(basename "$to"/lib/modules/*)
	busybox depmod -b "$to" "$version"
	mv -nT "$to" "$kernel"
	rm -rf "$to"
}

if [ -z "${VM_INSIDE:-}" ]; then
	[ "$(uname -m)" = x86_64 ] || skip "Debian's kernel is fetched for x86_64 alone"
	for tool in qemu-system-x86_64 busybox cpio "$virtiofsd"; do
		command -v "$tool" > /dev/null || skip "no $tool: apt-get install qemu-system-x86 busybox-static cpio"
	done
	[ "$(id -u)" = 0 ] || { echo "tests/vm/run.sh: needs root, to share this machine's files: run it with sudo" >&2; exit 1; }
	compgen -G "$kernel/lib/modules/*/modules.dep" > /dev/null || rm -rf "$kernel"
	[ -d "$kernel/boot" ] || fetch_kernel || skip "cannot fetch Debian's package linux-image-cloud-amd64 (apt-get update?)"
	VM_INSIDE=1 setpriv --pdeathsig KILL timeout --kill-after=5 "${VM_SECONDS:-3600}" \
		setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child=KILL --mount-proc "$0" "$@" &
	trap 'kill -KILL $! 2> /dev/null; wait; exit 130' INT TERM HUP
	wait $!
	exit
fi

# In a mount namespace of our own.
image=$(echo "$kernel"/boot/vmlinuz-*)
version=${image##*vmlinuz-}
modules=$kernel/lib/modules/$version
mkdir -p build/vm
mount -t tmpfs -o mode=700 vm build/vm
work=$PWD/build/vm
mkdir -p /run/virtiofsd # where it locks a file named after its socket: each runner has its own
mount -t tmpfs vm /run/virtiofsd
mkdir -p "$work/share" "$work/root"/{bin,dev,proc,host,over,new,lib/modules/"$version"}
mount --rbind / "$work/share"
mount -o remount,bind,ro "$work/share"

# the first file system: busybox, and the modules with which it mounts the shared one
cp "$(command -v busybox)" "$work/root/bin/busybox"
install -m 755 tests/vm/init "$work/root/init"
cp "$modules/modules.dep" "$work/root/lib/modules/$version/"
for module in virtio_pci virtiofs overlay; do
	sed -n "s|:| |; \\|^[^ ]*/$module.ko |p" "$modules/modules.dep" | tr ' ' '\n' | while read -r file; do
		[ -z "$file" ] || install -D "$modules/$file" "$work/root/lib/modules/$version/$file"
	done
done
(cd "$work/root" && find . | cpio -o -H newc 2> /dev/null | gzip -1) > "$work/initrd"

"$virtiofsd" --socket-path="$work/socket" -o source="$work/share" -o cache=always -f > "$work/virtiofsd.log" 2>&1 &
for _ in $(seq 200); do
	[ ! -S "$work/socket" ] || break
	sleep 0.05
done
[ -S "$work/socket" ] || skip "virtiofsd cannot share this machine's files: $(tail -1 "$work/virtiofsd.log")"

# tsc: what this emulator shows as such runs evenly; the kernel's doubts would make every look at the clock slow
echo "booting $version (${ACCEL:-tcg})"
qemu-system-x86_64 -accel "${ACCEL:-tcg}" -cpu max,la57=off -smp 2 -m 2048 -nodefaults -display none -serial stdio -no-reboot \
	-object memory-backend-memfd,id=memory,size=2G,share=on -numa node,memdev=memory \
	-chardev socket,id=share,path="$work/socket" -device vhost-user-fs-pci,chardev=share,tag=host \
	-kernel "$image" -initrd "$work/initrd" -append "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable \
VM_DIR=\"$PWD\" VM_TESTS=\"$*\" MODEL_RUNS=${MODEL_RUNS:-}" < /dev/null 2>&1 | sed -un 's/\r//g; s/^[^=]*== /== /; /^== /,/^vm: /p' | tee "$work/log"
grep -Eq '^vm: [0-9]+ passed, 0 failed' "$work/log"
