"""OpenFlow messages as records that know nothing of versions.

One idea has one record, whatever the version or extension that carried it: a flow-mod is a `FlowMod` whether
it came as OFPT_FLOW_MOD of OpenFlow 1.0 or 1.5 or as NXT_FLOW_MOD.  The codec (`trunkline.openflow.codec`)
turns bytes into these records and back, with the version as an argument; the switch and the tools see the
records only.

Conventions, used throughout:

- Port numbers are the 16-bit ones of OpenFlow 1.0 (`model.openflow.OFPP_LOCAL` is 0xfffe); the codec widens
  them for later versions.  `OFPP_ANY`, spelled OFPP_NONE in 1.0, is 0xffff and means "no port given".
- Table numbers: 255 (`OFPTT_ALL`) is "all tables" or "not given".  Group numbers: `OFPG_ANY` = 0xffffffff.
- Counters are ints; None stands for "the switch does not know" (all ones on the wire).
- Durations are nanoseconds.  Ages and timeouts are seconds.
- MAC addresses are 48-bit ints, datapath ids 64-bit ints.
- Configuration, state, capability and feature bits are those of `trunkline.model.openflow`.
- A match is a `trunkline.flow.match.Match`; actions are a tuple of the records of
  `trunkline.openflow.actions`, instructions included (`GotoTable`, `WriteMetadata`, ... are records there,
  in the order in which they take effect).
"""

from typing import TYPE_CHECKING, NamedTuple

from trunkline.flow.match import Match
from trunkline.openflow.actions import Action

if TYPE_CHECKING:
    from trunkline.openflow.continuations import Continuation

# ---- every connection ----


class Hello(NamedTuple):
    """Bit n of `versions` is set when the sender speaks wire version n (bit 1: OpenFlow 1.0)."""

    versions: int


class Error(NamedTuple):
    """`error` is a name of `model.openflow_errors.ERRORS`, such as ``OFPBRC_BAD_TYPE``.

    `data` is what was refused (its first 64 bytes at least), or a text for OFPHFC_INCOMPATIBLE.
    An error that is in no table has the name "" and its numbers in `unknown`: (vendor, type, code).
    """

    error: str
    data: bytes = b""
    unknown: tuple[int, int, int] = (0, 0, 0)


class EchoRequest(NamedTuple):
    data: bytes = b""


class EchoReply(NamedTuple):
    data: bytes = b""


class BarrierRequest(NamedTuple):
    pass


class BarrierReply(NamedTuple):
    pass


class FeaturesRequest(NamedTuple):
    pass


class Port(NamedTuple):
    """A port as features replies, port descriptions and port status carry it.  Speeds in kbps."""

    number: int
    name: str
    hardware_address: int = 0
    config: int = 0
    state: int = 0
    current: int = 0
    advertised: int = 0
    supported: int = 0
    peer: int = 0
    current_speed: int = 0
    maximum_speed: int = 0
    hardware_address64: int = 0


class FeaturesReply(NamedTuple):
    """`ports` is None when the version has no room for them (1.3 on): ask with PortDescriptionRequest.

    `actions` are the bits of OpenFlow 1.0 (`OFPAT10_*`), which later versions do not carry.
    """

    datapath_id: int
    buffers: int
    tables: int
    capabilities: int
    actions: int = 0
    auxiliary_id: int = 0
    ports: tuple[Port, ...] | None = None


class GetConfigRequest(NamedTuple):
    pass


class SwitchConfig(NamedTuple):
    """`fragments` is one of the OFPC_FRAG_* numbers; `miss_send_len` in bytes."""

    fragments: int
    miss_send_len: int
    invalid_ttl_to_controller: bool = False


class GetConfigReply(NamedTuple):
    config: SwitchConfig


class SetConfig(NamedTuple):
    config: SwitchConfig


class RoleRequest(NamedTuple):
    """`role` is OFPCR_ROLE_*; `generation` is None when the sender gave none."""

    role: int
    generation: int | None = None


class RoleReply(NamedTuple):
    role: int
    generation: int | None = None


class RoleStatus(NamedTuple):
    role: int
    reason: int
    generation: int | None


class SetFlowFormat(NamedTuple):
    """NXT_SET_FLOW_FORMAT: 0 for OpenFlow 1.0's own flow messages, 2 for NXM."""

    format: int


class FlowModTableId(NamedTuple):
    """NXT_FLOW_MOD_TABLE_ID: the high byte of a 1.0 flow-mod's command is its table."""

    enabled: bool


class SetPacketInFormat(NamedTuple):
    """NXT_SET_PACKET_IN_FORMAT: 0 standard, 1 NXT_PACKET_IN, 2 NXT_PACKET_IN2."""

    format: int


class SetControllerId(NamedTuple):
    controller_id: int


class AsyncConfig(NamedTuple):
    """For each kind of asynchronous message, (reasons as primary or equal, reasons as secondary)."""

    packet_in: tuple[int, int]
    port_status: tuple[int, int]
    flow_removed: tuple[int, int]
    role_status: tuple[int, int] = (0, 0)
    table_status: tuple[int, int] = (0, 0)
    requestforward: tuple[int, int] = (0, 0)


