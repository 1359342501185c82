# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# bash completion for synwave(8); needs nothing but bash.
# shellcheck shell=bash

_synwave_command() { # the command on the line so far, if any
	local i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--pin)
			((i++))
			[ "${COMP_WORDS[i]-}" != = ] || ((i++))
			;;
		-*) ;;
		*)
			echo "${COMP_WORDS[i]}"
			return
			;;
		esac
	done
}

_synwave() {
	local commands='attach detach status stats top flows show trace replay guard export'
	local options='--pin --json --quiet --verbose --help --version'
	local states='LISTEN SYN_SENT SYN_RCVD ESTABLISHED FIN_WAIT_1 FIN_WAIT_2 CLOSE_WAIT CLOSING LAST_ACK TIME_WAIT CLOSED
		listen syn-sent syn-recv established fin-wait-1 fin-wait-2 close-wait closing last-ack time-wait closed'
	local timeouts='established= syn_sent= syn_recv= closed= fin_wait= close_wait= last_ack= time_wait= one_sided= infer='
	local events='syn_retransmits synack_retransmits syn_new syn_rival synack_new synack_invalid ack_invalid completed refused cookie
		inferred midstream rst_counted rst_ignored rst_unknown rst_contradicted fin_contradicted four_way three_way
		simultaneous reset unprotected rival_lost'
	local word=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]} command words='' file
	command=$(_synwave_command)

	# --option=word arrives as three words
	if [ "$word" = = ]; then
		word=''
	elif [ "$option" = = ]; then
		option=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	COMPREPLY=()
	case $option in
	--pin)
		while IFS= read -r file; do COMPREPLY+=("$file"); done < <(compgen -d -- "$word")
		compopt -o filenames 2>/dev/null
		return
		;;
	--mode) words='auto native generic tc' ;;
	--textfile | --config | --guard | --svg | apply)
		while IFS= read -r file; do COMPREPLY+=("$file"); done < <(compgen -f -- "$word")
		compopt -o filenames 2>/dev/null
		return
		;;
	--listen) words='127.0.0.1:9465' ;;
	--host) words=$(compgen -A hostname) ;;
	--engine) words='native kernel' ;;
	--group) words=$(compgen -g) ;;
	--state | state) words=$states ;;
	event) words=$events ;;
	kind) words='syn syn_ack ack data fin rst' ;;
	iface) words=$(ls /sys/class/net 2>/dev/null) ;;
	--timeout)
		words=$timeouts
		compopt -o nospace 2>/dev/null
		;;
	--flows | --half-open | --service | --services | --limit | --watch | --interval | --count | addr | port) return ;;
	*)
		case $command in
		'') words="$commands $options" ;;
		attach) words="$options --mode --ingress-only --flows --half-open --no-ladder --timeout --group --config $(ls /sys/class/net 2>/dev/null)" ;;
		detach) words="$options --all $(ls /sys/class/net 2>/dev/null)" ;;
		status) words=$options ;;
		stats) words="$options --watch --services" ;;
		top) words="$options --interval" ;;
		flows) words="$options --state --service --limit" ;;
		guard)
			words="$options show --yaml set allow deny remove apply"
			if [ "$option" = set ]; then
				words='mode=off mode=dry-run mode=enforce source.ipv4/ source.ipv6/ service.default= service.
					cookie_fallback= bogus_acks= fragments= verified='
				compopt -o nospace 2>/dev/null
			fi
			;;
		show) words="$options --svg" ;;
		trace)
			words="$options --count addr= port= state= event= kind= iface="
			[[ $word == -* ]] || compopt -o nospace 2>/dev/null
			;;
		export) words="$options --textfile --listen --host --openmetrics" ;;
		replay)
			if [[ $word != -* ]]; then
				while IFS= read -r file; do COMPREPLY+=("$file"); done < <(compgen -f -- "$word")
				compopt -o filenames 2>/dev/null
				return
			fi
			words="$options --engine --guard --show --svg"
			;;
		esac
		# interfaces and commands first; options when a - is typed
		[[ $word == -* ]] || words=$(tr -s '[:space:]' '\n' <<< "$words" | grep -v '^-')
		;;
	esac
	while IFS= read -r file; do COMPREPLY+=("$file"); done < <(compgen -W "$words" -- "$word")
}
complete -F _synwave synwave
