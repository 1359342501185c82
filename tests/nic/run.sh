#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# run.sh [NAME...]: network cards of tests/nic/nics (all of them), each between two virtual machines: one is watched, the other is its client. What was
# found goes into docs/compatibility.md. KERNEL is a suite's full kernel, as tests/vm/kernel.sh has it; QEMU another qemu-system-x86_64. The wires
# are taps on bridges, in a network namespace that ends with this: a socket of QEMU's has neither several queues nor offloads.
set -eu -o pipefail
cd "$(dirname "$0")/../.."
export KERNEL=${KERNEL:-trixie-full} QEMU=${QEMU:-}

skip() {
	echo "skip - nic $KERNEL: $1"
	echo "nic: 0 passed, 0 failed, 1 skipped"
	exit 0
}

if [ -z "${NIC_INSIDE:-}" ]; then
	[ "$(uname -m)" = x86_64 ] || skip "its cards are those of x86_64"
	command -v qemu-system-x86_64 > /dev/null || skip "no qemu-system-x86_64: sudo make deps"
	[ -c /dev/net/tun ] || skip "no /dev/net/tun to lay its wires with"
	tests/vm/kernel.sh "$KERNEL" > /dev/null || skip "its kernel cannot be fetched: see above"
	[ -n "$QEMU" ] || QEMU=$(tests/nic/qemu.sh)
	NIC_INSIDE=1 setpriv --pdeathsig KILL timeout --kill-after=5 "${VM_SECONDS:-7200}" setpriv --pdeathsig KILL unshare --net --mount --pid --fork --kill-child=KILL --mount-proc "$0" "$@" &
	trap 'kill -KILL $! 2> /dev/null; wait; exit 130' INT TERM HUP
	wait $!
	exit
fi

# The wire number $1 between both machines; their parts of it are added to `watched` and `client`.
wire() {
	local number=$1 queues=$2 device=$3 side several=()
	[ "$queues" = 1 ] || several=(multi_queue)
	ip link add "b$number" mtu 9000 up type bridge
	for side in s c; do
		ip tuntap add "$side$number" mode tap "${several[@]}"
		ip link set "$side$number" mtu 9000 txqueuelen 10000 up master "b$number"
	done
	parts() { # SIDE, last byte of its address
		echo "-netdev tap,id=n$number,ifname=$1$number,script=no,downscript=no,queues=$queues -device $device,netdev=n$number,mac=02:00:00:00:0$number:0$2"
	}
	watched+=" $(parts s 1)" client+=" $(parts c 2)"
}

devices=$("$QEMU" -device help 2> /dev/null)
watched="-machine q35" client="-machine q35" number=0
wire 0 1 virtio-net-pci
while read -r name _ queues device; do
	((++number))
	grep -qF "name \"${device%%,*}\"" <<< "$devices" || { echo "skip - $name: this QEMU has no ${device%%,*}"; continue; }
	[ "${device%%,*}" = virtio-net-pci ] || queues=1 # they are the card's own affair
	wire "$number" "$queues" "$device"
done < <(grep -v '^#' tests/nic/nics)

export VM_SECONDS=7200
log=$(mktemp)
trap 'rm -f "$log"' EXIT
VM_ARGS=$client VM_CPUS=1 tests/vm/run.sh nic:client.py > /dev/null &
code=0
VM_ARGS=$watched tests/vm/run.sh "nic:watched.py $*" | tee "$log" || code=$?
release=$(sed -n 's/^== \([0-9]\)/\1/p' "$log" | head -1)
[ -z "$release" ] || tests/nic/table.py "$KERNEL" "$release" "$("$QEMU" --version | grep -Eom1 '[0-9]+(\.[0-9]+)+' | head -1)" < "$log"
exit "$code"
