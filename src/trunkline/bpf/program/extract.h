/* From a packet to its flow key: the same as packet/parse.py, layer by layer.  Each layer either is there whole and makes
 * sense, and then its fields are in the key, or it ends the walk.
 *
 * A part of the packet is copied into scratch (the window) and read there: direct access would need the headers pulled
 * into the linear part, and that takes the packet's header away from its clones, which costs more. */
#pragma once
#include "maps.h"

#define KEEP_WORDS 20 /* words 0 to 19 are of what is beside the frame */

#define VLAN_PRESENT 0x1000

INLINE int is_tag(u16 type)
{
	return type == bpf_htons(0x8100) || type == bpf_htons(0x88a8);
}

/* Loads what of `length` bytes at `at` there is; the window then begins with the byte at `at`. */
INLINE u32 load(struct __sk_buff *skb, struct scratch *s, u32 at, u32 length)
{
	u32 total = skb->len;
	if (at >= total)
		return 0;
	u32 room = total - at;
	if (room > length)
		room = length;
	if (bpf_skb_load_bytes(skb, at, s->window + 2, within(room, WINDOW)))
		return 0;
	return room;
}

#define BYTES(s, at) ((s)->window + 2 + ((at) & (WINDOW - 1)))
#define READ16(p) (*(u16 *)(p))
#define READ32(p) (*(u32 *)(p))

INLINE void copy_address(u32 *to, const u8 *from)
{
	to[0] = READ32(from);
	to[1] = READ32(from + 4);
	to[2] = READ32(from + 8);
	to[3] = READ32(from + 12);
}

INLINE void copy_mac(u8 *to, const u8 *from)
{
	*(u16 *)to = READ16(from);
	*(u16 *)(to + 2) = READ16(from + 2);
	*(u16 *)(to + 4) = READ16(from + 4);
}

struct option {
	struct __sk_buff *skb;
	struct scratch *s;
	u32 at, left; /* bytes of options from here on */
};

INLINE void forget_neighbour(struct scratch *s)
{
	u8 none[16] = {};
	__builtin_memcpy(s->key.nd_target, none, 16);
	copy_mac(s->key.arp_sha, none);
	copy_mac(s->key.arp_tha, none);
}

/* Takes the link-layer address of an option; 1: there was one, so none is believed. */
INLINE long take_address(u8 *to, const u8 *from)
{
	if (READ16(to) | READ16(to + 2) | READ16(to + 4))
		return 1;
	copy_mac(to, from);
	return 0;
}

/* One option of a neighbour message; 1: there are no more. */
static long neighbour_option(u32 i UNUSED, struct option *o)
{
	if (o->left < 8 || load(o->skb, o->s, o->at, 8) < 8)
		return 1;
	u8 *p = BYTES(o->s, 0);
	u32 length = p[1] * 8, twice = 0;
	if (length == 8 && length <= o->left && (p[0] == 1 || p[0] == 2) && !o->s->key.tcp_flags)
		o->s->key.tcp_flags = bpf_htons(p[0]);
	if (!length || length > o->left)
		return 1;
	if (length == 8 && p[0] == 1)
		twice = take_address(o->s->key.arp_sha, p + 2);
	else if (length == 8 && p[0] == 2)
		twice = take_address(o->s->key.arp_tha, p + 2);
	if (twice) {
		forget_neighbour(o->s);
		return 1;
	}
	o->at += length;
	o->left -= length;
	return 0;
}

/* Target and link-layer addresses of a neighbour solicitation or advertisement. */
INLINE void neighbour(struct __sk_buff *skb, struct scratch *s, u32 at, u32 size)
{
	u32 there = load(skb, s, at, 24);
	if (there < 8)
		return;
	s->key.igmp_group = READ32(BYTES(s, 4)); /* nd_reserved lies there, nd_options_type in tcp_flags */
	if (size < 24 || there < 24)
		return;
	copy_address(s->key.nd_target, BYTES(s, 8));
	struct option o = {.skb = skb, .s = s, .at = at + 24, .left = size - 24};
	bpf_loop(256, neighbour_option, &o, 0);
}

