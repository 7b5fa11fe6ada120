/* Tunnels: the program itself writes outer headers and takes them off, for many a kernel has no devices that would.
 *
 * Out: Python writes the header in advance (packet/tunnels.py) and finds the way (io/ways.py); what depends on the packet is
 * filled in here: lengths, the checksum of IPv4, the UDP source port.  The neighbour is the kernel's to find.
 *
 * In: the program is at the ingress of the devices that the host's own addresses are reached by, and takes packets for a tunnel
 * out of what comes there.  What it does not understand whole it leaves alone: then it goes to a socket of this host
 * (io/netdev/host_tunnel.py), as if there were no program.
 *
 * bpf_skb_adjust_room() moves only IP, and it is skb->protocol that says so; `become` changes that. */
#pragma once
#include "rewrite.h"

/* What tunnels there are: by TUNNEL_OVER_IPV6 | protocol << 16 | UDP port, or of ERSPAN 1. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, u32);
	__type(value, struct tunnel);
	__uint(max_entries, MAX_TUNNELS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} tunnels SEC(".maps");

/* The host's addresses. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct host);
	__type(value, u32);
	__uint(max_entries, MAX_HOSTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} hosts SEC(".maps");

/* Headers by number, each for one port and one way. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, u32);
	__type(value, struct header);
	__uint(max_entries, MAX_HEADERS);
} headers SEC(".maps");

/* The fields of outer headers that flows set, by number: what goes into the key. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, u32);
	__type(value, struct outer);
	__uint(max_entries, MAX_OUTERS);
} outers SEC(".maps");

/* The flow key's words up to OUTER_WORDS are the tunnel's, but for the last byte. */
INLINE void set_outer(struct scratch *s, u32 number)
{
	struct outer *o = bpf_map_lookup_elem(&outers, &number);
	if (!o)
		return;
#pragma unroll
	for (int i = 0; i < OUTER_WORDS - 1; i++)
		s->words[i] = o->words[i];
	u8 last = s->key.ct_proto;
	s->words[OUTER_WORDS - 1] = o->words[OUTER_WORDS - 1];
	s->key.ct_proto = last;
}

#define GENEVE_OAM 0x80
#define VXLAN_HAS_VNI 0x08000000
#define VXLAN_HAS_POLICY 0x80000000
#define GRE_CHECKSUM 0x8000
#define GRE_KEY 0x2000
#define GRE_SEQUENCE 0x1000
#define LISP_INSTANCE 0x08
#define ERSPAN_2 0x88be
#define ERSPAN_3 0x22eb
#define HOP_SIZE 20 /* struct bpf_redir_neigh */

INLINE int is_ip(u32 protocol)
{
	return protocol == bpf_htons(ETH_P_IP) || protocol == bpf_htons(ETH_P_IPV6);
}

/* Makes skb->protocol another; the Ethernet type in the packet, which carries no tag beside it, goes with it.  A tag that comes
 * out of the packet sets it from the type behind. */
INLINE int become(struct __sk_buff *skb, u16 protocol)
{
	return bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), 0) || bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), 0) ||
	       bpf_skb_store_bytes(skb, 16, &protocol, 2, 0) || bpf_skb_vlan_pop(skb) || bpf_skb_vlan_pop(skb);
}

