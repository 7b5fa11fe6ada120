"""The messages that keep a connection: hello, error, echo, config, roles, bundles, and the extensions that
switch formats.  Each has its wire form and its text side by side; `codec` gathers the tables.
"""

from collections.abc import Callable
from struct import Struct
from typing import Any, Final

from trunkline.model import openflow as of
from trunkline.model.openflow_errors import STANDARD
from trunkline.openflow import messages as m
from trunkline.openflow.style import Style, c_hex, flags_text, hex_dump, printable
from trunkline.openflow.wire import (
    DecodeError,
    EncodeError,
    Envelope,
    Protocol,
    error_name,
    error_number,
    padded_number,
)

Encoded = tuple[str, bytes]  # the name of the kind, the body
_HH: Final = Struct("!HH")
_CONFIG: Final = Struct("!HH")
_ROLE: Final = Struct("!I4xQ")
_ROLE_STATUS: Final = Struct("!IB3xQ")
_BUNDLE_CONTROL: Final = Struct("!IHH")
_UNKNOWN: Final = "(unknown)"
_NO_GENERATION: Final = 0xFFFFFFFFFFFFFFFF

# ---- hello: an element of type 1 holds a bitmap of versions; without one the header says it ----


_BITMAP: Final = 8  # bytes of the element, for versions below 32


def decode_hello(envelope: Envelope) -> m.Hello:
    body, position, versions = envelope.body, 0, 0
    while len(body) - position >= 4:
        kind, length = _HH.unpack_from(body, position)
        if length < 4 or position + length > len(body):
            break
        if kind == 1 and length == _BITMAP:
            versions = int.from_bytes(body[position + 4 : position + 8], "big")
        position += (length + 7) // 8 * 8
    return m.Hello(versions or (1 << envelope.version + 1) - 2)


def encode_hello(protocol: Protocol, message: m.Hello) -> Encoded:
    if message.versions == (1 << protocol.version + 1) - 2 or message.versions == 1 << 1:
        return "OFPT_HELLO", b""
    return "OFPT_HELLO", _HH.pack(1, 8) + message.versions.to_bytes(4, "big")


def hello_is_whole(body: bytes) -> bool:
    """Whether a hello holds nothing but what this module understands."""
    position = 0
    while position < len(body):
        if len(body) - position < 4:
            return False
        kind, length = _HH.unpack_from(body, position)
        if kind != 1 or length != _BITMAP or position + length > len(body):
            return False
        if not any(body[position + 4 : position + length]):
            return False
        position += (length + 7) // 8 * 8
    return True


def text_hello(message: m.Hello, version: int, style: Style) -> str:
    return f"\n version bitmap: {versions_text(message.versions)}\n"


def versions_text(versions: int) -> str:
    return ", ".join(f"0x{version:02x}" for version in range(1, 32) if versions >> version & 1)


def versions_named(versions: int) -> str:
    """A set of versions in words: ``version 0x04``, ``versions 0x01, 0x04``, ``version 0x04 and earlier``."""
    top = versions.bit_length() - 1
    if top > 1 and versions | 1 == (2 << top) - 1:
        return f"version {top:#04x} and earlier"
    return f"version{'s' if versions & versions - 1 else ''} {versions_text(versions)}"


# ---- errors ----

_VENDOR_TYPE: Final = 0xB0C2  # 1.0 and 1.1
_EXPERIMENTER_TYPE: Final = 0xFFFF  # 1.2 on
_VENDOR_ERROR: Final = Struct("!IHH")


def decode_error(envelope: Envelope) -> m.Error:
    version, body = envelope.version, envelope.body
    error_type, code = _HH.unpack_from(body)
    vendor, start = STANDARD, 4
    if error_type == _VENDOR_TYPE and version < 3:
        if len(body) < 12:
            raise DecodeError("OFPBRC_BAD_LEN")
        vendor, error_type, code = _VENDOR_ERROR.unpack_from(body, 4)
        start = 12
    elif error_type == _EXPERIMENTER_TYPE and version >= 3:
        if len(body) < 8:
            raise DecodeError("OFPBRC_BAD_LEN")
        vendor, error_type, start = int.from_bytes(body[4:8], "big"), -1, 8
    name = error_name(version, vendor, error_type, code)
    if name is None:
        return m.Error("", body[start:], (vendor, error_type, code))
    return m.Error(name, body[start:])