/* What IP carries, where ipv4() and ipv6() have found it. */
GLOBAL int extract_transport(struct __sk_buff *skb, struct scratch *s)
{
	if (!s)
		return 0;
	u32 size = s->transport_size, there = s->transport_there, in_window = s->in_window;
	if (there < 20 && there < size) { /* not enough of it in the window */
		there = load(skb, s, s->transport_at, 20);
		in_window = 0;
	}
	if (there > size)
		there = size;
	if (there < 8)
		return 0;
	u8 *p = BYTES(s, in_window);
	u8 protocol = s->key.nw_proto;
	switch (protocol) {
	case IPPROTO_TCP:
		if (there < 20)
			return 0;
		s->transport = protocol;
		u32 header = (p[12] >> 4) * 4;
		if (header < 20 || header > size)
			return 0;
		s->key.tcp_flags = READ16(p + 12) & bpf_htons(0xfff);
		break;
	case IPPROTO_UDP:
		s->transport = protocol;
		break;
	case IPPROTO_SCTP:
		if (there < 12)
			return 0;
		s->transport = protocol;
		break;
	case 2: /* IGMP */
		s->key.igmp_group = READ32(p + 4);
		s->key.tp_src = bpf_htons(p[0]);
		s->key.tp_dst = bpf_htons(p[1]);
		return 0;
	case 1: /* ICMP */
	case 58: /* ICMPv6 */
		s->transport = protocol;
		s->key.tp_src = bpf_htons(p[0]);
		s->key.tp_dst = bpf_htons(p[1]);
		if (protocol == 58 && !p[1] && (p[0] == 135 || p[0] == 136))
			neighbour(skb, s, s->transport_at, size);
		return 0;
	default:
		return 0;
	}
	s->key.tp_src = READ16(p);
	s->key.tp_dst = READ16(p + 2);
	return 0;
}

/* Offsets from here on: `at` in the packet, `in_window` in the window, of which `there` bytes are left from there on. */

INLINE void ipv4(struct __sk_buff *skb, struct scratch *s, u32 at, u32 in_window, u32 there)
{
	u8 *p = BYTES(s, in_window);
	u32 room = skb->len - at;
	if (there < 20)
		return;
	u32 header = (p[0] & 15) * 4, total = bpf_ntohs(READ16(p + 2));
	if (header < 20 || room < header || total < header || total > room)
		return;
	s->network = NETWORK_IPV4;
	s->length -= room - total;
	s->key.net_src[3] = READ32(p + 12);
	s->key.net_dst[3] = READ32(p + 16);
	s->key.nw_tos = p[1];
	s->key.nw_ttl = p[8];
	u8 protocol = p[9];
	s->key.nw_proto = protocol;
	u16 fragment = bpf_ntohs(READ16(p + 6));
	if (fragment & 0x3fff) {
		if (fragment & 0x1fff) {
			s->key.nw_frag = 3;
			s->fragment = 1;
			return;
		}
		s->key.nw_frag = 1;
	}
	s->transport_at = at + header;
	s->transport_size = total - header;
	s->in_window = in_window + header;
	s->transport_there = there > header ? there - header : 0;
}

struct extension {
	struct __sk_buff *skb;
	struct scratch *s;
	u32 at, left; /* bytes of payload from here on */
	u8 following, fragment, state;
};
enum { WALKING, FOUND, CUT_SHORT, LATER };

/* One extension header; 1: it was the last. */
static long extension_header(u32 i UNUSED, struct extension *e)
{
	u8 kind = e->following;
	if (kind != 0 && kind != 43 && kind != 44 && kind != 51 && kind != 60) {
		e->state = FOUND;
		return 1;
	}
	if (e->left < 8 || load(e->skb, e->s, e->at, 8) < 8) {
		e->state = CUT_SHORT;
		return 1;
	}
	u8 *p = BYTES(e->s, 0);
	u32 size = 8;
	if (kind == 44) {
		u16 bits = bpf_ntohs(READ16(p + 2));
		if (bits) {
			e->fragment = 1;
			if (bits & 0xfff8) {
				e->fragment = 3;
				e->at += 8;
				e->state = LATER;
				return 1;
			}
		}
	} else {
		if (kind == IPPROTO_ROUTING && p[3])
			e->s->on_its_way = 1;
		size = kind == 51 ? (p[1] + 2) * 4 : (p[1] + 1) * 8;
		if (e->left < size) {
			e->state = CUT_SHORT;
			return 1;
		}
	}
	e->following = p[0];
	e->at += size;
	e->left -= size;
	return 0;
}

