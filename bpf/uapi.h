/* SPDX-License-Identifier: GPL-2.0-only */
/* Constants of the kernel's UAPI that BTF does not carry by name (macros, anonymous enums). */
#ifndef SYNWAVE_UAPI_H
#define SYNWAVE_UAPI_H

#define TC_ACT_UNSPEC       (-1) /* linux/pkt_cls.h; TCX_NEXT */
#define TC_ACT_SHOT         2
#define BPF_NOEXIST         1 /* linux/bpf.h */
#define BPF_F_NO_PREALLOC   1U
#define BPF_F_CURRENT_NETNS (-1L)
#define BPF_TCP_LISTEN      10
#define ENOENT              2 /* asm-generic/errno-base.h */
#define BPF_F_MMAPABLE      (1U << 10)

#endif
