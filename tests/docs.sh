#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# The manual and the completion against the program: nothing that exists is missing there.
cd "$(dirname "$0")/.." || exit 1
man=docs/man/synwave.8.scd completion=deploy/completion/synwave.bash zsh=deploy/completion/_synwave synwave=build/synwave
passed=0 failed=0 skipped=0
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
export ZDUMP=$temporary/zsh

# check NAME [MISSING...]: passed when nothing is missing.
check() {
	local name=$1
	shift
	if [ $# = 0 ]; then
		echo "ok - $name"
		((passed++))
	else
		echo "not ok - $name:" "$@"
		((failed++))
	fi
}
skip() {
	echo "skip - $1"
	((skipped++))
}

# has WORD TEXT: the word is there, whole. Without a process: there are a thousand to look for.
has() { [[ $2 =~ (^|[^a-zA-Z0-9_-])$1([^a-zA-Z0-9_-]|$) ]]; }

# The words of the page without scdoc's marks for bold and underlined.
plain=$(sed -E 's/\*//g; s/(^|[^A-Za-z0-9_])_+/\1/g; s/_+([^A-Za-z0-9_]|$)/\1/g; s/\\//g' "$man")
section() { sed -n "/^##* $1\$/,\$p" <<< "$plain" | sed '1!{/^#/,$d}'; }
# From the words on standard input, those that are no item of a section of the manual.
not_items() {
	local items word
	items=$(section "$1" | awk '/^\t/ && last !~ /^\t/ { print last } { last = $0 }')
	while read -r word; do has "$word" "$items" || echo "$word"; done
}
# Names of a list of tables.h: column 2 of it, or "name value" with the one after.
names() {
	printf '#include "synwave/tables.h"\n#define N_(symbol, name, value, ...) @ name value\n%s(N_)\n' "$1" |
		cc -E -P -Iinclude - | grep -o '@ "[a-zA-Z0-9_]*"' | cut -d'"' -f2
}
milliseconds() {
	printf '#include "synwave/tables.h"\n#define N_(symbol, name, value, help) @ name value\nSW_TIMEOUTS(N_)\n' |
		cc -E -P -Iinclude - | grep -o '@ "[a-z_]*" [0-9]*' | tr -d '@"'
}

# --- commands and options
commands=$("$synwave" --help | sed -n '/^$/,/^$/s/^  \([a-z]*\) .*/\1/p')
[ "$(wc -w <<< "$commands")" -ge 6 ] || check "commands are found in --help" "only: $commands"
offered=$(sed -n '/^_synwave()/,$p' "$completion")
for command in '' $commands; do
	help=$("$synwave" ${command:+"$command"} --help | sed "s/\`[^\`]*\`//g") # there other commands are spoken of
	missing=() uncompleted=() unoffered=()
	offers=$({ command -v zsh > /dev/null && timeout 60 tests/complete.zsh deploy/completion "synwave $command --"; } || cat "$zsh")
	[ -z "$command" ] || grep -q "^## $command\b" <<< "$plain" || missing+=("$command")
	for word in $command $(grep -oE -- '--[a-z][a-z-]+' <<< "$help" | sort -u); do
		has "$word" "$plain" || missing+=("$word")
		has "$word" "$offered" || uncompleted+=("$word")
		[ "$word" = "$command" ] || has "$word" "$offers" || unoffered+=("$word")
	done
	check "manual: synwave ${command:---help}" "${missing[@]}"
	check "completion, bash: synwave ${command:---help}" "${uncompleted[@]}"
	check "completion, zsh: synwave ${command:---help}" "${unoffered[@]}"
done

# --- names of tables.h
for list in SW_STATES:STATES SW_EVENTS:EVENTS SW_REASONS:"IGNORED FRAMES" SW_TIMEOUTS:TIMEOUTS; do
	found=$(names "${list%%:*}" | grep -vx ok)
	mapfile -t missing < <(not_items "${list#*:}" <<< "$found")
	[ -n "$found" ] || missing=("no name found in tables.h")
	check "manual: every name of ${list%%:*}" "${missing[@]}"
done
missing=()
while read -r name ms; do
	text=$(section TIMEOUTS | sed -n "s/^$name = //p")
	case $text in
	*ms) said=${text%ms} ;;
	*d) said=$((${text%d} * 86400000)) ;;
	*s) said=$((${text%s} * 1000)) ;;
	*) said= ;;
	esac
	[ "$said" = "$ms" ] || missing+=("$name is ${ms}ms, not '$text'")
