#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# mirror.sh: the mirror of Debian that this machine's apt uses, or $MIRROR.
[ -z "${MIRROR:-}" ] || { echo "$MIRROR"; exit; }
# shellcheck disable=SC2016 # apt fills it in
apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Label: Debian' 'Identifier: Packages' | grep -m1 . || {
	echo "this machine's apt knows no mirror of Debian: run apt-get update, or set MIRROR" >&2
	exit 1
}
