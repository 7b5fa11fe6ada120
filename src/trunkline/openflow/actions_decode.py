"""Actions from the wire.  What is wrong raises DecodeError with the error that a switch answers."""

from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from struct import error as StructError
from typing import Any, Final

from trunkline.model.fields import FIELD, Field
from trunkline.model.openflow import OFPP_IN_PORT, OFPP_MAX
from trunkline.model.openflow_messages import NICIRA_EXPERIMENTER, ONF_EXPERIMENTER
from trunkline.openflow import action_ct, action_encap, action_hash, action_learn, oxm
from trunkline.openflow import actions as a
from trunkline.openflow.action_numbers import (
    ENQUEUE,
    EXPERIMENTER,
    HEAD,
    HH,
    NICIRA_BOUNDS,
    NICIRA_BY_NUMBER,
    ONF_BOUNDS,
    OUTPUT11,
    STANDARD_BY_NUMBER,
)
from trunkline.openflow.action_order import DEEPEST, disorder
from trunkline.openflow.wire import DecodeError, port_from_wire

# ---- reading ----


Read = Callable[[bytes, int], tuple[a.Action, ...]]
SHORT: Final = 256  # bytes of actions, beyond which what was read is not kept


def shared(read: Read, data: bytes, version: int) -> tuple[a.Action, ...]:
    """What `read` (`decode_actions`, or `decode_instructions`) makes of `data`.  Raises DecodeError.

    Many flows do the same: what was read lately is kept, so that they share one tuple.
    """
    return _shared(read, data, version) if len(data) <= SHORT else read(data, version)


@lru_cache(maxsize=4096)
def _shared(read: Read, data: bytes, version: int) -> tuple[a.Action, ...]:
    return read(data, version)


def decode_actions(data: bytes, version: int) -> tuple[a.Action, ...]:
    """The list of actions in `data`.  Raises DecodeError."""
    actions: list[a.Action] = []
    position, size = 0, len(data)
    if size % 8:
        raise DecodeError("OFPBRC_BAD_LEN")
    while position < size:
        if size - position < 8:
            raise DecodeError("OFPBAC_BAD_LEN")
        number, length = HEAD.unpack_from(data, position)
        try:
            _check_length(data, position, number, length, version)
            if length < 8 or length % 8 or position + length > size:
                raise DecodeError("OFPBAC_BAD_LEN")
            actions.append(_decode_action(data, position, number, length, version))
        except StructError:
            raise DecodeError("OFPBAC_BAD_LEN") from None
        position += length
    return tuple(actions)


def _check_length(data: bytes, position: int, number: int, length: int, version: int) -> None:
    """An action that is unknown is refused as that, whatever its length."""
    if number == 0xFFFF:
        if len(data) - position < 10:
            raise DecodeError("OFPBAC_BAD_LEN")
        _, _, experimenter, subtype = EXPERIMENTER.unpack_from(data, position)
        families = {NICIRA_EXPERIMENTER: NICIRA_BOUNDS, ONF_EXPERIMENTER: ONF_BOUNDS}
        if experimenter not in families:
            raise DecodeError("OFPBAC_BAD_VENDOR", f"experimenter 0x{experimenter:x}")
        bounds = families[experimenter].get(subtype)
        if bounds is None or not bounds.first <= version <= bounds.last:
            raise DecodeError("OFPBAC_BAD_VENDOR_TYPE", f"action subtype {subtype}")
        if not bounds.shortest <= length <= bounds.longest:
            raise DecodeError("OFPBAC_BAD_LEN")
    elif (version, number) not in STANDARD_BY_NUMBER and not _is_special(version, number):
        raise DecodeError("OFPBAC_BAD_TYPE", f"action type {number}")


def _is_special(version: int, number: int) -> bool:
    """Standard actions with layouts of their own: output, enqueue, set_field and copy_field."""
    return (
        number == 0
        or (number == 11 and version == 1)
        or (number == 25 and version >= 3)
        or (number == 28 and version >= 6)
    )


