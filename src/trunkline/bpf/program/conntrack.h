/* Connection tracking: what the action ct does to packets of connections that are there (docs/design/conntrack.md).
 *
 * Packets are looked up by the names of their directions, the protocol's state machine says what they mean, addresses are
 * translated, connections begun, and the key gets what was found.  What is rare, or needs a choice, goes up: new
 * connections that NAT is to find a port for, fragments, ICMP errors, packets for helpers.  Python carries out the action,
 * and the rest of the list behind it, on the same connections; it also forgets them (bpf/connections.py). */
#pragma once
#include "rewrite.h"
#include "tcp.h"

#define NATTED (CT_SNAT | CT_DNAT)
#define ICMP 1
#define ICMPV6 58
#define NANOSECONDS 1000000000ULL

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct direction);
	__type(value, struct end);
	__uint(max_entries, 2 * MAX_CONNECTIONS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} directions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, u32);
	__type(value, struct connection);
	__uint(max_entries, MAX_CONNECTIONS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} connections SEC(".maps");

/* The arguments of ct actions, by number. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, u32);
	__type(value, struct tracking);
	__uint(max_entries, MAX_TRACKINGS);
} trackings SEC(".maps");

/* How long connections live, by timeout policy; policy 0 is everybody's. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, u32);
	__type(value, struct lifetimes);
	__uint(max_entries, MAX_POLICIES);
} lifetimes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, u32);
	__type(value, struct tracker);
	__uint(max_entries, 1);
} tracker SEC(".maps");

/* Room for one packet's names; a slot each for devices and test runs, as in scratches. */
struct naming {
	struct direction own, wanted;
	struct segment segment;
	u8 bytes[64];
	u64 fresh[sizeof(struct connection) / 8]; /* a connection; its lock may not be in such a map */
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, u32);
	__type(value, struct naming);
	__uint(max_entries, 2);
} namings SEC(".maps");

enum { NAMELESS, NAMED, NOT_HERE };

INLINE u8 answer_to(u8 protocol, u8 type)
{
	if (protocol == ICMPV6)
		return type == 128 ? 129 : type == 129 ? 128 : 255;
	switch (type) {
	case 0:
		return 8;
	case 8:
		return 0;
	case 13:
		return 14;
	case 14:
		return 13;
	case 15:
		return 16;
	case 16:
		return 15;
	}
	return 255;
}

INLINE int is_error(u8 protocol, u8 type)
{
	if (protocol == ICMPV6)
		return type >= 1 && type <= 4;
	return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

/* The packet's direction; NOT_HERE: Python is to look. */
INLINE int name(struct __sk_buff *skb, struct scratch *s, struct naming *n, u16 zone)
{
	struct direction *d = &n->own;
	const struct flow_key *k = &s->key;
	u8 protocol = k->nw_proto;
	int is_ipv6 = k->dl_type == bpf_htons(ETH_P_IPV6);
	if (!is_ipv6 && k->dl_type != bpf_htons(ETH_P_IP))
		return NAMELESS;
	if (k->nw_frag)
		return NOT_HERE;
	if (s->network != NETWORK_IPV4 && s->network != NETWORK_IPV6)
		return NAMELESS;
	d->zone = bpf_htons(zone);
	d->family = is_ipv6 ? 6 : 4;
	d->protocol = protocol;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		d->src[i] = k->net_src[i];
		d->dst[i] = k->net_dst[i];
	}
	d->a = d->b = 0;
	if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) {
		if (s->transport != protocol || !k->tp_src || !k->tp_dst)
			return NAMELESS;
		d->a = k->tp_src;
		d->b = k->tp_dst;
		if (protocol == IPPROTO_UDP) {
			u16 length;
			if (bpf_skb_load_bytes(skb, s->transport_at + 4, &length, 2))
				return NAMELESS;
			length = bpf_ntohs(length);
			if (length < 8 || length > s->transport_size)
				return NAMELESS;
		}
	} else if (protocol == (is_ipv6 ? ICMPV6 : ICMP)) {
		u8 type = bpf_ntohs(k->tp_src);
		if (s->transport != protocol)
			return NAMELESS;
		if (is_error(protocol, type))
			return NOT_HERE;
		if (answer_to(protocol, type) == 255 || k->tp_dst)
			return NAMELESS;
		if (bpf_skb_load_bytes(skb, s->transport_at + 4, &d->a, 2))
			return NAMELESS;
		d->b = bpf_htons(type << 8);
	}
	return NAMED;
}

