/* The kernel's part of the datapath: a program at the ingress of every port (docs/design/kernel-datapath.md).
 *
 * A pass takes a packet's key (extract.h), finds the megaflow that covers it (lookup.h) and runs its actions (actions.h);
 * a packet that nothing covers goes up to Python (upcall.h).  Recirculation is another pass. */
#include "actions.h"

/* The namespace that the switch is in: its cookie, or 0 where the kernel does not tell.  A port that is moved to another
 * namespace keeps its program, and there its packets would go to whatever device has the same index.  The loader puts
 * the kernel's offsets of sk_buff.dev, net_device.nd_net and net.net_cookie in place of 0x7001 to 0x7003. */
volatile const u64 netns;
#define FOLLOW(p, offset) asm volatile("%0 = *(u64 *)(%0 + " #offset ")" : "+r"(p))
INLINE int is_elsewhere(struct __sk_buff *skb)
{
	if (!netns)
		return 0;
	u64 p = (u64)bpf_cast_to_kern_ctx(skb);
	FOLLOW(p, 0x7001);
	FOLLOW(p, 0x7002);
	FOLLOW(p, 0x7003);
	return p != netns;
}

#define AGAIN 256 /* beside TC_ACT_*: another pass is wanted */

/* Counts a packet of a flow.  The first one of a round sets the flow's bit. */
INLINE void count(struct __sk_buff *skb, struct scratch *s, const struct config *set, u32 id)
{
	struct statistics *st = bpf_map_lookup_elem(&statistics, &id);
	if (!st)
		return;
	st->packets += 1;
	st->bytes += frame_length(skb);
	u64 tick = bpf_jiffies64();
	if (s->tick != tick) { /* with it the coarse time changes, and costs more to read */
		s->tick = tick;
		s->now = bpf_ktime_get_coarse_ns();
	}
	st->used = s->now;
	if (s->key.nw_proto == IPPROTO_TCP)
		st->tcp_flags |= bpf_ntohs(s->key.tcp_flags);
	u32 round = set->round;
	if (st->round == round)
		return;
	st->round = round;
	u32 word = (round & 1) * (MAX_FLOWS / 64) + (id >> 6 & (MAX_FLOWS / 64 - 1));
	u64 bit = 1ULL << (id & 63), *bits = bpf_map_lookup_elem(&touched, &word);
	if (bits && !(*bits & bit))
		__sync_fetch_and_or(bits, bit);
}

/* One pass; the verifier checks it once and by itself, for it is a global function. */
GLOBAL int pass(struct __sk_buff *skb, struct scratch *s)
{
	u32 zero = 0;
	struct config *set = bpf_map_lookup_elem(&config, &zero);
	if (!s || !set)
		return TC_ACT_SHOT;
	s->again = 0;
	s->cutting = 0;
	if (!extract_plain(skb, s) && !extract(skb, s)) {
		count_drop(s, DROP_MALFORMED);
		return TC_ACT_SHOT;
	}
	if (!lookup(s, set)) {
		s->totals.misses++;
		send_up(skb, s, UPCALL_MISS, 0);
		return TC_ACT_SHOT;
	}
	s->totals.hits++;
	count(skb, s, set, s->flow.statistics);
	int result = output_alone(skb, s);
	if (result)
		return result;
	s->list = s->flow.actions;
	s->at = 0;
	s->result = TC_ACT_SHOT;
#pragma clang loop unroll(disable)
	for (int i = 0; i < MAX_STEPS; i++) {
		if (step(skb, s) == STOP)
			break;
	}
	return s->again ? AGAIN : s->result;
}

INLINE int passes(struct __sk_buff *skb, struct scratch *s)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < MAX_PASSES; i++) {
		int result = pass(skb, s);
		if (result != AGAIN)
			return result;
	}
	count_drop(s, DROP_TOO_MANY_PASSES);
	return TC_ACT_SHOT;
}

/* Segments of UDP inside a tunnel over UDP: the kernel, which takes what is inside for a tunnel still when it cuts them at a
 * device, drops them all.  So Python sends them on. */
INLINE int is_large_datagram(struct __sk_buff *skb, struct scratch *s)
{
	return skb->gso_size && extract(skb, s) && s->transport == IPPROTO_UDP;
}

/* A packet from a device. */
SEC("tc") int ingress(struct __sk_buff *skb)
{
	if (is_elsewhere(skb))
		return TC_ACT_UNSPEC;
	u32 index = skb->ifindex, place = index & (MAX_PORTS - 1);
	struct device *near = bpf_map_lookup_elem(&near_devices, &place);
	u32 *known = near && near->index == index ? &near->port : bpf_map_lookup_elem(&devices, &index);
	struct scratch *s = scratch_of(0);
	if (!known || !s)
		return TC_ACT_UNSPEC;
	u32 port = *known;
#pragma unroll
	for (int i = 0; i < KEEP_WORDS; i++)
		s->words[i] = 0;
	s->words[OPTIONS_LENGTH] = 0;
	s->slot = 0;
	if (is_copy(skb))
		return encapsulate_copy(skb, s);
	if (port & DEVICE_IS_UNDERLAY) {
		int found = decapsulate(skb, s);
		if (found <= 0)
			return found ? TC_ACT_SHOT : TC_ACT_UNSPEC;
		port = found;
	}
	s->port = port;
	s->known = 0;
	s->key.dp_in_port = bpf_htonl(port);
	s->key.pkt_mark = bpf_htonl(skb->mark);
	s->key.skb_priority = bpf_htonl(skb->priority);
	if (s->key.tun_tp_dst && is_large_datagram(skb, s)) {
		s->cutting = 0;
		s->totals.misses++;
		send_up(skb, s, UPCALL_MISS, 0);
		return TC_ACT_SHOT;
	}
	return passes(skb, s);
}

/* A test run: cb[0] is the port, cb[1] the recirculation. */
SEC("tc") int execute(struct __sk_buff *skb)
{
	struct scratch *s = scratch_of(1);
	if (!s)
		return TC_ACT_SHOT;
#pragma unroll
	for (int i = 0; i < KEEP_WORDS; i++)
		s->words[i] = 0;
	s->words[OPTIONS_LENGTH] = 0;
	s->slot = 1;
	s->port = skb->cb[0];
	s->known = 0;
	s->key.dp_in_port = bpf_htonl(s->port);
	s->key.recirc_id = bpf_htonl(skb->cb[1]);
	s->key.pkt_mark = bpf_htonl(skb->mark);
	s->key.skb_priority = bpf_htonl(skb->priority);
	return passes(skb, s);
}

char _license[] SEC("license") = "GPL";