def _decode_action(data: bytes, position: int, number: int, length: int, version: int) -> a.Action:
    if number == 0:
        return _decode_output(data, position, length, version)
    plain = STANDARD_BY_NUMBER.get((version, number))
    if plain is not None:
        layout, make = plain
        if layout.size != length:
            raise DecodeError("OFPBAC_BAD_LEN")
        action = make(*layout.unpack_from(data, position)[2:])
        return _checked(action)
    if number == 0xFFFF:
        return _decode_experimenter(data, position, length, version)
    if number == 11 and version == 1:
        _, size, port, queue = ENQUEUE.unpack_from(data, position)
        if size != 16:
            raise DecodeError("OFPBAC_BAD_LEN")
        if port >= OFPP_MAX and port not in (OFPP_IN_PORT, 0xFFFE):
            raise DecodeError("OFPBAC_BAD_OUT_PORT")
        return a.Enqueue(port, queue)
    if number == 25 and version >= 3:
        return _decode_set_field(data, position, length, version)
    if number == 28 and version >= 6:
        return _decode_copy_field(data, position, length, 4)
    raise DecodeError("OFPBAC_BAD_TYPE", f"action type {number}")


def _checked(action: a.Action) -> a.Action:
    """Refuses arguments that no packet could take."""
    if isinstance(action, a.SetVlanVid) and action.vid > 0xFFF:
        raise DecodeError("OFPBAC_BAD_ARGUMENT")
    if isinstance(action, a.Sample) and not action.probability:
        raise DecodeError("OFPBAC_BAD_ARGUMENT")
    if isinstance(action, a.SetVlanPcp) and action.pcp > 7:
        raise DecodeError("OFPBAC_BAD_ARGUMENT")
    if isinstance(action, a.SetIpDscp) and action.tos & 3:
        raise DecodeError("OFPBAC_BAD_ARGUMENT")
    if isinstance(action, a.SetIpEcn) and action.ecn > 3:
        raise DecodeError("OFPBAC_BAD_ARGUMENT")
    if isinstance(action, a.PushVlan) and action.ethertype not in (0x8100, 0x88A8):
        raise DecodeError("OFPBAC_BAD_ARGUMENT")
    if isinstance(action, a.PushMpls) and action.ethertype not in (0x8847, 0x8848):
        raise DecodeError("OFPBAC_BAD_ARGUMENT")
    return action


def _decode_output(data: bytes, position: int, length: int, version: int) -> a.Action:
    if version == 1:
        if length != 8:
            raise DecodeError("OFPBAC_BAD_LEN")
        port, max_len = HH.unpack_from(data, position + 4)
    else:
        if length != 16:
            raise DecodeError("OFPBAC_BAD_LEN")
        _, _, wide, max_len = OUTPUT11.unpack_from(data, position)
        port = port_from_wire(wide)
    return output(port, max_len)


def output(port: int, max_len: int) -> a.Output:
    """An output; the length matters to the controller alone.  Raises DecodeError for no port at all."""
    if port >= OFPP_MAX and (port < OFPP_IN_PORT or port == 0xFFFF):
        raise DecodeError("OFPBAC_BAD_OUT_PORT")
    return a.Output(port, max_len if port == 0xFFFD else 0)


def _decode_set_field(data: bytes, position: int, length: int, version: int) -> a.Action:
    field, value, mask, end = _set_field_entry(data, position + 4)
    octets = _octets(data, position + 4)
    _check_bits(field.name, value, mask)
    if mask is not None and version < _MASKED_SET_FIELD:
        raise DecodeError("OFPBAC_BAD_SET_MASK", field.name)
    if end > position + length or any(data[end : position + length]):
        raise DecodeError("OFPBAC_BAD_SET_LEN" if end > position + length else "OFPBAC_BAD_SET_ARGUMENT")
    _check_fit(field, value, mask)
    return _set_field(field.name, value, mask, octets)


_MASKED_SET_FIELD: Final = 6  # the first version whose set_field has masks: 1.5


def _check_bits(name: str, value: int, mask: int | None) -> None:
    if mask is not None and value & ~mask:
        raise DecodeError("OFPBMC_BAD_WILDCARDS", name)


_POSSIBLE: Final = {"nsh_ttl": 0x3F}  # bits that a value of a field may have, where matches look at more


def _check_fit(field: Field, value: int, mask: int | None) -> None:
    """Refuses what the standard action may not set, under a mask or not: no value that the field can have."""
    no_tag = field.name == "vlan_vid" and not value & 0x1000  # a tag cannot be taken away so
    no_port = field.name == "in_port_oxm" and mask is not None  # parts of ports are no ports
    possible = field.matched if field.matched is not None else _POSSIBLE.get(field.name, -1)
    if no_tag or no_port or value & ~possible:
        raise DecodeError("OFPBAC_BAD_SET_ARGUMENT", field.name)


def _octets(data: bytes, position: int) -> int:
    """How many bytes the value of the entry at `position` has."""
    return data[position + 3] >> (data[position + 2] & 1)


