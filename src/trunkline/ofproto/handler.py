"""OpenFlow messages to a bridge, and its answers.

One function a kind of message, in a table.  What is in no table is refused with OpenFlow's own error.
Hello, echo and messages that cannot be decoded are the connection's business and do not come here.
"""

from collections.abc import Callable
from typing import Any, Final

from trunkline.flow import key as layout
from trunkline.model import openflow as of
from trunkline.ofproto.acceptance import refusal
from trunkline.ofproto.bridge import Bridge, describe
from trunkline.ofproto.clients import Client
from trunkline.ofproto.flow_mods import MAX_FLOWS, Refused, Selection
from trunkline.ofproto.rules import TABLES, Rule, age_nanoseconds
from trunkline.ofproto.table_features import table_features
from trunkline.openflow import messages as m
from trunkline.openflow.connection import Received
from trunkline.packet.packet import Packet

_CAPABILITIES: Final = (
    of.CAPABILITY_FLOW_STATS
    | of.CAPABILITY_TABLE_STATS
    | of.CAPABILITY_PORT_STATS
    | of.CAPABILITY_QUEUE_STATS
    | of.CAPABILITY_ARP_MATCH_IP
)
_ACTIONS10: Final = 0xFFF
_OPENFLOW13: Final = 4
_CHANGES: Final = frozenset((m.FlowMod, m.PacketOut, m.PortMod, m.TableMod, m.BundleAdd, m.BundleControl))

Handler = Callable[[Bridge, Client, Any], "m.Message | list[m.Message] | None"]

_TABLE_FEATURES: Final = "OFPST_TABLE_FEATURES reply"


def handle(bridge: Bridge, client: Client, received: Received) -> None:
    """Carries out one message; answers and errors are queued on its connection."""
    message = received.message
    handler = _HANDLERS.get(type(message))
    if handler is None:
        client.connection.refuse(received, _unknown(message))
        return
    if client.role == of.OFPCR_ROLE_SECONDARY and type(message) in _CHANGES:
        client.connection.refuse(received, "OFPBRC_IS_SECONDARY")
        return
    try:
        reply = handler(bridge, client, message)
    except Refused as refused:
        client.connection.refuse(received, refused.error)
        return
    parts = reply if isinstance(reply, list) else [] if reply is None else [reply]
    for part in parts:
        client.connection.send(part, xid=received.xid)


def _unknown(message: m.Message) -> str:
    name = message.name if isinstance(message, m.Opaque) else type(message).__name__
    if name.startswith(("OFPST_", "OFPMP_", "NXST_", "ONFST_")):
        return "OFPBRC_BAD_STAT"
    if name.startswith(("NXT_", "ONFT_")):
        return "OFPBRC_BAD_SUBTYPE"
    return "OFPBRC_BAD_TYPE"


def _barrier(bridge: Bridge, client: Client, message: m.BarrierRequest) -> m.Message:
    return m.BarrierReply()


def _nothing(bridge: Bridge, client: Client, message: m.Message) -> None:
    """Taken note of by the connection, or an answer to a question that nobody asked."""


def _features(bridge: Bridge, client: Client, message: m.FeaturesRequest) -> m.Message:
    ports = tuple(describe(port) for _, port in sorted(bridge.interfaces.items()))
    if client.connection.version >= _OPENFLOW13:
        return m.FeaturesReply(bridge.config.datapath_id, 0, TABLES, _CAPABILITIES, 0, 0, None)
    return m.FeaturesReply(bridge.config.datapath_id, 0, TABLES, _CAPABILITIES, _ACTIONS10, 0, ports)


def _get_config(bridge: Bridge, client: Client, message: m.GetConfigRequest) -> m.Message:
    return m.GetConfigReply(m.SwitchConfig(*client.config))


def _set_config(bridge: Bridge, client: Client, message: m.SetConfig) -> None:
    fragments, miss_send_len, bad_ttl = message.config
    if fragments != of.OFPC_FRAG_NORMAL:
        raise Refused("OFPSCFC_BAD_FLAGS")
    client.config = (fragments, miss_send_len, bad_ttl)


