#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Every test, one after the other; the last line is "N passed, N failed[, N skipped]".
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=/dev/null
. tests/suites.sh

# an emulated machine is slow, on one CPU: beside all others
beside "vm: the kernel of bookworm" env VM_SECONDS=900 tests/vm/run.sh few
beside "vm: the kernel of trixie" env VM_SECONDS=900 KERNEL=trixie tests/vm/run.sh newer
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
suite "environment: odd locales, paths, users, mounts" tests/environment.sh
suite "replay: link types, broken captures, more than the table" python3 tests/replay.py
# most of the time a browser waits for its next reading, or Prometheus for its next scrape
beside "metrics: the exporter and its clients" tests/metrics.sh
beside "deploy: Prometheus, Grafana's queries, Kubernetes' rights" tests/metrics.sh deploy
suite "e2e: namespaces, real clients and servers" tests/e2e/run -j $((2 * $(nproc) - 1))
suite "verifier: what the programs cost it, on this kernel" build/test/verifier
finish
sum ""
