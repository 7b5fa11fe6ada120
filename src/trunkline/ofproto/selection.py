"""Which flows a command or a request for statistics means."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from trunkline.flow.match import Match
from trunkline.model import openflow as of
from trunkline.ofproto.rules import MAX_PRIORITY, Rule, references
from trunkline.openflow.actions import Group
from trunkline.openflow.messages import FlowMod

DELETES: Final = (of.OFPFC_DELETE, of.OFPFC_DELETE_STRICT)


class Selection(NamedTuple):
    match: Match
    table: int = 255
    cookie: int = 0
    cookie_mask: int = 0
    out_port: int = of.OFPP_ANY
    out_group: int = of.OFPG_ANY

    @classmethod
    def meant_by(cls, message: FlowMod) -> "Selection":
        """What a modify or a delete means; only the latter asks where flows send to."""
        places = (message.out_port, message.out_group) if message.command in DELETES else ()
        return cls(message.match, message.table, message.cookie, message.cookie_mask, *places)


def among(rules: Iterator[Rule | None], selection: Selection) -> Iterator[Rule | None]:
    for rule in rules:
        if rule is None or chosen(rule, selection):
            yield rule


def chosen(rule: Rule, selection: Selection) -> bool:
    if rule.priority > MAX_PRIORITY:
        return False  # the switch's own
    if (rule.cookie ^ selection.cookie) & selection.cookie_mask:
        return False
    if selection.out_port != of.OFPP_ANY and not rule.outputs_to(selection.out_port):
        return False
    return selection.out_group == of.OFPG_ANY or (Group, selection.out_group) in references(rule.actions)