def encode_error(protocol: Protocol, message: m.Error) -> Encoded:
    version = protocol.version
    vendor, error_type, code = message.unknown if not message.error else error_number(version, message.error)
    if vendor == STANDARD:
        return "OFPT_ERROR", _HH.pack(error_type, code) + message.data
    if version < 3:
        head = _HH.pack(_VENDOR_TYPE, 0) + _VENDOR_ERROR.pack(vendor, error_type, code)
    else:
        head = _HH.pack(_EXPERIMENTER_TYPE, code) + vendor.to_bytes(4, "big")
    return "OFPT_ERROR", head + message.data


# ---- echo, barrier and other messages that are all or nothing but their bytes  ----


def text_echo(message: m.EchoRequest | m.EchoReply, version: int, style: Style) -> str:
    text = f" {len(message.data)} bytes of payload\n"
    return text + hex_dump(message.data) if style.verbosity > 1 else text


def text_nothing(message: object, version: int, style: Style) -> str:
    return ""


# ---- configuration ----


def decode_config(envelope: Envelope) -> m.SwitchConfig:
    flags, miss_send_len = _CONFIG.unpack(envelope.body)
    version = envelope.version
    allowed = 3 | (of.OFPC_INVALID_TTL_TO_CONTROLLER if version < 4 else 0)
    if flags & ~allowed and not envelope.kind.name.endswith("REPLY"):
        raise DecodeError("OFPSCFC_BAD_FLAGS")
    return m.SwitchConfig(flags & 3, miss_send_len, bool(flags & allowed & of.OFPC_INVALID_TTL_TO_CONTROLLER))


def _encode_config(protocol: Protocol, config: m.SwitchConfig) -> bytes:
    ttl = config.invalid_ttl_to_controller and protocol.version < 4
    return _CONFIG.pack(
        config.fragments | (of.OFPC_INVALID_TTL_TO_CONTROLLER if ttl else 0), config.miss_send_len
    )


def _text_config(message: m.GetConfigReply | m.SetConfig, version: int, style: Style) -> str:
    config = message.config
    ttl = " invalid_ttl_to_controller" if config.invalid_ttl_to_controller else ""
    return f" frags={of.FRAGMENT_NAMES[config.fragments]}{ttl} miss_send_len={config.miss_send_len}\n"


# ---- roles ----


def _decode_role(envelope: Envelope) -> tuple[int, int | None]:
    role, generation = _ROLE.unpack(envelope.body)
    if role not in of.ROLE_NAMES:
        raise DecodeError("OFPRRFC_BAD_ROLE")
    asked = envelope.kind.name.endswith("REQUEST")
    if (role == of.OFPCR_ROLE_NOCHANGE and asked) or generation == _NO_GENERATION:
        return role, None
    return role, generation


def _decode_nicira_role(envelope: Envelope) -> tuple[int, None]:
    role = int.from_bytes(envelope.body, "big") + 1
    if role > of.OFPCR_ROLE_SECONDARY:
        raise DecodeError("OFPRRFC_BAD_ROLE")
    return role, None


def _encode_role(protocol: Protocol, message: m.RoleRequest | m.RoleReply) -> Encoded:
    side = "REQUEST" if isinstance(message, m.RoleRequest) else "REPLY"
    if protocol.version < 3:
        if message.role == of.OFPCR_ROLE_NOCHANGE:
            raise EncodeError("role nochange needs OpenFlow 1.2 or later")
        return f"NXT_ROLE_{side}", (message.role - 1).to_bytes(4, "big")
    generation = _NO_GENERATION if message.generation is None else message.generation
    return f"OFPT_ROLE_{side}", _ROLE.pack(message.role, generation)


