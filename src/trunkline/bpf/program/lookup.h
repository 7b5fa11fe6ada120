/* The megaflow that covers a packet.
 *
 * Masks are tried one after the other; the key under a mask is looked up in a hash.  Most packets are spared the walk: a
 * cache on each processor leads from the packet's hash (which the sending socket has mostly put there) to the mask that
 * its predecessor matched.  That mask is only tried first, so a cache that is wrong costs time and nothing else. */
#pragma once
#include "maps.h"

INLINE struct flow *try_mask(struct scratch *s, u32 number)
{
	struct mask *m = bpf_map_lookup_elem(&masks, &number);
	if (!m)
		return NULL;
	if (m->wide) {
#pragma unroll
		for (int i = 0; i < KEY_WORDS; i++)
			s->wide.words[i] = s->words[i] & m->words[i];
		s->wide.mask = number;
		s->wide._2 = 0;
		return bpf_map_lookup_elem(&wide_flows, &s->wide);
	}
#pragma unroll
	for (int i = 0; i < NARROW_WORDS; i++) {
		u32 at = m->index[i];
		OPAQUE(at);
		s->narrow.words[i] = s->words[at & (KEY_SLOTS - 1)] & m->words[i];
	}
	s->narrow.mask = number;
	s->narrow._2 = 0;
	return bpf_map_lookup_elem(&flows, &s->narrow);
}

struct walk {
	struct scratch *s;
	struct order *order;
	struct flow *flow;
	u32 mask;
};

static long try_next(u32 i, struct walk *w)
{
	OPAQUE(i);
	u32 number = w->order->mask[i & (MAX_MASKS - 1)];
	struct flow *flow = try_mask(w->s, number);
	if (!flow)
		return 0;
	w->flow = flow;
	w->mask = number;
	return 1;
}

INLINE struct flow *lookup(struct __sk_buff *skb, struct scratch *s, struct totals *t)
{
	u32 zero = 0, hash = 0;
	struct config *set = bpf_map_lookup_elem(&config, &zero);
	struct walk w = {.s = s, .order = bpf_map_lookup_elem(&order, &zero)};
	struct cached_mask *cached = NULL;
	if (!set || !w.order)
		return NULL;
	u32 count = set->masks;
	if (count > 1) {
		hash = bpf_get_hash_recalc(skb) ^ s->port * 0x9e3779b1 ^ s->key.recirc_id;
		struct cache *c = bpf_map_lookup_elem(&cache, &zero);
		if (c) {
			cached = &c->entry[hash & (CACHE_ENTRIES - 1)];
			if (cached->hash == hash && (w.flow = try_mask(s, cached->mask))) {
				t->cache_hits++;
				return w.flow;
			}
		}
	}
	bpf_loop(count, try_next, &w, 0);
	if (!w.flow)
		return NULL;
	if (cached) {
		cached->hash = hash;
		cached->mask = w.mask;
	}
	u32 mask = w.mask;
	u64 *hits = bpf_map_lookup_elem(&mask_hits, &mask);
	if (hits)
		(*hits)++;
	return w.flow;
}