INLINE void reverse(struct direction *to, const struct direction *from)
{
	u8 protocol = from->protocol;
	to->zone = from->zone;
	to->family = from->family;
	to->protocol = protocol;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		to->src[i] = from->dst[i];
		to->dst[i] = from->src[i];
	}
	if (protocol == ICMP || protocol == ICMPV6) {
		u16 b = bpf_ntohs(from->b);
		to->a = from->a;
		to->b = bpf_htons((u16)answer_to(protocol, b >> 8) << 8 | (b & 0xff));
	} else {
		to->a = from->b;
		to->b = from->a;
	}
}

struct options {
	const u8 *bytes;
	u32 at, length;
	u8 scale;
};

/* One TCP option; 1: there are no more that matter. */
static long tcp_option(u32 i UNUSED, struct options *o)
{
	u32 at = o->at;
	if (at + 3 > o->length)
		return 1;
	u8 kind = o->bytes[at & 63], size = o->bytes[(at + 1) & 63];
	if (kind == 0)
		return 1;
	if (kind == 3) {
		u8 scale = o->bytes[(at + 2) & 63];
		o->scale = (scale > MAX_SCALE ? MAX_SCALE : scale) | SCALE_KNOWN;
		return 1;
	}
	o->at = at + (kind == 1 ? 1 : size < 2 ? 2 : size);
	return 0;
}

/* The TCP header; 0: it is not whole. */
INLINE int read_segment(struct __sk_buff *skb, struct scratch *s, struct naming *n)
{
	u32 at = s->transport_at, size = s->transport_size;
	if (size < 20 || bpf_skb_load_bytes(skb, at, n->bytes, 20))
		return 0;
	u32 header = (n->bytes[12] >> 4) * 4;
	if (header < 20 || header > size)
		return 0;
	struct segment *g = &n->segment;
	g->sequence = bpf_ntohl(READ32(n->bytes + 4));
	g->acknowledgement = bpf_ntohl(READ32(n->bytes + 8));
	g->flags = n->bytes[13];
	g->window = bpf_ntohs(READ16(n->bytes + 14));
	g->length = size - header;
	g->scale = 0;
	if (g->flags & TCP_SYN && header > 20) {
		struct options o = {.bytes = n->bytes, .length = header - 20};
		if (bpf_skb_load_bytes(skb, at + 20, n->bytes, within(o.length, 64)))
			return 0;
		bpf_loop(40, tcp_option, &o, 0);
		g->scale = o.scale;
	}
	return 1;
}

/* ---- what is found goes into the key */

INLINE void show(struct scratch *s, u16 zone, u32 state, const struct direction *d)
{
	struct flow_key *k = &s->key;
	k->ct_state = bpf_htonl(state | CT_TRK);
	k->ct_zone = bpf_htons(zone);
	k->ct_mark = 0;
#pragma unroll
	for (int i = 0; i < 4; i++)
		k->ct_label[i] = 0;
	if (!d) {
#pragma unroll
		for (int i = 0; i < 4; i++)
			k->ct_src[i] = k->ct_dst[i] = 0;
		k->ct_proto = 0;
		k->ct_tp_src = k->ct_tp_dst = 0;
		return;
	}
#pragma unroll
	for (int i = 0; i < 4; i++) {
		k->ct_src[i] = d->src[i];
		k->ct_dst[i] = d->dst[i];
	}
	k->ct_proto = d->protocol;
	k->ct_tp_src = d->a;
	k->ct_tp_dst = d->b;
	if (d->protocol == ICMP || d->protocol == ICMPV6) {
		k->ct_tp_src = bpf_htons(bpf_ntohs(d->b) >> 8);
		k->ct_tp_dst = bpf_htons(bpf_ntohs(d->b) & 0xff);
	}
}

INLINE void forget_tracking(struct scratch *s)
{
	s->known = 0;
	show(s, 0, 0, NULL);
	s->key.ct_state = 0;
}

