// yardstick reads a capture with libpcap and keeps an entry for every TCP
// connection in a hash table, as one would write it in C on an afternoon: the
// least work that any connection tracker does. tcplife is measured against it.
//
//	cc -O2 -o yardstick yardstick.c -lpcap
//	yardstick FILE
//
// It knows Ethernet, VLANs, IPv4 and IPv6 without extension headers. An entry is
// a 5-tuple for good: a reused one is not told from its first use. What it
// counts goes to standard output, as JSON.

#include <pcap/pcap.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

// What one direction's segments say of the end that sends them.
enum state { NONE, SYN_SENT, SYN_RCVD, ESTABLISHED, FIN_WAIT, CLOSE_WAIT, LAST_ACK, CLOSED };

struct key {
	uint8_t addr[2][16]; // the lower address first, or of the same the lower port
	uint16_t port[2];
};

struct connection { // 88 octets
	struct key key;
	uint8_t flags[2], state[2]; // here and below: of what the lower address sends, and the other
	uint32_t packets[2], nxt[2];
	uint64_t octets[2];
	int64_t first, last; // microseconds since 1970
};

// Open addressing with linear probing; the entries are in the table itself.
static struct connection *table;
static size_t size = 1 << 16, count;

static uint64_t packets, segments, octets, syns, fins, rsts;

static uint64_t hash(const struct key *k) {
	uint64_t w[4], h = 0x243f6a8885a308d3u ^ k->port[0] ^ (uint64_t)k->port[1] << 32;
	memcpy(w, k->addr, sizeof w);
	for (int i = 0; i < 4; i++) {
		h = (h ^ w[i]) * 0x9ddfea08eb382d69u;
		h ^= h >> 29;
	}
	return h ^ h >> 32;
}

static int used(const struct connection *c) { return (c->packets[0] | c->packets[1]) != 0; }

static struct connection *slot(const struct key *k) {
	size_t i = hash(k) & (size - 1);
	while (used(&table[i]) && memcmp(&table[i].key, k, sizeof *k) != 0)
		i = (i + 1) & (size - 1);
	return &table[i];
}

static struct connection *allocate(size_t n) {
	struct connection *t = calloc(n, sizeof *t);
	if (t == NULL) {
		fprintf(stderr, "yardstick: no memory for %zu connections\n", n);
		exit(1);
	}
	return t;
}

static struct connection *find(const struct key *k, int64_t now) {
	struct connection *c = slot(k);
	if (used(c))
		return c;
	if (++count > size / 4 * 3) {
		struct connection *old = table;
		size_t n = size;
		table = allocate(size *= 2);
		for (size_t i = 0; i < n; i++)
			if (used(&old[i]))
				*slot(&old[i].key) = old[i];
		free(old);
		c = slot(k);
	}
	c->key = *k;
	c->first = now;
	return c;
}

static unsigned be16(const uint8_t *p) { return p[0] << 8 | p[1]; }
static uint32_t be32(const uint8_t *p) { return (uint32_t)be16(p) << 16 | be16(p + 2); }

static void step(struct connection *c, int snd, unsigned flags) {
	uint8_t *state = c->state;
	int rcv = !snd;
	if (flags & RST) {
		state[snd] = state[rcv] = CLOSED;
	} else if (flags & SYN) {
		state[snd] = flags & ACK ? SYN_RCVD : SYN_SENT;
	} else if (flags & FIN) {
		state[snd] = c->flags[rcv] & FIN ? LAST_ACK : FIN_WAIT;
	} else if (flags & ACK) {
		if (state[snd] == SYN_SENT)
			state[snd] = state[rcv] = ESTABLISHED;
		else if (state[snd] == ESTABLISHED && c->flags[rcv] & FIN)
			state[snd] = CLOSE_WAIT;
		else if (state[rcv] == LAST_ACK)
			state[rcv] = CLOSED;
	}
}

static void segment(const uint8_t *t, unsigned captured, unsigned length, struct key *k, int64_t now) {
	if (captured < 20 || length < 20)
		return;
	unsigned header = (t[12] >> 4) * 4u, flags = t[13];
	if (header < 20 || header > length)
		return;
	k->port[0] = be16(t), k->port[1] = be16(t + 2);
	int order = memcmp(k->addr[0], k->addr[1], 16), from = order > 0 || (order == 0 && k->port[0] > k->port[1]);
	if (from) {
		uint8_t addr[16];
		uint16_t port = k->port[0];
		memcpy(addr, k->addr[0], 16);
		memcpy(k->addr[0], k->addr[1], 16);
		memcpy(k->addr[1], addr, 16);
		k->port[0] = k->port[1], k->port[1] = port;
	}
	struct connection *c = find(k, now);
	unsigned payload = length - header;
	uint32_t end = be32(t + 4) + payload + !!(flags & SYN) + !!(flags & FIN);
	if (c->packets[from] == 0 || (int32_t)(end - c->nxt[from]) > 0)
		c->nxt[from] = end;
	c->packets[from]++;
	c->octets[from] += payload;
	c->last = now;
	step(c, from, flags);
	c->flags[from] |= flags;
	segments++;
	octets += payload;
	syns += !!(flags & SYN);
	fins += !!(flags & FIN);
	rsts += !!(flags & RST);
}

static void packet(u_char *user, const struct pcap_pkthdr *h, const u_char *p) {
	(void)user;
	packets++;
	unsigned n = h->caplen, at = 14;
	if (n < at)
		return;
	unsigned type = be16(p + 12);
	while ((type == 0x8100 || type == 0x88a8) && n >= at + 4) {
		type = be16(p + at + 2);
		at += 4;
	}
	const uint8_t *ip = p + at;
	n -= at;
	struct key k;
	memset(&k, 0, sizeof k);
	int64_t now = (int64_t)h->ts.tv_sec * 1000000 + h->ts.tv_usec;
	if (type == 0x0800 && n >= 20) {
		unsigned header = (ip[0] & 15) * 4u, length = be16(ip + 2);
		if (ip[9] != 6 || header < 20 || header > n || header > length || be16(ip + 6) & 0x1fff)
			return;
		memcpy(k.addr[0], ip + 12, 4);
		memcpy(k.addr[1], ip + 16, 4);
		segment(ip + header, n - header, length - header, &k, now);
	} else if (type == 0x86dd && n >= 40 && ip[6] == 6) {
		memcpy(k.addr[0], ip + 8, 16);
		memcpy(k.addr[1], ip + 24, 16);
		segment(ip + 40, n - 40, be16(ip + 4), &k, now);
	}
}

int main(int argc, char **argv) {
	char err[PCAP_ERRBUF_SIZE];
	if (argc != 2) {
		fprintf(stderr, "usage: yardstick FILE\n");
		return 2;
	}
	pcap_t *p = pcap_open_offline(argv[1], err);
	if (p == NULL) {
		fprintf(stderr, "yardstick: %s\n", err);
		return 1;
	}
	table = allocate(size);
	if (pcap_loop(p, -1, packet, NULL) < 0) {
		fprintf(stderr, "yardstick: %s: %s\n", argv[1], pcap_geterr(p));
		return 1;
	}
	printf("{\"Packets\":%llu,\"Segments\":%llu,\"SYN\":%llu,\"FIN\":%llu,\"RST\":%llu,\"PayloadBytes\":%llu,\"Connections\":%zu}\n",
	       (unsigned long long)packets, (unsigned long long)segments, (unsigned long long)syns, (unsigned long long)fins,
	       (unsigned long long)rsts, (unsigned long long)octets, count);
	return 0;
}
