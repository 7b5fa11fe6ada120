/* The megaflow that covers a packet.
 *
 * Masks are tried one after the other; the key under a mask is looked up in a hash.  Most packets are spared both: a cache
 * on each processor leads from a hash over the key to what the last packet with that hash has found.  An entry has the
 * flow's masked key, so a packet that agrees with it there belongs to that flow, and no table need be asked.  It holds as
 * long as `generation` says that no flow has gone or changed since; after that it still names the mask that is tried
 * first.  (A new flow covers no packet that an older one covers, so it makes no entry wrong.) */
#pragma once
#include "maps.h"

/* Chosen anew by each loader: nobody outside can find packets that share a hash. */
volatile const u64 salt = 0x9e3779b97f4a7c15;

INLINE struct flow *try_mask(struct scratch *s, u32 number)
{
	struct mask *m = bpf_map_lookup_elem(&masks, &number);
	if (!m)
		return NULL;
	if (m->wide) {
#pragma unroll
		for (int i = 0; i < KEY_WORDS; i++) {
			u32 at = m->index[i];
			OPAQUE(at);
			s->wide.words[i] = s->words[at & (KEY_SLOTS - 1)] & m->words[i];
		}
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

#define WORD_OF(member) (__builtin_offsetof(struct flow_key, member) / 8)

/* Over what mostly tells flows apart: recirculation and port, tracking, Ethernet, ends and ports of the connection. */
INLINE u32 cache_hash(const struct scratch *s)
{
	u64 by = salt | 1, h = s->words[WORD_OF(recirc_id)];
	h = h * by + s->words[WORD_OF(ct_state)];
	h = h * by + s->words[WORD_OF(dl_dst)];
	h = h * by + s->words[WORD_OF(dl_src)];
	h = h * by + s->words[WORD_OF(net_src[3])];
	h = h * by + s->words[WORD_OF(net_dst[3])];
	h = h * by + s->words[WORD_OF(tp_src)];
	h *= by;
	return h >> 32;
}

INLINE struct cached *cache_of(u32 slot, u32 hash)
{
	u32 at = slot ? CACHE_ENTRIES + (hash & (TEST_ENTRIES - 1)) : hash & (CACHE_ENTRIES - 1);
	return bpf_map_lookup_elem(&cache, &at);
}

/* Whether the packet agrees with the entry wherever its mask looks. */
INLINE int is_cached(const struct scratch *s, const struct cached *c)
{
	u32 number = c->mask;
	const struct mask *m = bpf_map_lookup_elem(&masks, &number);
	if (!m)
		return 0;
	u32 count = m->count;
#define AGREES_AT(i)                                                                                              \
	{                                                                                                         \
		if (i >= count)                                                                                   \
			return 1;                                                                                 \
		u32 at = m->index[i];                                                                             \
		OPAQUE(at);                                                                                       \
		if ((s->words[at & (KEY_SLOTS - 1)] & m->words[i]) != c->words[i])                                \
			return 0;                                                                                 \
	}
	AGREES_AT(0)
	AGREES_AT(1)
	AGREES_AT(2)
	AGREES_AT(3)
	AGREES_AT(4)
	AGREES_AT(5)
	AGREES_AT(6)
	AGREES_AT(7)
	AGREES_AT(8)
	AGREES_AT(9)
	_Static_assert(NARROW_WORDS == 10, "a line for each");
	return 1;
}

INLINE void remember_flow(struct scratch *s, struct cached *c, u32 hash, u32 generation, u32 number)
{
	const struct mask *m = bpf_map_lookup_elem(&masks, &number);
	if (!m)
		return;
	c->hash = hash;
	c->mask = number;
	c->generation = m->wide ? 0 : generation;
	c->flow = s->flow;
#pragma unroll
	for (int i = 0; i < NARROW_WORDS; i++)
		c->words[i] = s->narrow.words[i];
}

/* The walk through the masks, and into the cache with what it finds; 0: there is no such flow.  A function of its own, with
 * the scratch looked up anew: 6.1 takes no key for a map that lies behind an argument. */
GLOBAL int find(u32 slot, u32 hash)
{
	u32 zero = 0;
	struct scratch *s = scratch_of(slot);
	struct config *set = bpf_map_lookup_elem(&config, &zero);
	struct cached *c = cache_of(slot, hash);
	if (!s || !set || !c)
		return 0;
	u32 generation = set->generation; /* before the flow is looked at */
	struct walk w = {.s = s, .order = bpf_map_lookup_elem(&order, &zero), .mask = c->mask};
	if (!w.order)
		return 0;
	if (c->hash == hash)
		w.flow = try_mask(s, w.mask);
	if (!w.flow) {
		bpf_loop(set->masks, try_next, &w, 0);
		if (!w.flow)
			return 0;
		u32 mask = w.mask;
		u64 *hits = bpf_map_lookup_elem(&mask_hits, &mask);
		if (hits)
			(*hits)++;
	}
	s->flow = *w.flow;
	remember_flow(s, c, hash, generation, w.mask);
	return 1;
}

/* Into s->flow; 0: there is none. */
INLINE int lookup(struct scratch *s, const struct config *set)
{
	u32 hash = cache_hash(s);
	const struct cached *c = cache_of(s->slot, hash);
	if (c && c->hash == hash && c->generation == set->generation && is_cached(s, c)) {
		s->totals.cache_hits++;
		s->flow = c->flow;
		return 1;
	}
	return find(s->slot, hash);
}