INLINE u16 folded(u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* ---- checksums
 *
 * What a sender has left to hardware makes no difference to the sum over a packet that a checksum around it needs: bytes
 * from where the unfinished one begins will sum up to the complement of what stands in it (local checksum offload). */

struct sum {
	struct __sk_buff *skb;
	struct scratch *s;
	u32 at, to, sum;
};

#define CHUNK 128

static long add_chunk(u32 i UNUSED, struct sum *c)
{
	if (c->at >= c->to)
		return 1;
	u32 left = c->to - c->at;
	u32 size = within(left > CHUNK ? CHUNK : left, CHUNK);
	u8 *p = c->s->window + 2, *end = p + (size & (CHUNK - 1));
	*(u16 *)end = 0; /* up to a whole word, if it is the last; else the bytes come over this */
	*(u16 *)(end + 2) = 0;
	if (bpf_skb_load_bytes(c->skb, c->at, p, size))
		return 1;
	c->sum = bpf_csum_diff(NULL, 0, (const u32 *)p, size + 3 & ~3, c->sum);
	c->at += size;
	return 0;
}

/* The sum over bytes of the packet, `from` and `to` at an even distance. */
GLOBAL int sum_of(struct __sk_buff *skb, struct scratch *s, u32 from, u32 to)
{
	struct sum c = {.skb = skb, .s = s, .at = from, .to = to};
	if (!s)
		return 0;
	bpf_loop(0x10000 / CHUNK + 1, add_chunk, &c, 0);
	return folded(c.sum);
}

/* The checksum field of a packet that its sender has not finished: the sum of the pseudo header, and nothing else.  1: so it
 * looks.  (So does one in 65,536 that is finished; then what follows from it is the same.) */
GLOBAL int is_unfinished(struct __sk_buff *skb, struct scratch *s)
{
	u16 field = 0;
	if (!s || s->fragment || (s->transport != IPPROTO_TCP && s->transport != IPPROTO_UDP))
		return 0;
	if (bpf_skb_load_bytes(skb, s->transport_at + checksum_at(s->transport), &field, 2))
		return 0;
	u64 sum = (u64)bpf_htons(s->transport) + bpf_htons(s->transport_size) + (s->transport_size >> 16);
#pragma unroll
	for (int i = 0; i < 4; i++)
		sum += (u64)s->key.net_src[i] + s->key.net_dst[i];
	sum = (sum & 0xffffffff) + (sum >> 32);
	s->unfinished = field;
	return folded((sum & 0xffff) + (sum >> 16)) == field;
}

/* ---- out */

/* Bytes of IP that the longest segment of a packet will have which hardware is to cut, without outer headers; 0: who knows. */
INLINE u32 longest_segment(struct __sk_buff *skb, struct scratch *s)
{
	u8 words = 2 << 4;
	if (s->transport != IPPROTO_TCP && s->transport != IPPROTO_UDP)
		return 0;
	if (s->transport == IPPROTO_TCP && bpf_skb_load_bytes(skb, s->transport_at + 12, &words, 1))
		return 0;
	return s->transport_at + (words >> 4) * 4 + skb->gso_size;
}

/* Fills in what depends on the packet.  `length`: bytes from the outer IP header on. */
INLINE void complete_header(struct scratch *s, const struct header *h, u32 length, u32 hash)
{
	u8 *p = s->header;
	const u64 *from = (const u64 *)h->bytes;
	u64 *to = (u64 *)p;
#pragma unroll
	for (int i = 0; i < HEADER_START / 8; i++)
		to[i] = from[i];
	u32 at = 36;
	if (h->flags & HEADER_IPV6) {
		*(u16 *)(p + 20) = bpf_htons(length - 40);
		at = 56;
	} else { /* the checksum is that of a packet of 20 bytes */
		u32 sum = (u16)~bpf_ntohs(*(u16 *)(p + 26)) + (u16)~20 + length;
		*(u16 *)(p + 18) = bpf_htons(length);
		*(u16 *)(p + 26) = bpf_htons((u16)~folded(sum));
	}
	if (h->flags & HEADER_UDP) {
		*(u16 *)(p + at) = bpf_htons(h->first_port + ((u64)hash * h->ports >> 32));
		*(u16 *)(p + at + 4) = bpf_htons(length - (at - 16));
	}
	if (h->flags & HEADER_LENGTH) /* of what is behind the headers of UDP and of GTP-U */
		*(u16 *)(p + at + 10) = bpf_htons(length - at);
}

/* Writes the checksum of a header at `at`, over it and all that follows.  `inner`: where an unfinished checksum of the packet
 * inside begins to count, or 0. */
INLINE int sum_up(struct __sk_buff *skb, struct scratch *s, const struct header *h, u32 at, u32 inner)
{
	u32 sum = sum_of(skb, s, at, inner ? inner : skb->len);
	u16 check;
	if (inner)
		sum += (u16)~s->unfinished;
	if (!(h->flags & HEADER_UDP)) {
		check = ~folded(sum);
		return bpf_skb_store_bytes(skb, at + 4, &check, 2, 0);
	}
	sum += bpf_htons(IPPROTO_UDP) + bpf_htons(skb->len - at);
	if (h->flags & HEADER_IPV6)
		sum = bpf_csum_diff(NULL, 0, (const u32 *)(s->header + 24), 32, sum);
	else
		sum = bpf_csum_diff(NULL, 0, (const u32 *)(s->header + 28), 8, sum);
	check = ~folded(sum);
	if (!check)
		check = 0xffff;
	return bpf_skb_store_bytes(skb, at + 6, &check, 2, 0);
}

INLINE int number_packet(struct __sk_buff *skb, const struct header *h)
{
	u32 port = h->port;
	struct port *p = bpf_map_lookup_elem(&ports, &port);
	if (!p)
		return -1;
	u32 number = bpf_htonl(__sync_fetch_and_add(&p->sequence, 1));
	return bpf_skb_store_bytes(skb, h->sequence_at, &number, 4, 0);
}

/* Sends a packet in an outer header.  What becomes of it (TC_ACT_*), or 0: it is as it was, and Python has to send it. */
GLOBAL int encapsulate(struct __sk_buff *skb, struct scratch *s, u32 number)
{
	const struct header *h = bpf_map_lookup_elem(&headers, &number);
	if (!s || !h || !h->device)
		return 0;
	u32 size = h->size, tag = skb->vlan_present ? 4 : 0, segment = skb->gso_size;
	int bare = s->key.packet_type != 0; /* what stands in the place of an Ethernet header goes */
	OPAQUE(size);
	if (size < 38 || size > HEADER_ROOM - 2 || s->tags > 1 || (bare && (s->tags || !is_ip(skb->protocol))))
		return 0;
	u32 more = bare ? size - 14 : size + tag; /* bytes that the packet grows by */
	u32 length = skb->len + more - 14;
	u64 how = BPF_F_ADJ_ROOM_NO_CSUM_RESET | BPF_F_ADJ_ROOM_FIXED_GSO;
	if (segment) {
		segment = longest_segment(skb, s);
		if (!segment || !is_ip(skb->protocol) || length > 0xffff)
			return 0;
		segment += more - 14;
		if (segment > h->mtu) { /* smaller segments will do, as the sender knows nothing of the tunnel */
			how &= ~(u64)BPF_F_ADJ_ROOM_FIXED_GSO;
			segment -= more;
			if (s->transport != IPPROTO_TCP || segment > h->mtu || skb->gso_size < more + 64)
				return 0;
		}
	} else if (length > h->mtu) {
		return 0;
	}
	if (segment && h->flags & (HEADER_SEQUENCE | HEADER_LENGTH)) /* each segment has a number, or a length, of its own */
		return 0;
	u32 inner_at = 0; /* where an unfinished checksum begins to count */
	if (h->flags & HEADER_CHECKSUM) {
		if (segment && !(h->flags & HEADER_UDP))
			return 0;
		if (!segment && s->stale)
			extract(skb, s);
		if (!segment && is_unfinished(skb, s))
			inner_at = s->transport_at + more;
	}
	u32 hash = bpf_get_hash_recalc(skb);
	u32 outer_tag = skb->vlan_proto & 0xffff; /* in network order */
	u16 inner[9];
	inner[7] = bpf_htons(skb->vlan_tci);
	if (tag && bpf_skb_vlan_pop(skb))
		return TC_ACT_SHOT;
	if (bpf_skb_load_bytes(skb, 0, inner, 14))
		return TC_ACT_SHOT;
	if (tag) {
		inner[8] = inner[6];
		inner[6] = outer_tag;
	}
	if (!is_ip(skb->protocol) && become(skb, bpf_htons(ETH_P_IP)))
		return TC_ACT_SHOT;
	u64 tell = h->flags & HEADER_IPV6 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;
	tell |= h->flags & HEADER_UDP ? BPF_F_ADJ_ROOM_ENCAP_L4_UDP : BPF_F_ADJ_ROOM_ENCAP_L4_GRE;
	if (!bare)
		tell |= BPF_F_ADJ_ROOM_ENCAP_L2_ETH | (tag ? BPF_F_ADJ_ROOM_ENCAP_L2(18) : BPF_F_ADJ_ROOM_ENCAP_L2(14));
	if (bpf_skb_adjust_room(skb, more, BPF_ADJ_ROOM_MAC, how | tell)) {
		/* It came out of a tunnel within this machine, and the kernel still thinks that it is in one.  Only who cuts large
		 * segments has to know better. */
		u16 outer = h->flags & HEADER_IPV6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
		if (segment)
			return tag && bpf_skb_vlan_push(skb, outer_tag, bpf_ntohs(inner[7])) ? TC_ACT_SHOT : 0;
		if (skb->protocol != outer && become(skb, outer))
			return TC_ACT_SHOT;
		if (bpf_skb_adjust_room(skb, more, BPF_ADJ_ROOM_MAC, how))
			return TC_ACT_SHOT;
	}
	complete_header(s, h, length, hash);
	u32 most = HEADER_START - 2, first = size > most ? most : size;
	OPAQUE(first);
	if (first < 1 || first > most || bpf_skb_store_bytes(skb, 0, s->header + 2, first, 0))
		return TC_ACT_SHOT;
	if (size > most && bpf_skb_store_bytes(skb, most, h->bytes + HEADER_START, within(size - most, 256), 0))
		return TC_ACT_SHOT;
	if (!bare && (tag ? bpf_skb_store_bytes(skb, size, inner, 18, 0) : bpf_skb_store_bytes(skb, size, inner, 14, 0)))
		return TC_ACT_SHOT;
	if (h->flags & HEADER_SEQUENCE && number_packet(skb, h))
		return TC_ACT_SHOT;
	/* Segments that hardware cuts get none: the kernel lets no program ask for it, and a UDP tunnel may do without. */
	if (h->flags & HEADER_CHECKSUM && !segment && sum_up(skb, s, h, h->flags & HEADER_IPV6 ? 54 : 34, inner_at))
		return TC_ACT_SHOT;
	return bpf_redirect_neigh(h->device, &h->hop_family, HOP_SIZE, 0);
}

/* ---- in */

/* What the outer IP header says goes into the key.  The header's bytes, or 0: it is not one to look at. */
INLINE u32 outer_ip(struct __sk_buff *skb, struct scratch *s, u8 *protocol, struct host *to)
{
	struct flow_key *k = &s->key;
	u32 there = load(skb, s, 0, WINDOW);
	u8 *p = BYTES(s, 0);
	if (there < 14 + 28)
		return 0;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		*protocol = p[23];
		if (p[14] != 0x45 || READ16(p + 20) & bpf_htons(0x3fff) || 14 + bpf_ntohs(READ16(p + 16)) != skb->len)
			return 0;
		u32 sum = 0;
#pragma unroll
		for (int i = 0; i < 10; i++)
			sum += READ16(p + 14 + 2 * i);
		if (folded(sum) != 0xffff)
			return 0;
		k->tun_src = READ32(p + 26);
		k->tun_dst = to->address[3] = READ32(p + 30);
		to->address[2] = bpf_htonl(0xffff);
		k->tun_tos = p[15];
		k->tun_ttl = p[22];
		return 20;
	}
	*protocol = p[20];
	if (skb->protocol != bpf_htons(ETH_P_IPV6) || there < 14 + 48 || p[14] >> 4 != 6 ||
	    54 + bpf_ntohs(READ16(p + 18)) != skb->len)
		return 0;
	copy_address(k->tun_ipv6_src, p + 22);
	copy_address(k->tun_ipv6_dst, p + 38);
	copy_address(to->address, p + 38);
	k->tun_tos = p[14] << 4 | p[15] >> 4;
	k->tun_ttl = p[21];
	return 40;
}

