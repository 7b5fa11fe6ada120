"""What a translation yields, as data.

A translation changes nothing.  What it would change is a list of *effects*, which the upcall layer applies
for the packet, again for each push of statistics, and which a trace leaves alone.  What it consulted is a
list of *lookups* in tables and one of *reads* of all else, by which a change in the configuration finds
exactly the megaflows that it concerns.  Why it decided as it did is a tree of *nodes*, made only when
somebody asks.
"""

from collections.abc import Hashable
from typing import Any, NamedTuple

from trunkline.base.counters import Counter
from trunkline.ofproto.bridge import Bridge, PatchCounters
from trunkline.ofproto.groups import Group
from trunkline.ofproto.rules import Hit, Rule, TableCounters
from trunkline.openflow.messages import FlowMod


class Missed(NamedTuple):
    """A lookup in a table that found no rule.

    One that found a rule needs no record of its own: the effect is the pair of counters (`Hit`) that its
    rule keeps.  Most effects are of this kind.
    """

    counters: TableCounters


class CountPatch(NamedTuple):
    """A packet leaves a bridge by one patch port and comes into another by its peer."""

    sent: PatchCounters
    received: PatchCounters


class CountSent(NamedTuple):
    """A packet goes into a tunnel."""

    counters: PatchCounters


class CountReceived(NamedTuple):
    """A packet came out of a tunnel."""

    counters: PatchCounters


class LearnNeighbour(NamedTuple):
    """A neighbour on a bridge told its MAC address; `address` of 128 bits."""

    bridge: Bridge
    address: int
    mac: int


class Solicit(NamedTuple):
    """A neighbour must be asked for its MAC address, from these addresses of the bridge's own port."""

    bridge: Bridge
    address: int
    source: int
    mac: int


class Learn(NamedTuple):
    """A source address was seen on a port."""

    bridge: Bridge
    vlan: int
    mac: int
    port: str


class Snoop(NamedTuple):
    """A message about multicast groups came in on a port: whoever has the packet reads it."""

    bridge: Bridge
    vlan: int
    port: str


class CountGroup(NamedTuple):
    """A packet goes through a group; `bucket` None: through several buckets, or none, each counted apart."""

    group: Group
    bucket: int | None


class CountBucket(NamedTuple):
    """A packet goes through one bucket of those that a group sends it to."""

    group: Group
    bucket: int


class LearnFlow(NamedTuple):
    """A packet makes a flow (learn): `mod` is the flow-mod that it stands for."""

    bridge: Bridge
    mod: FlowMod


class Dropped(NamedTuple):
    """A packet leaves nowhere; the coverage counter says why."""

    counter: Counter


class Complaint(NamedTuple):
    """What the log is to say of a packet: `text`, on this bridge, while it looked like `key`.

    `grave`: it is a warning; else somebody might like to know.
    """

    text: str
    bridge: Bridge
    key: int
    grave: bool = True


class FinTimeout(NamedTuple):
    """The end of a connection shortens the timeouts of the rule that its packets met; 0: leaves it."""

    bridge: Bridge
    rule: Rule
    idle: int
    hard: int


Effect = (
    Hit
    | Missed
    | CountPatch
    | CountSent
    | CountReceived
    | CountGroup
    | CountBucket
    | Learn
    | Snoop
    | LearnNeighbour
    | Solicit
    | LearnFlow
    | FinTimeout
    | Dropped
)


TableRead = tuple[str, int, int, int]
"""A lookup: bridge, table, the key at that moment, and the bits of it that decided.

A translation makes one a table, and a plain tuple costs a quarter of a NamedTuple.
"""


class SendToController(NamedTuple):
    """What a userspace action of a megaflow tells the upcall layer to do with the packet.

    `frozen` is the number of the walk's state at that moment (translate/frozen.py); with `paused` the
    controller gets it as a continuation, and the packet goes on when it comes back.
    """

    bridge: Bridge
    reason: int
    table: int
    cookie: int
    controller_id: int
    max_length: int
    userdata: bytes
    metadata: int  # the fields that a walk carries (frozen.py: CARRIED), at that moment
    conntracked: bool  # whether the walk sees the packet's connection
    frozen: int = 0
    paused: bool = False


class Recirculation(NamedTuple):
    """A part of the walk that goes on elsewhere, for a trace to follow: `key` is what goes in there.

    `kind` is CONNTRACK or another of the kinds below; `zone` and `nat` (dp.Nat) are those of a ct action.
    """

    kind: str
    id: int
    key: int
    zone: int = 0
    nat: Any = None


SLOW_ACTION = 1  # bits of `Result.slow`: the datapath has no such action


class Unroll(NamedTuple):
    """Among a frozen walk's actions, and not OpenFlow's: what follows belongs to a rule in `table`."""

    table: int
    cookie: int


CONNTRACK = "conntrack"
OTHER = "other"


class Result(NamedTuple):
    """`actions` for the datapath; `wildcards` the bits that were looked at: the megaflow's mask."""

    actions: tuple[Any, ...]
    wildcards: int
    effects: tuple[Effect, ...]
    reads: tuple[Hashable, ...]  # tokens (ofproto/fabric.py)
    lookups: tuple[TableRead, ...]
    final_key: int  # as the last action left it; what was changed behind a patch port is not in it
    recirculations: tuple[Recirculation, ...] = ()  # only with an explanation
    slow: int = 0  # why the slow path is to do it, in the original: SLOW_*
    failure: str = ""  # why the translation has failed, if so: then there are no actions
    complaints: tuple[Complaint, ...] = ()  # what the log is to say of the packet; without an explanation


# ---- the explanation: what nodes are about, and their kinds


class Visited(NamedTuple):
    """A lookup in a table of a bridge; `rule` None: no flow matches, or none was looked for."""

    bridge: str
    table: int
    rule: Rule | None


class Written(NamedTuple):
    """What an action has left in bits of a field."""

    field: str
    offset: int
    bits: int
    value: int


class Chosen(NamedTuple):
    """A bucket of a group."""

    group: Group
    bucket: int


BRIDGE = "bridge"
TABLE = "table"
BUCKET = "bucket"
THAW = "thaw"  # a walk resumes
ACTION = "action"
DETAIL = "detail"  # "-> ..."
WARNING = "warning"  # ">> ..."
ERROR = "error"  # ">>>> ... <<<<"


class Node:
    """A step of the explanation.

    `text` is its line; `what` is for those who ask further (docs/design/explanations.md): the name of a
    bridge, a Visited, Chosen or Written, a Frozen walk, an action, the actions of a set, an Unroll; None
    where the line says all there is.
    """

    __slots__ = ("children", "kind", "text", "what")

    def __init__(self, kind: str, text: str, what: object = None) -> None:
        self.kind = kind
        self.text = text
        self.what = what
        self.children: list[Node] = []
