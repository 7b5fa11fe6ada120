"""How a bridge stands with its primary controllers, and what it does without them.

A *primary* controller is one that is in charge of the flow table; the switch connects to it and keeps doing
so.  The switch trusts a connection only once the controller has *admitted* it: a message has come that a
controller sends only to switches that it wants (anything beyond hello, echo, and questions that open every
connection), or the connection has held for half a minute.  A bridge whose fail mode is ``standalone`` and
that no controller has admitted for three probe intervals *fails open*: its flows go, and one hidden flow of
highest priority makes it an ordinary switch until a controller admits it again (ovs-vswitchd.conf.db(5),
Bridge:fail_mode).

Nothing here does I/O: who owns the connection (daemons/openflow_server.py) tells what happens.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

from trunkline.jsonrpc.reconnect import Reconnect, Timing
from trunkline.model import openflow as of
from trunkline.ofproto.clients import Client
from trunkline.openflow import messages as m

ADMITTED_AFTER: Final = 30.0  # seconds of a connection after which it counts as admitted whatever came
MIN_PROBE: Final = 5.0
FAIL_OPEN_PRIORITY: Final = 0xF0F0F0  # above every priority that OpenFlow can give
_ROLES: Final = {
    of.OFPCR_ROLE_PRIMARY: "master",
    of.OFPCR_ROLE_EQUAL: "other",
    of.OFPCR_ROLE_SECONDARY: "slave",
}
_OPENING: Final = frozenset(
    (m.Hello, m.Error, m.EchoRequest, m.EchoReply, m.FeaturesRequest, m.GetConfigRequest, m.SetConfig)
)

Conclusion = Literal["open", "closed", "still"]


class ControllerSettings(NamedTuple):
    """One Controller row in the words of the switch.  Seconds; limits in packets a second and packets.

    `service`: fail_mode does not look at it.  A `probe_interval` of 0 never probes (and no connection is
    probed more often than each five seconds), a `rate_limit` of 0 does not limit.  At most `queue_size`
    packets wait for a controller that does not read (0: as many as the bridge says).  `dscp` marks the
    packets of the connection.  `in_band`: it goes through the bridge itself (in_band.py).
    """

    target: str
    service: bool
    max_backoff: float = 8.0
    probe_interval: float = MIN_PROBE
    asynchronous: bool = True
    rate_limit: int = 0
    burst_limit: int = 0
    queue_size: int = 0
    dscp: int | None = None
    in_band: bool = True

    @property
    def timing(self) -> Timing:
        probe = max(self.probe_interval, MIN_PROBE) if self.probe_interval else 0.0
        return Timing(max_backoff=self.max_backoff, probe_interval=probe, fresh_backoff=1.0)


class ControllerState(NamedTuple):
    """What the status columns of a Controller row show."""

    is_connected: bool = False
    role: str | None = None
    status: Mapping[str, str] = {}


class Primary:
    """An active connection to a controller, in whatever state; `client` while it is there."""

    __slots__ = ("_created", "admitted_at", "client", "disconnected_at", "last_error", "settings", "state")

    def __init__(self, settings: ControllerSettings, now: float) -> None:
        self.settings = settings
        self.state = Reconnect()
        self.client: Client | None = None
        self.last_error: str | None = None
        self.disconnected_at: float | None = None
        self.admitted_at: float | None = None
        self._created = now

    @property
    def is_connected(self) -> bool:
        return self.client is not None and self.state.state in ("ACTIVE", "IDLE")

    def received(self, message: m.Message | None, now: float) -> None:
        """A message has come (None: one that the connection answered by itself).

        It may say that the controller wants this switch, and later that it still does.
        """
        if (message is not None and type(message) not in _OPENING) or self.is_admitted(now):
            self.admitted_at = now

    def is_admitted(self, now: float) -> bool:
        if not self.is_connected:
            return False
        since = self.state.connected_at
        return (self.admitted_at is not None and self.admitted_at >= since) or now >= since + ADMITTED_AFTER

    def failing_since(self, now: float) -> float | None:
        """Since when no controller has wanted this switch; None: one does."""
        if self.is_admitted(now):
            return None
        return self._created if self.admitted_at is None else self.admitted_at

    def lost(self, now: float, was_connected: bool) -> None:
        """The connection has ended, or its making."""
        self.client = None
        if was_connected:
            self.disconnected_at = now

    def is_held(self, now: float) -> bool:
        """Whether the connection that is ending was there for longer than the pause before it."""
        connected = self.state.state in ("ACTIVE", "IDLE")
        return connected and now - self.state.connected_at >= max(self.state.backoff, 1.0)

    def status(self, now: float) -> ControllerState:
        found: dict[str, str] = {}
        if self.last_error is not None:
            found["last_error"] = self.last_error
        if self.state.connected_at:
            found["sec_since_connect"] = str(int(now - self.state.connected_at))
        if self.disconnected_at is not None:
            found["sec_since_disconnect"] = str(int(now - self.disconnected_at))
        found["state"] = self.state.state
        if self.client is not None and self.client.limiter is not None:
            found.update(self.client.limiter.status())
        role = _ROLES.get(self.client.role) if self.client is not None and self.is_connected else None
        return ControllerState(self.is_connected, role, found)


class FailOpen:
    """Whether a bridge stands alone for want of its controllers."""

    __slots__ = ("_said", "is_open")

    def __init__(self) -> None:
        self.is_open = False
        self._said = 0.0

    def look(self, primaries: Iterable[Primary], standalone: bool, now: float) -> Conclusion | None:
        """What is new: it fails open, it recovers, or it is (still) open and a minute has passed."""
        due = self._due(list(primaries), standalone, now)
        if due is None or now < due:
            if self.is_open:
                self.is_open = False
                return "closed"
            return None
        if not self.is_open:
            self.is_open = True
            self._said = now
            return "open"
        if now >= self._said + 60:
            self._said = now
            return "still"
        return None

    def next_timer(self, primaries: Iterable[Primary], standalone: bool, now: float) -> float | None:
        if self.is_open:
            admitted = [one.state.connected_at + ADMITTED_AFTER for one in primaries if one.is_connected]
            return min([self._said + 60, *admitted])
        return self._due(list(primaries), standalone, now)

    @staticmethod
    def _due(primaries: list[Primary], standalone: bool, now: float) -> float | None:
        """When the bridge fails open; None: not unless something happens."""
        led = [one for one in primaries if not one.settings.service]
        if not led or not standalone:
            return None
        since = [one.failing_since(now) for one in led]
        if None in since:
            return None
        interval = max(one.settings.probe_interval for one in led) or MIN_PROBE
        return max(when for when in since if when is not None) + 3 * interval


def failing_seconds(primaries: Iterable[Primary], now: float) -> int:
    """For how long no controller has admitted the bridge."""
    since = [when for one in primaries if (when := one.failing_since(now)) is not None]
    return int(now - max(since)) if since else 0
