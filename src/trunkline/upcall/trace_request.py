"""What the words after ``ofproto/trace`` and ``ofproto/trace-packet-out`` mean.

A flow is named in one of two ways: as a datapath shows it (``in_port(1),eth(...)``), where the datapath
may be left out if there is but one, or by a bridge and the text of an OpenFlow match.  What parses as a
datapath's flow is one.  A packet in hexadecimal digits may follow; the flow then gives only what a packet
does not carry.  trace-packet-out has actions as its last word, whatever that looks like.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from trunkline.dpif.text import parse_key
from trunkline.flow import key as layout
from trunkline.flow.exact import parse_exact
from trunkline.flow.match import Match
from trunkline.flow.values import NO_CONTEXT, TextContext, TextError
from trunkline.jsonrpc.unixctl import CommandError
from trunkline.ofproto.acceptance import refusal
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.tunnel_options import FIELDS, OptionError
from trunkline.openflow import actions as a
from trunkline.openflow.consistency import check
from trunkline.packet.packet import Packet
from trunkline.translate.walk import EVERY
from trunkline.upcall.commands import Datapaths, find_bridge
from trunkline.upcall.ct_next import parse_state
from trunkline.upcall.datapath import Datapath

_DOT1Q: Final = 0x8100
_NO_TYPE: Final = 0x05FF
_UNTYPED: Final = 0x8100, 0x88A8
_NO_PORT: Final = 0xFFFFFFFF
_ETHERNET: Final = layout.bits("dl_src", "dl_dst")
_IN_PORT: Final = layout.OFFSET["in_port"]
_IN_PORT_MASK: Final = layout.MASK["in_port"]
_DP_PORT: Final = layout.OFFSET["dp_in_port"]
_DP_PORT_MASK: Final = layout.MASK["dp_in_port"]
_HEADERS: Final = ~layout.bits(
    "pkt_mark", "skb_priority", "dp_in_port", "recirc_id", "dp_hash", "ct_state", "ct_zone", "ct_mark",
    "ct_label", "ct_src", "ct_dst", "ct_tp_src", "ct_tp_dst", "ct_proto", *(
        slot for slot in layout.WIDTH if slot.startswith(("tun_", "tunnel_"))
    ),
) & layout.PACKET  # fmt: skip
_SHORTEST: Final = 14
_MOST_PAYLOAD: Final = 64000
_REGISTERS: Final = layout.PIPELINE & ~_IN_PORT_MASK  # a packet that comes in has none
_MOST: Final = 3
_BLANK: Final = ", \t\r\n"  # what may stand between the parts of a datapath's flow, or be all of it
_TAGS: Final = layout.bits("vlan_tci", "vlan1_tci")
# Masks of what stays: positive, for which & takes a fraction of the time.
_NO_OPTIONS: Final = EVERY & ~FIELDS
_NO_PORT_YET: Final = EVERY & ~_DP_PORT_MASK


_INSTRUCTIONS: Final = {
    a.ClearActions: "clear_actions",
    a.WriteActions: "write_actions",
    a.WriteMetadata: "write_metadata",
    a.GotoTable: "goto_table",
}


class Request(NamedTuple):
    """What is to be traced.  `effective`: with -generate or a packet, addresses are learned from it.

    `actions` None: the tables say what happens.  `key` has the numbers of both OpenFlow and datapath port.
    """

    bridge: Bridge
    key: int
    effective: bool
    states: list[int]
    """ct_state after each recirculation by ct, as long as they last."""
    context: TextContext
    """Names ports if the trace is to show names."""
    port_names: dict[int, str]
    """Of the datapath, likewise."""
    actions: tuple[a.Action, ...] | None = None
    frame: bytes | None = None
    """The packet, if there is one."""


class _Options(NamedTuple):
    generate: bool
    names: bool
    states: list[int]
    rest: list[str]


def parse_trace(datapaths: Datapaths, arguments: Sequence[str]) -> Request:
    """Raises CommandError."""
    options = _options(arguments)
    return _request(datapaths, options)


def parse_packet_out(datapaths: Datapaths, arguments: Sequence[str]) -> Request:
    """Raises CommandError."""
    from trunkline.openflow.actions_text import parse_actions  # only here: a daemon starts without it

    *words, text = arguments
    try:
        actions = parse_actions(text)
    except TextError as error:
        raise CommandError(str(error)) from None
    for action in actions:
        instruction = _INSTRUCTIONS.get(type(action))
        if instruction:
            raise CommandError(f"{instruction} instruction not allowed here")
    options = _options([word for word in words if word != "-consistent"])
    request = _request(datapaths, options)
    bridge = request.bridge
    match = Match(request.key, -1)
    wrong = refusal(actions, 0, bridge.groups, packet_out=True) or check(actions, match).error
    if wrong:
        raise CommandError(f"Bad actions: {wrong}")
    return request._replace(actions=actions or None)


def _options(arguments: Sequence[str]) -> _Options:
    """The options, and the other words in order.  Raises CommandError."""
    generate = names = False
    states, rest = [], []
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            rest.append(word)
        elif word in ("-generate", "--generate"):
            generate = True
        elif word in ("-names", "--names"):
            names = True
        elif word in ("--ct-next", "--l7", "--l7-len"):
            value = next(words, None)
            if value is None:
                raise CommandError(f"Missing argument for option {word}")
            if word == "--ct-next":
                states.append(parse_state(value))
            elif word == "--l7":
                _digits(value)
            elif not 0 <= _leading_number(value) <= _MOST_PAYLOAD:
                raise CommandError(f"{value}: too much L7 data")
        else:
            raise CommandError(f"{word}: unknown option")
    return _Options(generate, names, states, rest)


def _leading_number(text: str) -> int:
    """As C's atoi: what follows the digits is not looked at."""
    digits = text.strip()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    end = next((i for i, letter in enumerate(digits) if not letter.isdigit()), len(digits))
    return sign * int(digits[:end] or "0")


