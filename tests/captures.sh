#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Captures that others made, through `synwave replay`, against their records of what happened.
# Where they lie: $SYNWAVE_TRACES, else ../shared/traces.
cd "$(dirname "$0")/.." || exit 1
traces=${SYNWAVE_TRACES:-../shared/traces}
if [ ! -x "$traces/compare.py" ]; then
	echo "skip - captures: no $traces (set SYNWAVE_TRACES)"
	echo "captures: 0 passed, 0 failed, 1 skipped"
	exit 0
fi
traces=$(cd "$traces" && pwd)
out=$(python3 "$traces/compare.py" --all "$PWD/build/synwave replay")
echo "$out"
good=$(grep -Eo '^[0-9]+ of [0-9]+' <<< "$out" | cut -d' ' -f1)
all=$(grep -Eo '^[0-9]+ of [0-9]+' <<< "$out" | cut -d' ' -f3)
[ -n "$all" ] || { echo "captures: 0 passed, 1 failed"; exit 1; }
bad=$((all - good))

# one NAME COMMAND...: passed when the command succeeds
one() {
	local name=$1
	shift
	if "$@"; then
		good=$((good + 1))
	else
		echo "not ok - $name"
		bad=$((bad + 1))
	fi
}
same() { cmp -s <("${@:2}") <("$1"); }

# both engines, byte for byte: records, and ladders
for pcap in "$traces"/*.pcap; do
	for show in '' yes; do
		native() { build/synwave replay ${show:+--show} --json "$pcap"; }
		one "engines differ on $pcap ${show:+(ladders)}" same native build/synwave replay --engine kernel ${show:+--show} --json "$pcap"
	done
done

# well-known ones as ladders, against drawings that people have looked at
export TZ=UTC LC_ALL=C.UTF-8
for drawing in tests/golden/*.txt; do
	name=$(basename "$drawing" .txt)
	one "replay --show $name.pcap is not $drawing" diff -u "$drawing" <(build/synwave replay --show "$traces/$name.pcap")
done
echo "captures: $good passed, $bad failed"
[ "$bad" = 0 ]
