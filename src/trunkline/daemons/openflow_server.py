"""OpenFlow of all bridges: who may connect, whom they connect to, and who listens in.

Each bridge listens at ``BRIDGE.mgmt`` in the run directory, as ovs-ofctl expects, and at the passive targets
of its controllers; it connects to the active ones (openflow_primary.py).  Whoever connects to
``BRIDGE.snoop`` gets a copy of what goes between the bridge and one controller that it connects to: the one
that counted most when the listener came.
"""

import asyncio
from collections.abc import Callable, Container, Coroutine, Iterable
from typing import Final, NamedTuple

from trunkline.base.log import RateLimit
from trunkline.base.targets import OPENFLOW_PORT, is_active
from trunkline.daemons.env import Env
from trunkline.daemons.openflow_primary import Controller
from trunkline.daemons.openflow_session import Session
from trunkline.io.streams import Listener, Stream
from trunkline.jsonrpc.reconnect import Reconnect, Timing
from trunkline.model import openflow as of
from trunkline.ofproto.bridge import Bridge, in_port_match
from trunkline.ofproto.clients import NOTHING_UNASKED, UNASKED, Client
from trunkline.ofproto.packet_in_limit import PacketInLimiter
from trunkline.ofproto.primaries import Conclusion, ControllerSettings, ControllerState
from trunkline.openflow.complaints import header_complaint, refused_as
from trunkline.openflow.connection import Connection
from trunkline.openflow.messages import PacketIn

_NO_PROBES: Final = Timing(probe_interval=0.0)
_SNOOPER_BACKLOG: Final = 1 << 20  # bytes; who is slower misses messages
_BOGUS_SECONDS: Final = 2.0
_NICIRA_OUI: Final = 0x002320


_EVERY_VERSION: Final = sum(1 << version for version in of.VERSION_NAMES)  # for who listens in
_RANKS: Final = {of.OFPCR_ROLE_PRIMARY: 0, of.OFPCR_ROLE_EQUAL: 1, of.OFPCR_ROLE_SECONDARY: 2}


class _Snooper(NamedTuple):
    connection: Connection  # for the hellos only
    target: str  # of the controller


class _Party:
    """What belongs to one bridge."""

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge
        self.protocols = bridge.config.protocols  # that its connections were allowed when they were made
        self.settings: dict[str, ControllerSettings] = {}  # of all controllers, by target
        self.controllers: dict[str, Controller] = {}
        self.listeners: dict[str, Listener] = {}  # by target
        self.sessions: set[Session] = set()  # of those that came by themselves
        self.snoopers: dict[Stream, _Snooper] = {}
        self.bogus: asyncio.TimerHandle | None = None
        self.gone = False


