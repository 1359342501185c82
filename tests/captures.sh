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

# both engines, byte for byte
for pcap in "$traces"/*.pcap; do
	if cmp -s <(build/synwave replay --json "$pcap") <(build/synwave replay --engine kernel --json "$pcap"); then
		good=$((good + 1))
	else
		echo "not ok - engines differ on $pcap"
		bad=$((bad + 1))
	fi
done
echo "captures: $good passed, $bad failed"
[ "$bad" = 0 ]
