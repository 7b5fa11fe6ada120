"""OpenFlow actions and instructions as records."""

from typing import NamedTuple

from trunkline.base.records import distinguish


class Output(NamedTuple):
    """Also normal, flood, all, local, in_port, table: by reserved port number (`model.openflow.OFPP_*`).

    `max_len` is the controller's share of a packet, for OFPP_CONTROLLER only (0xffff: all of it).
    """

    port: int
    max_len: int = 0


class Controller(NamedTuple):
    """The Nicira form of controller(...): with a reason, controller id, userdata, pause or meter."""

    max_len: int = 0xFFFF
    controller_id: int = 0
    reason: int = 1
    userdata: bytes | None = None
    pause: bool = False
    meter: int | None = None


class OutputTruncated(NamedTuple):
    port: int
    max_len: int


class OutputRegister(NamedTuple):
    field: str
    offset: int
    bits: int
    max_len: int = 0xFFFF


class Enqueue(NamedTuple):
    port: int
    queue: int


class SetVlanVid(NamedTuple):
    """mod_vlan_vid.  `push` says whether a tag is pushed where there is none (1.0's habit)."""

    vid: int
    push: bool = True


class SetVlanPcp(NamedTuple):
    pcp: int
    push: bool = True


class StripVlan(NamedTuple):
    """`pop`: written pop_vlan, the name since 1.1; the meaning is the same."""

    pop: bool = False


class PushVlan(NamedTuple):
    ethertype: int


class SetEthSrc(NamedTuple):
    address: int


class SetEthDst(NamedTuple):
    address: int


class SetIpv4Src(NamedTuple):
    address: int


class SetIpv4Dst(NamedTuple):
    address: int


class SetIpDscp(NamedTuple):
    """mod_nw_tos: `tos` is the whole octet, its two low bits are zero."""

    tos: int


class SetIpEcn(NamedTuple):
    ecn: int


class SetIpTtl(NamedTuple):
    ttl: int


class SetL4SrcPort(NamedTuple):
    port: int


class SetL4DstPort(NamedTuple):
    port: int


class SetField(NamedTuple):
    """set_field: `field` is a name of model/fields.py; `value` is masked already.

    `masked`: a mask is written even though it covers the field, as for a load in 1.5.  `octets`: how many
    bytes of a field tun_metadata are written, whose length a bridge's table knows; 0: as few as it takes.
    """

    field: str
    value: int
    mask: int
    masked: bool = False
    octets: int = 0


class Load(NamedTuple):
    """load:value->field[offset..offset+bits-1]."""

    field: str
    offset: int
    bits: int
    value: int


class Move(NamedTuple):
    source: str
    source_offset: int
    destination: str
    destination_offset: int
    bits: int


class StackPush(NamedTuple):
    field: str
    offset: int
    bits: int


class StackPop(NamedTuple):
    field: str
    offset: int
    bits: int


class DecTtl(NamedTuple):
    """`controllers` get the packet when its TTL is spent; without a list (`listed`) those with id 0."""

    controllers: tuple[int, ...] = ()
    listed: bool = False


class DecNshTtl(NamedTuple):
    pass


class SetMplsLabel(NamedTuple):
    label: int


class SetMplsTc(NamedTuple):
    tc: int


class SetMplsTtl(NamedTuple):
    ttl: int


class DecMplsTtl(NamedTuple):
    pass


class PushMpls(NamedTuple):
    ethertype: int


class PopMpls(NamedTuple):
    ethertype: int


class SetTunnel(NamedTuple):
    """`wide` is the 64-bit form; the text is the same once the id needs it."""

    tunnel_id: int
    wide: bool = False


class SetQueue(NamedTuple):
    queue: int


class PopQueue(NamedTuple):
    pass


class FinTimeout(NamedTuple):
    idle: int
    hard: int


class Resubmit(NamedTuple):
    """`port` OFPP_IN_PORT: the packet's own; `table` 255: the current one."""

    port: int = 0xFFF8
    table: int = 255
    with_ct_orig: bool = False


class Group(NamedTuple):
    group: int


class Exit(NamedTuple):
    pass


class Note(NamedTuple):
    data: bytes


class Conjunction(NamedTuple):
    id: int
    clause: int  # from 0
    clauses: int


class Sample(NamedTuple):
    probability: int
    collector_set: int
    observation_domain: int
    observation_point: int
    sampling_port: int | None = None
    direction: int = 0


class CtClear(NamedTuple):
    pass


class CheckPacketLarger(NamedTuple):
    length: int
    field: str
    offset: int


class DeleteField(NamedTuple):
    field: str


class Clone(NamedTuple):
    actions: "tuple[Action, ...]"


class Subfield(NamedTuple):
    """`bits` bits of `field` (a name of model/fields.py) from bit `offset` up."""

    field: str
    offset: int
    bits: int


# ---- learn ----


class LearnMatch(NamedTuple):
    """The learned flow matches `destination`: on a constant, or on the packet's `source` (as wide)."""

    destination: Subfield
    source: Subfield | int


class LearnLoad(NamedTuple):
    """The learned flow loads `destination` with a constant, or with the packet's `source` (as wide)."""

    destination: Subfield
    source: Subfield | int


class LearnOutput(NamedTuple):
    """The learned flow outputs to the port that `source` holds now."""

    source: Subfield


LearnSpec = LearnMatch | LearnLoad | LearnOutput


