/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The ground both worlds stand on: the BPF programs and the native build of the same core. */
#ifndef SYNWAVE_TYPES_H
#define SYNWAVE_TYPES_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __bpf__ /* the only fork between the two worlds */
#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* A constant table of a header: frozen .rodata. By name, or clang moves small ones to sections that BTF does not know; used, or
 * clang 19 does so all the same. */
#define SW_TABLE static const __attribute__((used, section(".rodata")))
#else
#include <linux/bpf.h>
#include <linux/types.h>

#include <asm/byteorder.h>
#include <string.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;
#define SW_TABLE     static const __attribute__((unused))
#define bpf_ntohs(x) __be16_to_cpu(x)
#define bpf_ntohl(x) __be32_to_cpu(x)
#define bpf_htons(x) __cpu_to_be16(x)
#define bpf_htonl(x) __cpu_to_be32(x)
#endif

#ifndef __always_inline /* glibc and bpf_helpers.h each define it */
#define __always_inline inline __attribute__((always_inline))
#endif

#define SW_INLINE static __always_inline
/* Hides what the compiler knows of an integer: it must not drop a bounds check that the verifier needs to see. */
#define SW_OPAQUE(x) asm volatile("" : "+r"(x))
/* What was stored is loaded again after it: for the verifier, which keeps no knowledge of a map's values. */
#define SW_STAGE() asm volatile("" ::: "memory")
#ifdef __clang__
#define SW_UNROLL _Pragma("clang loop unroll(full)")
#else
#define SW_UNROLL _Pragma("GCC unroll 32")
#endif
#define SW_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
