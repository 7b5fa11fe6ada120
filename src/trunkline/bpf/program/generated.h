/* Made by `python -m trunkline.bpf.layout`: change bpf/layout.py, not this. */
#pragma once
#define KEY_WORDS 34
#define NARROW_WORDS 10
#define KEY_SLOTS 128
#define MAX_MASKS 1024
#define MAX_PORTS 16384
#define MAX_METERS 4096
#define MAX_LISTS 65536
#define MAX_FLOWS 262144
#define MAX_LIST 10
#define MAX_PASSES 32
#define MAX_STEPS 256
#define CACHE_ENTRIES 4096
#define TEST_ENTRIES 256
#define REASONS 16
#define WINDOW 128
#define QUOTA 2048
#define LARGE_COST 32
#define JUMBO_COST 8
#define SMALL_PACKET 256
#define MEDIUM_PACKET 2048
#define JUMBO_PACKET 16384
#define LARGE_PACKET 65536
#define MAX_CONNECTIONS 262144
#define MAX_TRACKINGS 16384
#define MAX_POLICIES 1024
#define MAX_OUTERS 16384
#define OUTER_WORDS 9
#define MAX_HEADERS 8192
#define OPTION_WORDS 32
#define OPTIONS_LENGTH 66
#define HEADER_ROOM 336
#define HEADER_START 80
#define MAX_TUNNELS 1024
#define MAX_HOSTS 4096
#define MAX_TEXTS 524288
#define UNCOUNTED 0x80000000u
#define IP_CHECKSUM 1
#define PSEUDO 2
#define L4_DATA 4
#define OUTPUT_LAST 1
#define PORT_TO_HOST 1
#define DEVICE_IS_UNDERLAY 0x80000000u
#define TUNNEL_OVER_IPV6 0x80000000u
#define HEADER_IPV6 1
#define HEADER_UDP 2
#define HEADER_SEQUENCE 4
#define HEADER_CHECKSUM 8
#define HEADER_LENGTH 16
#define TUN_OAM 1
#define TUN_DF 2
#define TUN_CSUM 4
#define TUN_KEY 8
#define METER_BANDS 4
#define BEGUN_IN_KERNEL 2147483648
#define CONNECTION_SLOW 1
#define CONNECTION_EXPECTED 2
#define TIMEOUTS 11
#define TRACK_COMMIT 1
#define TRACK_FORCE 2
#define TRACK_NAT 4
#define TRACK_MARK 8
#define TRACK_LABEL 16
#define TRACK_CHOOSES 32
#define CT_NEW 1
#define CT_EST 2
#define CT_REL 4
#define CT_RPL 8
#define CT_INV 16
#define CT_TRK 32
#define CT_SNAT 64
#define CT_DNAT 128
#define TCP_FIN 1
#define TCP_SYN 2
#define TCP_RST 4
#define TCP_PSH 8
#define TCP_ACK 16
#define TCP_URG 32
#define CLOSED 0
#define SYN_SENT 2
#define ESTABLISHED 4
#define CLOSING 7
#define FIN_WAIT_2 9
#define TIME_WAIT 10
#define SLACK 67035
#define MAX_SCALE 14
#define SCALE_KNOWN 128
#define SCALE_UNKNOWN 64
#define SCALE 15
enum { ACTION_END, ACTION_OUTPUT, ACTION_PUSH_VLAN, ACTION_POP_VLAN, ACTION_SET_ETHERNET, ACTION_WRITE, ACTION_SET_META, ACTION_USERSPACE, ACTION_RECIRCULATE, ACTION_HASH, ACTION_METER, ACTION_TRUNCATE, ACTION_PUSH_MPLS, ACTION_POP_MPLS, ACTION_SKIP, ACTION_SAMPLE, ACTION_CHECK_LENGTH, ACTION_DROP, ACTION_CONNTRACK, ACTION_CONNTRACK_CLEAR, ACTION_SET_TUNNEL, ACTION_ENCAPSULATE };
enum { DROP_NO_FLOW, DROP_RING_FULL, DROP_EXPLICIT, DROP_NO_PORT, DROP_METER, DROP_TOO_MANY_PASSES, DROP_ACTION_ERROR, DROP_MALFORMED, DROP_TUNNEL_ERROR, DROP_TOO_LONG };
enum { UPCALL_MISS, UPCALL_SLOW, UPCALL_ACTION, UPCALL_CONNTRACK, UPCALL_TUNNEL, UPCALL_OUTPUT };
enum { LAYER_ETHERNET, LAYER_VLAN, LAYER_NETWORK, LAYER_TRANSPORT };
enum { NETWORK_NONE, NETWORK_IPV4, NETWORK_IPV6, NETWORK_ARP, NETWORK_MPLS };
enum { TIMEOUT_TCP_SYN_SENT, TIMEOUT_TCP_SYN_RECV, TIMEOUT_TCP_ESTABLISHED, TIMEOUT_TCP_FIN_WAIT, TIMEOUT_TCP_TIME_WAIT, TIMEOUT_TCP_CLOSE, TIMEOUT_UDP_FIRST, TIMEOUT_UDP_SINGLE, TIMEOUT_UDP_MULTIPLE, TIMEOUT_ICMP_FIRST, TIMEOUT_ICMP_REPLY };
enum { TUNNEL_NONE, TUNNEL_GENEVE, TUNNEL_GRE, TUNNEL_VXLAN, TUNNEL_VXLAN_POLICY, TUNNEL_ERSPAN, TUNNEL_GTPU, TUNNEL_LISP, TUNNEL_BAREUDP };
/* The datapath's part of the flow key; all numbers in network order. */
struct flow_key {
	u64 tun_id; /* 0 */
	u32 tun_ipv6_src[4]; /* 8 */
	u32 tun_ipv6_dst[4]; /* 24 */
	u32 tun_src; /* 40 */
	u32 tun_dst; /* 44 */
	u16 tun_tp_src; /* 48 */
	u16 tun_tp_dst; /* 50 */
	u32 tun_erspan_idx; /* 52 */
	u8 tun_erspan_hwid; /* 56 */
	u8 tun_erspan_dir; /* 57 */
	u8 tun_erspan_ver; /* 58 */
	u8 tun_gtpu_msgtype; /* 59 */
	u8 tun_gtpu_flags; /* 60 */
	u8 tun_gbp_flags; /* 61 */
	u16 tunnel_flags; /* 62 */
	u16 tun_gbp_id; /* 64 */
	u8 tun_ttl; /* 66 */
	u8 tun_tos; /* 67 */
	u8 _tunnel[3]; /* 68 */
	u8 ct_proto; /* 71 */
	u16 ct_tp_src; /* 72 */
	u16 ct_tp_dst; /* 74 */
	u32 ct_src[4]; /* 76 */
	u32 ct_dst[4]; /* 92 */
	u32 ct_label[4]; /* 108 */
	u32 ct_mark; /* 124 */
	u16 _ct; /* 128 */
	u16 ct_zone; /* 130 */
	u32 ct_state; /* 132 */
	u32 dp_hash; /* 136 */
	u32 pkt_mark; /* 140 */
	u32 recirc_id; /* 144 */
	u32 dp_in_port; /* 148 */
	u32 skb_priority; /* 152 */
	u32 packet_type; /* 156 */
	u8 dl_dst[6]; /* 160 */
	u16 vlan_tpid; /* 166 */
	u16 vlan_tci; /* 168 */
	u8 dl_src[6]; /* 170 */
	u16 vlan1_tpid; /* 176 */
	u16 vlan1_tci; /* 178 */
	u32 mpls0; /* 180 */
	u32 mpls1; /* 184 */
	u32 mpls2; /* 188 */
	u16 dl_type; /* 192 */
	u8 nw_frag; /* 194 */
	u8 nw_proto; /* 195 */
	u32 net_src[4]; /* 196 */
	u32 ipv6_label; /* 212 */
	u32 net_dst[4]; /* 216 */
	u32 igmp_group; /* 232 */
	u8 nw_tos; /* 236 */
	u8 nw_ttl; /* 237 */
	u16 tcp_flags; /* 238 */
	u16 tp_src; /* 240 */
	u16 tp_dst; /* 242 */
	u32 nd_target[4]; /* 244 */
	u8 arp_sha[6]; /* 260 */
	u8 arp_tha[6]; /* 266 */
};
struct config {
	u8 owner[16];
	u64 layout;
	u32 masks;
	u32 vlan_limit;
	u32 round;
	u32 generation;
};
struct port {
	u32 device;
	u32 flags;
	u32 queued;
	u32 drained;
	u32 sequence;
	u32 longest;
};
struct device {
	u32 index;
	u32 port;
};
struct mask {
	u64 words[34];
	u8 index[40];
	u32 wide;
	u32 count;
};
struct narrow_key {
	u64 words[10];
	u32 mask;
	u32 _2;
};
struct wide_key {
	u64 words[34];
	u32 mask;
	u32 _2;
};
struct flow {
	u32 actions;
	u32 statistics;
};
struct action {
	u8 type;
	u8 flags;
	u8 layer;
	u8 network;
	u32 argument;
	u8 data[16];
};
struct statistics {
	u64 packets;
	u64 bytes;
	u64 used;
	u32 tcp_flags;
	u32 round;
};
struct credit {
	u64 packets;
	u64 bytes;
	u64 beside_packets;
	u64 beside_bytes;
};
struct totals {
	u64 hits;
	u64 misses;
	u64 lost;
	u64 cache_hits;
};
struct counters {
	u64 drops[16];
};
struct meter {
	struct bpf_spin_lock lock;
	u32 bands;
	u32 by_packets;
	u32 there;
	u64 used;
	u64 packets;
	u64 bytes;
	u64 rate[4];
	u64 size[4];
	u64 filling[4];
	u64 band_packets[4];
	u64 band_bytes[4];
};
struct upcall {
	u32 length;
	u32 packet_length;
	u32 port;
	u32 reason;
	u32 argument;
	u32 cost;
	u32 gso_size;
	u32 vlan;
	u32 truncated;
	u32 options;
	u64 key[34];
	u64 option_words[32];
};
struct direction {
	u16 zone;
	u8 family;
	u8 protocol;
	u32 src[4];
	u32 dst[4];
	u16 a;
	u16 b;
};
struct end {
	u32 connection;
	u32 reply;
};
struct side {
	u32 low;
	u32 high;
	u32 max_window;
	u8 scale;
	u8 state;
	u16 _5;
};
struct connection {
	struct bpf_spin_lock lock;
	u32 flags;
	u64 expires;
	struct direction original;
	struct direction reply;
	struct direction parent;
	struct side first;
	struct side second;
	u32 mark;
	u32 label[4];
	u32 lifetime;
	u32 policy;
	u8 nat;
	u8 state;
	u16 _14;
};
struct tracking {
	u16 zone;
	u16 flags;
	u32 mark;
	u32 mark_mask;
	u32 label[4];
	u32 label_mask[4];
	u32 policy;
};
struct outer {
	u64 words[9];
};
struct tunnel {
	u32 port;
	u32 kind;
};
struct host {
	u32 address[4];
};
struct header {
	u8 bytes[336];
	u32 size;
	u32 device;
	u32 mtu;
	u32 flags;
	u32 first_port;
	u32 ports;
	u32 port;
	u32 sequence_at;
	u32 hop_family;
	u32 hop[4];
	u32 _11;
};
struct lifetimes {
	u32 seconds[16];
};
struct tracker {
	u32 unchecked;
	u32 expecting;
	u32 limited;
};
struct meaning {
	u8 ufid[16];
	u32 text;
	u32 _2;
};
struct text {
	u32 next;
	u32 length;
	u8 bytes[120];
};
struct port_name {
	u8 name[64];
	u8 type[32];
};