/* Where the packet inside begins, after the header of Geneve at `at`; 0: that is not for the program. */
INLINE u32 geneve(struct __sk_buff *skb, struct scratch *s, u32 at)
{
	u8 *p = BYTES(s, at);
	u32 options = p[0] * 4;
	if (p[0] >> 6 || READ16(p + 2) != bpf_htons(ETH_P_TEB))
		return 0;
	s->key.tun_id = bpf_cpu_to_be64(bpf_ntohl(READ32(p + 4)) >> 8);
	s->key.tunnel_flags |= bpf_htons(TUN_KEY | (p[1] & GENEVE_OAM ? TUN_OAM : 0));
	at += 8;
	if (options) {
#pragma unroll
		for (int i = 0; i < OPTION_WORDS; i++)
			s->words[KEY_WORDS + i] = 0;
		s->words[OPTIONS_LENGTH] = options / 4;
		if (bpf_skb_load_bytes(skb, at, s->words + KEY_WORDS, within(options, OPTION_WORDS * 8)))
			return 0;
	}
	return at + options;
}

INLINE u32 gre(struct scratch *s, u32 at)
{
	u8 *p = BYTES(s, at);
	u32 flags = bpf_ntohs(READ16(p));
	if (flags & ~(GRE_CHECKSUM | GRE_KEY | GRE_SEQUENCE) || READ16(p + 2) != bpf_htons(ETH_P_TEB))
		return 0;
	at += 4;
	if (flags & GRE_CHECKSUM) {
		s->key.tunnel_flags |= bpf_htons(TUN_CSUM);
		p += 4;
		at += 4;
	}
	if (flags & GRE_KEY) {
		s->key.tun_id = bpf_cpu_to_be64(bpf_ntohl(READ32(p + 4)));
		s->key.tunnel_flags |= bpf_htons(TUN_KEY);
		at += 4;
	}
	return flags & GRE_SEQUENCE ? at + 4 : at;
}

