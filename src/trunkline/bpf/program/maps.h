/* What the program and Python share, and the program's own scratch. */
#pragma once
#include "helpers.h"
#include "generated.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, u32);
	__type(value, struct config);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
} config SEC(".maps");

/* Ports by datapath port number; Python writes them through shared memory. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, u32);
	__type(value, struct port);
	__uint(max_entries, MAX_PORTS);
	__uint(map_flags, BPF_F_MMAPABLE);
} ports SEC(".maps");

/* Datapath port numbers by interface index: in an array by the index's low bits, and those that find their place taken
 * in a hash. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, u32);
	__type(value, struct device);
	__uint(max_entries, MAX_PORTS);
} near_devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, u32);
	__type(value, u32);
	__uint(max_entries, MAX_PORTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, u32);
	__type(value, struct mask);
	__uint(max_entries, MAX_MASKS);
} masks SEC(".maps");

/* The order in which masks are tried: numbers of masks, those that hit most first. */
struct order {
	u32 mask[MAX_MASKS];
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, u32);
	__type(value, struct order);
	__uint(max_entries, 1);
} order SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, u32);
	__type(value, u64);
	__uint(max_entries, MAX_MASKS);
} mask_hits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct narrow_key);
	__type(value, struct flow);
	__uint(max_entries, MAX_FLOWS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct wide_key);
	__type(value, struct flow);
	__uint(max_entries, MAX_FLOWS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} wide_flows SEC(".maps");

/* Lists of actions.  `next`: the element where a longer list goes on, or 0. */
struct actions {
	u32 next, _1;
	struct action action[MAX_LIST];
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, u32);
	__type(value, struct actions);
	__uint(max_entries, MAX_LISTS);
} actions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, u32);
	__type(value, struct statistics);
	__uint(max_entries, MAX_FLOWS);
} statistics SEC(".maps");

/* How far statistics have been passed on: for the next process to go on from.  Only Python writes and reads it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, u32);
	__type(value, struct credit);
	__uint(max_entries, MAX_FLOWS);
	__uint(map_flags, BPF_F_MMAPABLE);
} credits SEC(".maps");

/* What the flows are and the ports are called, in words: for who reads these maps when no switch runs.  Only Python writes
 * and reads them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, u32);
	__type(value, struct meaning);
	__uint(max_entries, MAX_FLOWS);
	__uint(map_flags, BPF_F_MMAPABLE);
} meanings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, u32);
	__type(value, struct text);
	__uint(max_entries, MAX_TEXTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} texts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, u32);
	__type(value, struct port_name);
	__uint(max_entries, MAX_PORTS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} port_names SEC(".maps");

/* A bit for every flow that has been used since Python looked; two banks, for Python reads one while the program
 * writes the other. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, u32);
	__type(value, u64);
	__uint(max_entries, 2 * (MAX_FLOWS / 64));
	__uint(map_flags, BPF_F_MMAPABLE);
} touched SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, u32);
	__type(value, struct counters);
	__uint(max_entries, MAX_PORTS);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} upcalls SEC(".maps");

/* What a packet with that hash has found (lookup.h); the last entries are for test runs. */
struct cached {
	u32 hash, mask;
	u32 generation; /* of the flows, at which this was so; 0: it is no more than a mask to begin with */
	u32 _1;
	struct flow flow;
	u64 words[NARROW_WORDS]; /* the key under the mask */
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, u32);
	__type(value, struct cached);
	__uint(max_entries, CACHE_ENTRIES + TEST_ENTRIES);
} cache SEC(".maps");

/* What is known of the packet that is being worked on, from pass to pass.  Slot 0 is for packets from devices, 1 for test
 * runs: on 6.1 a packet from a device may interrupt a test run on its processor. */
struct scratch {
	struct totals totals; /* what this processor has counted; first, for Python reads it */
	union {
		struct flow_key key;
		u64 words[KEY_SLOTS];
	};
	union {
		struct narrow_key narrow;
		struct wide_key wide;
	};
	u64 tick, now; /* a tick of the kernel's clock, and the time in nanoseconds that it has brought */
	u32 slot; /* which of these it is */
	u32 port; /* where the packet came in */
	struct flow flow; /* that covers it */
	u32 list, at; /* the actions that are carried out: the element of the map, and the one in it that is next */
	s32 result; /* what becomes of the packet: TC_ACT_* */
	u32 network_at; /* offsets in the packet as it is: of the network header, */
	u32 transport_at; /* of the transport header, if transport_size is not 0 */
	u32 transport_size; /* its bytes with what it carries */
	u32 transport_there; /* of these, how many are in the window, */
	u32 in_window; /* and where */
	u32 fragment; /* it is a later fragment */
	u32 length; /* of the frame with its tags, without padding behind IP */
	u8 network; /* NETWORK_* */
	u8 transport; /* IP protocol whose header is there whole, or 0 */
	u8 tags; /* VLAN tags of the packet; 3: more than are looked at */
	u8 again; /* another pass */
	u8 stale; /* the packet has changed since the key was made */
	u32 known; /* the connection that an earlier ct of known_zone has found, and 1; or 0 */
	u16 known_zone, known_reply;
	u32 on_its_way; /* a routing header says that the IPv6 destination is not the last (RFC 8200, section 8.1) */
	u32 cutting; /* bytes not to be sent next */
	u16 unfinished; /* the checksum of the transport header, if its sender has left that to hardware */
	u8 header[HEADER_START] __attribute__((aligned(8))); /* the start of an outer header; it begins at byte 2 */
	u8 window[WINDOW + 2 + 62]; /* a part of the packet; it begins at byte 2, so that IP addresses are aligned */
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, u32);
	__type(value, struct scratch);
	__uint(max_entries, 2);
} scratches SEC(".maps");

INLINE struct scratch *scratch_of(u32 slot)
{
	return bpf_map_lookup_elem(&scratches, &slot);
}

INLINE void count_drop_at(u32 port, u32 reason)
{
	struct counters *c = bpf_map_lookup_elem(&counters, &port);
	if (c)
		c->drops[reason & (REASONS - 1)]++;
}

/* Most are counted where the packet came in. */
INLINE void count_drop(struct scratch *s, u32 reason)
{
	count_drop_at(s->port, reason);
}
