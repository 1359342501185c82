/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the generator's two halves agree on. */
#ifndef SYNWAVE_BENCH_FLOOD_H
#define SYNWAVE_BENCH_FLOOD_H

#define FLOOD_SIZE 74 /* Ethernet, IPv4, TCP with the options of Linux: MSS, SACK, timestamps, window scale */
#define FLOOD_TRIM 4 /* more than that is given to the program, which cuts it off */

struct flood_frame {
	__u64 word[10]; /* the frame without source, source port, number and checksums */
	__u32 source, hosts; /* host order: from `source` on so many */
	__u32 ip_sum, tcp_sum; /* of what is in word[], pseudo header included; of halves as they lie in memory */
	__u32 out; /* ifindex */
};

#endif
