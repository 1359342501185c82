#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Usage: check.sh [BTF]
# The proof of vmlinux.h against a kernel: each line of each type in it stands in the kernel's own definition of that
# type, in the same order. (A kernel may know more: newer ones append members and enumerators.)
set -eu
here=$(dirname "$0")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$here/make.sh" "${1:-/sys/kernel/btf/vmlinux}" > "$dir/kernel.h"
# __MAX_BPF_MAP_TYPE is a count: it differs by nature
grep -v __MAX_BPF_MAP_TYPE "$here/vmlinux.h" > "$dir/ours"
grep -v __MAX_BPF_MAP_TYPE "$dir/kernel.h" > "$dir/theirs"
if diff "$dir/ours" "$dir/theirs" | grep '^<' > "$dir/missing"; then
	echo "vmlinux.h: the kernel does not know:" >&2
	cat "$dir/missing" >&2
	exit 1
fi