/* ---- NAT */

/* Puts `count` words at an address in the IP header in place of `old`. */
INLINE int translate_address(struct __sk_buff *skb, struct scratch *s, u32 at, const u32 *old, const u32 *new, int is_ipv6)
{
	u32 where = checksum_at(s->transport);
	s64 difference;
	if (is_ipv6) {
		difference = bpf_csum_diff((u32 *)old, 16, (u32 *)new, 16, 0);
	} else {
		difference = bpf_csum_diff((u32 *)old + 3, 4, (u32 *)new + 3, 4, 0);
		if (bpf_l3_csum_replace(skb, s->network_at + 10, 0, difference, 0))
			return -1;
	}
	if (where && s->transport != ICMP) {
		u64 how = BPF_F_PSEUDO_HDR | (s->transport == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0);
		if (bpf_l4_csum_replace(skb, s->transport_at + where, 0, difference, how))
			return -1;
	}
	if (is_ipv6)
		return bpf_skb_store_bytes(skb, at, new, 16, 0);
	return bpf_skb_store_bytes(skb, at, new + 3, 4, 0);
}

/* The packet as the other end is to see it: `other` is the direction that answers it. */
INLINE int translate(struct __sk_buff *skb, struct scratch *s, const struct direction *other, u32 kind)
{
	int is_ipv6 = other->family == 6;
	u32 src_at = s->network_at + (is_ipv6 ? 8 : 12), dst_at = s->network_at + (is_ipv6 ? 24 : 16);
	u8 protocol = other->protocol;
	if (kind & CT_SNAT && translate_address(skb, s, src_at, s->key.net_src, other->dst, is_ipv6))
		return -1;
	if (kind & CT_DNAT && translate_address(skb, s, dst_at, s->key.net_dst, other->src, is_ipv6))
		return -1;
	s->stale = 1;
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return 0;
	u32 old = (u32)s->key.tp_src | (u32)s->key.tp_dst << 16, new = (u32)other->b | (u32)other->a << 16;
	if (old == new)
		return 0;
	u64 how = protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	if (bpf_l4_csum_replace(skb, s->transport_at + checksum_at(protocol), old, new, how | 4))
		return -1;
	return bpf_skb_store_bytes(skb, s->transport_at, &new, 4, 0);
}

/* ---- the action */

enum { TRACKED, TO_PYTHON, FAILED };

INLINE int may_begin(const struct direction *d, const struct segment *g)
{
	u8 type = bpf_ntohs(d->b) >> 8;
	if (d->protocol == IPPROTO_TCP)
		return !impossible(g->flags) && (g->flags & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK);
	if (d->protocol == ICMP)
		return type == 8 || type == 13 || type == 15;
	if (d->protocol == ICMPV6)
		return type == 128;
	return 1;
}

/* What a packet that is no TCP segment does to its connection. */
INLINE u32 plain_update(struct connection *c, u32 reply, u8 *timeout)
{
	int is_icmp = c->original.protocol == ICMP || c->original.protocol == ICMPV6;
	if (reply)
		c->state = 2;
	else if (!is_icmp && c->state != 2)
		c->state = 1;
	if (c->state == 2) {
		*timeout = is_icmp ? TIMEOUT_ICMP_REPLY : TIMEOUT_UDP_MULTIPLE;
		return VALID;
	}
	*timeout = is_icmp ? TIMEOUT_ICMP_FIRST : TIMEOUT_UDP_SINGLE;
	return FRESH;
}

/* Sets mark and label of a connection as the action says, and shows them. */
INLINE void mark(struct scratch *s, struct connection *c, const struct tracking *t)
{
	int own = !(c->flags & CONNECTION_EXPECTED); /* of one that a helper expected they stay */
	if (t->flags & TRACK_MARK && own)
		c->mark = (s->key.ct_mark & ~t->mark_mask) | (t->mark & t->mark_mask);
	if (t->flags & TRACK_LABEL && own) {
#pragma unroll
		for (int i = 0; i < 4; i++)
			c->label[i] = (s->key.ct_label[i] & ~t->label_mask[i]) | (t->label[i] & t->label_mask[i]);
	}
	if (t->flags & TRACK_MARK)
		s->key.ct_mark = c->mark;
	if (t->flags & TRACK_LABEL) {
#pragma unroll
		for (int i = 0; i < 4; i++)
			s->key.ct_label[i] = c->label[i];
	}
}

