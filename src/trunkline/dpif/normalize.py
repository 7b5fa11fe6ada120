"""Datapath actions in a form in which two lists that mean the same look the same: ``normalize-actions``.

Outputs in a row do not care for their order, so they are sorted.  Tags and labels that come and go are
followed rather than shown: what is done to the packet while it carries the same tags and the same label
stands in one group, named after these.
"""

from typing import Any, Final, NamedTuple

from trunkline.dpif import actions as a
from trunkline.dpif.action_text import format_actions
from trunkline.flow.key import get

_MOST_TAGS: Final = 2  # that a key holds


class _Tags(NamedTuple):
    """The tags, outermost first: (TPID, TCI); the label stack entry on top, or None."""

    tags: tuple[tuple[int, int], ...]
    label: int | None


def normalized(key: int, actions: tuple[Any, ...]) -> str:
    """The groups in the order of their tags, one behind the other."""
    tags = tuple(
        (get(key, tpid), get(key, tci))
        for tci, tpid in (("vlan_tci", "vlan_tpid"), ("vlan1_tci", "vlan1_tpid"))
        if get(key, tci)
    )
    label = get(key, "mpls0") if get(key, "dl_type") in (0x8847, 0x8848) else None
    now = _Tags(tags, label)
    groups: dict[_Tags, list[Any]] = {}
    if not actions:
        groups[now] = []
    for action in actions:
        if isinstance(action, a.PushVlan):
            now = now._replace(tags=((action.tpid, action.tci), *now.tags)[:_MOST_TAGS])
        elif isinstance(action, a.PopVlan):
            now = now._replace(tags=now.tags[1:])
        elif isinstance(action, a.PushMpls):
            now = now._replace(label=action.entry)
        elif isinstance(action, a.PopMpls):
            now = now._replace(label=None)
        else:
            groups.setdefault(now, []).append(action)
    return "".join(_group(tags, groups[tags], key) for tags in sorted(groups, key=_order))


def _order(tags: _Tags) -> tuple[Any, ...]:
    return tuple(tci for _, tci in tags.tags), tags.label if tags.label is not None else -1


def _group(tags: _Tags, actions: list[Any], key: int) -> str:
    text = "".join(f"vlan({_tag(*one)}): " for one in tags.tags) or "no vlan: "
    if tags.label is None:
        text += "no mpls: "
    else:
        text += f"mpls(label={tags.label >> 12},tc={tags.label >> 9 & 7},ttl={tags.label & 255}): "
    return text + format_actions(tuple(_sorted(actions)), key=key)


def _tag(tpid: int, tci: int) -> str:
    other = f"tpid={_swapped(tpid):#06x}," if tpid not in (0, 0x8100) else ""
    return f"{other}vid={tci & 0xFFF},pcp={tci >> 13}"


def _swapped(tpid: int) -> int:
    """The original shows the bytes of a type in the machine's order here."""
    return tpid >> 8 | (tpid & 0xFF) << 8


def _sorted(actions: list[Any]) -> list[Any]:
    """The actions with each run of outputs in the order of their ports."""
    done: list[Any] = []
    run: list[Any] = []
    for action in [*actions, None]:
        if isinstance(action, a.Output):
            run.append(action)
            continue
        done += sorted(run, key=lambda one: one.port)
        run.clear()
        if action is not None:
            done.append(action)
    return done
