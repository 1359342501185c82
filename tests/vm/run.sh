#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Debian 12's own kernel (6.1) in a virtual machine: programs load, each mode attaches, a connection is seen.
# Needs packages that `make deps` does not install: qemu-system-x86 busybox-static cpio (said when missing).
set -eu
cd "$(dirname "$0")/../.."
for tool in qemu-system-x86_64 busybox cpio; do
	command -v $tool > /dev/null || { echo "make vm: no $tool: apt-get install qemu-system-x86 busybox-static cpio" >&2; exit 1; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
kernel=${KERNEL:-build/vm-kernel}

if [ ! -d "$kernel/boot" ]; then
	package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
	(cd "$work" && apt-get -q download "$package" 2> /dev/null)
	mkdir -p "$kernel"
	dpkg-deb -x "$work"/linux-image-*.deb "$kernel"
	rm -f "$work"/linux-image-*.deb
fi
image=$(echo "$kernel"/boot/vmlinuz-*)
version=${image##*vmlinuz-}

# the machine: busybox (its httpd serves), iproute2, curl
root=$work/root
mkdir -p "$root"/{bin,proc,sys,dev,run,tmp,lib64,sys/fs/bpf,usr/lib}
cp "$(command -v busybox)" "$root/bin/busybox"
copy() { # a program with its libraries
	install -D "$1" "$root$2"
	ldd "$1" | grep -Eo '/[^ ]+' | while read -r lib; do install -D "$lib" "$root$lib"; done
}
copy build/synwave /bin/synwave
copy build/test/prog /bin/prog
copy "$(command -v ip)" /real/ip
copy "$(command -v tc)" /real/tc
copy "$(command -v curl)" /real/curl # the static wget of busybox has no resolver
copy "$(command -v setpriv)" /real/setpriv
[ ! -d /usr/lib/x86_64-linux-gnu/bpf ] || install -D -t "$root/usr/lib/x86_64-linux-gnu/bpf" /usr/lib/x86_64-linux-gnu/bpf/xdp-dispatcher.o
modules="kernel/drivers/net/veth.ko kernel/net/sched/sch_ingress.ko kernel/net/sched/cls_bpf.ko kernel/drivers/net/tun.ko"
for m in $modules; do
	[ ! -f "$kernel/lib/modules/$version/$m" ] || install -D "$kernel/lib/modules/$version/$m" "$root/lib/$(basename "$m")"
done
cp tests/vm/init "$root/init"
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc 2> /dev/null | gzip -1) > "$work/initrd"

echo "booting $version"
timeout "${VM_SECONDS:-300}" qemu-system-x86_64 -accel "${ACCEL:-tcg}" -cpu max -smp 2 -m 1024 -nographic -no-reboot \
	-kernel "$image" -initrd "$work/initrd" -append "console=ttyS0 quiet panic=-1" < /dev/null | tr -d '\r' > "$work/log" || true
sed -n "/== [0-9]/,\$p" "$work/log"; [ -z "${VM_LOG:-}" ] || cp "$work/log" "$VM_LOG"
grep -q '^vm: [0-9]* passed, 0 failed' "$work/log"
