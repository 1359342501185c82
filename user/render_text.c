// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Text for people: connections as a table like that of `ss`, and the words that all text is made of. */
#include "render.h"

#include <arpa/inet.h>
#include <string.h>
#include <time.h>

char *text_name(char *buf, size_t size, const char *name)
{
	size_t at = 0;

	for (; *name; name++) {
		bool plain = *name >= ' ' && *name <= '~';

		if (at + (plain ? 1 : 4) >= size)
			break;
		at += sprintf(buf + at, plain ? "%c" : "\\x%02x", (unsigned char)*name);
	}
	buf[at] = 0;
	return buf;
}

char *text_addr(char buf[TEXT_SIZE], const u32 addr[4])
{
	if (!addr[0] && !addr[1] && addr[2] == htonl(0xffff))
		inet_ntop(AF_INET, &addr[3], buf, TEXT_SIZE);
	else
		inet_ntop(AF_INET6, addr, buf, TEXT_SIZE);
	return buf;
}

char *text_endpoint(char buf[TEXT_SIZE], const char *addr, u16 port)
{
	snprintf(buf, TEXT_SIZE, strchr(addr, ':') ? "[%s]:%u" : "%s:%u", addr, port);
	return buf;
}

char *text_listener(char buf[TEXT_SIZE], const struct sw_service_key *key)
{
	char addr[TEXT_SIZE];

	return text_endpoint(buf, text_addr(addr, key->addr), key->port);
}

static char *three_digits(char buf[TEXT_SIZE], double value, const char *unit)
{
	snprintf(buf, TEXT_SIZE, "%.*f%s", value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value, unit);
	return buf;
}

char *text_duration(char buf[TEXT_SIZE], u64 ns)
{
	u64 s = ns / 1000000000;

	if (ns < 1000)
		snprintf(buf, TEXT_SIZE, "%lluns", ns);
	else if (ns < 999500)
		three_digits(buf, ns / 1e3, "us");
	else if (ns < 999500000)
		three_digits(buf, ns / 1e6, "ms");
	else if (s < 60)
		three_digits(buf, ns / 1e9, "s");
	else if (s < 3600)
		snprintf(buf, TEXT_SIZE, "%llum%02llus", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buf, TEXT_SIZE, "%lluh%02llum", s / 3600, s / 60 % 60);
	else if (s < 1000 * 86400)
		snprintf(buf, TEXT_SIZE, "%llud%02lluh", s / 86400, s / 3600 % 24);
	else
		snprintf(buf, TEXT_SIZE, "%llud", s / 86400);
	return buf;
}

char *text_delta(char buf[TEXT_SIZE], u64 ns)
{
	char took[TEXT_SIZE];

	snprintf(buf, TEXT_SIZE, "+%.20s", text_duration(took, ns));
	return buf;
}

char *text_count(char buf[TEXT_SIZE], u64 n)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%llu", n), to = 0;

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			buf[to++] = ',';
		buf[to++] = digits[i];
	}
	buf[to] = 0;
	return buf;
}

char *text_clock(char buf[TEXT_SIZE], u64 ns, bool date)
{
	time_t s = ns / SW_NS_PER_S;
	struct tm tm;
	size_t len;

	localtime_r(&s, &tm);
	len = strftime(buf, TEXT_SIZE, date ? "%Y-%m-%d %H:%M:%S" : "%H:%M:%S", &tm);
	snprintf(buf + len, TEXT_SIZE - len, ".%06llu", ns % SW_NS_PER_S / 1000);
	return buf;
}

/* In the order in which people say them: SYN+ACK, FIN+ACK. */
char *text_flags(char buf[TEXT_SIZE], u8 flags)
{
	static const u8 order[] = {1, 0, 2, 3, 5, 6, 7, 4};
	size_t len = 0;

	for (size_t i = 0; i < sizeof(order); i++)
		if (flags >> order[i] & 1)
			len += snprintf(buf + len, TEXT_SIZE - len, "%s%s", len ? "+" : "", tcp_flag_name[order[i]]);
	return len ? buf : strcpy(buf, "none");
}

