"""OpenFlow actions and instructions as records."""

from typing import NamedTuple


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
    """set_field: `field` is a name of model/fields.py; `value` is masked already."""

    field: str
    value: int
    mask: int


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
    """`controllers` get the packet when its TTL is spent; empty: those with id 0."""

    controllers: tuple[int, ...] = ()


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


class DecapAny(NamedTuple):
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
    | DecapAny
    | Meter
    | ClearActions
    | WriteActions
    | WriteMetadata
    | GotoTable
    | Unknown
)