def _generation_text(generation: int | None) -> str:
    return "" if generation is None else f" generation_id={generation}"


def _text_role(message: m.RoleRequest | m.RoleReply, version: int, style: Style) -> str:
    return f" role={of.ROLE_NAMES[message.role]}{_generation_text(message.generation)}"


def _decode_role_status(envelope: Envelope) -> m.RoleStatus:
    role, reason, generation = _ROLE_STATUS.unpack_from(envelope.body)
    if role not in of.ROLE_NAMES:
        raise DecodeError("OFPRRFC_BAD_ROLE")
    return m.RoleStatus(role, reason, None if generation == _NO_GENERATION else generation)


def _encode_role_status(protocol: Protocol, message: m.RoleStatus) -> Encoded:
    name = "ONFT_ROLE_STATUS" if protocol.version == 4 else "OFPT_ROLE_STATUS"
    generation = _NO_GENERATION if message.generation is None else message.generation
    return name, _ROLE_STATUS.pack(message.role, message.reason, generation)


def _text_role_status(message: m.RoleStatus, version: int, style: Style) -> str:
    reason = of.ROLE_REASON_NAMES.get(message.reason, _UNKNOWN)
    return f" role={of.ROLE_NAMES[message.role]}{_generation_text(message.generation)} reason={reason}"


# ---- formats of Nicira's extensions ----


def _decode_number(envelope: Envelope) -> int:
    return int.from_bytes(envelope.body, "big")


def _decode_flow_mod_table_id(envelope: Envelope) -> m.FlowModTableId:
    return m.FlowModTableId(bool(envelope.body[0]))


def _decode_packet_in_format(envelope: Envelope) -> m.SetPacketInFormat:
    number = _decode_number(envelope)
    if number not in of.PACKET_IN_FORMAT_NAMES:
        raise DecodeError("OFPBRC_EPERM", f"packet-in format {number}")
    return m.SetPacketInFormat(number)


def _text_flow_format(message: m.SetFlowFormat, version: int, style: Style) -> str:
    return f" format={of.FLOW_FORMAT_NAMES.get(message.format, _UNKNOWN)}"


def _text_packet_in_format(message: m.SetPacketInFormat, version: int, style: Style) -> str:
    return f" format={of.PACKET_IN_FORMAT_NAMES.get(message.format, _UNKNOWN)}"


# ---- bundles ----


def _decode_bundle_control(envelope: Envelope) -> m.BundleControl:
    return m.BundleControl(*_BUNDLE_CONTROL.unpack_from(envelope.body))


def _encode_bundle_control(protocol: Protocol, message: m.BundleControl) -> Encoded:
    name = "ONFT_BUNDLE_CONTROL" if protocol.version == 4 else "OFPT_BUNDLE_CONTROL"
    return name, _BUNDLE_CONTROL.pack(*message)


def _text_bundle_control(message: m.BundleControl, version: int, style: Style) -> str:
    kind = of.BUNDLE_CONTROL_NAMES.get(message.type, "")
    flags = flags_text(of.BUNDLE_FLAG_NAMES, message.flags)
    return f"\n bundle_id={c_hex(message.bundle)} type={kind} flags={flags}"


# ---- the tables ----