def _role(bridge: Bridge, client: Client, message: m.RoleRequest) -> m.Message:
    error = bridge.clients.request_role(client, message.role, message.generation)
    if error is not None:
        raise Refused(error)
    return m.RoleReply(client.role, bridge.clients.generation)


def _set_async(bridge: Bridge, client: Client, message: m.SetAsync) -> None:
    old = client.asynchronous
    merged = [
        tuple(before if given is None else given for before, given in zip(have, want, strict=True))
        for have, want in zip(old, message, strict=True)
    ]
    client.asynchronous = m.AsyncConfig(*merged)  # type: ignore[arg-type]


def _get_async(bridge: Bridge, client: Client, message: m.GetAsyncRequest) -> m.Message:
    return m.GetAsyncReply(client.asynchronous)


def _set_controller_id(bridge: Bridge, client: Client, message: m.SetControllerId) -> None:
    client.controller_id = message.controller_id


def _flow_mod(bridge: Bridge, client: Client, message: m.FlowMod) -> None:
    if message.flags & of.OFPFF_EMERG:
        raise Refused(
            "OFPFMFC_BAD_EMERG_TIMEOUT"
            if message.idle_timeout or message.hard_timeout
            else "OFPFMFC_TABLE_FULL"
        )
    for removed in bridge.flows.apply(message, client.connection.version, client.origin):
        bridge.clients.tell(removed)
    if message.buffer is not None and message.command == of.OFPFC_ADD:
        raise Refused("OFPBRC_BUFFER_UNKNOWN")


def _packet_out(bridge: Bridge, client: Client, message: m.PacketOut) -> None:
    if message.buffer is not None:
        raise Refused("OFPBRC_BUFFER_UNKNOWN")
    in_port = layout.get(message.metadata.value, "in_port")
    if in_port >= of.OFPP_MAX and in_port not in (of.OFPP_LOCAL, of.OFPP_NONE, of.OFPP_CONTROLLER):
        raise Refused("OFPBRC_BAD_PORT")
    error = refusal(message.actions, 0, packet_out=True)
    if error is not None:
        raise Refused(error)
    execute = bridge.fabric.execute
    assert execute is not None, "a bridge with controllers belongs to a datapath"
    execute(bridge, message.metadata.value, Packet(message.data), message.actions)


def _flow_stats(bridge: Bridge, client: Client, message: m.FlowStatsRequest) -> m.Message:
    bridge.fabric.refresh()
    now = bridge.clock.monotonic()
    selection = Selection(*message)
    rules = sorted(bridge.flows.select(selection), key=lambda rule: (rule.table, -rule.priority))
    return m.FlowStatsReply(tuple(_flow(rule, now) for rule in rules))


def _flow(rule: Rule, now: float) -> m.FlowStats:
    return m.FlowStats(
        rule.match,
        rule.priority,
        rule.table,
        rule.actions,
        rule.cookie,
        age_nanoseconds(now, rule.created),
        rule.idle_timeout,
        rule.hard_timeout,
        int(now - rule.counters.used),
        int(now - rule.modified),
        None if rule.flags & of.OFPFF_NO_PKT_COUNTS else rule.counters.packets,
        None if rule.flags & of.OFPFF_NO_BYT_COUNTS else rule.counters.bytes,
        rule.importance,
        rule.flags,
    )


def _aggregate(bridge: Bridge, client: Client, message: m.AggregateStatsRequest) -> m.Message:
    bridge.fabric.refresh()
    packets = octets = flows = 0
    for rule in bridge.flows.select(Selection(*message)):
        flows += 1
        packets += rule.counters.packets
        octets += rule.counters.bytes
    return m.AggregateStatsReply(packets, octets, flows)


def _table_stats(bridge: Bridge, client: Client, message: m.TableStatsRequest) -> m.Message:
    bridge.fabric.refresh()
    tables = []
    for number in range(TABLES):
        classifier = bridge.flows.tables.tables.get(number)
        counters = bridge.flows.tables.counters.get(number)
        tables.append(
            m.TableStats(
                number,
                classifier.size if classifier else 0,
                counters.lookups if counters else 0,
                counters.matched if counters else 0,
                max_entries=MAX_FLOWS,
            )
        )
    return m.TableStatsReply(tuple(tables))


