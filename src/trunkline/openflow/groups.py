"""Groups: their messages as records, on the wire, and as text.

A group is a number, a type and an ordered list of buckets, each with actions of its own.  OpenFlow 1.1 brought
groups; 1.5 numbered buckets, so that one can be inserted or removed, and gave groups properties, of which the
one in use says how a select group chooses a bucket.  For 1.0 there are Nicira messages of 1.5's layout.
"""

from typing import NamedTuple

from trunkline.model.openflow import OFPG_ALL, OFPG_ANY, OFPP_ANY
from trunkline.openflow.actions import Action

BUCKET_MAX = 0xFFFFFF00  # larger numbers are reserved
BUCKET_FIRST = 0xFFFFFFFD
BUCKET_LAST = 0xFFFFFFFE
BUCKET_ALL = 0xFFFFFFFF


class Bucket(NamedTuple):
    """`weight` is for select groups; the watched port or group says whether a bucket is alive (fast failover).

    `number` names the bucket (1.5); before 1.5 buckets are numbered in their order.
    """

    actions: tuple[Action, ...] = ()
    weight: int = 1
    watch_port: int = OFPP_ANY
    watch_group: int = OFPG_ANY
    number: int = BUCKET_ALL


class Selection(NamedTuple):
    """How a select group chooses: `method` "" is the switch's own choice, else ``hash`` or ``dp_hash``.

    `fields` are (name of the field, mask of the bits that count), for ``hash``.
    """

    method: str = ""
    parameter: int = 0
    fields: tuple[tuple[str, int], ...] = ()


class GroupMod(NamedTuple):
    """`command` is OFPGC_*, `type` OFPGT_*.  `command_bucket` says where buckets go in, or which go (1.5)."""

    command: int
    group: int
    type: int = 0
    buckets: tuple[Bucket, ...] = ()
    command_bucket: int = BUCKET_ALL
    selection: Selection = Selection()


class GroupStatsRequest(NamedTuple):
    group: int = OFPG_ALL


class GroupStats(NamedTuple):
    """`buckets` holds (packets, bytes) of each.  Counters are None where unknown; `duration` too (before 1.3)."""

    group: int
    references: int
    packets: int | None
    bytes: int | None
    duration: int | None = None
    buckets: tuple[tuple[int | None, int | None], ...] = ()


class GroupStatsReply(NamedTuple):
    groups: tuple[GroupStats, ...]
    more: bool = False


class GroupDescriptionRequest(NamedTuple):
    group: int = OFPG_ALL


class GroupDescription(NamedTuple):
    group: int
    type: int
    buckets: tuple[Bucket, ...]
    selection: Selection = Selection()


class GroupDescriptionReply(NamedTuple):
    groups: tuple[GroupDescription, ...]
    more: bool = False


class GroupFeaturesRequest(NamedTuple):
    pass


class GroupFeaturesReply(NamedTuple):
    """`types` and `capabilities` are bits; most groups and action bits for each type in order of OFPGT_*."""

    types: int
    capabilities: int
    most: tuple[int, int, int, int]
    actions: tuple[int, int, int, int]