DECODE: Final[dict[str, Callable[[Envelope], m.Message]]] = {
    "OFPT_HELLO": decode_hello,
    "OFPT_ERROR": decode_error,
    "OFPT_ECHO_REQUEST": lambda e: m.EchoRequest(e.body),
    "OFPT_ECHO_REPLY": lambda e: m.EchoReply(e.body),
    "OFPT_BARRIER_REQUEST": lambda e: m.BarrierRequest(),
    "OFPT_BARRIER_REPLY": lambda e: m.BarrierReply(),
    "OFPT_FEATURES_REQUEST": lambda e: m.FeaturesRequest(),
    "OFPT_GET_CONFIG_REQUEST": lambda e: m.GetConfigRequest(),
    "OFPT_GET_CONFIG_REPLY": lambda e: m.GetConfigReply(decode_config(e)),
    "OFPT_SET_CONFIG": lambda e: m.SetConfig(decode_config(e)),
    "OFPT_ROLE_REQUEST": lambda e: m.RoleRequest(*_decode_role(e)),
    "OFPT_ROLE_REPLY": lambda e: m.RoleReply(*_decode_role(e)),
    "NXT_ROLE_REQUEST": lambda e: m.RoleRequest(*_decode_nicira_role(e)),
    "NXT_ROLE_REPLY": lambda e: m.RoleReply(*_decode_nicira_role(e)),
    "OFPT_ROLE_STATUS": _decode_role_status,
    "ONFT_ROLE_STATUS": _decode_role_status,
    "NXT_SET_FLOW_FORMAT": lambda e: m.SetFlowFormat(_decode_number(e)),
    "NXT_FLOW_MOD_TABLE_ID": _decode_flow_mod_table_id,
    "NXT_SET_PACKET_IN_FORMAT": _decode_packet_in_format,
    "NXT_SET_CONTROLLER_ID": lambda e: m.SetControllerId(padded_number(e.body)),
    "OFPT_BUNDLE_CONTROL": _decode_bundle_control,
    "ONFT_BUNDLE_CONTROL": _decode_bundle_control,
}

ENCODE: Final[dict[type, Callable[[Protocol, Any], Encoded]]] = {
    m.Hello: encode_hello,
    m.Error: encode_error,
    m.EchoRequest: lambda p, x: ("OFPT_ECHO_REQUEST", x.data),
    m.EchoReply: lambda p, x: ("OFPT_ECHO_REPLY", x.data),
    m.BarrierRequest: lambda p, x: ("OFPT_BARRIER_REQUEST", b""),
    m.BarrierReply: lambda p, x: ("OFPT_BARRIER_REPLY", b""),
    m.FeaturesRequest: lambda p, x: ("OFPT_FEATURES_REQUEST", b""),
    m.GetConfigRequest: lambda p, x: ("OFPT_GET_CONFIG_REQUEST", b""),
    m.GetConfigReply: lambda p, x: ("OFPT_GET_CONFIG_REPLY", _encode_config(p, x.config)),
    m.SetConfig: lambda p, x: ("OFPT_SET_CONFIG", _encode_config(p, x.config)),
    m.RoleRequest: _encode_role,
    m.RoleReply: _encode_role,
    m.RoleStatus: _encode_role_status,
    m.SetFlowFormat: lambda p, x: ("NXT_SET_FLOW_FORMAT", x.format.to_bytes(4, "big")),
    m.FlowModTableId: lambda p, x: ("NXT_FLOW_MOD_TABLE_ID", bytes((x.enabled, 0, 0, 0, 0, 0, 0, 0))),
    m.SetPacketInFormat: lambda p, x: ("NXT_SET_PACKET_IN_FORMAT", x.format.to_bytes(4, "big")),
    m.SetControllerId: lambda p, x: ("NXT_SET_CONTROLLER_ID", x.controller_id.to_bytes(8, "big")),
    m.BundleControl: _encode_bundle_control,
}

TEXT: Final[dict[type, Callable[[Any, int, Style], str]]] = {
    m.Hello: text_hello,
    m.EchoRequest: text_echo,
    m.EchoReply: text_echo,
    m.BarrierRequest: text_nothing,
    m.BarrierReply: text_nothing,
    m.FeaturesRequest: text_nothing,
    m.GetConfigRequest: text_nothing,
    m.GetConfigReply: _text_config,
    m.SetConfig: _text_config,
    m.RoleRequest: _text_role,
    m.RoleReply: _text_role,
    m.RoleStatus: _text_role_status,
    m.SetFlowFormat: _text_flow_format,
    m.FlowModTableId: lambda x, v, s: " enable" if x.enabled else " disable",
    m.SetPacketInFormat: _text_packet_in_format,
    m.SetControllerId: lambda x, v, s: f" id={x.controller_id}",
    m.BundleControl: _text_bundle_control,
}
__all__ = ["DECODE", "ENCODE", "TEXT", "Encoded", "printable"]