class Learn(NamedTuple):
    """learn(...): adds or changes a flow in `table` for each packet.

    Timeouts are in seconds, 0: none; `fin_*` those after FIN or RST.  `limit` is how many flows with this
    cookie the table may have (0: any number), and `result` a single bit that says whether there was room.
    """

    specs: tuple[LearnSpec, ...]
    table: int = 1
    priority: int = 0x8000
    cookie: int = 0
    idle_timeout: int = 0
    hard_timeout: int = 0
    fin_idle_timeout: int = 0
    fin_hard_timeout: int = 0
    send_flow_rem: bool = False
    delete_learned: bool = False
    limit: int = 0
    result: Subfield | None = None


# ---- hashing ----


class Multipath(NamedTuple):
    """multipath(fields, basis, algorithm, links, argument, destination): a link from a hash of the packet.

    `fields` and `algorithm` are names of ovs-actions(7) (`HASH_FIELDS`, `MULTIPATH_ALGORITHMS`); links count
    from 0 to `links` - 1.
    """

    fields: str
    basis: int
    algorithm: str
    links: int
    argument: int
    destination: Subfield


class Bundle(NamedTuple):
    """bundle(...) and, with a `destination`, bundle_load(...): chooses one of `members` (ports) by a hash.

    `algorithm` is "active_backup" or "hrw".
    """

    fields: str
    basis: int
    algorithm: str
    members: tuple[int, ...]
    destination: Subfield | None = None


HASH_FIELDS = (
    "eth_src",
    "symmetric_l4",
    "symmetric_l3l4",
    "symmetric_l3l4+udp",
    "nw_src",
    "nw_dst",
    "symmetric_l3",
)  # by number on the wire
MULTIPATH_ALGORITHMS = ("modulo_n", "hash_threshold", "hrw", "iter_hash")
BUNDLE_ALGORITHMS = ("active_backup", "hrw")


# ---- connection tracking ----


class Nat(NamedTuple):
    """nat(...) within ct: without `source` and `destination` only what the connection already has is done.

    Addresses are integers, both or none; `ipv6` says of which family.  `port_high` 0: no upper end was given;
    both ports 0: any port.  At most one of `hash` and `random`.
    """

    source: bool = False
    destination: bool = False
    ipv6: bool = False
    address_low: int | None = None
    address_high: int | None = None
    port_low: int = 0
    port_high: int = 0
    persistent: bool = False
    hash: bool = False
    random: bool = False


class Ct(NamedTuple):
    """ct(...).

    `zone` is a number, or the field (16 bits of it) that holds one.  `table`: where the packet goes on once
    tracked (None: nowhere).  `alg` is the service's port (21 ftp, 69 tftp, 0 none).  `actions` are those of
    exec(): set_field, load and move of ct_mark and ct_label.
    """

    commit: bool = False
    force: bool = False
    zone: int | Subfield = 0
    table: int | None = None
    alg: int = 0
    nat: Nat | None = None
    actions: "tuple[Action, ...]" = ()
    other_flags: int = 0  # bits without a meaning yet: they survive


# ---- encap, decap ----


class EncapProperty(NamedTuple):
    """A property of the new header: `property_class` 4 is NSH, where type 1 is md_type (one byte) and 2 a TLV
    (`data`: class, type, length, value)."""

    property_class: int
    kind: int
    data: bytes


class Encap(NamedTuple):
    """encap(...): `packet_type` of the new outer header, a name space and an ethertype of 16 bits each."""

    packet_type: int
    properties: tuple[EncapProperty, ...] = ()


class DecapAny(NamedTuple):
    """decap(): takes off the outermost header; `packet_type`: what shall be there then, None: as it says."""

    packet_type: int | None = None


# ---- instructions ----


class Meter(NamedTuple):
    meter: int


class ClearActions(NamedTuple):
    pass


class WriteActions(NamedTuple):
    actions: "tuple[Action, ...]"


class WriteMetadata(NamedTuple):
    value: int
    mask: int


class GotoTable(NamedTuple):
    table: int


class Unknown(NamedTuple):
    """An action that this version of Trunkline names but does not carry out; the switch refuses it.

    `name` as in ovs-actions(7); `wire` is the action as it came, header included.
    """

    name: str
    wire: bytes


Action = (
    Output
    | Controller
    | OutputTruncated
    | OutputRegister
    | Enqueue
    | SetVlanVid
    | SetVlanPcp
    | StripVlan
    | PushVlan
    | SetEthSrc
    | SetEthDst
    | SetIpv4Src
    | SetIpv4Dst
    | SetIpDscp
    | SetIpEcn
    | SetIpTtl
    | SetL4SrcPort
    | SetL4DstPort
    | SetField
    | Load
    | Move
    | StackPush
    | StackPop
    | DecTtl
    | DecNshTtl
    | SetMplsLabel
    | SetMplsTc
    | SetMplsTtl
    | DecMplsTtl
    | PushMpls
    | PopMpls
    | SetTunnel
    | SetQueue
    | PopQueue
    | FinTimeout
    | Resubmit
    | Group
    | Exit
    | Note
    | Conjunction
    | Sample
    | CtClear
    | CheckPacketLarger
    | DeleteField
    | Clone
    | Learn
    | Multipath
    | Bundle
    | Nat
    | Ct
    | Encap
    | DecapAny
    | Meter
    | ClearActions
    | WriteActions
    | WriteMetadata
    | GotoTable
    | Unknown
)

distinguish(list(globals().values()))
