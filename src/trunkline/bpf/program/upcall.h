/* Packets for Python, through a ring.
 *
 * A record has room for a small, a usual or a large packet, for the verifier wants a constant.  How many records of a
 * port may wait is bounded (QUOTA; a large one counts as many), so that no port can fill the ring: the program counts
 * what it queues, Python what it has worked on. */
#pragma once
#include "maps.h"

struct message {
	u32 length; /* bytes of the packet that go up, */
	u32 whole; /* and those of the frame that Python is to make of them, its tag included */
	u32 cost, reason, argument, truncated;
};

/* `room`: for the packet, a power of two. */
INLINE int fill(struct __sk_buff *skb, struct scratch *s, const struct message *m, u32 room)
{
	struct upcall *u = bpf_ringbuf_reserve(&upcalls, sizeof(struct upcall) + room, 0);
	if (!u)
		return -1;
	if (m->length && bpf_skb_load_bytes(skb, 0, u + 1, within(m->length, room))) {
		bpf_ringbuf_discard(u, 0);
		return -1;
	}
	u->length = m->length;
	u->packet_length = m->whole;
	u->port = s->port;
	u->reason = m->reason;
	u->argument = m->argument;
	u->cost = m->cost;
	u->truncated = m->truncated;
	u->gso_size = skb->gso_size;
	u->vlan = skb->vlan_present ? (u32)bpf_ntohs(skb->vlan_proto) << 16 | skb->vlan_tci : 0;
#pragma unroll
	for (int i = 0; i < KEY_WORDS; i++)
		u->key[i] = s->words[i];
	u->options = s->words[OPTIONS_LENGTH];
	if (u->options) {
#pragma unroll
		for (int i = 0; i < OPTION_WORDS; i++)
			u->option_words[i] = s->words[KEY_WORDS + i];
	}
	bpf_ringbuf_submit(u, 0);
	return 0;
}

INLINE void send_up(struct __sk_buff *skb, struct scratch *s, u32 reason, u32 argument)
{
	u32 number = s->port;
	struct port *port = bpf_map_lookup_elem(&ports, &number);
	if (!port)
		return;
	u32 length = skb->len, whole = length + (skb->vlan_present ? 4 : 0);
	u32 truncated = s->cutting != 0;
	whole = whole > s->cutting ? whole - s->cutting : 0; /* after a truncation */
	s->cutting = 0;
	if (length > LARGE_PACKET)
		length = LARGE_PACKET;
	if (truncated && length > WINDOW && length > whole && s->key.dl_type != bpf_htons(ETH_P_NSH))
		length = whole < WINDOW ? WINDOW : whole; /* headers go up whole, for Python to look at */
	struct message m = {
		.length = length,
		.whole = whole,
		.cost = 1,
		.reason = reason,
		.argument = argument,
		.truncated = truncated,
	};
	if (m.length > MEDIUM_PACKET)
		m.cost = m.length > JUMBO_PACKET ? LARGE_COST : JUMBO_COST;
	if (port->queued - port->drained + m.cost > QUOTA) {
		s->totals.lost++;
		count_drop(s, DROP_NO_FLOW);
		return;
	}
	__sync_fetch_and_add(&port->queued, m.cost);
	int failed;
	if (m.length <= SMALL_PACKET)
		failed = fill(skb, s, &m, SMALL_PACKET);
	else if (m.length <= MEDIUM_PACKET)
		failed = fill(skb, s, &m, MEDIUM_PACKET);
	else if (m.length <= JUMBO_PACKET)
		failed = fill(skb, s, &m, JUMBO_PACKET);
	else
		failed = fill(skb, s, &m, LARGE_PACKET);
	if (failed) {
		__sync_fetch_and_add(&port->queued, -m.cost);
		s->totals.lost++;
		count_drop(s, DROP_RING_FULL);
	}
}