def _set_field_entry(data: bytes, position: int) -> tuple[Field, int, int | None, int]:
    try:
        return oxm.decode_entry(data, position)
    except DecodeError as error:
        empty = data[position + 3 : position + 4] == b"\0"
        raise DecodeError(f"OFPBAC_BAD_SET_{'TYPE' if empty else 'LEN'}", error.detail) from None


def _set_field(name: str, value: int, mask: int | None, octets: int) -> a.Action:
    field = FIELD[name]
    if not field.writable:
        raise DecodeError("OFPBAC_BAD_SET_ARGUMENT", name)
    ones = (1 << field.bits) - 1
    wide = (1 << field.octets * 8) - 1
    if name.startswith("tun_metadata"):
        return a.SetField(name, value, ones if mask is None else mask, octets=octets)
    if name in ("in_port_oxm", "actset_output"):
        value = port_from_wire(value)
    if value & ~ones:
        raise DecodeError("OFPBAC_BAD_SET_ARGUMENT", name)
    if mask is None:
        return a.SetField(name, value & ones, ones)
    return a.SetField(name, value & mask, mask & ones, mask & ones == ones and mask != wide)


def _decode_copy_field(data: bytes, position: int, length: int, skip: int) -> a.Action:
    bits, source_offset, destination_offset = Struct("!HHH2x").unpack_from(data, position + skip)
    source, at = oxm.decode_header(data, position + skip + 8)
    destination, _ = oxm.decode_header(data, at)
    return _checked_move(source.name, source_offset, destination.name, destination_offset, bits)


def _checked_move(
    source: str, source_offset: int, destination: str, destination_offset: int, bits: int
) -> a.Move:
    for name, offset in ((source, source_offset), (destination, destination_offset)):
        if not bits or offset + bits > oxm.width(name):
            raise DecodeError("OFPBAC_BAD_SET_LEN", name)
    if not FIELD[destination].writable:
        raise DecodeError("OFPBAC_BAD_SET_ARGUMENT", destination)
    return a.Move(source, source_offset, destination, destination_offset, bits)


_WRITE_METADATA: Final = 22


def _decode_experimenter(data: bytes, position: int, length: int, version: int) -> a.Action:
    _, _, experimenter, subtype = EXPERIMENTER.unpack_from(data, position)
    if experimenter == ONF_EXPERIMENTER:
        return _decode_copy_field(data, position, length, 12)
    plain = NICIRA_BY_NUMBER.get(subtype)
    start = position + 10
    if subtype == _WRITE_METADATA:
        _must_be_zero(data[start : start + 6])
        if version > 1:
            raise DecodeError("OFPBIC_UNSUP_INST")  # it has an instruction of its own
    if plain is not None:
        layout, make = plain
        if layout.size + 10 != length:
            raise DecodeError("OFPBAC_BAD_LEN")
        return _checked(make(*layout.unpack_from(data, start)))
    special = _NICIRA_DECODE.get(subtype)
    body = data[start : position + length]
    if special is not None:
        return special(body, version)
    raise DecodeError("OFPBAC_BAD_VENDOR_TYPE", f"action subtype {subtype}")


def _decode_resubmit(body: bytes, version: int) -> a.Action:
    return a.Resubmit(HH.unpack_from(body)[0], 255)


def _decode_resubmit_table(body: bytes, version: int) -> a.Action:
    if any(body[3:]):
        raise DecodeError("OFPBAC_BAD_ARGUMENT")
    return a.Resubmit(int.from_bytes(body[:2], "big"), body[2])


def _decode_resubmit_ct(body: bytes, version: int) -> a.Action:
    if any(body[3:]):
        raise DecodeError("OFPBAC_BAD_ARGUMENT")
    return a.Resubmit(int.from_bytes(body[:2], "big"), body[2], True)


def _decode_move(body: bytes, version: int) -> a.Action:
    bits, source_offset, destination_offset = Struct("!HHH").unpack_from(body)
    source, at = oxm.decode_header(body, 6)
    destination, _ = oxm.decode_header(body, at)
    return _checked_move(source.name, source_offset, destination.name, destination_offset, bits)


