#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Usage: reduce.sh LIST FULL_HEADER
# Prints the definitions that LIST names, as they stand in FULL_HEADER (bpftool btf dump ... format c), in that order.
set -eu
grep -v '^#' "$1" | while read -r kind name; do
	case $kind in
	typedef)
		grep -m1 -E "^typedef .*[ *]$name;\$" "$2" || { echo "no $kind $name" >&2; exit 1; } ;;
	*)
		awk -v head="$kind $name {" '
			$0 == head { on = found = 1 }
			on { print }
			on && /^}/ { on = 0; exit }
			END { exit !found }' "$2" || { echo "no $kind $name" >&2; exit 1; }
		echo ;;
	esac
done
