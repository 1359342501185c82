#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# run.sh [all | few | newer | TEST...]: the suites on a Debian kernel in a virtual machine; TESTs are names of e2e tests. KERNEL is a suite: bookworm (6.1, the
# default), trixie, sid; or SUITE-full, with every driver, SUITE-16k, with pages of 16 KB. The machine's root is this machine's, read-only, under an
# overlay in memory: the same programs, libraries, tests. APPEND is put on the kernel's command line. ROOT is another userland for it, with this
# project built in TREE there; ARCH, amd64 or arm64, that userland's.
# For tests/nic: VM_CPUS, VM_ARGS of QEMU.
# Nothing is left on this machine but the kernel below build/, not even after SIGKILL.
set -eu
cd "$(dirname "$0")/../.."
KERNEL=${KERNEL:-bookworm} ROOT=${ROOT:-/} TREE=${TREE:-$PWD} ARCH=${ARCH:-amd64}
# tsc: what this emulator shows as such runs evenly; the kernel's doubts would make every look at the clock slow
case $ARCH in
amd64) emulator=("${QEMU:-qemu-system-x86_64}" -cpu "max,la57=off") console="ttyS0 mitigations=off tsc=reliable" ;;
arm64) emulator=(qemu-system-aarch64 -machine virt -cpu "max,pauth-impdef=on") console=ttyAMA0 ;;
*) echo "run.sh: ARCH=$ARCH: amd64 or arm64" >&2 && exit 2 ;;
esac
for virtiofsd in /usr/libexec/virtiofsd /usr/lib/qemu/virtiofsd; do # Debian 13's, 12's
	[ ! -x "$virtiofsd" ] || break
done

skip() {
	echo "skip - vm $KERNEL: $1"
	echo "vm: 0 passed, 0 failed, 1 skipped"
	exit 0
}

if [ -z "${VM_INSIDE:-}" ]; then
	[ "$(uname -m)" = x86_64 ] || [ "$ROOT" != / ] || skip "Debian's kernel is fetched for x86_64 alone"
	for tool in "${emulator[0]}" busybox cpio xz "$virtiofsd"; do
		command -v "$tool" > /dev/null || skip "no $tool: sudo make deps; for arm64, apt-get install qemu-system-arm"
	done
	[ "$(id -u)" = 0 ] || { echo "tests/vm/run.sh: needs root, to share this machine's files: run it with sudo" >&2; exit 1; }
	kernel=$(tests/vm/kernel.sh "$KERNEL" "$ARCH") || skip "its kernel cannot be fetched: see above"
	KERNEL=$kernel VM_INSIDE=1 setpriv --pdeathsig KILL timeout --kill-after=5 "${VM_SECONDS:-3600}" \
		setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child=KILL --mount-proc "$0" "$@" &
	trap 'kill -KILL $! 2> /dev/null; wait; exit 130' INT TERM HUP
	wait $!
	exit
fi

# In a mount namespace of our own.
modules=$(echo "$KERNEL"/lib/modules/*)
version=${modules##*/}
image=$modules/vmlinuz # where newer ones have it
[ -e "$image" ] || image=$KERNEL/boot/vmlinuz-$version
mkdir -p build/vm
mount -t tmpfs -o mode=700 vm build/vm
work=$PWD/build/vm socket=build/vm/socket # not longer: a socket's path ends at 108 bytes
mkdir -p /run/virtiofsd # where it locks a file named after its socket: each runner has its own
mount -t tmpfs vm /run/virtiofsd
mkdir -p "$work/share" "$work/root"/{bin,dev,proc,host,over,new,lib/modules/"$version"}
mount --rbind "$ROOT" "$work/share"
mount --bind "$KERNEL/lib/modules" "$work/share/mnt"
mount -o remount,bind,ro "$work/share"

# the first file system: busybox, and the modules with which it mounts the shared one, as far as the kernel has not got them in itself
cp "$ROOT/bin/busybox" "$work/root/bin/busybox"
install -m 755 tests/vm/init "$work/root/init"
cp "$modules/modules.dep" "$work/root/lib/modules/$version/"
for module in virtio_pci virtiofs overlay; do
	needed=$(sed -n "s|:||; \\|^[^ ]*/$module.ko|p" "$modules/modules.dep")
	[ -z "$needed" ] || echo "$module" >> "$work/root/modules"
	for file in $needed; do
		install -D "$modules/$file" "$work/root/lib/modules/$version/$file"
	done
done
(cd "$work/root" && find . | cpio -o -H newc 2> /dev/null | gzip -1) > "$work/initrd"

case $virtiofsd in
*/libexec/*) share=("--shared-dir=$work/share" --cache=always --sandbox=chroot) ;;
*) share=(-o "source=$work/share" -o cache=always -f) ;;
esac
"$virtiofsd" --socket-path="$socket" "${share[@]}" > "$work/virtiofsd.log" 2>&1 &
for _ in $(seq 200); do
	[ ! -S "$socket" ] || break
	sleep 0.05
done
[ -S "$socket" ] || skip "virtiofsd cannot share this machine's files: $(tail -1 "$work/virtiofsd.log")"

echo "booting $version (${ACCEL:-tcg})"
read -ra more <<< "${VM_ARGS:-}"
"${emulator[@]}" -accel "${ACCEL:-tcg}" -smp "${VM_CPUS:-2}" -m 2048 -nodefaults -display none -serial stdio -no-reboot \
	-object memory-backend-memfd,id=memory,size=2G,share=on -numa node,memdev=memory \
	-chardev socket,id=share,path="$socket" -device vhost-user-fs-pci,chardev=share,tag=host "${more[@]}" \
	-kernel "$image" -initrd "$work/initrd" -append "console=$console quiet panic=-1 \
VM_DIR=\"$TREE\" VM_TESTS=\"$*\" MODEL_RUNS=${MODEL_RUNS:-} ${APPEND:-}" < /dev/null 2>&1 | sed -un 's/\r//g; s/^[^=]*== /== /; /^== /,/^vm: /p' | tee "$work/log"
grep -Eq '^vm: [0-9]+ passed, 0 failed' "$work/log"
