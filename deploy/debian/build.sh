#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# build.sh BUILD VERSION [OUT]: OUT/synwave_VERSION_ARCHITECTURE.deb (OUT: BUILD) of what `make install` installs, the architecture being that
# which $CC (gcc) compiles for. Run by `make deb`.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=$2 root=$1/deb out=${3:-$1} CC=${CC:-gcc} from=deploy/debian
case $("$CC" -dumpmachine) in
x86_64-*) arch=amd64 ;;
aarch64-*) arch=arm64 ;;
*) arch=$(dpkg --print-architecture) ;;
esac
maintainer=${DEB_MAINTAINER:-synwave developers <synwave@users.noreply.github.com>}
# also in a checkout of another user's, which git reads when told to
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -c safe.directory="$PWD" log -1 --format=%ct 2> /dev/null || stat -c %Y Makefile)}
export SOURCE_DATE_EPOCH
umask 022

rm -rf "$root"
make -s install DESTDIR="$root" PREFIX=/usr SYSCONFDIR=/etc ZSHDIR=/usr/share/zsh/vendor-completions
"$($CC -print-prog-name=strip)" --strip-unneeded --remove-section=.comment --remove-section=.note "$root/usr/sbin/synwave"
gzip -9n "$root"/usr/share/man/man8/*
doc=$root/usr/share/doc/synwave
install -D -m 644 docs/metrics.md "$doc/metrics.md"
{
	cat $from/copyright
	sed 's/^$/./; s/^/ /' LICENSES/BSD-2-Clause.txt
} > "$doc/copyright"
# shellcheck source=/dev/null
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-unstable}")
printf 'synwave (%s) %s; urgency=medium\n\n  * Built from the sources of this version.\n\n -- %s  %s\n' \
	"$version" "$suite" "$maintainer" "$(date -uRd "@$SOURCE_DATE_EPOCH")" | gzip -9n > "$doc/changelog.gz"
install -D -m 644 $from/lintian-overrides "$root/usr/share/lintian/overrides/synwave"

mkdir "$root/DEBIAN"
(cd "$root" && find . -path ./DEBIAN -prune -o -path ./etc -prune -o -type f -printf '%P\0' | LC_ALL=C sort -z |
	xargs -0 md5sum > DEBIAN/md5sums)
echo /etc/default/synwave > "$root/DEBIAN/conffiles"
install -m 755 -t "$root/DEBIAN" $from/postinst $from/prerm $from/postrm
# the newest version of a symbol that it asks of libc is the oldest libc that it runs with
glibc=$("$($CC -print-prog-name=objdump)" -T "$root/usr/sbin/synwave" | grep -o 'GLIBC_[0-9.]*' | cut -d_ -f2 | sort -V | tail -1)
sed "s/@VERSION@/$version/; s/@ARCHITECTURE@/$arch/; s/@MAINTAINER@/$maintainer/; s/@GLIBC@/$glibc/
	s/@SIZE@/$(du -sk --exclude=DEBIAN "$root" | cut -f1)/" $from/control > "$root/DEBIAN/control"
dpkg-deb --root-owner-group -Zxz --build "$root" "$out/synwave_${version}_$arch.deb"
