"""Packets to controllers: the datapath hands them up as they are at this point, with the walk's state."""

from typing import Final

from trunkline.model.openflow import OFPR_ACTION, OFPR_EXPLICIT_MISS, OFPR_GROUP, OFPR_PACKET_OUT
from trunkline.openflow.actions import Controller
from trunkline.translate.frozen import CARRIED, freeze, stop
from trunkline.translate.result import SendToController
from trunkline.translate.userspace import to_controller
from trunkline.translate.walk import Walk

ALL_OF_IT: Final = 0xFFFF


def punt(x: Walk, max_length: int, reason: int, controller_id: int = 0, userdata: bytes = b"") -> None:
    """A packet-in for the controllers with that id."""
    x.commit()
    number = freeze(x, x.table, (), userdata)
    what = SendToController(
        x.bridge,
        reason,
        x.table,
        x.cookie,
        controller_id,
        max_length,
        userdata,
        x.key & CARRIED,
        x.tracked,
        number,
    )
    to_controller(x, what)


def output_controller(x: Walk, max_length: int, _: object) -> None:
    """output:CONTROLLER; in a table that a bucket goes on to, which is another or deeper, as in any other."""
    grouped = (x.depth, x.table) == x.bucket_at and x.reason != OFPR_PACKET_OUT
    punt(x, max_length, OFPR_GROUP if grouped else x.reason)


def output_miss(x: Walk, max_length: int, _: object) -> None:
    """output:CONTROLLER in the flow for packets that no other flow matches."""
    punt(x, max_length, OFPR_EXPLICIT_MISS if x.reason == OFPR_ACTION else x.reason)


def controller(x: Walk, action: Controller, _: object) -> bool:
    """controller(...); with `pause` the walk goes on when the controller says so."""
    if action.pause:
        stop(x, action)
        return True
    punt(x, action.max_len, action.reason, action.controller_id, action.userdata or b"")
    return False