class SetAsync(NamedTuple):
    """Changes what is given (1.4 may leave kinds out: they are None) or all."""

    packet_in: tuple[int | None, int | None]
    port_status: tuple[int | None, int | None]
    flow_removed: tuple[int | None, int | None]
    role_status: tuple[int | None, int | None] = (None, None)
    table_status: tuple[int | None, int | None] = (None, None)
    requestforward: tuple[int | None, int | None] = (None, None)


class GetAsyncRequest(NamedTuple):
    pass


class GetAsyncReply(NamedTuple):
    config: AsyncConfig


# ---- packets ----


class PacketIn(NamedTuple):
    """A packet to a controller.  `reason` is OFPR_*; `metadata` is a match on in_port and pipeline fields.

    `cookie` is None where no flow sent it.  `continuation` is opaque to controllers, who get it as bytes in
    their version of OpenFlow: see continuations.py.
    """

    data: bytes
    metadata: Match
    reason: int
    table: int = 0
    cookie: int | None = 0
    total_length: int | None = None  # of the packet before it was cut to max_len; None means len(data)
    userdata: bytes = b""
    continuation: "bytes | Continuation" = b""
    buffer: int | None = None


class PacketOut(NamedTuple):
    """`metadata` has in_port (OFPP_NONE or OFPP_CONTROLLER where there is none) and pipeline fields."""

    data: bytes
    metadata: Match
    actions: tuple[Action, ...] = ()
    buffer: int | None = None


# ---- flows ----


class FlowMod(NamedTuple):
    """`command` is OFPFC_*.  `cookie` / `cookie_mask` select flows; `new_cookie` is what they get.

    `new_cookie` None keeps the cookie of a modified flow (a flow that is added then has 0).  `importance`,
    `out_port` and `out_group` as in the specification; `table` 255: all (delete) or the switch's choice.
    `delete_reason` is for flow-removed messages that a delete causes within bundles of the switch itself.
    """

    command: int
    match: Match
    priority: int = 0x8000
    table: int = 0xFF
    actions: tuple[Action, ...] = ()
    cookie: int = 0
    cookie_mask: int = 0
    new_cookie: int | None = 0
    idle_timeout: int = 0
    hard_timeout: int = 0
    importance: int = 0
    flags: int = 0  # OFPFF_*
    out_port: int = 0xFFFF
    out_group: int = 0xFFFFFFFF
    buffer: int | None = None


class FlowRemoved(NamedTuple):
    match: Match
    priority: int
    cookie: int
    reason: int  # OFPRR_*
    table: int
    duration: int
    idle_timeout: int
    hard_timeout: int
    packets: int | None
    bytes: int | None


class FlowStatsRequest(NamedTuple):
    match: Match
    table: int = 0xFF
    cookie: int = 0
    cookie_mask: int = 0
    out_port: int = 0xFFFF
    out_group: int = 0xFFFFFFFF


class AggregateStatsRequest(NamedTuple):
    match: Match
    table: int = 0xFF
    cookie: int = 0
    cookie_mask: int = 0
    out_port: int = 0xFFFF
    out_group: int = 0xFFFFFFFF


class FlowStats(NamedTuple):
    """`idle_age` and `hard_age` are None where the format cannot say them."""

    match: Match
    priority: int
    table: int
    actions: tuple[Action, ...]
    cookie: int = 0
    duration: int = 0
    idle_timeout: int = 0
    hard_timeout: int = 0
    idle_age: int | None = None
    hard_age: int | None = None
    packets: int | None = None
    bytes: int | None = None
    importance: int = 0
    flags: int = 0


class FlowStatsReply(NamedTuple):
    """The codec cuts a reply that is too long for one message into several, all but the last with MORE."""

    flows: tuple[FlowStats, ...]
    more: bool = False


class AggregateStatsReply(NamedTuple):
    packets: int | None
    bytes: int | None
    flows: int


# ---- ports ----


class PortStatus(NamedTuple):
    reason: int  # OFPPR_*
    port: Port


class PortMod(NamedTuple):
    """Sets the bits `mask` of the port's config to `config`; `advertised` 0 leaves the features alone."""

    port: int
    hardware_address: int
    config: int
    mask: int
    advertised: int = 0


class PortDescriptionRequest(NamedTuple):
    port: int = 0xFFFF


class PortDescriptionReply(NamedTuple):
    ports: tuple[Port, ...]
    more: bool = False


class PortStatsRequest(NamedTuple):
    port: int = 0xFFFF


class PortStats(NamedTuple):
    """Counters of one port; None is unknown.  `duration` in nanoseconds, None where it is not carried.

    `custom` holds (name, value) pairs of counters that have no field of their own (1.4 on), `rfc2819` the
    counters of that RFC in the order of `ports.RFC2819_NAMES`, where there are any.
    """

    port: int
    rx_packets: int | None = None
    tx_packets: int | None = None
    rx_bytes: int | None = None
    tx_bytes: int | None = None
    rx_dropped: int | None = None
    tx_dropped: int | None = None
    rx_errors: int | None = None
    tx_errors: int | None = None
    rx_frame_errors: int | None = None
    rx_over_errors: int | None = None
    rx_crc_errors: int | None = None
    collisions: int | None = None
    duration: int | None = None
    custom: tuple[tuple[str, int], ...] = ()
    rfc2819: tuple[int | None, ...] = ()


