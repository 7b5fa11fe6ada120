"""Actions on the fields tun_metadata: where these lie is known only on the way, from the bridge's table."""

from typing import Any

from trunkline.flow import key as layout
from trunkline.flow.match import TunnelOption
from trunkline.model.fields import FIELD
from trunkline.ofproto.tunnel_options import number_of
from trunkline.openflow import actions as a
from trunkline.openflow.action_words import subfield_text
from trunkline.translate import fields, stack
from trunkline.translate.fields import Part
from trunkline.translate.walk import Walk

NAMING = (
    *(a.SetField, a.Load, a.Move, a.StackPush, a.StackPop, a.OutputRegister, a.DeleteField),
    *(a.Multipath, a.Bundle),
)
"""Actions that name such a field as what they read or write, and do nothing else with fields."""


def names_option(part: object) -> bool:
    """Whether an action, or a part of one, names a field tun_metadata."""
    if isinstance(part, str):
        return part.startswith("tun_metadata")
    return isinstance(part, tuple) and any(names_option(one) for one in part)


def whole(x: Walk, text: str) -> str:
    """An action's text, where fields tun_metadata are whole that are named from end to end."""
    for name, width in x.bridge.flows.options.widths.items():
        title = subfield_text(name, 0, FIELD[name].bits)
        text = text.replace(f"{title[:-2]}[0..{width - 1}]", title).replace(f"{title}=0", f"{name}=0")
    return text


def place_of(x: Walk, name: str) -> TunnelOption | None:
    """Where the bridge's table has an option, if the field is one."""
    number = number_of(name)
    return None if number is None else x.bridge.flows.options.place(number)


def part(x: Walk, name: str, offset: int, bits: int) -> Part | None:
    """A part of a field of any kind; None: of an option that is not mapped any more."""
    if number_of(name) is None:
        return fields.part(name, offset, bits)
    place = place_of(x, name)
    if place is None:
        return None
    bits = max(min(bits, place.octets * 8 - offset), 0)
    shift = layout.OFFSET["tun_metadata"] + place.offset * 8 + offset
    title = subfield_text(name, offset, bits)
    if not offset and bits == place.octets * 8:
        title = subfield_text(name, 0, FIELD[name].bits)
    return Part(((1 << bits) - 1) << shift, shift, FIELD[name], False, title, offset, bits, False)


def mark(x: Walk, name: str, there: bool = True) -> None:
    """The option is there from now on, or is not."""
    number = number_of(name)
    if number is not None:
        bit = layout.OFFSET["tun_metadata_present"] + number
        x.key = x.key & ~(1 << bit) | there << bit
        x.fresh &= ~(1 << bit)


def late(x: Walk, action: Any, _: object) -> bool | int | None:
    """Does an action of NAMING."""
    match action:
        case a.SetField(field=name, value=value, mask=under):
            place = part(x, name, 0, FIELD[name].bits)
            if place is not None:
                bits = under << place.shift & place.mask
                fields.write(x, bits, value << place.shift & bits)
                mark(x, name)
        case a.Load(field=name, offset=offset, bits=size, value=value):
            place = part(x, name, offset, size)
            if place is not None:
                fields.write(x, place.mask, value << place.shift & place.mask)
                mark(x, name)
        case a.Move():
            source = part(x, action.source, action.source_offset, action.bits)
            target = part(x, action.destination, action.destination_offset, action.bits)
            if source is not None and target is not None:
                fields.store(x, target, fields.read(x, source))
                mark(x, action.destination)
        case a.StackPush():
            place = part(x, *action)
            if place is not None:
                stack.push(x, place, None)
        case a.StackPop():
            place = part(x, *action)
            if place is not None:
                stack.pop(x, place, None)
                mark(x, action.field)
        case a.OutputRegister():
            place = part(x, action.field, action.offset, action.bits)
            if place is not None:
                from trunkline.translate import destinations  # which imports what outputs need

                return destinations.to_register(x, place, action.max_len)
        case a.DeleteField(field=name):
            if place_of(x, name) is not None:  # what was in it can still be read, as in the original
                mark(x, name, there=False)
                x.note(f"delete {name}")
        case a.Multipath(destination=target):
            from trunkline.translate import hashing

            place = part(x, *target)
            if place is not None:
                hashing.multipath(x, action, place)
                mark(x, target.field)
        case a.Bundle(destination=target) if target is not None:
            from trunkline.translate import hashing

            place = part(x, *target)
            if place is not None:
                hashing.bundle(x, action, place)
                mark(x, target.field)
    return None
