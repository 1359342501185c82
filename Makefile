# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# One flat file. `make help` lists the targets.
VERSION := 0.1.0
B       := build
PREFIX  ?= /usr/local

CLANG   ?= clang
CC      := gcc
OUT     := $(B)
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)

# ARCH=arm64: for another architecture of Debian's, in a directory of its own. (Not from the environment, where it is often
# set for kernels.)
TRIPLET_amd64 := x86_64-linux-gnu
TRIPLET_arm64 := aarch64-linux-gnu
ifeq ($(origin ARCH),command line)
ifneq ($(ARCH),$(shell dpkg --print-architecture))
FOREIGN := $(or $(TRIPLET_$(ARCH)),$(error ARCH=$(ARCH): not one of $(patsubst TRIPLET_%,%,$(filter TRIPLET_%,$(.VARIABLES)))))
NEEDS   := gcc-$(subst _,-,$(FOREIGN)) $(addsuffix :$(ARCH),$(shell sed -n '/^\# libraries/,/^\# to/ { /^\#/! p }' packages.txt))
MISSING := $(shell for p in $(NEEDS); do dpkg-query -W -f '$${db:Status-Status}' $$p 2> /dev/null | grep -qx installed || echo $$p; done)
$(if $(MISSING),$(error to build for $(ARCH), run: dpkg --add-architecture $(ARCH) && apt-get update && apt-get install $(MISSING)))
B       := $(OUT)/$(ARCH)
CC      := $(FOREIGN)-gcc
endif
endif

WARN    := -Wall -Wextra -Werror -Wshadow -Wno-unused-function
CFLAGS  ?= -O2 -g
HARDEN  := -fstack-protector-strong -fstack-clash-protection -fPIE -D_FORTIFY_SOURCE=2
HARDEN_LD := -pie -Wl,-z,relro,-z,now,-z,noexecstack
# wherever it is built, the same bytes
NOWHERE := -ffile-prefix-map='$(CURDIR)=.'
ALL_CFLAGS = $(CFLAGS) $(NOWHERE) $(HARDEN) $(WARN) -std=gnu11 -fno-strict-aliasing -D_GNU_SOURCE -DSYNWAVE_VERSION='"$(VERSION)"' \
	-Iinclude -Iuser -I$(B) -MMD -MP
BPF_CFLAGS := -O2 -g $(NOWHERE) -target bpf -mcpu=v3 -Iinclude -Ivmlinux $(WARN)
# Static, all but libc: one file to copy to a server. Debian 13's libelf is compressed by zstd, too.
archive = $(shell $(CC) -print-file-name=$1)
ELF     := $(call archive,libelf.a)
LIBBPF  := -lbpf -lelf $(if $(shell nm $(ELF) 2> /dev/null | grep -m 1 'U ZSTD_'),-lzstd) -lz
STATIC   = -Wl,-Bstatic $1 $(LIBBPF) $2 -Wl,-Bdynamic
LDLIBS  := -Wl,-z,now $(call STATIC,-lxdp,-lmicrohttpd -lyajl_s -lyaml -lncursesw -ltinfo)

