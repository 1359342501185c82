#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# apt.sh SUITE ARCHITECTURE apt-get|apt-cache ARGUMENTS...: apt as a machine of another Debian suite has it, with lists of its own below
# build/apt; this machine's own lists and sources stay as they are. For the suite of this machine it is its own apt.
set -eu
suite=$1 arch=$2 tool=$3
shift 3
mirror=$("$(dirname "$0")/mirror.sh")
lists=$(cd "$(dirname "$0")/.." && pwd)/build/apt/$suite-$arch

# shellcheck source=/dev/null
if [ "$suite" = "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" ] && [ "$arch" = "$(dpkg --print-architecture)" ]; then
	exec "$tool" "$@"
fi
own=(-o "APT::Architecture=$arch" -o "APT::Architectures::=$arch" -o "Dir::Etc::SourceList=$lists/sources.list" -o Dir::Etc::SourceParts=/dev/null
	-o "Dir::State::Lists=$lists/lists" -o "Dir::State::status=$lists/status" -o "Dir::Cache=$lists/cache")
mkdir -p "$lists"/{lists,cache/archives}/partial
chmod 755 "$lists" "$lists"/{lists,cache} "$lists"/{lists,cache/archives}/partial # for apt's own user
(
	flock 9 # another may be at it
	[ -z "$(find "$lists/updated" -mmin -1440 2> /dev/null)" ] || exit 0
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" > "$lists/sources.list"
	: > "$lists/status"
	timeout 300 apt-get "${own[@]}" update -qq --error-on=any && touch "$lists/updated"
) 9> "$lists/lock"
exec "$tool" "${own[@]}" "$@"