done < <(milliseconds)
check "manual: default timeouts" "${missing[@]}"

mapfile -t missing < <(
	{
		grep -ohE 'json_(k[ns]|k[nb]_if|key|flag|hist|counts)\(j, "[a-z_]+"' \
			user/render_*.c user/cmd_status.c | cut -d'"' -f2
		names SW_KINDS
		names SW_BOOKS
	} | sort -u | while read -r key; do has "$key" "$plain" || echo "$key"; done
)
check "manual: every JSON key" "${missing[@]}"

series=$(sed -n 's/^At most [0-9]*: \([0-9]*\) and one an interface.*/\1/p' docs/metrics.md)
if [ -n "$series" ] && tr "\n" " " <<< "$plain" | tr -s "\t " " " | grep -q "at most $series series, and one an interface"; then missing=(); else missing=("$series"); fi
check "manual: how many series there are" "${missing[@]}"

missing=()
for word in $({ names SW_STATES; names SW_TIMEOUTS; }); do
	grep -qw -- "$word" "$completion" || missing+=("$word (bash)")
	grep -qw -- "$word" "$zsh" || missing+=("$word (zsh)")
done
check "completion: states and timeouts" "${missing[@]}"

missing=()
for word in $(names SW_EVENTS | grep -vE '^(freed|evicted)_'); do
	grep -qw -- "$word" "$completion" || missing+=("$word")
done
check "completion: events" "${missing[@]}"

# --- it works
complete_line() { # WORD...: what is offered for the last one
	bash -c '. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _synwave; echo "${COMPREPLY[*]}"' "$completion" "$@"
}
missing=()
expect() {
	local want=$1 got
	shift
	got=$(complete_line "$@")
	[ "$got" = "$want" ] || missing+=("'$*' offers '$got', not '$want';")
}
expect 'status stats' synwave st
expect 'replay' synwave --pin /x re
expect 'replay' synwave --pin = /x re
expect 'lo' synwave attach --mode tc l
expect '--mode' synwave attach --mo
expect 'native' synwave attach --mode = na
expect 'time-wait' synwave flows --state time
expect 'docs/man' synwave replay docs/ma
expect 'state=' synwave trace st
expect 'time-wait' synwave trace state = time
expect 'refused' synwave trace --count 3 event = refu
check "completion, bash: in use" "${missing[@]}"

if command -v zsh > /dev/null; then
	complete_line() { timeout 60 tests/complete.zsh deploy/completion "$*" | tr '\n' ' ' | sed 's/ $//'; }
	missing=()
	expect 'stats status' synwave st
	expect "$(sort <<< "$commands" | tr '\n' ' ' | sed 's/ $//')" synwave ''
	expect 'replay' synwave --pin /x re
	expect 'lo' synwave attach --mode tc l
	expect 'native' synwave attach --mode=na
	expect 'time-wait' synwave flows --state time
	expect '127.0.0.1:9465' synwave export --listen ''
	expect 'set show' synwave guard s
	expect 'mode=dry-run mode=enforce mode=off' synwave guard set mode
	check "completion, zsh: in use" "${missing[@]}"
else
	skip "completion, zsh: in use: zsh is not installed"
fi

missing=()
if ! command -v scdoc > /dev/null; then
	skip "manual: renders: scdoc is not installed"
elif ! scdoc < "$man" > /dev/null 2>&1; then
	check "manual: scdoc takes it" "$(scdoc < "$man" 2>&1 > /dev/null)"
elif command -v man > /dev/null; then
	mapfile -t missing < <(scdoc < "$man" | LC_ALL=C.UTF-8 timeout 60 man --warnings -l - 2>&1 > /dev/null)
	check "manual: man --warnings" "${missing[@]}"
else
	skip "manual: renders without warnings: man is not installed"
fi

tail=
[ "$skipped" = 0 ] || tail=", $skipped skipped"
echo "docs: $passed passed, $failed failed$tail"
[ "$failed" = 0 ]