SRC     := $(wildcard user/*.c)
OBJ     := $(SRC:user/%.c=$(B)/user/%.o)
CORE    := $(wildcard include/synwave/*.h)
SKEL    := $(B)/synwave.skel.h

.PHONY: all
all: $(B)/synwave ## build/synwave: one binary, BPF programs embedded

$(B)/synwave: $(OBJ) $(B)/absent.c
	$(CC) $(ALL_CFLAGS) $(HARDEN_LD) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# Which compiler the objects are of: another one's are made anew.
.PHONY: force
force:
$(B)/compiler: force
	@mkdir -p $(@D)
	@$(CC) --version | head -n 1 | cmp -s - $@ || $(CC) --version | head -n 1 > $@

$(B)/user/%.o: user/%.c $(B)/compiler | $(SKEL)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

# The exporter's page: what is ours, and Debian's dygraphs with its licence in front
PAGE      := page.css page.js charts.js lib.js dygraph.js icon.svg
DYGRAPHS  := /usr/share/javascript/dygraphs/dygraph.min.js
$(B)/user/assets.o: ALL_CFLAGS += -Wa,-I$(B)/page
$(B)/user/assets.o: $(PAGE:%=$(B)/page/%.gz)
$(B)/page/%.gz: user/page/%
	@mkdir -p $(@D)
	gzip -9n < $< > $@
$(B)/page/dygraph.js: LICENSES/MIT.txt $(DYGRAPHS)
	@mkdir -p $(@D)
	{ echo '/*'; cat LICENSES/MIT.txt; echo '*/'; cat $(DYGRAPHS); } > $@
$(B)/page/dygraph.js.gz: $(B)/page/dygraph.js
	gzip -9n < $< > $@
$(DYGRAPHS):
	@echo "$@ is missing - run: sudo make deps" >&2; exit 1

# Stand-ins for what two static libraries of Debian ask of others that there is nothing static of. libmicrohttpd: GnuTLS; the exporter never asks
# for TLS. Debian 13's libelf: search trees, for elf_getdata_rawchunk, which nothing here calls. What their starts call succeeds, the rest
# ends the program.
MHD     := $(call archive,libmicrohttpd.a)
$(B)/absent.c: Makefile $(B)/compiler
	@mkdir -p $(@D)
	@[ -e $(MHD) ] || { echo "$(MHD) is missing - run: sudo make deps" >&2; exit 1; }
	@nm -u $(MHD) $(ELF) 2> /dev/null | awk '$$2 ~ /^(gnutls|eu)_/ && !had[$$2]++ { print "int " $$2 "(void);\nint " $$2 "(void) { " \
		($$2 ~ /_global_|^eu_search_tree_/ ? "return 0;" : "__builtin_trap();") " }" }' > $@

# bpftool's linker gives static tables their place in the BTF of .rodata
$(B)/synwave.bpf.o: bpf/synwave.bpf.c $(wildcard bpf/*.h) $(CORE) vmlinux/vmlinux.h
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c -o $(B)/synwave.raw.o $<
	$(BPFTOOL) gen object $@ $(B)/synwave.raw.o

$(SKEL): $(B)/synwave.bpf.o
	$(BPFTOOL) gen skeleton $< name synwave_bpf > $@.tmp
	@if cmp -s $@.tmp $@; then rm $@.tmp; else mv $@.tmp $@; fi

# --- set-up ---------------------------------------------------------------------------------------------------------
PACKAGES = $(shell . /etc/os-release; awk -v release="$${VERSION_ID:-99}" \
	'{ sub(/\#.*/, "") } match($$0, /^[0-9]+:/) { if ($$0 + 0 > release + 0) next; sub(/^[0-9]+:/, "") } { print }' packages.txt)

.PHONY: deps
deps: ## install the Debian packages of packages.txt that are missing (root)
	@missing=$$(dpkg-query -W -f '$${Package} $${db:Status-Status}\n' $(PACKAGES) 2>/dev/null | \
		awk '$$2 == "installed" { print $$1 }' | sort > $(or $(TMPDIR),/tmp)/synwave-have.$$$$; \
		printf '%s\n' $(PACKAGES) | sort | comm -23 - $(or $(TMPDIR),/tmp)/synwave-have.$$$$; \
		rm -f $(or $(TMPDIR),/tmp)/synwave-have.$$$$); \
	[ -z "$$missing" ] && exit 0; \
	[ "$$(id -u)" = 0 ] || { echo "make deps: missing:" $$missing "- run: sudo make deps" >&2; exit 1; }; \
	echo "installing:" $$missing; \
	apt-get update -q && \
	DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $$missing

.PHONY: root
root:
	@[ "$$(id -u)" = 0 ] || { echo "this target attaches programs and makes namespaces: run it with sudo" >&2; exit 1; }

# The prerequisites that need packages run in a make of their own, when the packages are there.
.PHONY: demo
demo: root ## real clients and servers in namespaces, and what synwave saw (root; installs what is missing)
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory -s all
	@tests/demo.sh

.PHONY: check
check: root ## every test; the last line is "N passed, N failed" (root; installs what is missing)
	@$(MAKE) --no-print-directory deps
	@$(MAKE) --no-print-directory -s -j$$(nproc) all $(B)/synwave.8 $(B)/test/unit $(B)/test/prog $(B)/test/input $(B)/test/verifier $(LOAD) $(FUZZ:%=$(B)/fuzz/%-corpus)
	@tests/check.sh

