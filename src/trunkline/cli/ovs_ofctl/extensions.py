"""Commands of Open vSwitch's own: the table of tunnel options, connection tracking, IPFIX."""

import re
from collections.abc import Sequence
from typing import Final

from trunkline.base.addresses import parse_ipv4, parse_ipv6
from trunkline.cli.ovs_ofctl import Failure
from trunkline.cli.ovs_ofctl.connection import AnyMessage, Switch, complain, with_format
from trunkline.cli.ovs_ofctl.inspect import print_replies
from trunkline.cli.ovs_ofctl.tool import Tool
from trunkline.flow.text import key_values
from trunkline.openflow.flushes import CtFlush, CtFlushZone, CtTuple
from trunkline.openflow.formats import NXM
from trunkline.openflow.ipfix import IpfixBridgeRequest, IpfixFlowRequest
from trunkline.openflow.style import integer
from trunkline.openflow.tunnel_table import (
    NXTTMC_ADD,
    NXTTMC_CLEAR,
    NXTTMC_DELETE,
    TlvMapping,
    TlvTableMod,
    TlvTableRequest,
)

# ---- tunnel options ----

_MAPPING: Final = re.compile(
    r"\s*\{\s*class\s*=\s*([0-9a-fA-Fx]+)\s*,\s*type\s*=\s*([0-9a-fA-Fx]+)\s*,\s*len\s*=\s*([0-9a-fA-Fx]+)\s*\}"
    r"\s*->\s*tun_metadata(\d+)"
)
_MOST_FIELDS: Final = 64


def add_tlv_map(tool: Tool, arguments: Sequence[str]) -> int:
    return _change_map(tool, arguments[0], TlvTableMod(NXTTMC_ADD, _parse_mappings(tool, arguments[1])))


def del_tlv_map(tool: Tool, arguments: Sequence[str]) -> int:
    mod = TlvTableMod(NXTTMC_CLEAR)
    if len(arguments) > 1:
        mod = TlvTableMod(NXTTMC_DELETE, _parse_mappings(tool, arguments[1]))
    return _change_map(tool, arguments[0], mod)


def dump_tlv_map(tool: Tool, arguments: Sequence[str]) -> int:
    return print_replies(tool, arguments[0], TlvTableRequest(), tool.style(1))


def _change_map(tool: Tool, name: str, mod: TlvTableMod) -> int:
    switch = Switch(tool, name)
    if switch.version == 1:
        with_format(switch, NXM)
    error = switch.transact(mod)
    switch.close()
    return 0 if error is None else complain(error, tool)


def _parse_mappings(tool: Tool, text: str) -> tuple[TlvMapping, ...]:
    found: list[TlvMapping] = []
    at = 0
    while at < len(text):
        matched = _MAPPING.match(text, at)
        numbers = [integer(group) for group in matched.groups()[:3]] if matched else [None]
        if matched is None or None in numbers:
            raise Failure("invalid tlv mapping")
        option_class, option_type, length = (number or 0 for number in numbers)
        field = int(matched.group(4))
        if field >= _MOST_FIELDS:
            tool.warn("ofp_match", f"tlv table field index ({field}) is too large (max {_MOST_FIELDS - 1})")
        found.append(TlvMapping(option_class & 0xFFFF, option_type & 0xFF, length & 0xFF, field))
        at = matched.end()
        if text.startswith(",", at):
            at += 1
    return tuple(found)


# ---- connection tracking ----


def ct_flush_zone(tool: Tool, arguments: Sequence[str]) -> int:
    zone = integer(arguments[1])
    if zone is None or zone > 0xFFFF:
        raise Failure(f'invalid zone_id "{arguments[1]}"')
    return _flush(tool, arguments[0], CtFlushZone(zone))


def ct_flush(tool: Tool, arguments: Sequence[str]) -> int:
    name, *words = arguments
    flush = CtFlush()
    if words and words[0].startswith("zone="):
        zone = integer(words[0][5:])
        if zone is None or zone >> 32:
            raise Failure("Failed to parse zone")
        flush = flush._replace(zone=zone & 0xFFFF)
        words = words[1:]
    for side, text in zip(("original", "reply"), words):
        protocol, found = _parse_tuple(text)
        flush = flush._replace(protocol=protocol or flush.protocol)
        flush = flush._replace(original=found) if side == "original" else flush._replace(reply=found)
    return _flush(tool, name, flush)


def _flush(tool: Tool, name: str, message: AnyMessage) -> int:
    switch = Switch(tool, name)
    error = switch.transact(message)
    switch.close()
    return 0 if error is None else complain(error, tool)


_IPV4_PREFIX: Final = 0xFFFF << 32


def _parse_tuple(text: str) -> tuple[int, CtTuple]:
    """(protocol, tuple) of ``ct_nw_src=...,ct_nw_proto=...``."""
    protocol, family = 0, ""
    found = CtTuple()
    for key, value in key_values(text):
        if not value:
            raise Failure(f"Failed to parse ct-tuple: field {key} missing value")
        if key in ("ct_nw_src", "ct_nw_dst", "ct_ipv6_src", "ct_ipv6_dst"):
            own = "nw" if key.startswith("ct_nw") else "ipv6"
            if family and own != family:
                raise Failure(f"Failed to parse ct-tuple: the L3 protocol does not match {value}")
            family = own
            address = parse_ipv4(value) if own == "nw" else parse_ipv6(value)
            if address is None:
                raise Failure(f"Failed to parse ct-tuple: failed to parse field {key}")
            address |= _IPV4_PREFIX if own == "nw" else 0
            found = found._replace(**{"source" if key.endswith("src") else "destination": address})
            continue
        number = integer(value)
        if number is None:
            raise Failure(f"Failed to parse ct-tuple: failed to parse field {key}")
        if key == "ct_nw_proto":
            protocol = number
        elif key in ("ct_tp_src", "icmp_id"):
            found = found._replace(source_port=number)
        elif key == "ct_tp_dst":
            found = found._replace(destination_port=number)
        elif key == "icmp_type":
            found = found._replace(destination_port=found.destination_port & 0xFF00 | number)
        elif key == "icmp_code":
            found = found._replace(destination_port=found.destination_port & 0xFF | number << 8)
        else:
            raise Failure(f"Failed to parse ct-tuple: invalid conntrack tuple field: {key}")
    return protocol, found


# ---- IPFIX ----


def dump_ipfix_bridge(tool: Tool, arguments: Sequence[str]) -> int:
    return print_replies(tool, arguments[0], IpfixBridgeRequest(), tool.style(1))


def dump_ipfix_flow(tool: Tool, arguments: Sequence[str]) -> int:
    return print_replies(tool, arguments[0], IpfixFlowRequest(), tool.style(1))