GLOBAL int extract_ipv6(struct __sk_buff *skb, struct scratch *s)
{
	if (!s)
		return 0;
	u32 at = s->network_at, in_window = at, there = s->transport_there;
	u8 *p = BYTES(s, in_window);
	if (there < 40)
		return 0;
	u32 room = skb->len - at - 40, length = bpf_ntohs(READ16(p + 4));
	if (length > room)
		return 0;
	s->length -= room - length;
	s->network = NETWORK_IPV6;
	copy_address(s->key.net_src, p + 8);
	copy_address(s->key.net_dst, p + 24);
	u32 first = bpf_ntohl(READ32(p));
	u8 hops = p[7], next = p[6], fragment = 0;
	u32 in_payload = 0;
	if (next == 0 || next == 43 || next == 44 || next == 51 || next == 60) {
		struct extension e = {.skb = skb, .s = s, .at = at + 40, .left = length, .following = next};
		bpf_loop(64, extension_header, &e, 0);
		if (e.state == CUT_SHORT || e.state == WALKING)
			return 0;
		next = e.state == LATER ? 44 : e.following;
		fragment = e.fragment;
		in_payload = e.at - at - 40;
		there = 0;
	} else {
		there -= 40;
		in_window += 40;
	}
	s->key.ipv6_label = bpf_htonl(first & 0xfffff);
	s->key.nw_tos = first >> 20;
	s->key.nw_ttl = hops;
	s->key.nw_proto = next;
	s->key.nw_frag = fragment;
	if (fragment & 2) {
		s->fragment = 1;
		return 0;
	}
	s->transport_at = at + 40 + in_payload;
	s->transport_size = length - in_payload;
	s->in_window = in_window;
	s->transport_there = there;
	return 0;
}

INLINE void arp(struct scratch *s, u32 in_window, u32 there)
{
	u8 *p = BYTES(s, in_window);
	if (there < 28)
		return;
	s->network = NETWORK_ARP;
	if (READ32(p) != bpf_htonl(0x00010800) || READ16(p + 4) != bpf_htons(0x0604))
		return;
	if (!p[6])
		s->key.nw_proto = p[7];
	copy_mac(s->key.arp_sha, p + 8);
	s->key.net_src[3] = READ16(p + 14) | (u32)READ16(p + 16) << 16;
	copy_mac(s->key.arp_tha, p + 18);
	s->key.net_dst[3] = READ32(p + 24);
}

INLINE void mpls(struct scratch *s, u32 in_window, u32 there)
{
	u8 *p = BYTES(s, in_window);
	if (there < 4)
		return;
	s->network = NETWORK_MPLS;
	s->key.mpls0 = READ32(p);
	if (p[2] & 1 || there < 8)
		return;
	s->key.mpls1 = READ32(p + 4);
	if (p[6] & 1 || there < 12)
		return;
	s->key.mpls2 = READ32(p + 8);
}

/* The inner tag is payload, and the key knows nothing of what is behind it.  (Where the headers are stays known: actions
 * may write there.) */
INLINE void forget_payload(struct scratch *s)
{
	u16 type = s->key.vlan1_tpid;
#pragma unroll
	for (int i = __builtin_offsetof(struct flow_key, vlan1_tpid) / 8; i < KEY_WORDS; i++)
		s->words[i] = 0;
	s->key.dl_type = type;
}

/* Nothing is known of the packet. */
INLINE void begin_key(struct scratch *s)
{
#pragma unroll
	for (int i = KEEP_WORDS; i < KEY_WORDS; i++)
		s->words[i] = 0;
	s->network = NETWORK_NONE;
	s->transport = 0;
	s->transport_size = 0;
	s->fragment = 0;
	s->stale = 0;
	s->on_its_way = 0;
}

/* The key of the packet as it is; what stands beside the frame is left as it was.  0: it is no frame. */
GLOBAL int extract(struct __sk_buff *skb, struct scratch *s)
{
	u32 zero = 0;
	struct config *set = bpf_map_lookup_elem(&config, &zero);
	if (!s || !set)
		return 0;
	begin_key(s);
	u32 there = load(skb, s, 0, WINDOW);
	if (there < 14)
		return 0;
	s->length = skb->len;
	u8 *p = BYTES(s, 0);
	copy_mac(s->key.dl_dst, p);
	copy_mac(s->key.dl_src, p + 6);
	u32 at = 12, tags = 0;
	u16 type = READ16(p + 12);
	if (skb->vlan_present) { /* the outermost tag stands beside the packet */
		s->key.vlan_tpid = skb->vlan_proto;
		s->key.vlan_tci = bpf_htons(skb->vlan_tci | VLAN_PRESENT);
		s->length += 4;
		tags = 1;
	} else if (is_tag(type) && there >= 18) {
		s->key.vlan_tpid = type;
		s->key.vlan_tci = READ16(p + 14) | bpf_htons(VLAN_PRESENT);
		type = READ16(p + 16);
		at = 16;
		tags = 1;
	}
	if (tags && is_tag(type) && there >= at + 6) {
		s->key.vlan1_tpid = type;
		s->key.vlan1_tci = READ16(BYTES(s, at + 2)) | bpf_htons(VLAN_PRESENT);
		type = READ16(BYTES(s, at + 4));
		at += 4;
		tags = is_tag(type) ? 3 : 2;
	}
	s->tags = tags;
	at += 2;
	if (bpf_ntohs(type) < 0x600) { /* a length; then LLC and SNAP follow */
		u8 *q = BYTES(s, at);
		type = bpf_htons(0x05ff);
		if (there >= at + 8 && READ16(q) == bpf_htons(0xaaaa) && READ16(q + 2) == bpf_htons(0x0300) && !READ16(q + 4)) {
			if (bpf_ntohs(READ16(q + 6)) >= 0x600)
				type = READ16(q + 6);
			at += 8;
		}
	}
	s->key.dl_type = type;
	s->network_at = at;
	there = there > at ? there - at : 0;
	switch (type) {
	case bpf_htons(0x0800):
		ipv4(skb, s, at, at, there);
		break;
	case bpf_htons(0x86dd):
		s->transport_there = there;
		extract_ipv6(skb, s);
		break;
	case bpf_htons(0x0806):
	case bpf_htons(0x8035):
		arp(s, at, there);
		break;
	case bpf_htons(0x8847):
	case bpf_htons(0x8848):
		mpls(s, at, there);
	}
	if (s->transport_size)
		extract_transport(skb, s);
	if (s->key.vlan1_tpid && set->vlan_limit == 1)
		forget_payload(s);
	return 1;
}