/* A packet of IP without an Ethernet header, at `at`. */
INLINE u32 bare_ip(struct __sk_buff *skb, struct scratch *s, u32 at)
{
	u32 version = *BYTES(s, at) >> 4;
	if (skb->len < at + 20 || (version != 4 && version != 6))
		return 0;
	s->key.packet_type = bpf_htonl(0x10000 | (version == 4 ? ETH_P_IP : ETH_P_IPV6));
	return at;
}

/* Messages of its own protocol, and headers with more extensions than a number, are Python's affair. */
INLINE u32 gtpu(struct __sk_buff *skb, struct scratch *s, u32 at)
{
	u8 *p = BYTES(s, at);
	if (p[1] != 0xff)
		return 0;
	s->key.tun_gtpu_flags = p[0];
	s->key.tun_gtpu_msgtype = p[1];
	s->key.tun_id = bpf_cpu_to_be64(bpf_ntohl(READ32(p + 4)));
	s->key.tunnel_flags |= bpf_htons(TUN_KEY);
	return bare_ip(skb, s, at + (p[0] & 7 ? 12 : 8));
}

INLINE u32 lisp(struct __sk_buff *skb, struct scratch *s, u32 at)
{
	u8 *p = BYTES(s, at);
	if (p[0] & LISP_INSTANCE) {
		s->key.tun_id = bpf_cpu_to_be64(bpf_ntohl(READ32(p + 4)) >> 8);
		s->key.tunnel_flags |= bpf_htons(TUN_KEY);
	}
	return bare_ip(skb, s, at + 8);
}

