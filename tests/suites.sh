# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# To be sourced: runs suites one after the other and adds up what they say.
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

# A suite that runs beside those that follow; what it said comes at `finish`.
beside_pids=() beside_names=() beside_said=
beside() {
	local name=$1
	shift
	if [ -z "$beside_said" ]; then
		beside_said=$(mktemp -d)
		trap 'kill "${beside_pids[@]}" 2> /dev/null; rm -rf "$beside_said"' EXIT
	fi
	setpriv --pdeathsig TERM "$@" > "$beside_said/${#beside_pids[@]}" 2>&1 &
	beside_pids+=($!) beside_names+=("$name")
}
said() { # NUMBER CODE
	cat "$beside_said/$1"
	return "$2"
}
finish() {
	local i code
	for i in "${!beside_pids[@]}"; do
		wait "${beside_pids[i]}"
		code=$?
		suite "${beside_names[i]}" said "$i" "$code"
	done
	beside_pids=()
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

# The last line; fails if anything did.
sum() {
	local tail=
	[ "$skipped" = 0 ] || tail=", $skipped skipped"
	echo "$1$passed passed, $failed failed$tail"
	[ "$failed" = 0 ]
}