def _digits(text: str) -> bytes:
    """The bytes that pairs of hexadecimal digits stand for.  Raises CommandError."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise CommandError("Trailing garbage in packet data") from None


def _frame(text: str) -> bytes:
    data = _digits(text)
    if len(data) < _SHORTEST:
        raise CommandError("Packet data too short for Ethernet")
    return data


def _request(datapaths: Datapaths, options: _Options) -> Request:
    rest, packet = _split(options.rest)
    if not rest or (packet is not None and options.generate):
        raise CommandError("Syntax error")
    effective = options.generate or packet is not None
    name, text = (rest[0], rest[1]) if len(rest) > 1 else (None, rest[0])
    found = _of_datapath(datapaths, name, text, packet)
    if found is not None:
        datapath, bridge, key = found
    else:
        assert name is not None
        datapath, bridge = find_bridge(datapaths, name, f"{name}: unknown bridge")
        key = _bridge_key(datapath, bridge, text, packet)
    names: dict[int, str] = {}
    context = NO_CONTEXT
    if options.names:
        names = {port.number: port.name for port in datapath.provider.ports()}
        context = TextContext({}, {number: one for one, number in bridge.numbers.items()})
    return Request(bridge, key, effective, options.states, context, names, frame=packet)


def _split(words: list[str]) -> tuple[list[str], bytes | None]:
    """The words without the packet at their end, and that, where there is one.  Raises CommandError."""
    if len(words) > _MOST:
        raise CommandError("too many arguments")
    if len(words) == _MOST:
        return words[:-1], _frame(words[-1])
    if len(words) == _MOST - 1 and "=" not in words[-1]:
        try:
            return words[:-1], _frame(words[-1])
        except CommandError:
            pass  # a flow
    return words, None


def _of_datapath(
    datapaths: Datapaths, name: str | None, text: str, packet: bytes | None
) -> tuple[Datapath, Bridge, int] | None:
    """The datapath whose flow `text` is, the bridge it belongs to, and the whole key; None: it is a flow of
    the bridge `name`.  Raises CommandError."""
    if name is not None and "(" not in text and text.strip(_BLANK):
        return None
    datapath = _datapath(datapaths, name)
    try:
        ports = {port.name: port.number for port in datapath.provider.ports()} if datapath is not None else {}
        key = _datapath_key(text, ports)
    except TextError as error:
        if name is not None:
            return None
        raise CommandError(f"{error} (or the bridge name was omitted)") from None
    if datapath is None:
        raise CommandError("Cannot find the datapath")
    return datapath, *_place(datapath, key, packet)


def _datapath(datapaths: Datapaths, name: str | None) -> Datapath | None:
    """The datapath of that name (without a type); or, without a name, the only one."""
    found = [one for one in datapaths.values() if name is None or one.title.partition("@")[2] == name]
    return found[0] if len(found) == 1 else None


def _datapath_key(text: str, ports: dict[str, int]) -> int:
    """The key that a datapath's flow stands for.  Raises TextError."""
    key, mask = parse_key(text, ports)
    if not mask & _DP_PORT_MASK:
        key = layout.put(key, "dp_in_port", _NO_PORT)
    kind = layout.get(mask, "dl_type") and layout.get(key, "dl_type")
    ethernet = "eth(" in text
    if not ethernet and kind and not layout.get(mask, "packet_type"):
        key = layout.put(key, "packet_type", 1 << 16 | kind)
    if not kind:
        implied = next((number for word, number in _IMPLIED if word in text), 0)
        tagged = layout.get(mask, "vlan_tci")
        key = layout.put(key, "dl_type", implied or (0 if tagged else _NO_TYPE))
    elif kind in _UNTYPED:
        key = layout.put(key, "dl_type", 0)
    return key