enum { TAKEN_OFF, UNTOUCHED, BROKEN };

INLINE int is_mirrored(u16 type)
{
	return type == bpf_htons(ERSPAN_2) || type == bpf_htons(ERSPAN_3);
}

/* Type II of the draft is version 1, type III version 2; both are GRE with a sequence number. */
INLINE u32 erspan(struct scratch *s, u32 at)
{
	u8 *p = BYTES(s, at);
	u32 first = bpf_ntohl(READ32(p + 8)), version = first >> 28, last = bpf_ntohs(READ16(p + 18));
	if (READ16(p) != bpf_htons(GRE_SEQUENCE) || (version != 1 && version != 2))
		return 0;
	s->key.tun_id = bpf_cpu_to_be64(first & 0x3ff);
	s->key.tunnel_flags |= bpf_htons(TUN_KEY);
	s->key.tun_erspan_ver = version;
	if (version == 1) {
		s->key.tun_erspan_idx = READ32(p + 12) & bpf_htonl(0xfffff);
		return at + 16;
	}
	s->key.tun_erspan_dir = last >> 3 & 1;
	s->key.tun_erspan_hwid = last >> 4 & 0x3f;
	return at + 20;
}

INLINE u32 vxlan(struct scratch *s, u32 at, int with_policy)
{
	u8 *p = BYTES(s, at);
	u32 flags = bpf_ntohl(READ32(p)), network = bpf_ntohl(READ32(p + 4));
	if (with_policy && flags & VXLAN_HAS_POLICY && flags & VXLAN_HAS_VNI) {
		s->key.tun_gbp_id = bpf_htons(flags);
		s->key.tun_gbp_flags = flags >> 16;
	} else if (flags != VXLAN_HAS_VNI) {
		return 0;
	}
	if (network & 0xff)
		return 0;
	s->key.tun_id = bpf_cpu_to_be64(network >> 8);
	s->key.tunnel_flags |= bpf_htons(TUN_KEY);
	return at + 8;
}

