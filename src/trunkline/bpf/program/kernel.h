/* What a program needs of the kernel: types, constants and helpers, by the numbers of the kernel's user-space
 * interface (linux/bpf.h, linux/pkt_cls.h, linux/if_ether.h, linux/in.h), which never change.  Written out here so that nothing but
 * a compiler is needed to build the program.
 */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;

/* ---- how things are declared */

#define SEC(name) __attribute__((section(name), used))
#define always_inline inline __attribute__((always_inline))
#define noinline __attribute__((noinline))
#define __uint(name, value) int(*name)[value]
#define __type(name, value) value *name
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define bpf_htons(x) __builtin_bswap16(x)
#define bpf_ntohs(x) __builtin_bswap16(x)
#define bpf_htonl(x) __builtin_bswap32(x)
#define bpf_ntohl(x) __builtin_bswap32(x)
#define bpf_cpu_to_be64(x) __builtin_bswap64(x)
#define bpf_be64_to_cpu(x) __builtin_bswap64(x)
#else
#define bpf_htons(x) (x)
#define bpf_ntohs(x) (x)
#define bpf_htonl(x) (x)
#define bpf_ntohl(x) (x)
#define bpf_cpu_to_be64(x) (x)
#define bpf_be64_to_cpu(x) (x)
#endif

/* ---- maps: enum bpf_map_type, flags */

enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LRU_PERCPU_HASH = 10,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_DEVMAP_HASH = 25,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_EXIST = 2,
	BPF_F_NO_PREALLOC = 1,
	BPF_F_MMAPABLE = 1024,
};

/* A word for bpf_spin_lock(), inside a map's value. */
struct bpf_spin_lock {
	u32 val;
};

/* ---- the packet: struct __sk_buff; the kernel turns each access into one of struct sk_buff */

struct __sk_buff {
	u32 len;
	u32 pkt_type;
	u32 mark;
	u32 queue_mapping;
	u32 protocol;
	u32 vlan_present;
	u32 vlan_tci;
	u32 vlan_proto;
	u32 priority;
	u32 ingress_ifindex;
	u32 ifindex;
	u32 tc_index;
	u32 cb[5];
	u32 hash;
	u32 tc_classid;
	u32 data;
	u32 data_end;
	u32 napi_id;
	u32 family;
	u32 remote_ip4;
	u32 local_ip4;
	u32 remote_ip6[4];
	u32 local_ip6[4];
	u32 remote_port;
	u32 local_port;
	u32 data_meta;
	u64 flow_keys __attribute__((aligned(8)));
	u64 tstamp;
	u32 wire_len;
	u32 gso_segs;
	u64 sk __attribute__((aligned(8)));
	u32 gso_size;
	u8 tstamp_type;
	u32 : 24;
	u64 hwtstamp;
};

/* What a program at a device returns. */
enum {
	TC_ACT_UNSPEC = -1, /* the next program, or the stack if there is none */
	TC_ACT_OK = 0,
	TC_ACT_SHOT = 2,
	TC_ACT_REDIRECT = 7,
};

/* ---- flags of helpers */

enum {
	BPF_F_INGRESS = 1, /* bpf_redirect, bpf_clone_redirect */
	BPF_F_RECOMPUTE_CSUM = 1, /* bpf_skb_store_bytes */
	BPF_F_INVALIDATE_HASH = 2,
	BPF_F_PSEUDO_HDR = 1 << 4, /* bpf_l4_csum_replace */
	BPF_F_MARK_MANGLED_0 = 1 << 5,
	BPF_F_MARK_ENFORCE = 1 << 6,
	BPF_ADJ_ROOM_NET = 0, /* bpf_skb_adjust_room: mode */
	BPF_ADJ_ROOM_MAC = 1,
	BPF_F_ADJ_ROOM_FIXED_GSO = 1 << 0,
	BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 = 1 << 1,
	BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 = 1 << 2,
	BPF_F_ADJ_ROOM_ENCAP_L4_GRE = 1 << 3,
	BPF_F_ADJ_ROOM_ENCAP_L4_UDP = 1 << 4,
	BPF_F_ADJ_ROOM_NO_CSUM_RESET = 1 << 5,
	BPF_F_ADJ_ROOM_ENCAP_L2_ETH = 1 << 6,
	BPF_RB_NO_WAKEUP = 1, /* bpf_ringbuf_submit */
	BPF_RB_FORCE_WAKEUP = 2,
	BPF_RB_AVAIL_DATA = 0, /* bpf_ringbuf_query */
	BPF_RB_RING_SIZE = 1,
	BPF_CSUM_LEVEL_QUERY = 0, /* bpf_csum_level */
	BPF_CSUM_LEVEL_INC = 1,
	BPF_CSUM_LEVEL_DEC = 2,
	BPF_CSUM_LEVEL_RESET = 3,
};
#define BPF_F_ADJ_ROOM_ENCAP_L2(length) (((u64)(length) & 0xff) << 56)

/* ---- helpers, by their numbers */

#define HELPER(number, result, name, ...) static result (*const name)(__VA_ARGS__) = (void *)number

