"""Actions on the fields tun_metadata: where these lie is known only on the way, from the bridge's table."""

from typing import Any

from trunkline.flow import key as layout
from trunkline.model.fields import FIELD
from trunkline.ofproto.tunnel_options import number_of
from trunkline.openflow import actions as a
from trunkline.openflow.action_words import subfield_text
from trunkline.translate import fields, stack
from trunkline.translate.fields import Part
from trunkline.translate.walk import Walk

NAMING = (a.SetField, a.Load, a.Move, a.StackPush, a.StackPop, a.OutputRegister, a.DeleteField)
"""Actions that may name such a field."""


def names_option(part: object) -> bool:
    """Whether an action, or a part of one, names a field tun_metadata."""
    if isinstance(part, str):
        return part.startswith("tun_metadata")
    return isinstance(part, tuple) and any(names_option(one) for one in part)


def _part(x: Walk, name: str, offset: int, bits: int) -> Part | None:
    """A part of a field; None: no option is mapped to it any more."""
    number = number_of(name)
    if number is None:
        return fields.part(name, offset, bits)
    place = x.bridge.flows.options.place(number)
    if place is None:
        return None
    bits = max(min(bits, place.octets * 8 - offset), 0)
    shift = layout.OFFSET["tun_metadata"] + place.offset * 8 + offset
    title = subfield_text(name, offset, bits)
    if not offset and bits == place.octets * 8:
        title = subfield_text(name, 0, FIELD[name].bits)
    return Part(((1 << bits) - 1) << shift, shift, FIELD[name], False, title)


def _mark(x: Walk, name: str, there: bool = True) -> None:
    """The option is there from now on, or is not."""
    number = number_of(name)
    if number is not None:
        bit = layout.OFFSET["tun_metadata_present"] + number
        x.key = x.key & ~(1 << bit) | there << bit
        x.fresh &= ~(1 << bit)


def late(x: Walk, action: Any, _: object) -> bool | int | None:
    """Does an action of NAMING."""
    match action:
        case a.SetField(field=name, value=value, mask=mask):
            part = _part(x, name, 0, FIELD[name].bits)
            if part is not None:
                bits = mask << part.shift & part.mask
                fields.write(x, bits, value << part.shift & bits)
                _mark(x, name)
        case a.Load(field=name, offset=offset, bits=size, value=value):
            part = _part(x, name, offset, size)
            if part is not None:
                fields.write(x, part.mask, value << part.shift & part.mask)
                _mark(x, name)
        case a.Move():
            source = _part(x, action.source, action.source_offset, action.bits)
            target = _part(x, action.destination, action.destination_offset, action.bits)
            if source is not None and target is not None:
                fields.store(x, target, fields.read(x, source))
                _mark(x, action.destination)
        case a.StackPush():
            part = _part(x, *action)
            if part is not None:
                stack.push(x, part, None)
        case a.StackPop():
            part = _part(x, *action)
            if part is not None:
                stack.pop(x, part, None)
                _mark(x, action.field)
        case a.OutputRegister():
            part = _part(x, action.field, action.offset, action.bits)
            if part is not None:
                from trunkline.translate import destinations  # which imports what outputs need

                return destinations.to_register(x, part, action.max_len)
        case a.DeleteField(field=name):
            part = _part(x, name, 0, FIELD[name].bits)
            if part is not None:
                fields.write(x, part.mask, 0)
                _mark(x, name, there=False)
    return None