/* Takes the outer header off: `at` bytes from the start of the frame.  `bare`: the Ethernet type of the packet inside, in
 * network order, if it has no Ethernet header; it gets the place of one. */
INLINE int take_off(struct __sk_buff *skb, u32 at, u16 bare)
{
	u16 inner[10] = {};
	u32 tag = 0;
	u64 how = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET;
	if (bare) {
		inner[6] = bare;
		at -= 14;
	} else if (bpf_skb_load_bytes(skb, at, inner, 14)) {
		return UNTOUCHED;
	}
	if (is_tag(inner[6])) {
		if (bpf_skb_load_bytes(skb, at + 14, inner + 7, 4) || is_tag(inner[8]))
			return UNTOUCHED;
		tag = 4;
	}
	if (bpf_skb_adjust_room(skb, -(s32)(at + tag), BPF_ADJ_ROOM_MAC, how))
		return UNTOUCHED;
	u16 outer_tag = inner[6];
	if (tag)
		inner[6] = inner[8];
	if (skb->protocol != inner[6] && become(skb, inner[6]))
		return BROKEN;
	if (bpf_skb_store_bytes(skb, 0, inner, 14, 0))
		return BROKEN;
	return tag && bpf_skb_vlan_push(skb, outer_tag, bpf_ntohs(inner[7])) ? BROKEN : TAKEN_OFF;
}

/* Adds the pseudo header of an outer UDP header at `at`. */
INLINE u32 with_pseudo(struct __sk_buff *skb, struct scratch *s, u32 at, u32 sum)
{
	u64 ends = (u64)sum + bpf_htons(IPPROTO_UDP) + bpf_htons(skb->len - at) + s->key.tun_src + s->key.tun_dst;
#pragma unroll
	for (int i = 0; i < 4; i++)
		ends += (u64)s->key.tun_ipv6_src[i] + s->key.tun_ipv6_dst[i];
	ends = (ends & 0xffffffff) + (ends >> 32);
	return folded((ends & 0xffff) + (ends >> 16));
}

/* Sums up an outer header and what follows, from `at` on: 0xffff if it is as the checksum says, or if a sender on this machine has
 * left that to hardware (`field` of UDP then has the sum of the pseudo header alone). */
INLINE u32 outer_sum(struct __sk_buff *skb, struct scratch *s, u32 at, int is_udp, u16 field)
{
	if (is_udp && with_pseudo(skb, s, at, 0) == field)
		return 0xffff;
	u32 sum = sum_of(skb, s, at, skb->len);
	return is_udp ? with_pseudo(skb, s, at, sum) : sum;
}