#define NOBODY 0xffffffff

/* What the next ct of the packet is to know, and marks. */
INLINE void remember(struct scratch *s, struct connection *c, const struct tracking *t, u32 id, u16 zone, u32 reply)
{
	if (!(t->flags & TRACK_NAT) && id != NOBODY) {
		s->known = id + 1;
		s->known_zone = zone;
		s->known_reply = reply;
	}
	if (t->flags & (TRACK_MARK | TRACK_LABEL)) {
		bpf_spin_lock(&c->lock);
		mark(s, c, t);
		bpf_spin_unlock(&c->lock);
	}
}

INLINE void tcp_begin(struct side *first, struct side *second, const struct segment *g)
{
	u32 window = at_least(g->window, 1);
	first->low = g->sequence;
	first->high = g->sequence + g->length + 1 + !!(g->flags & TCP_FIN);
	if (g->flags & TCP_SYN) {
		first->high++;
		first->scale = g->scale;
		window = rounded_up(window, g->scale & SCALE);
	} else {
		first->scale = second->scale = SCALE_UNKNOWN;
	}
	first->max_window = window;
	first->state = SYN_SENT;
	second->high = second->max_window = 1;
}

/* Begins a connection; its number, or 0: Python is to see to it. */
GLOBAL u32 begin(u32 slot, u32 number)
{
	struct naming *n = bpf_map_lookup_elem(&namings, &slot);
	struct tracking *t = bpf_map_lookup_elem(&trackings, &number);
	if (!n || !t)
		return 0;
	struct connection *c = (struct connection *)n->fresh;
	u8 protocol = n->own.protocol;
	int is_icmp = protocol == ICMP || protocol == ICMPV6;
#pragma unroll
	for (u32 i = 0; i < sizeof(n->fresh) / 8; i++)
		n->fresh[i] = 0;
	if (protocol == IPPROTO_TCP)
		tcp_begin(&c->first, &c->second, &n->segment);
	u32 policy = t->policy;
	struct lifetimes *l = bpf_map_lookup_elem(&lifetimes, &policy);
	if (!l)
		return 0;
	c->original = n->own;
	reverse(&c->reply, &n->own);
	c->policy = policy;
	c->lifetime = l->seconds[protocol == IPPROTO_TCP ? TIMEOUT_TCP_SYN_SENT : is_icmp ? TIMEOUT_ICMP_FIRST : TIMEOUT_UDP_FIRST];
	c->expires = bpf_ktime_get_ns() + c->lifetime * NANOSECONDS;
	struct end end = {.connection = (bpf_get_prandom_u32() | BEGUN_IN_KERNEL) & ~1u /* never NOBODY */, .reply = 1};
	u32 id = end.connection;
	if (bpf_map_update_elem(&connections, &id, c, BPF_NOEXIST))
		return 0;
	if (bpf_map_update_elem(&directions, &c->reply, &end, BPF_NOEXIST)) {
		bpf_map_delete_elem(&connections, &id);
		return 0;
	}
	end.reply = 0;
	if (bpf_map_update_elem(&directions, &c->original, &end, BPF_NOEXIST)) {
		bpf_map_delete_elem(&directions, &c->reply);
		bpf_map_delete_elem(&connections, &id);
		return 0;
	}
	return id;
}

