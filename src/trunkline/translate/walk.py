"""The state of one translation: the packet's key as the actions have left it, and what is known of the rest.

Three ints carry the packet.  `key` is what the pipeline sees now; `base` is what the datapath's packet looks
like after the datapath actions that have been put out so far; their difference is put out, as set, push and
pop, when a packet leaves (`commit`).  `fresh` marks the bits of `key` that are still the packet's own: only
these, when somebody looks at them, make the megaflow narrower.
"""

from collections.abc import Callable, Hashable
from typing import Any, Final

from trunkline.dpif.actions import Hash
from trunkline.flow import key as layout
from trunkline.flow.classifier import ALWAYS
from trunkline.model.openflow import OFPR_ACTION
from trunkline.ofproto.bridge import Bridge
from trunkline.openflow.actions import Action, Controller
from trunkline.packet.tunnels import TUNNEL
from trunkline.translate.commit import DEEPER, VLANS, Pending, commit, tag_bits, tags_of
from trunkline.translate.result import (
    DETAIL,
    ERROR,
    WARNING,
    Complaint,
    Effect,
    Node,
    Recirculation,
    TableRead,
    Unroll,
)

PACKET: Final = layout.PACKET
OUTER: Final = layout.bits("vlan_tci", "vlan_tpid")
IN_PORT: Final = layout.MASK["in_port"]
FRAGMENT: Final = layout.MASK["nw_frag"]
EVERY: Final = (1 << layout.BITS) - 1 | DEEPER
"""The bits of a walk's key."""
COMMITTED: Final = (PACKET | DEEPER) & ~(
    TUNNEL
    | layout.bits("dp_in_port", "recirc_id", "dp_hash", "packet_type")
    | layout.bits("ct_state", "ct_zone", "ct_mark", "ct_label")
    | layout.bits("ct_src", "ct_dst", "ct_tp_src", "ct_tp_dst", "ct_proto")
)
"""What is put out when a packet leaves: not what tunnels, tracking and recirculation put out themselves."""
NO_COOKIE: Final = (1 << 64) - 1
MAX_DEPTH: Final = 64
RECURSION: Final = ("Recursion too deep", "Too many resubmits")
"""Failures that end the whole; another one ends the bucket of a group that it happens in."""
MAX_LOOKUPS: Final = 4096

__all__ = ["VLANS", "Walk", "tag_bits", "tags_of"]
Tags = tuple[tuple[int, int], ...]
"""VLAN tags, outermost first, as (TPID, TCI); the TCI has its CFI bit set."""


class Walk:
    """One translation on its way."""

    __slots__ = (
        "action_set",
        "arrived",
        "base",
        "bridge",
        "bucket_at",
        "came",
        "compile",
        "complaints",
        "conntracked",
        "cookie",
        "depth",
        "effects",
        "entry",
        "exit",
        "failure",
        "followed",
        "fragment",
        "frame",
        "freezing",
        "fresh",
        "key",
        "left",
        "left_of",
        "looked_up",
        "lookups",
        "misses",
        "onward",
        "out",
        "pause",
        "pending",
        "reads",
        "reason",
        "rule",
        "slow",
        "stack",
        "table",
        "telling",
        "tracked",
        "truncate",
        "visit",
        "was_mpls",
        "why",
        "wild",
    )

    def __init__(
        self,
        bridge: Bridge,
        key: int,
        visit: "Callable[[Walk, int, int], None]",
        compile: Callable[[tuple[Any, ...]], tuple[Any, ...]],
        why: list[Node] | None,
    ) -> None:
        self.bridge = self.entry = bridge
        self.key = self.base = key
        self.arrived = key  # as the packet came in
        self.fragment = key & FRAGMENT != 0  # no action makes one of another packet
        self.fresh = PACKET
        self.wild = ALWAYS
        self.out: list[Any] = []
        self.complaints: tuple[Complaint, ...] = ()  # for the log, when nothing is explained
        self.effects: list[Effect] = []
        self.reads: list[Hashable] = []
        self.looked_up: list[TableRead] = []
        self.depth = 0
        self.exit = False  # an exit action was met: the whole translation ends
        self.lookups = 0  # counted towards the limit: those in tables, and buckets of groups
        self.misses = True  # whether anybody is told if the next lookup finds no rule
        self.table = 0
        self.onward = (0, 0)  # table and key of the next lookup, when a rule ends in one
        self.rule: Any = None
        self.cookie = NO_COOKIE  # of the rule, or where the walk was resumed of that which it had then
        self.stack: tuple[int, ...] = ()
        self.action_set: tuple[Action, ...] = ()
        self.conntracked = False
        self.tracked = False  # the packet came back from connection tracking, and no ct has followed
        self.reason = OFPR_ACTION  # why controllers get what is output to them
        self.bucket_at = (-1, 0)  # depth and table of the bucket that is being done
        self.slow = 0  # why the slow path is to handle such packets: bits of result.SLOW_*
        self.failure = ""  # why the whole translation has failed
        self.was_mpls = False  # the last label is off, and what is under it is not known
        self.freezing = False  # the walk stops; see frozen.py
        self.visit = visit
        self.compile = compile
        self.came = key  # likewise, also while another packet is made of it
        self.truncate = 0  # what is sent next is cut to so many bytes
        self.followed: tuple[Recirculation, ...] = ()
        self.why = why
        self.left: tuple[Action | Unroll, ...] = ()
        self.left_of: tuple[int, int] | None = None
        self.pause: Controller | Hash | None = None
        self.pending: Pending | None = None  # a header to go on or off (encap.py)
        self.telling = False  # the effects will take place, so the explanation may name them
        self.frame: bytes | None = None  # the packet, where the explanation tells what is in it

    def look(self, bits: int) -> None:
        """The decision that follows depends on these bits of the key."""
        self.wild |= bits & self.fresh

    def set(self, bits: int, value: int) -> None:
        """Changes packet fields.  What was there counts as looked at: if it is equal, nothing is put out."""
        own, key = bits & self.fresh, self.key
        self.wild |= own
        self.fresh ^= own
        self.key = key ^ key & bits | value

    def note(self, text: str) -> None:
        if self.why is not None:
            self.why.append(Node(DETAIL, text))

    def warn(self, text: str) -> None:
        if self.why is not None:
            self.why.append(Node(WARNING, text))

    def inform(self, text: str) -> None:
        """A warning that is also logged, as a word of information."""
        if self.why is not None:
            self.why.append(Node(WARNING, text))
        else:
            self.complaints += (Complaint(text, self.bridge, self.base, False),)

    def error(self, text: str) -> None:
        """What is wrong with a packet: said in the explanation, or else logged."""
        if self.why is not None:
            self.why.append(Node(ERROR, text))
        else:
            self.complaints += (Complaint(text, self.bridge, self.base),)

    def fail(self, why: str, text: str = "") -> bool:
        """Ends the whole translation: its packets are dropped."""
        if text:
            self.error(text)
        self.failure = why
        self.exit = True
        return True

    def set_tags(self, tags: Tags) -> None:
        """Gives the packet these tags, `MAX_TAGS` at most; lookups see the outer two."""
        self.wild |= VLANS & self.fresh
        self.fresh &= ~VLANS
        self.key = self.key & ~VLANS | tag_bits(tags)

    def commit(self) -> None:
        """Puts out what makes the datapath's packet equal to the key."""
        if (self.key ^ self.base) & COMMITTED or self.pending is not None:
            commit(self)