char *text_options(char *buf, size_t size, const struct record_end *e)
{
	size_t len = 0;

	buf[0] = 0;
	if (e->has_mss)
		len += snprintf(buf + len, size - len, "mss %u", e->mss);
	if (e->has_wscale)
		len += snprintf(buf + len, size - len, "%swscale %u", len ? ", " : "", e->wscale);
	if (e->sack)
		len += snprintf(buf + len, size - len, "%sSACK", len ? ", " : "");
	if (e->timestamps)
		snprintf(buf + len, size - len, "%stimestamps", len ? ", " : "");
	return buf;
}

char *text_count_in(char buf[TEXT_SIZE], u64 n, int width)
{
	static const char *const unit[] = {"", "k", "M", "G", "T", "P", "E"};
	double value = n;
	u32 i = 0;

	if ((int)strlen(text_count(buf, n)) <= width)
		return buf;
	while (value >= 999.5) {
		value /= 1000;
		i++;
	}
	return three_digits(buf, value, unit[i]);
}

char *text_rate(char buf[TEXT_SIZE], double per_s)
{
	if (per_s > 0 && per_s < 99.95)
		snprintf(buf, TEXT_SIZE, "%.1f", per_s);
	else
		text_count(buf, (u64)(2 * per_s + 1) / 2);
	return buf;
}

#define ROW "%-11s %-11s %-*s %-*s %-6s %-6s %8s %10s %10s %7s\n"

static void put_head(struct record_table *t)
{
	fprintf(t->out, ROW, "CLIENT IS", "SERVER IS", t->width[0], "CLIENT", t->width[1], "SERVER", "LOCAL", "CONN",
		"AGE", "SYN-SYNACK", "SYNACK-ACK", "RETRANS");
}

static void put_row(struct record_table *t, const struct record *r)
{
	char end[2][TEXT_SIZE], age[TEXT_SIZE], latency[2][TEXT_SIZE] = {"-", "-"}, rexmits[16] = "-";

	for (int role = 0; role < 2; role++)
		text_endpoint(end[role], r->end[role].addr, r->end[role].port);
	text_duration(age, t->now_ns > r->first_ns ? t->now_ns - r->first_ns : 0);
	if (r->has_syn_synack)
		text_duration(latency[0], r->syn_synack_ns);
	if (r->has_synack_ack)
		text_duration(latency[1], r->synack_ack_ns);
	if (r->end[0].rexmits || r->end[1].rexmits) /* of SYN/of SYN-ACK */
		snprintf(rexmits, sizeof(rexmits), "%u/%u", r->end[0].rexmits, r->end[1].rexmits);
	fprintf(t->out, ROW, sw_state_name[r->end[0].state], sw_state_name[r->end[1].state], t->width[0], end[0],
		t->width[1], end[1], r->local ? r->local : "-", r->conn_state, age, latency[0], latency[1], rexmits);
}

void render_table_begin(struct record_table *t, FILE *out, u64 now_ns)
{
	t->out = out;
	t->now_ns = now_ns;
	t->begun = false;
	t->width[0] = t->width[1] = sizeof("255.255.255.255:65535") - 1;
	t->held = 0;
}

static void release(struct record_table *t)
{
	if (!t->begun)
		put_head(t);
	t->begun = true;
	for (u32 i = 0; i < t->held; i++)
		put_row(t, &t->hold[i]);
	t->held = 0;
}

void render_table_add(struct record_table *t, const struct record *r)
{
	char end[TEXT_SIZE];

	if (t->begun) {
		put_row(t, r);
		return;
	}
	for (int role = 0; role < 2; role++) {
		int len = strlen(text_endpoint(end, r->end[role].addr, r->end[role].port));

		if (len > t->width[role])
			t->width[role] = len;
	}
	t->hold[t->held++] = *r;
	if (t->held == RECORD_HOLD)
		release(t);
}

void render_table_end(struct record_table *t)
{
	release(t);
}
