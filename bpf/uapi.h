/* SPDX-License-Identifier: GPL-2.0-only */
/* Constants of the kernel's UAPI that BTF does not carry by name (macros, anonymous enums). */
#ifndef SYNWAVE_UAPI_H
#define SYNWAVE_UAPI_H

#define TC_ACT_UNSPEC  (-1) /* linux/pkt_cls.h; TCX_NEXT */
#define BPF_NOEXIST    1 /* linux/bpf.h */
#define BPF_F_MMAPABLE (1U << 10)

#endif