/* The same for most packets, in a tenth of the time: TCP and UDP right behind Ethernet and IP, neither options between
 * them nor fragments, and all of it in the packet's linear part, where it is read in place.  0: it is another packet (or
 * one that something is wrong with), and nothing has been said of it. */
INLINE int extract_plain(struct __sk_buff *skb, struct scratch *s)
{
	const u8 *p = (const u8 *)(long)skb->data, *end = (const u8 *)(long)skb->data_end;
	if (p + 14 + 20 + 8 > end)
		return 0;
	u32 room = skb->len - 14, at, size;
	u16 type = READ16(p + 12);
	u8 protocol, network;
	const u8 *q; /* the transport header */
	if (type == bpf_htons(ETH_P_IP)) {
		u32 total = bpf_ntohs(READ16(p + 16));
		protocol = p[23];
		if ((p[14] & 15) != 5 || total > room || total < 28 || READ16(p + 20) & bpf_htons(0x3fff))
			return 0;
		network = NETWORK_IPV4;
		at = 34;
		size = total - 20;
		room -= total;
		q = p + 34;
	} else if (type == bpf_htons(ETH_P_IPV6) && p + 14 + 40 + 8 <= end) {
		size = bpf_ntohs(READ16(p + 18));
		protocol = p[20];
		if (size + 40 > room || size < 8)
			return 0;
		network = NETWORK_IPV6;
		at = 54;
		room -= size + 40;
		q = p + 54;
	} else {
		return 0;
	}
	u16 tcp_flags = 0;
	if (protocol == IPPROTO_TCP) {
		if (q + 20 > end)
			return 0;
		u32 header = (q[12] >> 4) * 4;
		if (header < 20 || header > size)
			return 0;
		tcp_flags = READ16(q + 12) & bpf_htons(0xfff);
	} else if (protocol != IPPROTO_UDP) {
		return 0;
	}
	begin_key(s);
	*(u32 *)s->key.dl_dst = READ32(p);
	*(u16 *)(s->key.dl_dst + 4) = READ16(p + 4);
	*(u16 *)s->key.dl_src = READ16(p + 6);
	*(u32 *)(s->key.dl_src + 2) = READ32(p + 8);
	s->length = skb->len - room;
	s->tags = 0;
	if (skb->vlan_present) {
		s->key.vlan_tpid = skb->vlan_proto;
		s->key.vlan_tci = bpf_htons(skb->vlan_tci | VLAN_PRESENT);
		s->length += 4;
		s->tags = 1;
	}
	if (network == NETWORK_IPV4) {
		s->key.net_src[3] = READ32(p + 26);
		s->key.net_dst[3] = READ32(p + 30);
		s->key.nw_tos = p[15];
		s->key.nw_ttl = p[22];
	} else {
		u32 first = bpf_ntohl(READ32(p + 14));
		copy_address(s->key.net_src, p + 22);
		copy_address(s->key.net_dst, p + 38);
		s->key.ipv6_label = bpf_htonl(first & 0xfffff);
		s->key.nw_tos = first >> 20;
		s->key.nw_ttl = p[21];
	}
	s->key.dl_type = type;
	s->key.nw_proto = protocol;
	s->key.tcp_flags = tcp_flags;
	s->key.tp_src = READ16(q);
	s->key.tp_dst = READ16(q + 2);
	s->network = network;
	s->network_at = 14;
	s->transport = protocol;
	s->transport_at = at;
	s->transport_size = size;
	return 1;
}
