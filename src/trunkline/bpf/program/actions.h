/* Running a megaflow's actions: a list of small orders, one after the other, on a packet that changes as they go. */
#pragma once
#include "conntrack.h"
#include "hash.h"
#include "lookup.h"
#include "meter.h"
#include "tunnel.h"
#include "upcall.h"

enum { GOING_ON, STOP };

INLINE void refresh(struct __sk_buff *skb, struct scratch *s)
{
	if (s->stale)
		extract(skb, s);
}

INLINE u32 frame_length(struct __sk_buff *skb)
{
	return skb->len + (skb->vlan_present ? 4 : 0);
}

/* A tag went into the packet or came out of it: one of two may be the one that stands beside it.  Behind more than two
 * nobody looks. */
INLINE void headers_moved(struct __sk_buff *skb, struct scratch *s, u32 length_before, int pushed)
{
	u32 by = skb->len - length_before;
	s->network_at += by;
	s->transport_at += by;
	s->stale = 1;
	if (!pushed && s->tags > 2) {
		extract(skb, s);
	} else if (pushed && ++s->tags > 2) {
		s->network = NETWORK_NONE;
		s->transport = 0;
	} else if (!pushed && s->tags) {
		s->tags--;
	}
}

/* Whether a frame is longer than the port's device lets through.  A tag does not count; large segments are cut later.  Python
 * keeps the port's record up to date while it runs; what seems too long the kernel is asked about. */
INLINE int is_too_long(struct __sk_buff *skb, const struct port *port)
{
	u32 mtu = 0;
	if (skb->len <= port->longest || skb->gso_size)
		return 0;
	s32 tag = !skb->vlan_present && is_tag(skb->protocol) ? -4 : 0;
	return bpf_check_mtu(skb, port->device, &mtu, tag, 0) > 0;
}

/* Takes off what a truncation leaves out; the encoder sees to it that only one output follows.  Not 0: the kernel does not
 * cut within what it has taken for headers; `cutting` stays, and the packet is Python's. */
INLINE int cut(struct __sk_buff *skb, struct scratch *s)
{
	u32 cutting = s->cutting, length = skb->len;
	if (!cutting)
		return 0;
	if (length < cutting + 14 || bpf_skb_change_tail(skb, length - cutting, 0))
		return -1;
	s->cutting = 0;
	return 0;
}

INLINE int output(struct __sk_buff *skb, struct scratch *s, const struct action *a)
{
	u32 number = a->argument;
	struct port *port = bpf_map_lookup_elem(&ports, &number);
	if (!port || !port->device) {
		count_drop(s, DROP_NO_PORT);
		return GOING_ON;
	}
	u64 flags = port->flags & PORT_TO_HOST ? BPF_F_INGRESS : 0;
	if (cut(skb, s)) {
		send_up(skb, s, UPCALL_OUTPUT, number);
		return STOP;
	}
	if (!flags && is_too_long(skb, port)) {
		count_drop_at(number, DROP_TOO_LONG);
		return a->flags & OUTPUT_LAST ? STOP : GOING_ON;
	}
	if (a->flags & OUTPUT_LAST && !s->slot) {
		s->result = bpf_redirect(port->device, flags);
		return STOP;
	}
	bpf_clone_redirect(skb, port->device, flags);
	return GOING_ON;
}

/* A list that is one output and nothing else, as most are, is done at once.  0: it is another, or needs a closer look. */
INLINE int output_alone(struct __sk_buff *skb, struct scratch *s)
{
	u32 list = s->flow.actions;
	struct actions *a = bpf_map_lookup_elem(&actions, &list);
	if (!a || a->action[0].type != ACTION_OUTPUT || !(a->action[0].flags & OUTPUT_LAST) || s->slot)
		return 0;
	u32 number = a->action[0].argument;
	struct port *port = bpf_map_lookup_elem(&ports, &number);
	if (!port || !port->device)
		return 0;
	if (port->flags & PORT_TO_HOST)
		return bpf_redirect(port->device, BPF_F_INGRESS);
	if (skb->len > port->longest && !skb->gso_size)
		return 0;
	return bpf_redirect(port->device, 0);
}