GLOBAL int track(struct __sk_buff *skb, struct scratch *s, u32 number)
{
	if (!s)
		return FAILED;
	u32 zero = 0, reply = 0, state = 0, id = 0, slot = s->slot;
	struct naming *n = bpf_map_lookup_elem(&namings, &slot);
	struct tracking *t = bpf_map_lookup_elem(&trackings, &number);
	struct tracker *all = bpf_map_lookup_elem(&tracker, &zero);
	struct connection *c = NULL;
	if (!n || !t || !all)
		return FAILED;
	u16 zone = t->zone;
	u32 known = s->known;
	if (s->key.ct_zone == bpf_htons(zone))
		state = bpf_ntohl(s->key.ct_state) & 0xff;
	int again = known && s->known_zone == zone && !(t->flags & TRACK_FORCE);
	s->known = 0;
	int named = name(skb, s, n, zone);
	if (named == NOT_HERE)
		return TO_PYTHON;
	if (again) {
		reply = s->known_reply;
		id = known - 1;
		c = bpf_map_lookup_elem(&connections, &id);
		if (!c)
			return TO_PYTHON;
	} else {
		if (named == NAMED && n->own.protocol == IPPROTO_TCP && !read_segment(skb, s, n))
			named = NAMELESS;
		if (named == NAMELESS) {
			show(s, zone, CT_INV, NULL);
			return TRACKED;
		}
		u32 natted = state & NATTED;
		if (natted)
			reverse(&n->wanted, &n->own);
		else
			n->wanted = n->own;
		struct end *end = bpf_map_lookup_elem(&directions, &n->wanted);
		if (end) {
			id = end->connection;
			reply = natted ? !end->reply : end->reply;
			c = bpf_map_lookup_elem(&connections, &id);
		}
		if (!c) {
			if (end || natted || all->expecting)
				return TO_PYTHON;
			int fits = may_begin(&n->own, &n->segment), begins = fits && t->flags & (TRACK_COMMIT | TRACK_FORCE);
			if (begins) {
				if (t->flags & TRACK_CHOOSES || all->limited || !(id = begin(slot, number)))
					return TO_PYTHON;
				c = bpf_map_lookup_elem(&connections, &id);
				if (!c)
					return TO_PYTHON;
			}
			show(s, zone, fits ? CT_NEW : CT_INV, &n->own);
			if (c)
				remember(s, c, t, id, zone, 0);
			return TRACKED;
		}
	}
	u64 now = bpf_ktime_get_ns();
	u32 policy = c->policy, verdict = VALID;
	struct lifetimes *l = bpf_map_lookup_elem(&lifetimes, &policy);
	if (!l || (!again && (now >= c->expires || c->flags & CONNECTION_SLOW || (t->flags & TRACK_FORCE && reply))))
		return TO_PYTHON;
	u8 timeout = STAYS;
	bpf_spin_lock(&c->lock);
	if (!again) {
		if (c->original.protocol == IPPROTO_TCP)
			verdict = reply ? tcp_update(&c->second, &c->first, &n->segment, all->unchecked, &timeout)
					: tcp_update(&c->first, &c->second, &n->segment, all->unchecked, &timeout);
		else
			verdict = plain_update(c, reply, &timeout);
		if (timeout < TIMEOUTS) {
			u32 seconds = l->seconds[timeout & 15];
			c->lifetime = seconds;
			c->expires = now + seconds * NANOSECONDS;
		}
	}
	bpf_spin_unlock(&c->lock);
	if (verdict == BEGINS_ANEW)
		return TO_PYTHON;
	if (!again) {
		if (c->flags & CONNECTION_EXPECTED)
			state |= CT_REL;
		if (verdict == INVALID)
			state = CT_INV;
		else if (verdict == FRESH)
			state |= CT_NEW;
		else
			state = (state & ~CT_NEW) | CT_EST | (reply ? CT_RPL : 0);
	}
	u32 nat = 0;
	if (t->flags & TRACK_NAT && c->nat && !(state & NATTED)) {
		nat = reply ? (c->nat & CT_SNAT ? CT_DNAT : 0) | (c->nat & CT_DNAT ? CT_SNAT : 0) : c->nat;
		state |= nat;
	}
	if (again) {
		s->key.ct_state = bpf_htonl(state | CT_TRK);
	} else {
		show(s, zone, state, c->flags & CONNECTION_EXPECTED ? &c->parent : &c->original);
		s->key.ct_mark = c->mark;
#pragma unroll
		for (int i = 0; i < 4; i++)
			s->key.ct_label[i] = c->label[i];
	}
	remember(s, c, t, again ? NOBODY : id, zone, reply);
	if (nat && translate(skb, s, reply ? &c->original : &c->reply, nat))
		return FAILED;
	return TRACKED;
}
