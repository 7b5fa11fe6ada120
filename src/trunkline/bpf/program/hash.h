/* dp_hash: the same numbers as flow/hashes.py makes, so that a packet takes the same way whoever hashes it.
 *
 * Bob Jenkins's lookup3 (public domain) over one direction of a connection, and MurmurHash3 by Austin Appleby (public
 * domain) over both ends in an order-free way. */
#pragma once
#include "maps.h"

INLINE u32 rotated(u32 value, u32 by)
{
	return value << by | value >> (32 - by);
}

struct jenkins {
	u32 a, b, c;
};

INLINE void mix(struct jenkins *j, u32 x, u32 y, u32 z)
{
	static const u32 by[] = {4, 6, 8, 16, 19, 4};
	u32 a = j->a + x, b = j->b + y, c = j->c + z, t;
#pragma unroll
	for (int i = 0; i < 6; i++) {
		a = (a - c) ^ rotated(c, by[i]);
		c += b;
		t = a;
		a = b;
		b = c;
		c = t;
	}
	j->a = a;
	j->b = b;
	j->c = c;
}

INLINE u32 finish(struct jenkins *j, u32 x)
{
	static const u32 by[] = {14, 11, 25, 16, 4, 14, 24};
	u32 a = j->a + x, b = j->b, c = j->c, t;
#pragma unroll
	for (int i = 0; i < 7; i++) {
		c = (c ^ b) - rotated(b, by[i]);
		t = a;
		a = b;
		b = c;
		c = t;
	}
	return b;
}

/* Addresses, protocol, ports: one direction. */
INLINE u32 hash_l4(const struct flow_key *k, u32 basis)
{
	u32 last = k->nw_proto | (u32)k->tp_src << 8 | (u32)(k->tp_dst & 0xff) << 24, rest = k->tp_dst >> 8;
	int is_ipv6 = k->dl_type == bpf_htons(ETH_P_IPV6);
	u32 start = 0xdeadbeef + (is_ipv6 ? 37 : 13) + basis;
	struct jenkins j = {start, start, start};
	if (is_ipv6) {
		mix(&j, k->net_src[0], k->net_src[1], k->net_src[2]);
		mix(&j, k->net_src[3], k->net_dst[0], k->net_dst[1]);
		mix(&j, k->net_dst[2], k->net_dst[3], last);
	} else {
		mix(&j, k->net_src[3], k->net_dst[3], last);
	}
	return finish(&j, rest);
}

INLINE u32 murmur(u32 value, u32 word)
{
	word = rotated(word * 0xcc9e2d51, 15) * 0x1b873593;
	return rotated(value ^ word, 13) * 5 + 0xe6546b64;
}

INLINE u32 murmur_finish(u32 value, u32 length)
{
	value ^= length;
	value = (value ^ value >> 16) * 0x85ebca6b;
	value = (value ^ value >> 13) * 0xc2b2ae35;
	return value ^ value >> 16;
}

/* Both ends of a connection, without their order; of what is not IP, of Ethernet. */
INLINE u32 hash_symmetric(const struct flow_key *k, u32 basis)
{
	u32 value = basis;
	if (k->dl_type == bpf_htons(ETH_P_IPV6)) {
#pragma unroll
		for (int i = 0; i < 4; i++)
			value = murmur(value, k->net_src[i] ^ k->net_dst[i]);
	} else if (k->dl_type == bpf_htons(ETH_P_IP)) {
		value = murmur(value, k->net_src[3] ^ k->net_dst[3]);
	} else {
		const u16 *to = (const u16 *)k->dl_dst, *from = (const u16 *)k->dl_src;
		u32 tags = (k->vlan_tci ^ k->vlan1_tci) & bpf_htons(0xfff);
		value = murmur(value, k->dl_type | tags << 16);
		value = murmur(value, (u32)(to[0] ^ from[0]) | (u32)(to[1] ^ from[1]) << 16);
		value = murmur(value, (u32)(to[2] ^ from[2]));
		return murmur_finish(value, basis);
	}
	value = murmur(value, k->nw_proto);
	if (k->nw_proto == IPPROTO_TCP || k->nw_proto == IPPROTO_SCTP)
		value = murmur(value, (u32)(k->tp_src ^ k->tp_dst));
	return murmur_finish(value, basis);
}

INLINE void set_hash(struct scratch *s, u32 algorithm, u32 basis)
{
	u32 hash = algorithm == 1 ? hash_symmetric(&s->key, basis) : hash_l4(&s->key, basis);
	s->key.dp_hash = bpf_htonl(hash ? hash : 1); /* 0 means "no hash" */
}