def _description(bridge: Bridge, client: Client, message: m.DescriptionRequest) -> m.Message:
    config = bridge.config
    return m.DescriptionReply(
        config.manufacturer, config.hardware, config.software, config.serial, config.description
    )


def _port_descriptions(bridge: Bridge, client: Client, message: m.PortDescriptionRequest) -> m.Message:
    return m.PortDescriptionReply(
        tuple(describe(bridge.interfaces[n]) for n in _asked_ports(bridge, message.port))
    )


def _port_stats(bridge: Bridge, client: Client, message: m.PortStatsRequest) -> m.Message:
    bridge.fabric.refresh()
    now = bridge.clock.monotonic()
    return m.PortStatsReply(
        tuple(
            m.PortStats(n, *bridge.port_statistics(n), duration=age_nanoseconds(now, bridge.plugged_at[n]))
            for n in _asked_ports(bridge, message.port)
        )
    )


def _asked_ports(bridge: Bridge, port: int) -> list[int]:
    if port == of.OFPP_ANY:
        return sorted(bridge.interfaces)
    return [port] if port in bridge.interfaces else []


def _port_mod(bridge: Bridge, client: Client, message: m.PortMod) -> None:
    port = bridge.interfaces.get(message.port)
    if port is None:
        raise Refused("OFPPMFC_BAD_PORT")
    if port.mac != message.hardware_address:
        raise Refused("OFPPMFC_BAD_HW_ADDR")
    bridge.set_port_bits(message.port, message.config, message.mask)


def _queue_stats(bridge: Bridge, client: Client, message: m.QueueStatsRequest) -> m.Message:
    if message.port not in (of.OFPP_ALL, of.OFPP_ANY) and message.port not in bridge.interfaces:
        raise Refused("OFPQOFC_BAD_PORT")
    if message.queue != of.OFPQ_ALL:
        raise Refused("OFPQOFC_BAD_QUEUE")
    return m.QueueStatsReply(())


def _table_features(bridge: Bridge, client: Client, message: m.TableFeaturesRequest) -> list[m.Message]:
    if message.body:
        raise Refused("OFPTFFC_EPERM")  # tables are as they are
    *first, last = table_features()
    parts: list[m.Message] = [m.Opaque(_TABLE_FEATURES, body, more=True) for body in first]
    return [*parts, m.Opaque(_TABLE_FEATURES, last)]


def _queue_config(bridge: Bridge, client: Client, message: m.QueueConfigRequest) -> m.Message:
    if message.port != of.OFPP_ANY and message.port not in bridge.interfaces:
        raise Refused("OFPQOFC_BAD_PORT")
    return m.QueueConfigReply(message.port, ())


def _table_descriptions(bridge: Bridge, client: Client, message: m.TableDescriptionRequest) -> m.Message:
    """No table evicts flows or tells of vacancy: what could switch that on is refused."""
    rows = (m.TableDescription(number, False, 0, False, 0, 0, 0) for number in range(TABLES))
    return m.TableDescriptionReply(tuple(rows))


_HANDLERS: Final[dict[type, Handler]] = {
    m.BarrierRequest: _barrier,
    m.Hello: _nothing,
    m.Error: _nothing,
    m.EchoReply: _nothing,
    m.SetFlowFormat: _nothing,
    m.FlowModTableId: _nothing,
    m.SetPacketInFormat: _nothing,
    m.SetControllerId: _set_controller_id,
    m.FeaturesRequest: _features,
    m.GetConfigRequest: _get_config,
    m.SetConfig: _set_config,
    m.RoleRequest: _role,
    m.SetAsync: _set_async,
    m.GetAsyncRequest: _get_async,
    m.FlowMod: _flow_mod,
    m.PacketOut: _packet_out,
    m.FlowStatsRequest: _flow_stats,
    m.AggregateStatsRequest: _aggregate,
    m.TableStatsRequest: _table_stats,
    m.DescriptionRequest: _description,
    m.PortDescriptionRequest: _port_descriptions,
    m.PortStatsRequest: _port_stats,
    m.PortMod: _port_mod,
    m.QueueStatsRequest: _queue_stats,
    m.QueueConfigRequest: _queue_config,
    m.TableFeaturesRequest: _table_features,
    m.TableDescriptionRequest: _table_descriptions,
}