/* A packet that goes to several tunnels: all but the last get a copy, and a copy cannot be given a header here.  It comes in
 * once more where the packet has come in, with what is to be done beside it (`encapsulate_copy`).  0: it is on its way. */
INLINE int send_copy(struct __sk_buff *skb, struct scratch *s, u32 number)
{
	u32 port_number = s->port;
	struct port *port = bpf_map_lookup_elem(&ports, &port_number);
	if (s->slot || !port || port->flags & PORT_TO_HOST) /* nobody is at the ingress of such a device */
		return -1;
	skb->cb[0] = (u32)salt;
	skb->cb[1] = salt >> 32;
	skb->cb[2] = bpf_ntohl(s->key.packet_type) << 16 | number;
	skb->cb[3] = skb->priority;
	skb->cb[4] = s->port;
	int failed = bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS);
	skb->cb[0] = 0;
	return failed;
}

INLINE int is_copy(struct __sk_buff *skb)
{
	return skb->cb[0] == (u32)salt && skb->cb[1] == salt >> 32 && salt;
}

GLOBAL int encapsulate_copy(struct __sk_buff *skb, struct scratch *s)
{
	if (!s)
		return TC_ACT_SHOT;
	u32 number = skb->cb[2] & 0xffff, kind = skb->cb[2] >> 16;
	skb->cb[0] = 0;
	skb->priority = skb->cb[3]; /* on its way it has become 0 */
	s->key.packet_type = kind ? bpf_htonl(0x10000 | kind) : 0;
	s->key.skb_priority = bpf_htonl(skb->priority);
	s->port = skb->cb[4];
	s->key.dp_in_port = bpf_htonl(s->port);
	s->key.pkt_mark = bpf_htonl(skb->mark);
	s->known = 0;
	s->cutting = 0;
	if (!extract_plain(skb, s) && !extract(skb, s))
		return TC_ACT_SHOT;
	int result = encapsulate(skb, s, number);
	if (!result) {
		send_up(skb, s, UPCALL_TUNNEL, number);
		return TC_ACT_SHOT;
	}
	if (result == TC_ACT_SHOT)
		count_drop(s, DROP_TUNNEL_ERROR);
	return result;
}

/* Output to a tunnel whose header the program writes; what it cannot send so goes up, and Python sends it. */
INLINE int output_with_header(struct __sk_buff *skb, struct scratch *s, const struct action *a)
{
	u32 number = a->argument;
	int result = 0;
	if (a->flags & OUTPUT_LAST) {
		if (!cut(skb, s))
			result = encapsulate(skb, s, number);
	} else if (!send_copy(skb, s, number)) {
		return GOING_ON;
	}
	if (!result) {
		refresh(skb, s);
		send_up(skb, s, UPCALL_TUNNEL, number);
		return GOING_ON;
	}
	if (result == TC_ACT_SHOT)
		count_drop(s, DROP_TUNNEL_ERROR);
	s->result = result;
	return STOP;
}

INLINE int recirculate(struct scratch *s, const struct action *a)
{
	s->key.recirc_id = bpf_htonl(a->argument);
	s->again = 1;
	return STOP;
}

/* data: value and mask of a 32-bit word of the key, which `argument` names. */
INLINE int set_meta(struct __sk_buff *skb, struct scratch *s, const struct action *a)
{
	u32 *words = (u32 *)s->words, at = a->argument & (KEY_SLOTS * 2 - 1);
	const u32 *value = (const u32 *)a->data;
	words[at] = (words[at] & ~value[1]) | value[0];
	if (at == __builtin_offsetof(struct flow_key, pkt_mark) / 4)
		skb->mark = bpf_ntohl(words[at]);
	if (at == __builtin_offsetof(struct flow_key, skb_priority) / 4)
		skb->priority = bpf_ntohl(words[at]);
	return GOING_ON;
}