HELPER(1, void *, bpf_map_lookup_elem, void *map, const void *key);
HELPER(2, long, bpf_map_update_elem, void *map, const void *key, const void *value, u64 flags);
HELPER(3, long, bpf_map_delete_elem, void *map, const void *key);
HELPER(5, u64, bpf_ktime_get_ns, void);
HELPER(6, long, bpf_trace_printk, const char *format, u32 size, ...);
HELPER(7, u32, bpf_get_prandom_u32, void);
HELPER(8, u32, bpf_get_smp_processor_id, void);
HELPER(9, long, bpf_skb_store_bytes, struct __sk_buff *skb, u32 offset, const void *from, u32 length, u64 flags);
HELPER(10, long, bpf_l3_csum_replace, struct __sk_buff *skb, u32 offset, u64 from, u64 to, u64 size);
HELPER(11, long, bpf_l4_csum_replace, struct __sk_buff *skb, u32 offset, u64 from, u64 to, u64 flags);
HELPER(13, long, bpf_clone_redirect, struct __sk_buff *skb, u32 ifindex, u64 flags);
HELPER(18, long, bpf_skb_vlan_push, struct __sk_buff *skb, u16 protocol, u16 tci);
HELPER(19, long, bpf_skb_vlan_pop, struct __sk_buff *skb);
HELPER(23, long, bpf_redirect, u32 ifindex, u64 flags);
HELPER(26, long, bpf_skb_load_bytes, const void *skb, u32 offset, void *to, u32 length);
HELPER(28, s64, bpf_csum_diff, const u32 *from, u32 from_size, const u32 *to, u32 to_size, u32 seed);
HELPER(31, long, bpf_skb_change_proto, struct __sk_buff *skb, u16 protocol, u64 flags);
HELPER(32, long, bpf_skb_change_type, struct __sk_buff *skb, u32 type);
HELPER(34, u32, bpf_get_hash_recalc, struct __sk_buff *skb);
HELPER(38, long, bpf_skb_change_tail, struct __sk_buff *skb, u32 length, u64 flags);
HELPER(39, long, bpf_skb_pull_data, struct __sk_buff *skb, u32 length);
HELPER(40, s64, bpf_csum_update, struct __sk_buff *skb, u32 sum);
HELPER(41, void, bpf_set_hash_invalid, struct __sk_buff *skb);
HELPER(43, long, bpf_skb_change_head, struct __sk_buff *skb, u32 length, u64 flags);
HELPER(48, u32, bpf_set_hash, struct __sk_buff *skb, u32 hash);
HELPER(50, long, bpf_skb_adjust_room, struct __sk_buff *skb, s32 length, u32 mode, u64 flags);
HELPER(51, long, bpf_redirect_map, void *map, u64 key, u64 flags);
HELPER(68, long, bpf_skb_load_bytes_relative, const void *skb, u32 offset, void *to, u32 length, u32 from);
HELPER(93, long, bpf_spin_lock, struct bpf_spin_lock *lock);
HELPER(94, long, bpf_spin_unlock, struct bpf_spin_lock *lock);
HELPER(118, u64, bpf_jiffies64, void);
HELPER(125, u64, bpf_ktime_get_boot_ns, void);
HELPER(130, long, bpf_ringbuf_output, void *ring, void *data, u64 size, u64 flags);
HELPER(131, void *, bpf_ringbuf_reserve, void *ring, u64 size, u64 flags);
HELPER(132, void, bpf_ringbuf_submit, void *data, u64 flags);
HELPER(133, void, bpf_ringbuf_discard, void *data, u64 flags);
HELPER(134, u64, bpf_ringbuf_query, void *ring, u64 flags);
HELPER(135, long, bpf_csum_level, struct __sk_buff *skb, u64 level);
HELPER(152, long, bpf_redirect_neigh, u32 ifindex, const void *parameters, s32 size, u64 flags);
HELPER(155, long, bpf_redirect_peer, u32 ifindex, u64 flags);
HELPER(160, u64, bpf_ktime_get_coarse_ns, void);
HELPER(163, long, bpf_check_mtu, void *skb, u32 ifindex, u32 *mtu, s32 difference, u64 flags);
HELPER(164, long, bpf_for_each_map_elem, void *map, void *callback, void *context, u64 flags);
HELPER(181, long, bpf_loop, u32 times, void *callback, void *context, u64 flags);
HELPER(192, long, bpf_skb_set_tstamp, struct __sk_buff *skb, u64 tstamp, u32 type);

/* A kernel function, where the kernel has it: the context as the kernel's own struct sk_buff. */
extern void *bpf_cast_to_kern_ctx(void *context) __attribute__((section(".ksyms"), weak));

/* ---- protocols (in network order where they stand in a packet: compare with bpf_htons) */

enum {
	ETH_P_IP = 0x0800,
	ETH_P_ARP = 0x0806,
	ETH_P_RARP = 0x8035,
	ETH_P_8021Q = 0x8100,
	ETH_P_IPV6 = 0x86dd,
	ETH_P_MPLS_UC = 0x8847,
	ETH_P_MPLS_MC = 0x8848,
	ETH_P_8021AD = 0x88a8,
	ETH_P_NSH = 0x894f,
	ETH_P_TEB = 0x6558,
	IPPROTO_HOPOPTS = 0,
	IPPROTO_ICMP = 1,
	IPPROTO_IGMP = 2,
	IPPROTO_TCP = 6,
	IPPROTO_UDP = 17,
	IPPROTO_ROUTING = 43,
	IPPROTO_FRAGMENT = 44,
	IPPROTO_GRE = 47,
	IPPROTO_ESP = 50,
	IPPROTO_AH = 51,
	IPPROTO_ICMPV6 = 58,
	IPPROTO_NONE = 59,
	IPPROTO_DSTOPTS = 60,
	IPPROTO_SCTP = 132,
	IPPROTO_MH = 135,
};