def _decode_load(body: bytes, version: int) -> a.Action:
    packed = int.from_bytes(body[:2], "big")
    field, at = oxm.decode_header(body, 2, "OFPBAC_BAD_SET_TYPE")
    (value,) = Struct("!Q").unpack_from(body, at)
    offset, bits = packed >> 6, (packed & 0x3F) + 1
    if offset + bits > oxm.width(field.name):
        raise DecodeError("OFPBAC_BAD_SET_LEN", field.name)
    if not field.writable:
        raise DecodeError("OFPBAC_BAD_SET_ARGUMENT", field.name)
    if value >> bits:
        raise DecodeError("OFPBAC_BAD_ARGUMENT", field.name)
    return a.Load(field.name, offset, bits, value)


def _decode_load2(body: bytes, version: int) -> a.Action:
    field, value, mask, _ = _set_field_entry(body, 0)
    _check_bits(field.name, value, mask)
    return _set_field(field.name, value, mask, _octets(body, 0))


def _decode_note(body: bytes, version: int) -> a.Action:
    return a.Note(body)


def _decode_stack(make: Callable[[str, int, int], a.Action]) -> Callable[[bytes, int], a.Action]:
    def decode(body: bytes, version: int) -> a.Action:
        field, at = oxm.decode_header(body, 2)
        offset, bits = int.from_bytes(body[:2], "big"), int.from_bytes(body[at : at + 2], "big")
        _must_be_zero(body[at + 2 :])
        if not bits or offset + bits > oxm.width(field.name):
            raise DecodeError("OFPBAC_BAD_SET_LEN", field.name)
        if make is a.StackPop and not field.writable:
            raise DecodeError("OFPBAC_BAD_SET_ARGUMENT", field.name)
        return make(field.name, offset, bits)

    return decode


def _decode_output_register(body: bytes, version: int) -> a.Action:
    if any(body[8:]):
        raise DecodeError("OFPBAC_BAD_ARGUMENT")
    packed = int.from_bytes(body[:2], "big")
    field, at = oxm.decode_header(body, 2, "OFPBAC_BAD_SET_TYPE")
    offset, bits = packed >> 6, (packed & 0x3F) + 1
    if offset + bits > oxm.width(field.name):
        raise DecodeError("OFPBAC_BAD_SET_LEN", field.name)
    return a.OutputRegister(field.name, offset, bits, int.from_bytes(body[at : at + 2], "big"))


def _decode_output_register2(body: bytes, version: int) -> a.Action:
    packed, max_len = HH.unpack_from(body)
    field, end = oxm.decode_header(body, 4)
    _must_be_zero(body[end:])
    return a.OutputRegister(field.name, packed >> 6, (packed & 0x3F) + 1, max_len)


def _decode_controller(body: bytes, version: int) -> a.Action:
    max_len, controller_id, reason = Struct("!HHB").unpack_from(body)
    return a.Controller(max_len, controller_id, reason)


def _decode_controller2(body: bytes, version: int) -> a.Action:
    fields: dict[str, Any] = {"userdata": b""}  # even without any: this is the second form
    at = 6
    _must_be_zero(body[:6])
    while len(body) - at >= 4:
        kind, size = HH.unpack_from(body, at)
        if size < 4 or at + size > len(body):
            raise DecodeError("OFPBPC_BAD_LEN")
        value = body[at + 4 : at + size]
        if kind == 3:
            fields["userdata"] = value
        elif kind == 4:
            fields["pause"] = True
        elif kind in (0, 1):
            fields[("max_len", "controller_id")[kind]] = int.from_bytes(value[:2], "big")
        elif kind == 2:
            fields["reason"] = value[0] if value else 1
        elif kind == 5:
            fields["meter"] = int.from_bytes(value[-4:], "big") or None
        else:
            raise DecodeError("OFPBPC_BAD_TYPE")
        at += (size + 7) // 8 * 8
    return a.Controller(**fields)


def _must_be_zero(padding: bytes) -> None:
    if any(padding):
        raise DecodeError("NXBRC_MUST_BE_ZERO")


def _decode_dec_ttl_ids(body: bytes, version: int) -> a.Action:
    count = int.from_bytes(body[:2], "big")
    _must_be_zero(body[2:6])
    if 6 + 2 * count > len(body):
        raise DecodeError("OFPBAC_BAD_LEN")
    ids = tuple(int.from_bytes(body[6 + 2 * i : 8 + 2 * i], "big") for i in range(count))
    return a.DecTtl(ids, True)


def _decode_conjunction(body: bytes, version: int) -> a.Action:
    clause, clauses, number = Struct("!BBI").unpack(body)
    if not 2 <= clauses <= 64 or clause >= clauses:
        raise DecodeError("NXBAC_BAD_CONJUNCTION")
    return a.Conjunction(number, clause, clauses)