INLINE int conntrack(struct __sk_buff *skb, struct scratch *s, u32 number)
{
	int done = track(skb, s, number);
	if (done == TRACKED) {
		int result = GOING_ON; /* not `done`, as a compiler would have it: 6.1 does not see that that is 0 here */
		asm volatile("" : "+r"(result));
		return result;
	}
	if (done == TO_PYTHON) { /* it does the rest of the list, too */
		refresh(skb, s);
		send_up(skb, s, UPCALL_CONNTRACK, number);
	} else {
		count_drop(s, DROP_ACTION_ERROR);
	}
	return STOP;
}

INLINE int one_action(struct __sk_buff *skb, struct scratch *s, const struct action *a)
{
	u32 argument = a->argument, length;
	int failed = 0;
	switch (a->type) {
	case ACTION_END:
		return STOP;
	case ACTION_OUTPUT:
		return output(skb, s, a);
	case ACTION_PUSH_VLAN: /* the TPID is in network order: else 802.1ad is lost silently */
		length = skb->len;
		failed = bpf_skb_vlan_push(skb, argument >> 16, argument & 0xffff);
		headers_moved(skb, s, length, 1);
		break;
	case ACTION_POP_VLAN:
		length = skb->len;
		failed = bpf_skb_vlan_pop(skb);
		headers_moved(skb, s, length, 0);
		break;
	case ACTION_SET_ETHERNET:
		failed = set_ethernet(skb, s, a);
		break;
	case ACTION_WRITE:
		failed = write_field(skb, s, a);
		break;
	case ACTION_SET_META:
		return set_meta(skb, s, a);
	case ACTION_USERSPACE:
		refresh(skb, s);
		send_up(skb, s, a->flags, argument);
		break;
	case ACTION_RECIRCULATE:
		return recirculate(s, a);
	case ACTION_TRUNCATE:
		length = frame_length(skb);
		s->cutting = length > argument ? length - argument : 0;
		break;
	case ACTION_HASH:
		refresh(skb, s);
		set_hash(s, a->flags, argument);
		break;
	case ACTION_METER:
		if (admit(argument, frame_length(skb)))
			break;
		count_drop(s, DROP_METER);
		return STOP;
	case ACTION_SKIP:
		s->at += argument;
		break;
	case ACTION_SAMPLE:
		if (bpf_get_prandom_u32() > argument)
			s->at += *(u32 *)a->data;
		break;
	case ACTION_CHECK_LENGTH:
		refresh(skb, s);
		if (s->length <= argument)
			s->at += *(u32 *)a->data;
		break;
	case ACTION_CONNTRACK:
		refresh(skb, s); /* here, not within: the stacks of all functions under way have 512 bytes together */
		return conntrack(skb, s, argument);
	case ACTION_CONNTRACK_CLEAR:
		forget_tracking(s);
		break;
	case ACTION_SET_TUNNEL:
		set_outer(s, argument);
		break;
	case ACTION_ENCAPSULATE:
		return output_with_header(skb, s, a);
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

/* The next action of the list; STOP: there are no more. */
GLOBAL int step(struct __sk_buff *skb, struct scratch *s)
{
	if (!s)
		return STOP;
	u32 list = s->list, at = s->at;
	struct actions *actions_ = bpf_map_lookup_elem(&actions, &list);
	if (!actions_)
		return STOP;
	if (at >= MAX_LIST) {
		if (!actions_->next)
			return STOP;
		s->list = actions_->next;
		s->at = at - MAX_LIST; /* more than 0 behind a SKIP */
		return GOING_ON;
	}
	s->at = at + 1;
	return one_action(skb, s, &actions_->action[at]);
}
