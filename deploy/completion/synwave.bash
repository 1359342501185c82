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
	local commands='attach detach status stats top flows replay export'
	local options='--pin --json --quiet --verbose --help --version'
	local states='LISTEN SYN_SENT SYN_RCVD ESTABLISHED FIN_WAIT_1 FIN_WAIT_2 CLOSE_WAIT CLOSING LAST_ACK TIME_WAIT CLOSED
		listen syn-sent syn-recv established fin-wait-1 fin-wait-2 close-wait closing last-ack time-wait closed'
	local timeouts='established= syn_sent= syn_recv= closed= fin_wait= close_wait= last_ack= time_wait= one_sided= infer='
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
	--textfile)
		while IFS= read -r file; do COMPREPLY+=("$file"); done < <(compgen -f -- "$word")
		compopt -o filenames 2>/dev/null
		return
		;;
	--listen) words='127.0.0.1:9465' ;;
	--engine) words='native kernel' ;;
	--state) words=$states ;;
	--timeout)
		words=$timeouts
		compopt -o nospace 2>/dev/null
		;;
	--flows | --half-open | --service | --services | --limit | --watch | --interval) return ;;
	*)
		case $command in
		'') words="$commands $options" ;;
		attach) words="$options --mode --ingress-only --flows --half-open --timeout $(ls /sys/class/net 2>/dev/null)" ;;
		detach) words="$options --all $(ls /sys/class/net 2>/dev/null)" ;;
		status) words=$options ;;
		stats) words="$options --watch --services" ;;
		top) words="$options --interval" ;;
		flows) words="$options --state --service --limit" ;;
		export) words="$options --textfile --listen --openmetrics" ;;
		replay)
			if [[ $word != -* ]]; then
				while IFS= read -r file; do COMPREPLY+=("$file"); done < <(compgen -f -- "$word")
				compopt -o filenames 2>/dev/null
				return
			fi
			words="$options --engine"
			;;
		esac
		# interfaces and commands first; options when a - is typed
		[[ $word == -* ]] || words=$(tr -s '[:space:]' '\n' <<< "$words" | grep -v '^-')
		;;
	esac
	while IFS= read -r file; do COMPREPLY+=("$file"); done < <(compgen -W "$words" -- "$word")
}
complete -F _synwave synwave
