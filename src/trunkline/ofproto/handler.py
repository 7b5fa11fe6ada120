"""OpenFlow messages to a bridge, and its answers.

One function a kind of message, in a table.  What is in no table is refused with OpenFlow's own error.
Hello, echo and messages that cannot be decoded are the connection's business and do not come here.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from trunkline.flow import key as layout
from trunkline.model import openflow as of
from trunkline.ofproto import (
    bundles,
    connections,
    deletions,
    flow_monitors,
    group_mods,
    meter_mods,
    statistics,
)
from trunkline.ofproto.acceptance import refusal
from trunkline.ofproto.bridge import Bridge, describe
from trunkline.ofproto.clients import Client
from trunkline.ofproto.flow_changes import Author
from trunkline.ofproto.flow_mods import Refused
from trunkline.ofproto.rules import TABLES
from trunkline.ofproto.table_features import rename, table_features
from trunkline.ofproto.tunnel_options import OptionError
from trunkline.openflow import groups as groups_wire
from trunkline.openflow import messages as m
from trunkline.openflow import meters as meters_wire
from trunkline.openflow import monitors as monitors_wire
from trunkline.openflow.connection import Received
from trunkline.openflow.continuations import Resume
from trunkline.openflow.flushes import CtFlush, CtFlushZone
from trunkline.openflow.packets import continuation
from trunkline.openflow.table_abilities import TableFeaturesRequest
from trunkline.openflow.tunnel_table import TlvTableMod, TlvTableRequest
from trunkline.openflow.wire import DecodeError, EncodeError
from trunkline.packet.packet import Packet

_CAPABILITIES: Final = (
    of.CAPABILITY_FLOW_STATS
    | of.CAPABILITY_TABLE_STATS
    | of.CAPABILITY_PORT_STATS
    | of.CAPABILITY_GROUP_STATS
    | of.CAPABILITY_QUEUE_STATS
    | of.CAPABILITY_ARP_MATCH_IP
    | of.CAPABILITY_BUNDLES
)
_ACTIONS10: Final = 0xFFF
_OPENFLOW12: Final = 3
_OPENFLOW13: Final = 4
_CHANGES: Final = frozenset(
    (
        m.FlowMod,
        m.PacketOut,
        m.PortMod,
        m.TableMod,
        m.BundleAdd,
        m.BundleControl,
        groups_wire.GroupMod,
        meters_wire.MeterMod,
    )
)

# What a switch that is started again still knows (journal.py); of bundles, it is their commit that says so.
_KEPT: Final = frozenset(
    (m.FlowMod, m.PortMod, m.TableMod, m.SetConfig, groups_wire.GroupMod, meters_wire.MeterMod, TlvTableMod)
)

Answer: TypeAlias = "m.Message | list[m.Message] | Iterator[m.Message | None] | None"
Handler = Callable[[Bridge, Client, Any], Answer]


def handle(bridge: Bridge, client: Client, received: Received) -> None:
    """Carries out one message, long or not; answers and errors are queued on its connection."""
    for _ in start(bridge, client, received) or ():
        pass


def start(bridge: Bridge, client: Client, received: Received) -> Iterator[None] | None:
    """Carries out one message; answers and errors are queued on its connection.

    A long answer is an iterator, each step of which takes about a millisecond and may queue a part of it.  It
    is of the tables as they are now, whatever is changed meanwhile.  Until it has ended, no further message
    of this client may be carried out.
    """
    try:
        reply = _carry_out(bridge, client, received)
    except Refused as refused:
        client.connection.refuse(received, refused.error)
        return None
    if reply is None:
        return None
    if isinstance(reply, Iterator):
        return _steps(client, received, reply)
    for part in reply if isinstance(reply, list) else (reply,):
        if not _answer(client, received, part):
            break
    return None


def _steps(client: Client, received: Received, parts: "Iterator[m.Message | None]") -> Iterator[None]:
    for part in parts:
        if part is not None and not _answer(client, received, part):
            return
        yield


def _answer(client: Client, received: Received, part: m.Message) -> bool:
    """False if the version of the connection has no such answer: the client is told so."""
    try:
        client.connection.send(part, xid=received.xid)
    except EncodeError:
        client.connection.refuse(received, _unknown(received.message))
        return False
    return True


def _carry_out(bridge: Bridge, client: Client, received: Received) -> Answer:
    message = received.message
    kind = type(message)
    handler = _HANDLERS.get(kind)
    if handler is None and kind not in (m.BundleAdd, m.BundleControl):
        raise Refused(_unknown(message))
    if client.role == of.OFPCR_ROLE_SECONDARY and kind in _CHANGES:
        raise Refused("OFPBRC_IS_SECONDARY" if client.connection.version >= _OPENFLOW12 else "OFPBRC_EPERM")
    if isinstance(message, m.BundleAdd):
        bundles.add(bridge, client, received, message)
        return None
    flows = bridge.flows
    flows.author = client, received.xid
    try:
        if isinstance(message, m.BundleControl):
            return bundles.control(bridge, client, received, message, _bundle_step)
        assert handler is not None
        answer = handler(bridge, client, message)
        if flows.journal is not None and kind in _KEPT:
            flows.journal.message(received.raw, client.connection.flow_mod_table_id, bridge.clock.monotonic())
        return answer
    finally:
        flows.author = None
        if flows.unsaid:
            bridge.tell_unsaid()
        if flows.changes:
            flow_monitors.report(bridge)


def _unknown(message: m.Message) -> str:
    name = message.name if isinstance(message, m.Opaque) else type(message).__name__
    if name.startswith(("OFPST_", "OFPMP_", "NXST_", "ONFST_")):
        return "OFPBRC_BAD_STAT"
    if name.startswith(("NXT_", "ONFT_")):
        return "OFPBRC_BAD_SUBTYPE"
    return "OFPBRC_BAD_TYPE"


def _barrier(bridge: Bridge, client: Client, message: m.BarrierRequest) -> m.Message:
    return m.BarrierReply()


def _flush_zone(bridge: Bridge, client: Client, message: CtFlushZone) -> None:
    connections.flush_zone(bridge, message)


def _flush_tuple(bridge: Bridge, client: Client, message: CtFlush) -> None:
    connections.flush_tuple(bridge, message)


def _nothing(bridge: Bridge, client: Client, message: m.Message) -> None:
    """Taken note of by the connection, or an answer to a question that nobody asked."""


def _features(bridge: Bridge, client: Client, message: m.FeaturesRequest) -> m.Message:
    ports = tuple(describe(port) for _, port in sorted(bridge.interfaces.items()))
    if client.connection.version >= _OPENFLOW13:
        return m.FeaturesReply(bridge.config.datapath_id, 0, TABLES, _CAPABILITIES, 0, 0, None)
    return m.FeaturesReply(bridge.config.datapath_id, 0, TABLES, _CAPABILITIES, _ACTIONS10, 0, ports)


def _get_config(bridge: Bridge, client: Client, message: m.GetConfigRequest) -> m.Message:
    return m.GetConfigReply(m.SwitchConfig(bridge.fragments, *client.config[1:]))


def _set_config(bridge: Bridge, client: Client, message: m.SetConfig) -> None:
    fragments, miss_send_len, bad_ttl = message.config
    if fragments != of.OFPC_FRAG_REASM:  # who asks for that reads in the answer to get-config what is instead
        bridge.set_fragments(fragments)
    client.config = (bridge.fragments, miss_send_len, bad_ttl)
    client.listens = bool(miss_send_len) or not client.service


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
    client.chosen = m.AsyncConfig(*merged)  # type: ignore[arg-type]
    client.listens = True


def _get_async(bridge: Bridge, client: Client, message: m.GetAsyncRequest) -> m.Message:
    return m.GetAsyncReply(client.asynchronous)


def _set_controller_id(bridge: Bridge, client: Client, message: m.SetControllerId) -> None:
    client.controller_id = message.controller_id


def _flow_mod(bridge: Bridge, client: Client, message: m.FlowMod) -> Iterator[None] | None:
    if deletions.is_long(bridge.flows, message):
        steps = deletions.begin(bridge.flows, _placed(bridge, message), bridge.clients.tell)
        return _deleting(bridge, steps, bridge.flows.author)
    for removed in _change_flows(bridge, client, message):
        bridge.clients.tell(removed)
    return None


def _deleting(bridge: Bridge, steps: Iterator[None], author: Author | None) -> Iterator[None]:
    """Who monitors flows is told after each step; of the rest at once, should nobody go through them."""
    flows = bridge.flows
    flows.deleter = author
    try:
        for _ in steps:
            if flows.changes:
                flow_monitors.report(bridge)
            yield
    except GeneratorExit:
        if flows.watched:
            flows.settle()
        raise
    finally:
        if flows.changes:
            flow_monitors.report(bridge)
        if flows.deleter is author:
            flows.deleter = None
            flows.told_in_short.clear()
        if flows.unsaid:
            bridge.tell_unsaid()


def _group_mod(bridge: Bridge, client: Client, message: groups_wire.GroupMod) -> None:
    for removed in group_mods.apply(bridge, message):
        bridge.clients.tell(removed)
    bridge.clients.forward(client, message)


def _group_stats(bridge: Bridge, client: Client, message: groups_wire.GroupStatsRequest) -> Any:
    return group_mods.statistics(bridge, message)


def _group_descriptions(bridge: Bridge, client: Client, message: groups_wire.GroupDescriptionRequest) -> Any:
    return group_mods.descriptions(bridge, message)


def _group_features(bridge: Bridge, client: Client, message: groups_wire.GroupFeaturesRequest) -> Any:
    return group_mods.features(client.connection.version)


def _monitor(bridge: Bridge, client: Client, message: monitors_wire.FlowMonitorRequest) -> Any:
    return flow_monitors.request(bridge, client, message)


def _cancel_monitor(bridge: Bridge, client: Client, message: monitors_wire.FlowMonitorCancel) -> None:
    flow_monitors.cancel(bridge, client, message.id)


def _meter_mod(bridge: Bridge, client: Client, message: meters_wire.MeterMod) -> None:
    for removed in meter_mods.apply(bridge, message):
        bridge.clients.tell(removed)
    bridge.clients.forward(client, message)


def _meter_stats(bridge: Bridge, client: Client, message: meters_wire.MeterStatsRequest) -> Any:
    return meter_mods.statistics(bridge, message)


def _meter_config(bridge: Bridge, client: Client, message: meters_wire.MeterConfigRequest) -> Any:
    return meter_mods.descriptions(bridge, message)


def _meter_features(bridge: Bridge, client: Client, message: meters_wire.MeterFeaturesRequest) -> Any:
    return meter_mods.features()


def _change_flows(bridge: Bridge, client: Client, message: m.FlowMod) -> list[m.FlowRemoved]:
    return bridge.flows.apply(_placed(bridge, message), client.connection.version, client.origin)


def _placed(bridge: Bridge, message: m.FlowMod) -> m.FlowMod:
    """A flow-mod with its options of tunnels where this bridge has them.  Raises Refused."""
    if message.flags & of.OFPFF_EMERG:
        raise Refused(
            "OFPFMFC_BAD_EMERG_TIMEOUT"
            if message.idle_timeout or message.hard_timeout
            else "OFPFMFC_TABLE_FULL"
        )
    if message.match.options:
        message = message._replace(match=bridge.flows.placed(message.match))
    if bridge.flows.options.places:
        message = message._replace(actions=bridge.flows.options.placed_actions(message.actions))
    return message


def _bundle_step(bridge: Bridge, client: Client, message: m.Message) -> list[m.FlowRemoved]:
    """One message of a bundle; returns what controllers are to be told once the bundle holds."""
    match message:
        case m.FlowMod():
            return _change_flows(bridge, client, message)
        case groups_wire.GroupMod():
            return group_mods.apply(bridge, message)
        case m.PortMod():
            _port_mod(bridge, client, message)
        case m.PacketOut():
            _packet_out(bridge, client, message)
    return []


def _packet_out(bridge: Bridge, client: Client, message: m.PacketOut) -> None:
    if message.buffer is not None:
        raise Refused("OFPBRC_BUFFER_UNKNOWN")
    in_port = layout.get(message.metadata.value, "in_port")
    if in_port >= of.OFPP_MAX and in_port not in (of.OFPP_LOCAL, of.OFPP_NONE, of.OFPP_CONTROLLER):
        raise Refused("OFPBRC_BAD_PORT")
    flows = bridge.flows
    widths = flows.options.widths
    error = refusal(message.actions, 0, bridge.groups, flows.meters, packet_out=True, options=widths)
    if error is not None:
        raise Refused(error)
    execute = bridge.fabric.execute
    assert execute is not None, "a bridge with controllers belongs to a datapath"
    bridge.fabric.counters.counter("ofproto_packet_out").add()
    actions = flows.options.placed_actions(message.actions)
    execute(bridge, message.metadata.value, Packet(message.data), actions)


def _description(bridge: Bridge, client: Client, message: m.DescriptionRequest) -> m.Message:
    config = bridge.config
    return m.DescriptionReply(
        config.manufacturer, config.hardware, config.software, config.serial, config.description
    )


def _port_descriptions(bridge: Bridge, client: Client, message: m.PortDescriptionRequest) -> m.Message:
    return m.PortDescriptionReply(
        tuple(describe(bridge.interfaces[n]) for n in statistics.asked_ports(bridge, message.port))
    )


def _port_mod(bridge: Bridge, client: Client, message: m.PortMod) -> None:
    port = bridge.interfaces.get(message.port)
    if port is None:
        raise Refused("OFPPMFC_BAD_PORT")
    if port.mac != message.hardware_address:
        raise Refused("OFPPMFC_BAD_HW_ADDR")
    bridge.set_port_bits(message.port, message.config, message.mask, client)


def _table_features(bridge: Bridge, client: Client, message: TableFeaturesRequest) -> Iterator[Any] | None:
    if message.tables or client.tables_told:
        if len(client.tables_told) <= TABLES:  # one more than there are is one twice
            client.tables_told += message.tables
        if message.more:
            return None
        tables, client.tables_told = client.tables_told, []
        error = rename(bridge.flows.limits, tables)
        if error is not None:
            raise Refused(error)
        if bridge.flows.journal is not None:
            for one in tables:
                bridge.flows.journal.named(one.table, one.name, bridge.clock.monotonic())
    return table_features(bridge.flows.limits, client.connection.version)


def _queue_config(bridge: Bridge, client: Client, message: m.QueueConfigRequest) -> m.Message:
    ports = statistics.queue_ports(bridge, message.port, message.queue, (of.OFPP_ANY,))
    return m.QueueConfigReply(message.port, tuple(m.QueueConfig(port, 0) for port in ports))


def _table_descriptions(bridge: Bridge, client: Client, message: m.TableDescriptionRequest) -> m.Message:
    flows = bridge.flows
    rows = (flows.limits.describe(number, flows.size(number)) for number in range(TABLES))
    return m.TableDescriptionReply(tuple(rows))


def _table_mod(bridge: Bridge, client: Client, message: m.TableMod) -> None:
    """What becomes of packets that no flow of a table matches (1.1 and 1.2), eviction and vacancy (1.4)."""
    if message.table != of.OFPTT_ALL and message.table >= TABLES:
        raise Refused("OFPTMFC_EPERM")  # the switch's own
    tables = range(TABLES) if message.table == of.OFPTT_ALL else (message.table,)
    flows = bridge.flows
    for table in tables:
        if message.eviction is not None:
            flows.set_eviction(table, message.eviction)
        if message.vacancy is not None:
            wanted = (message.vacancy_down, message.vacancy_up) if message.vacancy else None
            flows.limits.set_vacancy(table, wanted, flows.size(table))
    if message.miss is not None:
        bridge.set_table_miss(tables, message.miss)


def _resume(bridge: Bridge, client: Client, message: Resume) -> None:
    """A controller sends back a packet that was to wait for it (controller(pause))."""
    resume = bridge.fabric.resume
    if resume is None:
        raise Refused("OFPBRC_BAD_SUBTYPE")
    try:
        packet = message.packet
        metadata = bridge.flows.options.placed(packet.metadata).value
        resume(bridge, packet.data, metadata, continuation(packet.continuation, client.connection.version))
    except DecodeError as error:
        raise Refused(error.error) from None
    except OptionError as error:
        raise Refused(str(error)) from None


def _change_options(bridge: Bridge, client: Client, message: TlvTableMod) -> None:
    bridge.flows.set_options(message)


def _options(bridge: Bridge, client: Client, message: TlvTableRequest) -> Any:
    return bridge.flows.options.reply()


def _opaque(bridge: Bridge, client: Client, message: m.Opaque) -> None:
    """NXT_FLOW_AGE, which only says something to switches that keep flows elsewhere, is let pass."""
    if message.name != "NXT_FLOW_AGE":
        raise Refused(_unknown(message))


_HANDLERS: Final[dict[type, Handler]] = {
    Resume: _resume,
    m.Opaque: _opaque,
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
    groups_wire.GroupMod: _group_mod,
    groups_wire.GroupStatsRequest: _group_stats,
    groups_wire.GroupDescriptionRequest: _group_descriptions,
    groups_wire.GroupFeaturesRequest: _group_features,
    monitors_wire.FlowMonitorRequest: _monitor,
    monitors_wire.FlowMonitorCancel: _cancel_monitor,
    meters_wire.MeterMod: _meter_mod,
    meters_wire.MeterStatsRequest: _meter_stats,
    meters_wire.MeterConfigRequest: _meter_config,
    meters_wire.MeterFeaturesRequest: _meter_features,
    m.PacketOut: _packet_out,
    m.FlowStatsRequest: statistics.flows,
    m.AggregateStatsRequest: statistics.aggregate,
    m.TableStatsRequest: statistics.tables,
    m.DescriptionRequest: _description,
    m.PortDescriptionRequest: _port_descriptions,
    m.PortStatsRequest: statistics.ports,
    m.PortMod: _port_mod,
    m.QueueStatsRequest: statistics.queues,
    m.QueueConfigRequest: _queue_config,
    TableFeaturesRequest: _table_features,
    m.TableDescriptionRequest: _table_descriptions,
    m.TableMod: _table_mod,
    CtFlushZone: _flush_zone,
    CtFlush: _flush_tuple,
    TlvTableMod: _change_options,
    TlvTableRequest: _options,
}