class PortStatsReply(NamedTuple):
    ports: tuple[PortStats, ...]
    more: bool = False


# ---- tables, switch, queues ----


class DescriptionRequest(NamedTuple):
    pass


class DescriptionReply(NamedTuple):
    manufacturer: str
    hardware: str
    software: str
    serial_number: str
    datapath: str


class TableStatsRequest(NamedTuple):
    pass


class TableStats(NamedTuple):
    """`features` is what 1.0 to 1.2 carry beside the counters; the others carry counters only."""

    table: int
    active: int
    lookups: int
    matched: int
    name: str = ""
    max_entries: int = 0
    wildcards: int = 0
    match: int = 0
    instructions: int = 0
    write_actions: int = 0
    apply_actions: int = 0
    write_set_fields: int = 0
    apply_set_fields: int = 0
    metadata_match: int = 0
    metadata_write: int = 0
    miss_config: int = 0


class TableStatsReply(NamedTuple):
    tables: tuple[TableStats, ...]
    more: bool = False


class TableMod(NamedTuple):
    """`miss` is OFPTC11_TABLE_MISS_* or None; eviction, vacancy (down, up) and flags likewise (1.4)."""

    table: int
    miss: int | None = None
    eviction: bool | None = None
    eviction_flags: int | None = None
    vacancy: bool | None = None
    vacancy_down: int = 0
    vacancy_up: int = 0


class TableDescriptionRequest(NamedTuple):
    pass


class TableDescription(NamedTuple):
    table: int
    eviction: bool
    eviction_flags: int | None  # None: the switch's own order
    vacancy: bool
    vacancy_down: int
    vacancy_up: int
    vacancy_now: int


class TableDescriptionReply(NamedTuple):
    tables: tuple[TableDescription, ...]
    more: bool = False


class QueueStatsRequest(NamedTuple):
    port: int = 0xFFFF
    queue: int = 0xFFFFFFFF


class QueueStats(NamedTuple):
    port: int
    queue: int
    tx_bytes: int | None
    tx_packets: int | None
    tx_errors: int | None
    duration: int | None = None


class QueueStatsReply(NamedTuple):
    queues: tuple[QueueStats, ...]
    more: bool = False


class QueueConfigRequest(NamedTuple):
    port: int
    queue: int = 0xFFFFFFFF


class QueueConfig(NamedTuple):
    """Rates in tenths of a percent, None where not set."""

    port: int
    queue: int
    min_rate: int | None = None
    max_rate: int | None = None


class QueueConfigReply(NamedTuple):
    port: int
    queues: tuple[QueueConfig, ...]
    more: bool = False


# ---- bundles ----


class BundleControl(NamedTuple):
    """`type` is OFPBCT_*: open, close, commit or discard request, or its reply."""

    bundle: int
    type: int
    flags: int


class BundleAdd(NamedTuple):
    """`message` is what the bundle takes up: a FlowMod, PortMod, ..., decoded."""

    bundle: int
    flags: int
    xid: int
    message: "Message"


# ---- what the codec knows by name but not by meaning ----


class Opaque(NamedTuple):
    """A message whose kind is in the table of messages and whose body this version leaves as bytes.

    `name` is the kind (``OFPT_GROUP_MOD``).  A switch answers it with OFPBRC_BAD_TYPE or _BAD_STAT or
    _BAD_SUBTYPE; see `connection.refusal`.  `more`: a part of a reply that another part follows.
    """

    name: str
    body: bytes
    more: bool = False


Message = (
    Hello
    | Error
    | EchoRequest
    | EchoReply
    | BarrierRequest
    | BarrierReply
    | FeaturesRequest
    | FeaturesReply
    | GetConfigRequest
    | GetConfigReply
    | SetConfig
    | RoleRequest
    | RoleReply
    | RoleStatus
    | SetFlowFormat
    | FlowModTableId
    | SetPacketInFormat
    | SetControllerId
    | SetAsync
    | GetAsyncRequest
    | GetAsyncReply
    | PacketIn
    | PacketOut
    | FlowMod
    | FlowRemoved
    | FlowStatsRequest
    | FlowStatsReply
    | AggregateStatsRequest
    | AggregateStatsReply
    | PortStatus
    | PortMod
    | PortDescriptionRequest
    | PortDescriptionReply
    | PortStatsRequest
    | PortStatsReply
    | DescriptionRequest
    | DescriptionReply
    | TableStatsRequest
    | TableStatsReply
    | TableMod
    | TableDescriptionRequest
    | TableDescriptionReply
    | QueueStatsRequest
    | QueueStatsReply
    | QueueConfigRequest
    | QueueConfigReply
    | BundleControl
    | BundleAdd
    | Opaque
)