# --- tests ----------------------------------------------------------------------------------------------------------
ENGINE := user/conf.c user/engine.c user/engine_guard.c user/ruleset.c user/words.c user/render_text.c user/record.c
TEST_SHARED := tests/frames.c tests/exchanges.c tests/guards.c user/ruleset_file.c $(ENGINE)
TEST_HEADERS := $(wildcard tests/*.h tests/*/*.h user/*.h) $(CORE)

TOP_MODEL := $(addprefix user/,top_model.c top_rows.c top_keys.c since.c snapshot.c store.c store_open.c mounts.c store_walk.c percpu.c \
	render_guard.c render_json.c ladder.c http_host.c realtime.c nic.c)
# Under ASan and UBSan; each source once, whichever tests share it
SAN := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined $(WARN) -std=gnu11 -fno-strict-aliasing -D_GNU_SOURCE \
	-Iinclude -Iuser -Itests -Itests/unit -Itests/fuzz -I$(B)
san = $(patsubst %.c,$(B)/san/%.o,$(sort $1))
.SECONDARY: # objects are kept
$(B)/san/%.o: %.c $(TEST_HEADERS)
	@mkdir -p $(@D)
	$(CLANG) $(SAN) -c -o $@ $<
$(B)/test/unit: $(call san,$(wildcard tests/unit/*.c) $(TEST_SHARED) $(TOP_MODEL))
	@mkdir -p $(@D)
	$(CLANG) $(SAN) -o $@ $^ -lyaml -lyajl -lbpf -lz -lm

$(B)/test/prog: $(B)/absent.c $(wildcard tests/prog/*.c) $(TEST_SHARED) user/engine_kernel.c user/guard_store.c \
		user/store.c user/store_open.c user/mounts.c user/store_walk.c user/percpu.c $(TEST_HEADERS) $(SKEL)
	@mkdir -p $(@D)
	$(CC) -O2 -g $(WARN) -std=gnu11 -fno-strict-aliasing -D_GNU_SOURCE -Iinclude -Iuser -Itests -Itests/unit -I$(B) \
		-o $@ $(filter %.c,$^) $(call STATIC,,-lyaml) -lpthread

# without sanitizers, for emulated machines
$(B)/test/unit-plain: $(wildcard tests/unit/*.c) $(TEST_SHARED) $(TOP_MODEL) $(TEST_HEADERS)
	@mkdir -p $(@D)
	$(CC) -O2 $(WARN) -std=gnu11 -fno-strict-aliasing -D_GNU_SOURCE -Iinclude -Iuser -Itests -Itests/unit \
		-o $@ $(filter %.c,$^) -lyaml -lyajl -lbpf -lz -lm

# where there is a compiler, tests/e2e/run makes these itself
$(B)/synflood: tests/e2e/synflood.c
	$(CC) -O2 $(WARN) -o $@ $<
$(B)/older.so: tests/e2e/older.c
	$(CC) -O2 $(WARN) -shared -fPIC -o $@ $<

$(B)/test/verifier: $(B)/absent.c tests/verifier.c tests/unit/tap.h user/conf.c user/conf.h user/skeleton.h $(CORE) $(SKEL)
	@mkdir -p $(@D)
	$(CC) -O2 -g $(WARN) -std=gnu11 -fno-strict-aliasing -D_GNU_SOURCE -Iinclude -Iuser -Itests/unit -I$(B) \
		-o $@ $(filter %.c,$^) $(STATIC)
$(B)/mutate.skel.h: tests/input/mutate.bpf.c tests/input/mutate.h $(CORE) vmlinux/vmlinux.h
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c -o $(B)/mutate.bpf.o $<
	$(BPFTOOL) gen skeleton $(B)/mutate.bpf.o name mutate_bpf > $@

INPUT := tests/input/input.c tests/input/sweep.c tests/input/random.c
$(call san,$(INPUT)): $(SKEL) $(B)/mutate.skel.h
$(B)/test/input: $(call san,$(INPUT) $(TEST_SHARED) $(addprefix user/,guard_store.c store.c store_open.c mounts.c store_walk.c percpu.c snapshot.c))
	@mkdir -p $(@D)
	$(CLANG) $(SAN) -o $@ $^ -lbpf -lyaml -lm

$(B)/driver.skel.h: tests/bench/driver.bpf.c tests/bench/steps.h $(CORE) vmlinux/vmlinux.h
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c -o $(B)/driver.raw.o $<
	$(BPFTOOL) gen object $(B)/driver.bpf.o $(B)/driver.raw.o
	$(BPFTOOL) gen skeleton $(B)/driver.bpf.o name driver_bpf > $@

$(B)/test/bench: $(B)/absent.c tests/bench/bench.c tests/bench/machine.c tests/frames.c tests/guards.c user/ruleset_file.c \
		user/guard_store.c user/store.c user/store_open.c user/mounts.c user/percpu.c $(ENGINE) $(TEST_HEADERS) $(SKEL) $(B)/driver.skel.h
	@mkdir -p $(@D)
	$(CC) -O2 -g $(WARN) -std=gnu11 -fno-strict-aliasing -D_GNU_SOURCE -Iinclude -Iuser -Itests -I$(B) \
		-o $@ $(filter %.c,$^) $(call STATIC,,-lyaml) -lpthread

$(B)/flood.skel.h: tests/bench/flood.bpf.c tests/bench/flood.h vmlinux/vmlinux.h
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c -o $(B)/flood.bpf.o $<
	$(BPFTOOL) gen skeleton $(B)/flood.bpf.o name flood_bpf > $@

$(B)/test/flood: $(B)/absent.c tests/bench/flood.c tests/bench/flood.h $(B)/flood.skel.h
	@mkdir -p $(@D)
	$(CC) -O2 -g $(WARN) -std=gnu11 -D_GNU_SOURCE -I$(B) -o $@ $(filter %.c,$^) $(STATIC) -lpthread

$(B)/fill.skel.h: tests/bench/fill.bpf.c vmlinux/vmlinux.h
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c -o $(B)/fill.bpf.o $<
	$(BPFTOOL) gen skeleton $(B)/fill.bpf.o name fill_bpf > $@

$(B)/test/fill: $(B)/absent.c tests/bench/fill.c tests/frames.c $(TEST_HEADERS) $(B)/fill.skel.h
	@mkdir -p $(@D)
	$(CC) -O2 -g $(WARN) -std=gnu11 -fno-strict-aliasing -D_GNU_SOURCE -Iinclude -Iuser -Itests -I$(B) \
		-o $@ $(filter %.c,$^) $(STATIC) -lpthread

$(B)/test/clients: tests/bench/clients.c
	@mkdir -p $(@D)
	$(CC) -O2 -g $(WARN) -std=gnu11 -D_GNU_SOURCE -o $@ $<

$(B)/test/peers: tests/load/peers.c tests/load/peers_call.c tests/load/peers.h
	@mkdir -p $(@D)
	$(CC) -O2 -g $(WARN) -std=gnu11 -D_GNU_SOURCE -o $@ $(filter %.c,$^)

# libFuzzer, and the same targets with a plain main that feeds them the corpus
FUZZ_SECONDS ?= 60
FUZZ := parse table replay guard words
FUZZ_FLAGS := -O1 -g -fno-sanitize-recover=undefined $(WARN) -std=gnu11 -fno-strict-aliasing -D_GNU_SOURCE -Iinclude \
	-Iuser -Itests -Itests/unit -Itests/fuzz
FUZZ_SHARED := tests/fuzz/check.c $(ENGINE) user/capture.c user/ladder.c user/render_ladder.c user/render_svg.c user/term.c \
	user/ruleset_file.c user/filter.c user/store.c user/store_open.c user/mounts.c user/percpu.c

$(B)/fuzz/%: tests/fuzz/%.c $(FUZZ_SHARED) $(TEST_HEADERS)
	@mkdir -p $(@D)
	$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer,address,undefined -o $@ $(filter %.c,$^) -lyaml -lbpf -ldl
$(B)/fuzz/%-corpus: $(B)/san/tests/fuzz/%.o $(call san,tests/fuzz/main.c $(FUZZ_SHARED))
	@mkdir -p $(@D)
	$(CLANG) $(SAN) -o $@ $^ -lyaml -lbpf -ldl
$(B)/fuzz/model: tests/fuzz/model.c $(wildcard tests/unit/model*.c) $(ENGINE) $(TEST_HEADERS)
	@mkdir -p $(@D)
	$(CLANG) $(FUZZ_FLAGS) -O2 -fsanitize=undefined -o $@ $(filter %.c,$^)

.PHONY: fuzz fuzz-corpus
fuzz: $(FUZZ:%=$(B)/fuzz/%) $(B)/fuzz/model ## each target for FUZZ_SECONDS (60): parse, table, replay, guard, words, model; findings: build/fuzz
	@for t in $(FUZZ); do \
		mkdir -p $(B)/fuzz/found/$$t; \
		$(B)/fuzz/$$t -max_total_time=$(FUZZ_SECONDS) -timeout=10 -artifact_prefix=$(B)/fuzz/$$t- \
			$(B)/fuzz/found/$$t tests/fuzz/corpus/$$t || exit 1; \
	done
	@$(B)/fuzz/model $(FUZZ_SECONDS)
fuzz-corpus: $(FUZZ:%=$(B)/fuzz/%-corpus)
	@for t in $(FUZZ); do $(B)/fuzz/$$t-corpus tests/fuzz/corpus/$$t || exit 1; done

LOAD := $(addprefix $(B)/test/,peers flood clients)
.PHONY: load-handshakes load-flood load-live soak
load-handshakes: root all $(LOAD) ## N (10,000,000) connections, every count against the kernels' (root; docs/reliability.md)
	@tests/load/run handshakes $(N)
load-flood: root all $(LOAD) ## MINUTES (10) of SYN flood, the guard's rules changing, every client served (root)
	@tests/load/run flood $(MINUTES)
load-live: root all $(LOAD) ## N (1,000,000) connections at once, and what asking for them takes (root; 8 GiB)
	@tests/load/run live $(N)
soak: root all $(LOAD) ## MINUTES (60) of mixed traffic, each second next to the kernel's sockets (root)
	@tests/load/run soak $(MINUTES)

.PHONY: unit prog input random e2e verifier deploy bench bench-read bench-peers bench-flood vm matrix nic
VM_TESTS := $(addprefix $(B)/test/,unit-plain prog verifier)
vm: root all $(VM_TESTS) $(LOAD) ## the suites on a Debian kernel in a virtual machine: KERNEL=bookworm, trixie, sid; VM=all: all, VM=NAMES: these e2e tests (root)
	@KERNEL=$(KERNEL) tests/vm/run.sh $(VM)
matrix: root ## Debian 12, 13, sid and their kernels: built there, the suites; writes docs/compatibility.md; CELLS=SUITE, SUITE/KERNEL (root; debootstrap; an hour)
	@tests/matrix.py $(CELLS)
nic: root all $(B)/synflood ## real network drivers, between two virtual machines: NIC=NAMES of tests/nic/nics, KERNEL=trixie-full; docs/compatibility.md (root; half an hour)
	@KERNEL=$(KERNEL) tests/nic/run.sh $(NIC)
verifier: root $(B)/test/verifier ## what each program costs this kernel's verifier (root)
	@$(B)/test/verifier
bench: root $(B)/test/bench ## what a packet costs, next to references and to what was recorded; ROWS=PART of names, AGAINST=COMMIT, RECORD=1 or add (root)
	@RECORD=$(RECORD) tests/bench/$(if $(AGAINST),against.py $(AGAINST),packet.py) $(if $(ROWS),"$(ROWS)")
bench-read: root all $(B)/test/fill ## what it takes to read a table of a million connections (root; a quiet machine)
	@tests/bench/read.py $(READ)
bench-peers: root all ## what a watched server loses, next to others that watch or guard (root; minutes, a quiet machine)
	@tests/bench/peers.py $(PEERS)
bench-flood: root all $(LOAD) ## the guard under a flood, next to what the kernel has (root; minutes, a quiet machine)
	@tests/bench/flood.py $(FLOOD)
unit: $(B)/test/unit ## the shared core, natively, under ASan and UBSan (no root)
	@$(B)/test/unit
prog: root $(B)/test/prog ## the same frames through the kernel's programs (root)
	@$(B)/test/prog
input: root $(B)/test/input ## broken frames through the kernel's programs: each cut, each bit, a million random ones (root)
	@$(B)/test/input
random: root $(B)/test/input ## the same with N (100000000) random frames; SEED (1) (root; minutes)
	@$(B)/test/input $(or $(N),100000000) $(or $(SEED),1)
e2e: root all $(LOAD) ## real clients and servers in namespaces, and faults, in every mode, with both families: KILLS=N each, SEED=N again (root)
	@tests/e2e/run --grid
deploy: root all ## what deploy/ ships: installed, and against a real Prometheus (root)
	@tests/install.sh
	@tests/metrics.sh deploy

# --- code -----------------------------------------------------------------------------------------------------------
FORMATTED = $(wildcard user/*.[ch] bpf/*.[ch] include/synwave/*.h tests/unit/*.[ch] tests/prog/*.[ch] tests/input/*.[ch] tests/e2e/*.c \
	tests/bench/flood*.[ch] tests/bench/fill*.c tests/bench/clients.c tests/load/*.[ch] tests/verifier.c)
SCRIPTS   = $(wildcard vmlinux/*.sh tests/*.sh tests/*/*.sh deploy/*/*.sh deploy/debian/p*) tests/vm/init .ci/run

.PHONY: format lint vmlinux docs
format: ## clang-format the sources
	clang-format -i $(FORMATTED)
lint: $(SKEL) $(B)/mutate.skel.h ## clang-format, clang-tidy, shellcheck
	clang-format --dry-run -Werror $(FORMATTED)
	clang-tidy --quiet $(SRC) $(wildcard tests/unit/*.c tests/prog/*.c) $(filter-out %.bpf.c,$(wildcard tests/input/*.c)) tests/frames.c tests/exchanges.c -- \
		-std=gnu11 -D_GNU_SOURCE -DSYNWAVE_VERSION='""' -Iinclude -Iuser -Itests -Itests/unit -isystem $(B)
	shellcheck $(SCRIPTS)

docs: all ## write docs/metrics.md anew from the table of metrics
	$(B)/synwave export --describe > $(B)/metrics.md && mv $(B)/metrics.md docs/metrics.md

vmlinux: ## write vmlinux/vmlinux.h anew from the running kernel's BTF
	vmlinux/make.sh > $(B)/vmlinux.h && mv $(B)/vmlinux.h vmlinux/vmlinux.h

# --- rest -----------------------------------------------------------------------------------------------------------
# Everything an operator installs; units and the manual say where the program is.
SYSCONFDIR ?= /etc
ZSHDIR     ?= $(PREFIX)/share/zsh/site-functions
TO         := $(DESTDIR)$(PREFIX)
SHARED     := $(filter-out %/tests.yml,$(wildcard deploy/prometheus/*.yml)) $(wildcard deploy/grafana/*.json deploy/kubernetes/*.yaml)
UNITS      := synwave@.service synwave-exporter.service

.PHONY: install deb deb-check clean help
$(B)/synwave.8: docs/man/synwave.8.scd
	@mkdir -p $(@D)
	SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(stat -c %Y $<)} scdoc < $< > $@.tmp && mv $@.tmp $@

install: all $(B)/synwave.8 ## program, manual, completions, units below DESTDIR/PREFIX; defaults below DESTDIR/etc
	@$(if $(word 2,$(PREFIX))$(word 2,$(SYSCONFDIR)),$(error PREFIX or SYSCONFDIR has a space: systemd's units cannot name such a path))
	install -D -m 755 $(B)/synwave "$(TO)/sbin/synwave"
	install -D -m 644 $(B)/synwave.8 "$(TO)/share/man/man8/synwave.8"
	install -D -m 644 deploy/completion/synwave.bash "$(TO)/share/bash-completion/completions/synwave"
	install -D -m 644 deploy/completion/_synwave "$(DESTDIR)$(ZSHDIR)/_synwave"
	install -D -m 644 deploy/systemd/synwave.sysusers "$(TO)/lib/sysusers.d/synwave.conf"
	for unit in $(UNITS); do \
		install -D -m 644 deploy/systemd/$$unit "$(TO)/lib/systemd/system/$$unit" && \
		sed -i 's|/usr/sbin/|$(PREFIX)/sbin/|; s|-/etc/|-$(SYSCONFDIR)/|' "$(TO)/lib/systemd/system/$$unit" || exit 1; \
	done
	for file in $(SHARED:deploy/%=%); do install -D -m 644 deploy/$$file "$(TO)/share/synwave/$$file" || exit 1; done
	[ -e "$(DESTDIR)$(SYSCONFDIR)/default/synwave" ] || \
		install -D -m 644 deploy/systemd/synwave.default "$(DESTDIR)$(SYSCONFDIR)/default/synwave"

deb: all ## build/synwave_VERSION_ARCHITECTURE.deb; ARCH=arm64: for that one
	@CC='$(CC)' deploy/debian/build.sh $(B) $(VERSION) $(OUT)
deb-check: root deb ## the package in a fresh Debian of its own, with its own systemd; SUITE=another release (root; debootstrap; minutes)
	@tests/deb/run.sh $(B)/synwave_$(VERSION)_$$(dpkg --print-architecture).deb $(SUITE)
clean: ## remove build/
	rm -rf $(B)
help: ## this list
	@sed -n 's/^\([a-z0-9 -]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  make %-15s %s\n", $$1, $$2 }'

-include $(OBJ:.o=.d)