_IMPLIED: Final = (("ipv4(", 0x0800), ("ipv6(", 0x86DD), ("arp(", 0x0806))


def _place(datapath: Datapath, key: int, packet: bytes | None) -> tuple[Bridge, int]:
    """The bridge that a datapath's flow belongs to, and the whole key.  Raises CommandError."""
    number = layout.get(key, "dp_in_port")
    if packet is not None:
        key = datapath.provider.key_of(packet, number) & (_HEADERS | _DP_PORT_MASK) | key & ~_HEADERS
    recirculation = layout.get(key, "recirc_id")
    if recirculation and datapath.fabric.recirculations.get(recirculation) is None:
        raise CommandError(f"no recirculation data for recirc_id {recirculation:#x}")
    found = datapath.key_for(key)
    if found is None:
        what = "tunnel port for this packet" if datapath.fabric.tunnels.is_vport(number) else None
        raise CommandError(f"no OpenFlow {what or f'port for datapath port {number}'}")
    bridge, key = found
    return bridge, key | bridge.flows.options.unpack(key)[0]


def _bridge_key(datapath: Datapath, bridge: Bridge, text: str, packet: bytes | None) -> int:
    """The key of the packet that is meant, with the datapath's number for its port.  Raises CommandError."""
    try:
        match = parse_exact(text, TextContext(bridge.numbers))
    except TextError as error:
        raise CommandError(f"Bad openflow flow syntax: {text}: {error}") from None
    options = bridge.flows.options
    mapped = match.options and tuple(one for one in match.options if options.place(one.number) is not None)
    try:  # a field that is not mapped is left out, as in the original
        key = options.placed(match._replace(options=mapped)).value if mapped else match.value & _NO_OPTIONS
    except OptionError as error:
        raise CommandError(f"Bad openflow flow syntax: {text}: {error}") from None
    if packet is not None:
        key = datapath.provider.key_of(Packet(packet).frame, 0) & _HEADERS | key & ~_HEADERS & ~_REGISTERS
    for tci, tpid in (("vlan_tci", "vlan_tpid"), ("vlan1_tci", "vlan1_tpid")) if key & _TAGS else ():
        if layout.get(key, tci) & layout.VLAN_CFI and not layout.get(key, tpid):
            key = layout.put(key, tpid, _DOT1Q)  # a flow in text does not say of which kind a tag is
    interface = bridge.interfaces.get((key & _IN_PORT_MASK) >> _IN_PORT)
    number = interface.datapath_port if interface is not None else None
    return key & _NO_PORT_YET | (number or 0) << _DP_PORT
