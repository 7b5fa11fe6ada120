/* Tunnels by the kernel's own devices (bpf/tunnels.py): one for each type and UDP port, in the mode in which the header's
 * fields stand beside the packet.  A packet that comes out of such a device brings the outer header along, and it goes into the
 * key; a packet that is sent into one is given its outer header first, from the same part of the key.
 *
 * Headers that the program writes and takes off itself are in header.h. */
#pragma once
#include "header.h"

/* The kernel's bits of bpf_tunnel_key.tunnel_flags, in network order there. */
#define OUTER_CSUM 0x0001
#define OUTER_KEY 0x0004
#define OUTER_DONT_FRAGMENT 0x0100
#define OUTER_OAM 0x0200
#define OUTER_VXLAN_OPT 0x1000

/* Outer headers that flows set, by number. */
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

/* What stands beside a packet that has come out of a tunnel goes into its key; 0: nothing does. */
GLOBAL int from_tunnel(struct __sk_buff *skb, u32 slot)
{
	struct scratch *s = scratch_of(slot);
	if (!s)
		return 0;
	struct bpf_tunnel_key outer = {};
	struct flow_key *k = &s->key;
	if (!bpf_skb_get_tunnel_key(skb, &outer, sizeof(outer), BPF_F_TUNINFO_FLAGS)) {
		k->tun_src = bpf_htonl(outer.remote_ipv4);
		k->tun_dst = bpf_htonl(outer.local_ipv4);
	} else if (!bpf_skb_get_tunnel_key(skb, &outer, sizeof(outer), BPF_F_TUNINFO_FLAGS | BPF_F_TUNINFO_IPV6)) {
#pragma unroll
		for (int i = 0; i < 4; i++) {
			k->tun_ipv6_src[i] = outer.remote_ipv6[i];
			k->tun_ipv6_dst[i] = outer.local_ipv6[i];
		}
	} else {
		return 0;
	}
	u16 flags = bpf_ntohs(outer.tunnel_flags);
	k->tun_id = bpf_cpu_to_be64(outer.tunnel_id);
	k->tun_tos = outer.tunnel_tos;
	k->tun_ttl = outer.tunnel_ttl;
	k->tunnel_flags = bpf_htons((flags & OUTER_OAM ? TUN_OAM : 0) | (flags & OUTER_DONT_FRAGMENT ? TUN_DF : 0) |
				    (flags & OUTER_CSUM ? TUN_CSUM : 0) | (flags & OUTER_KEY ? TUN_KEY : 0));
	u32 policy = 0;
	if (flags & OUTER_VXLAN_OPT && bpf_skb_get_tunnel_opt(skb, &policy, sizeof(policy)) > 0) {
		k->tun_gbp_id = bpf_htons(policy);
		k->tun_gbp_flags = policy >> 16;
	}
	return 1;
}

/* Gives a packet the outer header that its key has; 0: it has none. */
GLOBAL int into_tunnel(struct __sk_buff *skb, u32 slot, u32 port_flags)
{
	struct scratch *s = scratch_of(slot);
	if (!s)
		return 0;
	struct bpf_tunnel_key outer = {};
	const struct flow_key *k = &s->key;
	u16 wanted = bpf_ntohs(k->tunnel_flags);
	u64 flags = (wanted & TUN_DF ? BPF_F_DONT_FRAGMENT : 0) | (wanted & TUN_CSUM ? 0 : BPF_F_ZERO_CSUM_TX);
	outer.tunnel_id = bpf_be64_to_cpu(k->tun_id);
	outer.tunnel_tos = k->tun_tos;
	outer.tunnel_ttl = k->tun_ttl;
	if (k->tun_dst) {
		outer.remote_ipv4 = bpf_ntohl(k->tun_dst);
		outer.local_ipv4 = bpf_ntohl(k->tun_src);
	} else if (k->tun_ipv6_dst[0] | k->tun_ipv6_dst[1] | k->tun_ipv6_dst[2] | k->tun_ipv6_dst[3]) {
		flags |= BPF_F_TUNINFO_IPV6;
#pragma unroll
		for (int i = 0; i < 4; i++) {
			outer.remote_ipv6[i] = k->tun_ipv6_dst[i];
			outer.local_ipv6[i] = k->tun_ipv6_src[i];
		}
	} else {
		return 0;
	}
	if (bpf_skb_set_tunnel_key(skb, &outer, sizeof(outer), flags))
		return 0;
	if (port_flags & PORT_WITH_POLICY && (k->tun_gbp_id | k->tun_gbp_flags)) {
		u32 policy = bpf_ntohs(k->tun_gbp_id) | (u32)k->tun_gbp_flags << 16;
		return !bpf_skb_set_tunnel_opt(skb, &policy, sizeof(policy));
	}
	return 1;
}