def _decode_sample2(body: bytes, version: int) -> a.Action:
    return _checked(a.Sample(*Struct("!HIIIH6x").unpack(body)))


def _decode_sample3(body: bytes, version: int) -> a.Action:
    action = _decode_sample2(body, version)
    assert isinstance(action, a.Sample)
    _must_be_zero(body[17:])
    direction = body[16]
    if direction > 2:
        raise DecodeError("OFPBAC_BAD_ARGUMENT")
    return action._replace(direction=direction)


def _decode_truncate(body: bytes, version: int) -> a.Action:
    port, max_len = Struct("!HI").unpack(body)
    if max_len < 14:
        raise DecodeError("OFPBAC_BAD_ARGUMENT")
    return a.OutputTruncated(port, max_len)


_WITHIN: Final = {35: 24, 42: 16}  # Nicira's ct and clone: where the actions within begin


def _check_depth(data: bytes) -> None:
    """Actions within actions within actions are read by functions that call themselves, so there is an end to
    it.  A level takes at least 16 bytes, so that what is short need not be looked through."""
    if len(data) < 16 * DEEPEST:
        return
    levels = [(0, len(data))]
    for _ in range(DEEPEST):
        deeper: list[tuple[int, int]] = []
        for position, end in levels:
            while end - position >= 16:
                number, length = HEAD.unpack_from(data, position)
                if length < 8 or position + length > end:
                    break  # whoever reads it says so
                if number == 0xFFFF:
                    _, _, experimenter, subtype = EXPERIMENTER.unpack_from(data, position)
                    within = _WITHIN.get(subtype) if experimenter == NICIRA_EXPERIMENTER else None
                    if within is not None and length >= within:
                        deeper.append((position + within, position + length))
                position += length
        if not deeper:
            return
        levels = deeper
    raise DecodeError("OFPBAC_TOO_MANY")


def _decode_nested(data: bytes, version: int, outer: str) -> tuple[a.Action, ...]:
    _check_depth(data)
    actions = decode_actions(data, version)
    wrong = disorder(actions, outer)
    if wrong is not None:
        raise DecodeError(wrong.error, wrong.text)
    return actions


def _decode_clone(body: bytes, version: int) -> a.Action:
    return a.Clone(_decode_nested(body[6:], version, "clone"))


def _decode_ct(body: bytes, version: int) -> a.Action:
    return action_ct.decode_ct(body, lambda inner: _decode_nested(inner, version, "ct"))


def _decode_check_larger(body: bytes, version: int) -> a.Action:
    length = int.from_bytes(body[:2], "big")
    field, end = oxm.decode_header(body, 4)
    _must_be_zero(body[end:])
    offset = int.from_bytes(body[2:4], "big")
    if offset >= oxm.width(field.name):
        raise DecodeError("OFPBAC_BAD_SET_LEN", field.name)
    if not field.writable:
        raise DecodeError("OFPBAC_BAD_SET_ARGUMENT", field.name)
    return a.CheckPacketLarger(length, field.name, offset)


def _decode_delete_field(body: bytes, version: int) -> a.Action:
    return a.DeleteField(oxm.decode_header(body, 0)[0].name)


_NICIRA_DECODE: Final[dict[int, Callable[[bytes, int], a.Action]]] = {
    1: _decode_resubmit,
    6: _decode_move,
    7: _decode_load,
    8: _decode_note,
    10: lambda body, version: action_hash.decode_multipath(body),
    12: lambda body, version: action_hash.decode_bundle(body),
    13: lambda body, version: action_hash.decode_bundle(body, load=True),
    16: lambda body, version: action_learn.decode_learn(body),
    14: _decode_resubmit_table,
    15: _decode_output_register,
    20: _decode_controller,
    21: _decode_dec_ttl_ids,
    27: _decode_stack(a.StackPush),
    28: _decode_stack(a.StackPop),
    32: _decode_output_register2,
    33: _decode_load2,
    34: _decode_conjunction,
    35: _decode_ct,
    36: lambda body, version: action_ct.decode_nat(body),
    37: _decode_controller2,
    38: _decode_sample2,
    39: _decode_truncate,
    41: _decode_sample3,
    42: _decode_clone,
    44: _decode_resubmit_ct,
    45: lambda body, version: action_learn.decode_learn(body, second=True),
    46: lambda body, version: action_encap.decode_encap(body),
    47: lambda body, version: action_encap.decode_decap(body),
    49: _decode_check_larger,
    50: _decode_delete_field,
}
