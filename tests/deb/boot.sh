#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# boot.sh ROOT: in new namespaces, becomes the systemd of that tree, with two hosts' worth of network, and runs guest.sh.
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -t sysfs sys sys
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=755 dev dev
for device in null zero full random urandom tty; do
	touch dev/$device
	mount --bind /dev/$device dev/$device
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
touch dev/console
mount --bind /dev/null dev/console
mount -t cgroup2 cgroup sys/fs/cgroup
mount -t bpf -o nosuid,nodev,noexec,mode=700 bpf sys/fs/bpf # as systemd does outside of containers

# the server's interface, as udev would announce it; its cable's other end is another host's
ip link set lo up
ip link add eth0 type veth peer name eth1
ip addr add 10.9.0.1/24 dev eth0
ip link set eth0 up
mkdir -p run/udev/data run/udev/tags/systemd
device=n$(cat sys/class/net/eth0/ifindex)
printf 'I:1\nE:SYSTEMD_ALIAS=/sys/subsystem/net/devices/eth0\nG:systemd\nQ:systemd\nV:1\n' > "run/udev/data/$device"
touch "run/udev/tags/systemd/$device" run/udev/control

# nothing but what is tested: no sysctl or module of this tree reaches the host's kernel
cat > etc/systemd/system/guest.service << 'UNIT'
[Unit]
DefaultDependencies=no
Requires=dbus.socket
After=dbus.socket
[Service]
Type=oneshot
ExecStart=/bin/bash /guest/guest.sh
StandardOutput=file:/guest/result
StandardError=file:/guest/result.err
ExecStopPost=/bin/systemctl --no-block --force --force poweroff
UNIT
mkdir -p run/systemd/system
for unit in systemd-sysctl systemd-modules-load systemd-random-seed systemd-binfmt; do
	ln -s /dev/null run/systemd/system/$unit.service
done
pivot_root . mnt
cd /
umount -l /mnt
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb \
	/lib/systemd/systemd --unit=guest.service --log-target=journal-or-kmsg --show-status=no
