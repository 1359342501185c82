#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Every test, one after the other; the last line is "N passed, N failed[, N skipped]".
cd "$(dirname "$0")/.." || exit 1
passed=0 failed=0 skipped=0

# Adds up the "N passed, N failed, N skipped" that a suite ends with; a suite that dies counts as a failure.
suite() {
	local name=$1 out code counts
	shift
	echo "== $name"
	out=$(mktemp)
	"$@" 2>&1 | tee "$out"
	code=${PIPESTATUS[0]}
	counts=$(grep -Eo '[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?' "$out" | tail -1)
	rm -f "$out"
	local p f s
	p=$(grep -Eo '[0-9]+ passed' <<< "$counts" | cut -d' ' -f1)
	f=$(grep -Eo '[0-9]+ failed' <<< "$counts" | cut -d' ' -f1)
	s=$(grep -Eo '[0-9]+ skipped' <<< "$counts" | cut -d' ' -f1)
	((passed += ${p:-0}, failed += ${f:-0}, skipped += ${s:-0}))
	if [ "$code" != 0 ] && [ "${f:-0}" = 0 ]; then
		echo "not ok - $name: ended with code $code"
		((failed++))
	fi
}

# A check without counts of its own: passed when the command succeeds.
one() {
	local name=$1
	shift
	if "$@"; then
		echo "ok - $name"
		((passed++))
	else
		echo "not ok - $name"
		((failed++))
	fi
}

suite "unit: the shared core, natively" build/test/unit
for target in parse table replay guard words; do
	suite "fuzz: corpus of $target" "build/fuzz/$target-corpus" "tests/fuzz/corpus/$target"
done
suite "prog: the same frames through the kernel's programs" build/test/prog
suite "input: broken and random frames through the kernel's programs" build/test/input
echo "== vmlinux.h"
one "vmlinux.h agrees with the running kernel" vmlinux/check.sh
suite "captures: records of others" tests/captures.sh
suite "docs: manual, completions" tests/docs.sh
suite "install: files, units, package" tests/install.sh
suite "replay: link types, broken captures, more than the table" python3 tests/replay.py
suite "metrics: the exporter and its clients" tests/metrics.sh
suite "deploy: Prometheus, Grafana's queries, Kubernetes' rights" tests/metrics.sh deploy
suite "e2e: namespaces, real clients and servers" tests/e2e/run
tail=
[ "$skipped" = 0 ] || tail=", $skipped skipped"
echo "$passed passed, $failed failed$tail"
[ "$failed" = 0 ]
