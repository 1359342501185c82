#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Usage: make.sh [BTF]
# Prints vmlinux.h: the types of types.list as they stand in BTF (default: the running kernel).
set -eu
here=$(dirname "$0")
full=$(mktemp)
trap 'rm -f "$full"' EXIT
bpftool=$(command -v bpftool || echo /usr/sbin/bpftool)
"$bpftool" btf dump file "${1:-/sys/kernel/btf/vmlinux}" format c > "$full"
cat <<'HEAD'
/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's types that the programs use, and no others. Written by `make vmlinux` from types.list and the running
 * kernel's BTF; vmlinux/check.sh proves it against any kernel. Do not edit. */
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

HEAD
"$here/reduce.sh" "$here/types.list" "$full"
echo '#endif'