class OpenFlowServer:
    """OpenFlow connections of all bridges (bridge/parts.py, Surroundings).

    `after` is called once messages to a bridge have been carried out, `changed` when the state of a
    connection to a controller has changed.
    """

    def __init__(self, env: Env, after: Callable[[Bridge], None], changed: Callable[[], None]) -> None:
        self._env = env
        self._after = after
        self._changed = changed
        self._log = env.log.module("connmgr")
        # Of what is said of messages that are refused: wrong headers, errors sent, unknown messages.
        self._limits = RateLimit(10, 10), RateLimit(10, 10), RateLimit(1, 1)
        self._parties: dict[str, _Party] = {}
        self._received = env.counters.counter("ofproto_recv_openflow")
        self._sent = env.counters.counter("vconn_sent")  # writes, of one message or several
        self._tasks: set[asyncio.Task[None]] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._damage = RateLimit(60, 5)  # of what peers do that end their connections by it

    # ---- bridges

    def bridge_came(self, bridge: Bridge) -> None:
        party = self._parties[bridge.name] = _Party(bridge)
        bridge.fail_open_changed = lambda conclusion, seconds: self._fail_open(party, conclusion, seconds)
        directory = self._env.directories.run
        service = ControllerSettings(self._management(bridge), service=True, probe_interval=0)
        self._opening.add(self._spawn(self._listen(party, service)))
        snoop = f"punix:{directory}/{bridge.name}.snoop"
        self._opening.add(self._spawn(self._listen_for_snoopers(party, snoop)))

    async def opened(self) -> None:
        """Waits until every bridge that has come can be reached at its own sockets, if they can be had."""
        if self._opening:
            await asyncio.wait(self._opening)
            self._opening.clear()

    def _management(self, bridge: Bridge) -> str:
        return f"punix:{self._env.directories.run}/{bridge.name}.mgmt"

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def bridge_went(self, name: str) -> None:
        party = self._parties.pop(name, None)
        if party is None:
            return
        party.gone = True
        party.bridge.primaries.clear()
        for listener in party.listeners.values():
            listener.close()
        for controller in party.controllers.values():
            controller.stop()
        for session in party.sessions:
            session.forget()
            session.stream.close()
        for stream in party.snoopers:
            stream.close()
        if party.bogus is not None:
            party.bogus.cancel()

    def close(self) -> None:
        for name in list(self._parties):
            self.bridge_went(name)

    def flush(self, bridge: Bridge) -> None:
        """Writes what waits to be sent by the connections of a bridge."""
        party = self._parties.get(bridge.name)
        if party is None:
            return
        for session in list(party.sessions):
            session.flush()
        for controller in party.controllers.values():
            if controller.session is not None:
                controller.session.flush()

    # ---- controllers

    def set_controllers(self, bridge: Bridge, controllers: Iterable[ControllerSettings]) -> None:
        """The bridge is to have connections with these, and with no others."""
        party = self._parties[bridge.name]
        wanted = {settings.target: settings for settings in controllers}
        if party.protocols != bridge.config.protocols:  # what was agreed upon may be no longer allowed
            party.protocols = bridge.config.protocols
            self._begin_anew(party, wanted)
        for target, old in list(party.settings.items()):
            new = wanted.get(target)
            if new is None or new.service != old.service:
                self._remove(party, target)
            elif new != old:
                self._configure(party, new)
        for target, settings in wanted.items():
            if target not in party.settings:
                self._add(party, settings)
        bridge.look_at_controllers(self._env.clock.monotonic())
        self._changed()

    def _begin_anew(self, party: _Party, wanted: Container[str]) -> None:
        """Ends all connections, in the original's words; those still wanted are to be added again."""
        management = self._management(party.bridge)
        for target in (management, *party.settings):
            if target == management or target in wanted:
                why = 'Changes to controller "%s" expects re-initialization: Re-initializing now.'
                self._log.info(f"%s: {why}", party.bridge.name, target)
        for session in [one for one in party.sessions if one.remote == management]:
            session.end("the bridge's protocols have changed", "")
        for target in list(party.settings):
            self._remove(party, target, silently=target in wanted)

    def _add(self, party: _Party, settings: ControllerSettings) -> None:
        party.settings[settings.target] = settings
        if not is_active(settings.target):
            self._spawn(self._listen(party, settings))
            return
        bridge = party.bridge
        controller = party.controllers[settings.target] = Controller(
            self._env,
            bridge,
            settings,
            attach=lambda settings, origin: self._attach(bridge, settings, origin),
            detach=bridge.clients.detach,
            changed=lambda: self._controller_changed(party),
            carried_out=lambda: self._heard_of(bridge),
            snoop=lambda raw: self._copy(party, settings.target, raw),
            refused=self._tell_of_refusal,
            received=self._received,
            sent=self._sent,
        )
        bridge.primaries[settings.target] = controller.primary
        self._log_added(bridge, settings, "added")

    def _remove(self, party: _Party, target: str, *, silently: bool = False) -> None:
        settings = party.settings.pop(target)
        controller = party.controllers.pop(target, None)
        if controller is not None:
            controller.stop()
            del party.bridge.primaries[target]
        listener = party.listeners.pop(target, None)
        if listener is not None:
            listener.close()
        for stream in [one for one, snooper in party.snoopers.items() if snooper.target == target]:
            del party.snoopers[stream]
            stream.close()
        for session in [one for one in party.sessions if one.remote == target]:
            session.end("the controller was removed", "")
        if (controller is not None or listener is not None) and not silently:
            self._log_added(party.bridge, settings, "removed")

    def _configure(self, party: _Party, settings: ControllerSettings) -> None:
        party.settings[settings.target] = settings
        controller = party.controllers.get(settings.target)
        if controller is not None:
            controller.configure(settings)
        sessions = [one for one in party.sessions if one.remote == settings.target]
        for session in sessions:
            session.set_timing(settings.timing)
            session.stream.mark(settings.dscp or 0)
        for client in [session.client for session in sessions] + [
            one.session.client
            for one in ([controller] if controller is not None else [])
            if one.session is not None
        ]:
            self._set_limit(client, settings)

    def _log_added(self, bridge: Bridge, settings: ControllerSettings, what: str) -> None:
        kind = "service" if settings.service else "primary"
        self._log.info('%s: %s %s controller "%s"', bridge.name, what, kind, settings.target)

    def _attach(self, bridge: Bridge, settings: ControllerSettings, origin: str) -> Client:
        versions = sum(1 << version for version in bridge.config.protocols)
        client = bridge.clients.attach(Connection(versions), service=settings.service, origin=origin)
        if not settings.asynchronous:
            client.chosen = NOTHING_UNASKED
        self._set_limit(client, settings)
        return client

    def _set_limit(self, client: Client, settings: ControllerSettings) -> None:
        client.queue_size = settings.queue_size
        limiter = client.limiter
        if not settings.rate_limit:
            client.limiter = None
        elif limiter is None:
            now = self._env.clock.monotonic()
            client.limiter = PacketInLimiter(settings.rate_limit, settings.burst_limit, now)
        else:
            limiter.rate, limiter.burst = settings.rate_limit, settings.burst_limit

    def _heard_of(self, bridge: Bridge) -> None:
        """Messages of a controller have been carried out."""
        bridge.look_at_controllers(self._env.clock.monotonic())
        bridge.look_at_misses()
        self._after(bridge)

    def _controller_changed(self, party: _Party) -> None:
        if not party.gone:
            self._heard_of(party.bridge)
        self._changed()

    def reconnect(self, name: str | None) -> bool:
        """``bridge/reconnect``: of one bridge or of all.  False: there is no such bridge."""
        if name is not None and name not in self._parties:
            return False
        for party in list(self._parties.values()):
            if name in (None, party.bridge.name):
                for controller in party.controllers.values():
                    controller.reconnect()
        return True

    def state_of(self, bridge: str, target: str) -> ControllerState:
        """What there is to say of a controller; of who is waited for, nothing."""
        party = self._parties.get(bridge)
        controller = party.controllers.get(target) if party is not None else None
        if controller is None:
            return ControllerState()
        return controller.primary.status(self._env.clock.monotonic())

    # ---- who connects to us

    async def _listen(self, party: _Party, settings: ControllerSettings) -> None:
        bridge, target = party.bridge, settings.target
        try:
            listener = await self._env.listen(
                target, lambda stream: self._accept(party, settings, stream), port=OPENFLOW_PORT
            )
        except OSError as error:
            if target.startswith("punix:"):
                self._log.err("%s: cannot listen for OpenFlow at %s (%s)", bridge.name, target, error)
            return
        wanted = target in party.settings or target == self._management(bridge)
        if party.gone or target in party.listeners or not wanted:
            listener.close()  # the bridge or the controller has gone meanwhile
            return
        party.listeners[target] = listener
        self._log_added(bridge, settings, "added")

    def _accept(self, party: _Party, settings: ControllerSettings, stream: Stream) -> None:
        bridge = party.bridge
        settings = party.settings.get(settings.target, settings)
        client = self._attach(bridge, settings, stream.name)
        if settings.dscp is not None:
            stream.mark(settings.dscp)
        now = self._env.clock.monotonic()
        timing = settings.timing if settings.probe_interval else _NO_PROBES

        def carried_out() -> None:
            bridge.look_at_misses()
            self._after(bridge)

        def ended(reason: str, error: str) -> None:
            name = f"{bridge.name}<->{stream.name}"
            if reason.startswith("no response"):
                self._log.err("%s: %s", name, reason)
            elif error == "Protocol error":
                self._tell_of_damage(stream.name, reason)
                self._env.log.module("rconn").warn("%s: connection dropped (%s)", name, error)
            party.sessions.discard(session)
            bridge.clients.detach(client)
            carried_out()

        session = Session(
            bridge,
            client,
            stream,
            clock=self._env.clock,
            log=self._env.log.module("ofproto"),
            timing=timing,
            state=Reconnect("ACTIVE", now, now),
            remote=settings.target,
            received=self._received,
            sent=self._sent,
            carried_out=carried_out,
            ended=ended,
            refused=self._tell_of_refusal,
        )
        party.sessions.add(session)
        session.start()

    def _tell_of_refusal(self, name: str, error: str, raw: bytes) -> None:
        complaint = header_complaint(raw)
        if complaint is not None:
            limit = self._limits[2 if complaint.startswith("unknown") else 0]
            self._env.log.module("ofp_msgs").warn("%s", complaint, limit=limit)
        words = name, error, refused_as(raw)
        self._log.info("%s: sending %s error reply to %s message", *words, limit=self._limits[1])

    def _tell_of_damage(self, name: str, reason: str) -> None:
        """What a peer did that ended its connection."""
        if reason.startswith("received too-short"):
            self._env.log.module("vconn_stream").err("%s", reason, limit=self._damage)
        else:
            self._env.log.module("vconn").warn("%s: %s", name, reason, limit=self._damage)

    # ---- who listens in

    async def _listen_for_snoopers(self, party: _Party, target: str) -> None:
        try:
            listener = await self._env.listen(target, lambda stream: self._accept_snooper(party, stream))
        except OSError as error:
            self._log.err("%s: cannot listen at %s (%s)", party.bridge.name, target, error)
            return
        if party.gone:
            listener.close()
        else:
            party.listeners[target] = listener

    def _accept_snooper(self, party: _Party, stream: Stream) -> None:
        """Copies are in the version of the controller, so whoever speaks any version may have them."""
        target = self._most_important(party)
        if target is None:
            stream.close()
            return
        connection = Connection(_EVERY_VERSION)
        party.snoopers[stream] = _Snooper(connection, target)

        def receive(data: bytes) -> None:
            connection.feed(data)  # a hello; nothing else is of interest
            stream.write(connection.to_send())
            if not data or connection.closed is not None:
                party.snoopers.pop(stream, None)
                stream.close()

        stream.write(connection.to_send())
        stream.receive(receive)

    @staticmethod
    def _most_important(party: _Party) -> str | None:
        """The target of the connected controller to listen to (ovs-ofctl(8), snoop): a primary one, or one
        that is neither primary nor secondary, or any."""
        ranked = [
            (_RANKS.get(one.session.client.role, 1), target)
            for target, one in party.controllers.items()
            if one.session is not None and one.primary.is_connected
        ]
        return min(ranked)[1] if ranked else None

    @staticmethod
    def _copy(party: _Party, target: str, raw: bytes) -> None:
        for stream, snooper in party.snoopers.items():
            if snooper.target != target or not snooper.connection.version:
                continue
            if stream.backlog < _SNOOPER_BACKLOG:
                stream.write(raw)

    # ---- failing open

    def _fail_open(self, party: _Party, conclusion: Conclusion, seconds: int) -> None:
        log = self._env.log.module("fail_open")
        if conclusion == "open":
            log.warn(
                "Could not connect to controller (or switch failed controller's post-connection admission "
                "control policy) for %d seconds, failing open",
                seconds,
            )
            self._next_bogus(party)
        elif conclusion == "still":
            log.info("Still in fail-open mode after %d seconds disconnected from controller", seconds)
        else:
            log.warn("No longer in fail-open mode")
            if party.bogus is not None:
                party.bogus.cancel()
                party.bogus = None

    def _next_bogus(self, party: _Party) -> None:
        loop = asyncio.get_running_loop()
        party.bogus = loop.call_later(_BOGUS_SECONDS, self._send_bogus, party)

    def _send_bogus(self, party: _Party) -> None:
        """A controller that says nothing gets packets from nobody: whoever wants the switch answers."""
        mac = _NICIRA_OUI << 24 | self._env.random.getrandbits(24)
        message = PacketIn(_reverse_arp(mac), in_port_match(of.OFPP_LOCAL), of.OFPR_NO_MATCH)
        for controller in party.controllers.values():
            client = controller.primary.client
            if client is not None and controller.primary.is_connected and not client.service:
                client.connection.send(message, xid=UNASKED)
        self.flush(party.bridge)
        self._next_bogus(party)


def _reverse_arp(mac: int) -> bytes:
    """A frame that announces a machine (RFC 903)."""
    address = mac.to_bytes(6, "big")
    header = bytes.fromhex("80350001080006040003")
    return b"\xff" * 6 + address + header + address + bytes(4) + address + bytes(4)
