# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# One flat file. `make help` lists the targets.
VERSION := 0.1.0
B       := build
PREFIX  ?= /usr/local

CLANG   ?= clang
CC      ?= gcc
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)

WARN    := -Wall -Wextra -Werror -Wshadow -Wno-unused-function
CFLAGS  ?= -O2 -g
ALL_CFLAGS := $(CFLAGS) $(WARN) -std=gnu11 -fno-strict-aliasing -D_GNU_SOURCE -DSYNWAVE_VERSION='"$(VERSION)"' \
	-Iinclude -Iuser -I$(B)
BPF_CFLAGS := -O2 -g -target bpf -mcpu=v3 -Iinclude -Ivmlinux $(WARN)
# Static where Debian has it: one file to copy to a server. libc stays dynamic.
LDLIBS  := -Wl,-Bstatic -lxdp -lbpf -lelf -lz -lyajl_s -Wl,-Bdynamic

SRC     := $(wildcard user/*.c)
OBJ     := $(SRC:user/%.c=$(B)/user/%.o)
CORE    := $(wildcard include/synwave/*.h)

.PHONY: all
all: $(B)/synwave

$(B)/synwave: $(OBJ)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/user/%.o: user/%.c $(wildcard user/*.h) $(CORE) $(B)/synwave.skel.h
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

# bpftool's linker gives static tables their place in .rodata's BTF
$(B)/synwave.bpf.o: bpf/synwave.bpf.c $(wildcard bpf/*.h) $(CORE) vmlinux/vmlinux.h
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c -o $(B)/synwave.raw.o $<
	$(BPFTOOL) gen object $@ $(B)/synwave.raw.o

$(B)/synwave.skel.h: $(B)/synwave.bpf.o
	$(BPFTOOL) gen skeleton $< name synwave_bpf > $@.tmp && mv $@.tmp $@

.PHONY: clean
clean:
	rm -rf $(B)
