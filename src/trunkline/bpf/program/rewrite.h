/* Changing a packet: fields under a mask, checksums kept right.
 *
 * A WRITE changes up to eight bytes, in whole 32-bit words, at an offset in one layer.  Checksums are updated by the
 * difference, never computed anew: a wrong one stays as wrong as it was.  Of a packet whose checksum the hardware is to
 * finish only the part of the pseudo header changes; bpf_l4_csum_replace() knows (BPF_F_PSEUDO_HDR). */
#pragma once
#include "extract.h"

INLINE u32 checksum_at(u8 transport)
{
	switch (transport) {
	case IPPROTO_TCP:
		return 16;
	case IPPROTO_UDP:
		return 6;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return 2;
	}
	return 0;
}

/* Of WRITE: argument is offset << 8 | bytes (4 or 8); data is the value, then the mask, eight bytes each. */
INLINE int write_field(struct __sk_buff *skb, struct scratch *s, const struct action *a)
{
	u32 layer = a->layer, flags = a->flags, at = (a->argument >> 8) & 0xff, at_layer;
	if (a->network && a->network != s->network)
		return 0;
	if (layer == LAYER_TRANSPORT) {
		if (!s->transport || s->fragment)
			return 0;
		at_layer = s->transport_at;
	} else if (layer == LAYER_NETWORK) {
		if (!s->network)
			return 0;
		at_layer = s->network_at;
	} else {
		at_layer = 0;
	}
	at += at_layer;
	u32 old[2] = {}, new[2] = {};
	const u32 *value = (const u32 *)a->data, *mask = (const u32 *)(a->data + 8);
	u8 transport = s->transport;
	u32 where = flags & (PSEUDO | L4_DATA) ? checksum_at(transport) : 0;
	if (flags & PSEUDO && transport == IPPROTO_ICMP)
		where = 0;
	if (flags & PSEUDO && s->on_its_way && at - at_layer >= 24) /* then it is not the one that checksums are about */
		where = 0;
	/* skb->csum of hardware that sums up whole packets stays right by itself where a checksum in the packet makes up for
	 * the change. */
	u64 store = flags & IP_CHECKSUM || where ? 0 : BPF_F_RECOMPUTE_CSUM;
	int is_long = (a->argument & 0xff) == 8;
	if (is_long) {
		if (bpf_skb_load_bytes(skb, at, old, 8))
			return 0;
		new[1] = (old[1] & ~mask[1]) | value[1];
	} else if (bpf_skb_load_bytes(skb, at, old, 4)) {
		return 0;
	}
	new[0] = (old[0] & ~mask[0]) | value[0];
	s->stale = 1;
	if (flags & (PSEUDO | L4_DATA))
		s->known = 0; /* tracking it again looks for another connection */
	/* The field first: the checksum may lie in the same word. */
	if (is_long ? bpf_skb_store_bytes(skb, at, new, 8, store) : bpf_skb_store_bytes(skb, at, new, 4, store))
		return -1;
	if (!flags)
		return 0;
	u64 difference = bpf_csum_diff(old, 8, new, 8, 0);
	if (flags & IP_CHECKSUM && bpf_l3_csum_replace(skb, at_layer + 10, 0, difference, 0))
		return -1;
	if (!where)
		return 0;
	u64 how = transport == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	if (flags & PSEUDO)
		how |= BPF_F_PSEUDO_HDR;
	return bpf_l4_csum_replace(skb, s->transport_at + where, 0, difference, how);
}

INLINE int set_ethernet(struct __sk_buff *skb, struct scratch *s, const struct action *a)
{
	s->stale = 1;
	return bpf_skb_store_bytes(skb, 0, a->data, 12, BPF_F_RECOMPUTE_CSUM);
}
