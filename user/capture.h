/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SYNWAVE_CAPTURE_H
#define SYNWAVE_CAPTURE_H

#include "synwave/types.h"

typedef void capture_frame(void *ctx, const u8 *frame, u32 cap, u32 size, bool l3, u64 ns);

/* Reads a pcap or pcapng ("-": standard input) and hands over each frame. Frames of a link type without Ethernet header
 * begin with their IP header (l3). 0, or -1 with one line in `why`: what, and at which packet. */
int capture_read(const char *path, capture_frame *each, void *ctx, char *why, size_t room);

#endif