/* A sum that is not right although the packet may be: the one inside is unfinished. */
INLINE int is_right(struct __sk_buff *skb, struct scratch *s, u32 sum)
{
	if (!extract(skb, s) || !is_unfinished(skb, s))
		return 0;
	sum += (u16)~sum_of(skb, s, s->transport_at, skb->len);
	return folded(sum + (u16)~s->unfinished) == 0xffff;
}

/* If the packet is one of a tunnel's, takes its headers off; what they say goes into the key.  The tunnel's port; 0: it is
 * none; -1: it was one. */
GLOBAL int decapsulate(struct __sk_buff *skb, struct scratch *s)
{
	struct host to = {};
	u8 protocol = 0;
	if (!s || skb->pkt_type || skb->vlan_present)
		return 0;
	u32 at = outer_ip(skb, s, &protocol, &to) + 14, name = (u32)protocol << 16;
	if (at == 14 || (protocol != IPPROTO_UDP && protocol != IPPROTO_GRE))
		return 0;
	if (at == 54)
		name |= TUNNEL_OVER_IPV6;
	u8 *p = BYTES(s, at);
	u32 ip_end = at;
	u16 gtpu_length = READ16(p + 10), field = READ16(p + 6);
	if (protocol == IPPROTO_UDP) {
		if (skb->len < at + 16)
			return 0;
		if (field)
			s->key.tunnel_flags = bpf_htons(TUN_CSUM);
		s->key.tun_tp_src = READ16(p);
		s->key.tun_tp_dst = READ16(p + 2);
		name |= bpf_ntohs(READ16(p + 2));
		at += 8;
	}
	if (protocol == IPPROTO_GRE && is_mirrored(READ16(p + 2)))
		name |= 1;
	struct tunnel *t = bpf_map_lookup_elem(&tunnels, &name);
	if (!t || !bpf_map_lookup_elem(&hosts, &to))
		return 0;
	switch (t->kind) {
	case TUNNEL_GENEVE:
		at = geneve(skb, s, at);
		break;
	case TUNNEL_GRE:
		at = gre(s, at);
		break;
	case TUNNEL_ERSPAN:
		at = erspan(s, at);
		break;
	case TUNNEL_VXLAN:
	case TUNNEL_VXLAN_POLICY:
		at = vxlan(s, at, t->kind == TUNNEL_VXLAN_POLICY);
		break;
	case TUNNEL_GTPU:
		at = gtpu(skb, s, at);
		break;
	case TUNNEL_LISP:
		at = lisp(skb, s, at);
		break;
	case TUNNEL_BAREUDP:
		at = bare_ip(skb, s, at);
		break;
	default:
		return 0;
	}
	if (!at)
		return 0;
	u32 sum = 0xffff;
	int summed = s->key.tunnel_flags & bpf_htons(TUN_CSUM), level = -1;
	if (summed && protocol == IPPROTO_UDP)
		level = bpf_csum_level(skb, BPF_CSUM_LEVEL_QUERY); /* what hardware or GRO have verified */
	if (summed && level < 0 && !skb->gso_size)
		sum = outer_sum(skb, s, ip_end, protocol == IPPROTO_UDP, field);
	if (t->kind == TUNNEL_GTPU && folded(sum + (u16)~gtpu_length) == 0xffff)
		sum = 0xffff; /* the original's userspace datapath sums up before it fills that in */
	int done = take_off(skb, at, bpf_htons(bpf_ntohl(s->key.packet_type)));
	if (done == UNTOUCHED)
		return 0;
	if (level >= 0)
		bpf_csum_level(skb, level ? BPF_CSUM_LEVEL_DEC : BPF_CSUM_LEVEL_RESET);
	if (done == TAKEN_OFF && (sum == 0xffff || is_right(skb, s, sum)))
		return t->port;
	s->port = t->port;
	count_drop(s, DROP_TUNNEL_ERROR);
	return -1;
}
