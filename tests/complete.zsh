#!/bin/zsh -f
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# complete.zsh DIRECTORY LINE: what zsh, interactive in a terminal of its own, offers for the line with the completion
# function of that directory. One a line. ZDUMP: a file in which it keeps what it found in its path, for the next call.
zmodload zsh/zpty || exit 2
zpty shell zsh -f -i
zpty -w shell "PROMPT= PROMPT2= RPROMPT=; stty -echo; unsetopt zle_bracketed_paste; setopt no_auto_list no_beep"
zpty -w shell "fpath=(${(q)1} \$fpath); autoload -Uz compinit; compinit -u ${${ZDUMP:+-d ${(q)ZDUMP}}:--D}"
zpty -w shell 'compadd() {
	if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi
	local -a hits; local hit
	builtin compadd -A hits "$@"
	for hit in $hits; do print -r -- "<offer>$hit</offer>"; done
	builtin compadd "$@"
}'
zpty -w shell "finish() { zle complete-word; print -r -- '<'done'>'; zle kill-buffer; }; zle -N finish; bindkey '^I' finish"
zpty -w shell "print '<'ready'>'"
zpty -r -m shell _ '*<ready>*' || exit 2
zpty -w -n shell "$2"$'\t'
zpty -r -m shell out '*<done>*' || exit 2
zpty -d shell
print -r -- "$out" | grep -o '<offer>[^<]*</offer>' | sed 's/<[^>]*>//g' | sort -u
