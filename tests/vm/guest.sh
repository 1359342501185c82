#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Process 1 of the virtual machine, on the shared files: runs the suites that VM_TESTS asks for and ends the machine.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
end() { busybox poweroff -f; }
trap end EXIT
for kind in proc:/proc sysfs:/sys devtmpfs:/dev tmpfs:/run bpf:/sys/fs/bpf; do
	mount -t "${kind%:*}" "${kind%:*}" "${kind#*:}"
done
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
cd "$VM_DIR" || exit

# The kernel asks for its modules by itself; busybox finds them. It takes a module that another is loading for loaded:
# two tests that make the first veth pairs at once would find them unknown, so this waits.
mkdir -p /lib/modules /run/bin
ln -sfn "/mnt/$(uname -r)" "/lib/modules/$(uname -r)"
cat > /run/bin/modprobe << 'END'
#!/bin/sh
busybox modprobe "$@"
status=$?
for _ in $(seq 50); do # a module's own start may ask for another: not for ever
	grep -q ' Loading ' /proc/modules || break
	sleep 0.1
done
exit $status
END
chmod +x /run/bin/modprobe
echo /run/bin/modprobe > /proc/sys/kernel/modprobe
/run/bin/modprobe tun
/run/bin/modprobe veth
ip link set lo up
[ -n "$MODEL_RUNS" ] || unset MODEL_RUNS

# What it takes here, ten times as long as on the machine itself, is no failure; libxdp's dispatcher must run.
export E2E_SLOW=8 E2E_DISPATCHER=1
# Most of what this kernel alone can show: xdp-filter loaded first and second, one in either mode; clsact; real programs; cookies.
# VM=all has the rest.
FEW=("chain_filter_first native ours" "chain_filter_second generic theirs" chain_three "programs native ipv4"
	"guard_cookies tc ipv4" "other_clsact tc")
# What newer kernels do in another way: the dispatcher that refuses a program. And devices that kernels for clouds have.
NEWER=("chain_cookies native ipv4" devices_vrf_master)
[ "$(getconf PAGESIZE)" = 4096 ] || NEWER+=(trace_lost) # rings depend on the size of a page
# The test in which two CPUs meet at every step asks how many there are: as an emulation, on CPUs that others use as
# well, its million meetings take an hour.
prog_on_one_cpu() {
	echo 0 > /run/one
	unshare --mount sh -c 'mount --bind /run/one /sys/devices/system/cpu/online && exec build/test/prog'
}
complaints() { # of the kernel; that it was not given the CPU for long is none
	! dmesg | grep -E 'BUG:|WARNING:|Oops|general protection' | grep -v 'soft lockup'
}

# shellcheck source=/dev/null
. tests/suites.sh
echo "== $(uname -r)"
case $VM_TESTS in
all)
	suite "verifier: what the programs cost it" build/test/verifier
	suite "unit: the shared core" build/test/unit-plain
	suite "prog: the same frames through the kernel's programs" build/test/prog
	suite "e2e: namespaces, real clients and servers" tests/e2e/run -v
	;;
nic:*)
	read -ra script <<< "tests/nic/${VM_TESTS#nic:}"
	E2E_SLOW=4 suite "nic: ${VM_TESTS#nic:}" "${script[@]}" # no more than what an emulation needs: half-open connections end after a minute
	;;
few) # of make check, for the oldest kernel ...
	suite "verifier: what the programs cost it" build/test/verifier
	suite "prog: the same frames through the kernel's programs" prog_on_one_cpu
	suite "e2e: a choice" tests/e2e/run -v "${FEW[@]}"
	;;
newer) # ... and for the second one
	suite "verifier: what the programs cost it" build/test/verifier
	suite "e2e: a choice" tests/e2e/run -v "${NEWER[@]}" "${FEW[1]}"
	;;
"")
	suite "verifier: what the programs cost it" build/test/verifier
	suite "prog: the same frames through the kernel's programs" prog_on_one_cpu
	suite "e2e: a choice" tests/e2e/run -v "${FEW[@]}" "${NEWER[@]}" "devices vlan"
	;;
*)
	read -ra names <<< "$VM_TESTS"
	suite "e2e: $VM_TESTS" tests/e2e/run -v "${names[@]}"
	;;
esac
one "the kernel has nothing to complain of" complaints
sum "vm: "
