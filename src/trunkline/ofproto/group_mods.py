"""What group-mods do, and what is told of groups.

A group-mod puts a whole new group where the old one was, so that translation, which holds on to groups,
never sees one half changed; the journal names it, and megaflows that have looked at it are translated again.
When a group goes, the flows that send to it go with it.  Source: OpenFlow 1.5.1 section 7.3.4.3.
"""

from typing import Final

from trunkline.model import openflow as of
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.fabric import group_token
from trunkline.ofproto.flow_mods import Refused
from trunkline.ofproto.groups import Group
from trunkline.ofproto.rules import age_nanoseconds
from trunkline.openflow import actions as a
from trunkline.openflow import groups as wire
from trunkline.openflow.messages import FlowRemoved

_ALL_TYPES: Final = 0xF
_CAPABILITIES: Final = 0x7  # weights, liveness, chaining
_ACTIONS10: Final = 0xFFF
_ACTIONS11: Final = sum(1 << number for number in (*range(11), *range(13, 25)))
_ACTIONS12: Final = sum(1 << number for number in (0, *range(15, 26)))


def apply(bridge: Bridge, mod: wire.GroupMod) -> list[FlowRemoved]:
    """Carries out a group-mod; returns what controllers are to be told.  Raises Refused."""
    groups = bridge.groups
    old = groups.get(mod.group)
    match mod.command:
        case wire.OFPGC_DELETE:
            return _delete(bridge, mod.group)
        case wire.OFPGC_ADD if old is not None:
            raise Refused("OFPGMFC_GROUP_EXISTS")
        case wire.OFPGC_ADD | wire.OFPGC_ADD_OR_MODIFY | wire.OFPGC_MODIFY:
            if mod.group > of.OFPG_MAX:
                raise Refused("OFPGMFC_INVALID_GROUP")
            if old is None and mod.command == wire.OFPGC_MODIFY:
                raise Refused("OFPGMFC_UNKNOWN_GROUP")
            group = Group(mod.group, mod.type, mod.buckets, mod.selection, bridge.clock.monotonic())
            if old is not None:
                group.created = old.created
        case _:
            if old is None:
                raise Refused("OFPGMFC_UNKNOWN_GROUP")
            insert = mod.command == wire.OFPGC_INSERT_BUCKET
            buckets = _with_more(old, mod) if insert else _with_fewer(old, mod)
            group = Group(mod.group, old.type, buckets, old.selection, bridge.clock.monotonic())
            group.created = old.created
            group.counters = old.counters
            known = {bucket.number: counters for bucket, counters in zip(old.buckets, old.of_buckets)}
            group.of_buckets = [
                known.get(bucket.number, fresh) for bucket, fresh in zip(buckets, group.of_buckets)
            ]
    groups[mod.group] = group
    bridge.fabric.changes.append(group_token(bridge.name, mod.group))
    return []


def _delete(bridge: Bridge, number: int) -> list[FlowRemoved]:
    told: list[FlowRemoved] = []
    for one in list(bridge.groups) if number == of.OFPG_ALL else [number]:
        if bridge.groups.pop(one, None) is not None:
            bridge.fabric.changes.append(group_token(bridge.name, one))
            told += bridge.flows.delete_users(a.Group, one)
    return told


def _with_more(group: Group, mod: wire.GroupMod) -> tuple[wire.Bucket, ...]:
    """The group's buckets with those of the group-mod, which go before the first, behind the last or behind
    the one that is named."""
    if mod.command_bucket == wire.BUCKET_FIRST:
        at = 0
    elif mod.command_bucket in (wire.BUCKET_LAST, wire.BUCKET_ALL):  # before 1.5 there is no saying where
        at = len(group.buckets)
    else:
        at = _place(group, mod.command_bucket) + 1
    numbers = {bucket.number for bucket in group.buckets}
    if any(bucket.number in numbers for bucket in mod.buckets):
        raise Refused("OFPGMFC_BUCKET_EXISTS")
    return group.buckets[:at] + mod.buckets + group.buckets[at:]


def _with_fewer(group: Group, mod: wire.GroupMod) -> tuple[wire.Bucket, ...]:
    if mod.command_bucket == wire.BUCKET_ALL:
        return ()
    if mod.command_bucket == wire.BUCKET_FIRST:
        return group.buckets[1:]
    if mod.command_bucket == wire.BUCKET_LAST:
        return group.buckets[:-1]
    at = _place(group, mod.command_bucket)
    return group.buckets[:at] + group.buckets[at + 1 :]


def _place(group: Group, number: int) -> int:
    for place, bucket in enumerate(group.buckets):
        if bucket.number == number:
            return place
    raise Refused("OFPGMFC_UNKNOWN_BUCKET")


def restore(bridge: Bridge, groups: dict[int, Group]) -> None:
    """Puts the groups back to what they were, when a bundle fails."""
    for number in set(groups) | set(bridge.groups):
        if bridge.groups.get(number) is not groups.get(number):
            bridge.fabric.changes.append(group_token(bridge.name, number))
    bridge.groups.clear()
    bridge.groups.update(groups)


# ---- what is told ----


def _chosen(bridge: Bridge, number: int) -> list[Group]:
    if number == of.OFPG_ALL:
        return list(bridge.groups.values())
    return [bridge.groups[number]] if number in bridge.groups else []


def statistics(bridge: Bridge, request: wire.GroupStatsRequest) -> wire.GroupStatsReply:
    bridge.fabric.refresh()
    now = bridge.clock.monotonic()
    return wire.GroupStatsReply(
        tuple(
            wire.GroupStats(
                group.id,
                bridge.flows.users(a.Group, group.id),
                group.counters.packets,
                group.counters.bytes,
                age_nanoseconds(now, group.created),
                tuple((counters.packets, counters.bytes) for counters in group.of_buckets),
            )
            for group in _chosen(bridge, request.group)
        )
    )


def descriptions(bridge: Bridge, request: wire.GroupDescriptionRequest) -> wire.GroupDescriptionReply:
    return wire.GroupDescriptionReply(
        tuple(
            wire.GroupDescription(group.id, group.type, group.buckets, group.selection)
            for group in _chosen(bridge, request.group)
        )
    )


def features(version: int) -> wire.GroupFeaturesReply:
    actions = _ACTIONS10 if version == 1 else _ACTIONS11 if version == 2 else _ACTIONS12
    return wire.GroupFeaturesReply(_ALL_TYPES, _CAPABILITIES, (of.OFPG_MAX,) * 4, (actions,) * 4)
