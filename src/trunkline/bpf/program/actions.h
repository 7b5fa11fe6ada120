/* Running a megaflow's actions: a list of small orders, one after the other, on a packet that changes as they go. */
#pragma once
#include "conntrack.h"
#include "hash.h"
#include "lookup.h"
#include "meter.h"
#include "tunnel.h"
#include "upcall.h"

enum { GOING_ON, STOP };

struct run {
	struct __sk_buff *skb;
	struct scratch *s;
	struct totals *t;
	u32 list, at; /* the element of the map, and the action in it */
	int result; /* what becomes of the packet: TC_ACT_* */
	u32 slot;
};

INLINE void refresh(struct run *r)
{
	if (r->s->stale)
		extract(r->skb, r->slot);
}

INLINE u32 frame_length(struct __sk_buff *skb)
{
	return skb->len + (skb->vlan_present ? 4 : 0);
}

/* A tag went into the packet or came out of it: one of two may be the one that stands beside it.  Behind more than two
 * nobody looks. */
INLINE void headers_moved(struct run *r, u32 length_before, int pushed)
{
	struct scratch *s = r->s;
	u32 by = r->skb->len - length_before;
	s->network_at += by;
	s->transport_at += by;
	s->stale = 1;
	if (!pushed && s->tags > 2) {
		extract(r->skb, r->slot);
	} else if (pushed && ++s->tags > 2) {
		s->network = NETWORK_NONE;
		s->transport = 0;
	} else if (!pushed && s->tags) {
		s->tags--;
	}
}

INLINE int output(struct run *r, const struct action *a)
{
	u32 number = a->argument;
	struct port *port = bpf_map_lookup_elem(&ports, &number);
	if (!port || !port->device) {
		count_drop(r->s, DROP_NO_PORT);
		return GOING_ON;
	}
	u64 flags = port->flags & PORT_TO_HOST ? BPF_F_INGRESS : 0;
	u32 cutting = r->s->cutting;
	if (cutting) { /* the encoder sees to it that nothing comes behind */
		u32 length = r->skb->len;
		r->s->cutting = 0;
		if (length < cutting + 14 || bpf_skb_change_tail(r->skb, length - cutting, 0))
			return STOP;
	}
	if (port->flags & PORT_IS_TUNNEL && !into_tunnel(r->skb, r->slot, port->flags)) {
		count_drop(r->s, DROP_NO_TUNNEL);
		return GOING_ON;
	}
	if (a->flags & OUTPUT_LAST && !r->slot) {
		r->result = bpf_redirect(port->device, flags);
		return STOP;
	}
	bpf_clone_redirect(r->skb, port->device, flags);
	return GOING_ON;
}

INLINE int recirculate(struct run *r, const struct action *a)
{
	r->s->key.recirc_id = bpf_htonl(a->argument);
	r->s->again = 1;
	return STOP;
}

/* data: value and mask of a 32-bit word of the key, which `argument` names. */
INLINE int set_meta(struct run *r, const struct action *a)
{
	u32 *words = (u32 *)r->s->words, at = a->argument & (KEY_SLOTS * 2 - 1);
	const u32 *value = (const u32 *)a->data;
	words[at] = (words[at] & ~value[1]) | value[0];
	if (at == __builtin_offsetof(struct flow_key, pkt_mark) / 4)
		r->skb->mark = bpf_ntohl(words[at]);
	if (at == __builtin_offsetof(struct flow_key, skb_priority) / 4)
		r->skb->priority = bpf_ntohl(words[at]);
	return GOING_ON;
}

INLINE int conntrack(struct run *r, u32 number)
{
	int done = track(r->skb, r->slot, number);
	if (done == TRACKED) {
		int result = GOING_ON; /* not `done`, as a compiler would have it: 6.1 does not see that that is 0 here */
		asm volatile("" : "+r"(result));
		return result;
	}
	if (done == TO_PYTHON) { /* it does the rest of the list, too */
		refresh(r);
		send_up(r->skb, r->s, UPCALL_CONNTRACK, number, r->t);
	} else {
		count_drop(r->s, DROP_ACTION_ERROR);
	}
	return STOP;
}

INLINE int one_action(struct run *r, const struct action *a)
{
	struct scratch *s = r->s;
	u32 argument = a->argument, length;
	int failed = 0;
	switch (a->type) {
	case ACTION_END:
		return STOP;
	case ACTION_OUTPUT:
		return output(r, a);
	case ACTION_PUSH_VLAN: /* the TPID is in network order: else 802.1ad is lost silently */
		length = r->skb->len;
		failed = bpf_skb_vlan_push(r->skb, argument >> 16, argument & 0xffff);
		headers_moved(r, length, 1);
		break;
	case ACTION_POP_VLAN:
		length = r->skb->len;
		failed = bpf_skb_vlan_pop(r->skb);
		headers_moved(r, length, 0);
		break;
	case ACTION_SET_ETHERNET:
		failed = set_ethernet(r->skb, s, a);
		break;
	case ACTION_WRITE:
		failed = write_field(r->skb, s, a);
		break;
	case ACTION_SET_META:
		return set_meta(r, a);
	case ACTION_USERSPACE:
		refresh(r);
		send_up(r->skb, s, a->flags, argument, r->t);
		break;
	case ACTION_RECIRCULATE:
		return recirculate(r, a);
	case ACTION_TRUNCATE:
		length = frame_length(r->skb);
		s->cutting = length > argument ? length - argument : 0;
		break;
	case ACTION_HASH:
		refresh(r);
		set_hash(s, a->flags, argument);
		break;
	case ACTION_METER:
		if (admit(argument, frame_length(r->skb)))
			break;
		count_drop(s, DROP_METER);
		return STOP;
	case ACTION_SKIP:
		r->at += argument;
		break;
	case ACTION_SAMPLE:
		if (bpf_get_prandom_u32() > argument)
			r->at += *(u32 *)a->data;
		break;
	case ACTION_CHECK_LENGTH:
		refresh(r);
		if (s->length <= argument)
			r->at += *(u32 *)a->data;
		break;
	case ACTION_CONNTRACK:
		refresh(r); /* here, not within: the stacks of all functions under way have 512 bytes together */
		return conntrack(r, argument);
	case ACTION_CONNTRACK_CLEAR:
		forget_tracking(s);
		break;
	case ACTION_SET_TUNNEL:
		set_outer(s, argument);
		break;
	case ACTION_DROP:
		count_drop(s, DROP_EXPLICIT);
		return STOP;
	default:
		failed = 1;
	}
	if (!failed)
		return GOING_ON;
	count_drop(s, DROP_ACTION_ERROR);
	return STOP;
}

static long next_action(u32 i UNUSED, struct run *r)
{
	u32 list = r->list, at = r->at;
	struct actions *actions_ = bpf_map_lookup_elem(&actions, &list);
	if (!actions_)
		return STOP;
	if (at >= MAX_LIST) {
		if (!actions_->next)
			return STOP;
		r->list = actions_->next;
		r->at = at - MAX_LIST; /* more than 0 behind a SKIP */
		return GOING_ON;
	}
	r->at = at + 1;
	return one_action(r, &actions_->action[at]);
}
