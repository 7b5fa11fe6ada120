"""An active connection to a controller: made, kept, lost and made again.

The state machine is jsonrpc/reconnect.py's, with the log lines of the original's ``rconn``: the first
attempts are reported one by one; once the pause between them has grown to its longest, only failures are.
"""

import asyncio
from collections.abc import Callable

from trunkline.base.counters import Counter
from trunkline.base.targets import OPENFLOW_PORT
from trunkline.daemons.env import Env
from trunkline.daemons.openflow_session import Session
from trunkline.io.files import error_text
from trunkline.io.streams import Stream
from trunkline.jsonrpc.reconnect import Event
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.clients import Client
from trunkline.ofproto.primaries import ControllerSettings, Primary
from trunkline.openflow import messages as m


class Controller:
    """Keeps `bridge` connected to one controller until `stop`.

    `attach` makes the client of a new connection; `detach` is told of its end; `changed` is called when the
    state has changed, `carried_out` after messages.
    """

    def __init__(
        self,
        env: Env,
        bridge: Bridge,
        settings: ControllerSettings,
        *,
        attach: Callable[[ControllerSettings, str], Client],
        detach: Callable[[Client], None],
        changed: Callable[[], None],
        carried_out: Callable[[], None],
        snoop: Callable[[bytes], None],
        refused: Callable[[str, str, bytes], None],
        received: Counter,
        sent: Counter,
    ) -> None:
        self.primary = Primary(settings, env.clock.monotonic())
        self.session: Session | None = None
        self._env = env
        self._bridge = bridge
        self._attach = attach
        self._detach = detach
        self._changed = changed
        self._carried_out = carried_out
        self._snoop = snoop
        self._refused = refused
        self._received, self._sent = received, sent
        self._name = f"{bridge.name}<->{settings.target}"
        self._log = env.log.module("rconn")
        self._over = asyncio.Event()
        self._task = asyncio.ensure_future(self._run())

    def configure(self, settings: ControllerSettings) -> None:
        """Settings that leave the connection as it is."""
        self.primary.settings = settings
        if self.session is not None:
            self.session.set_timing(settings.timing)
            self.session.stream.mark(settings.dscp or 0)

    def reconnect(self) -> None:
        """Ends the connection, if there is one, and makes it anew."""
        if self.session is not None and self.primary.is_connected:
            self.session.end("disconnecting", "")

    def stop(self) -> None:
        self._task.cancel()
        session, self.session = self.session, None
        if session is not None:
            session.forget()
            session.stream.close()
            self._detach(session.client)

    # ---- making connections

    async def _run(self) -> None:
        self._happened("enable")
        while True:
            primary = self.primary
            deadline = primary.state.deadline(primary.settings.timing)
            if deadline is not None:
                await asyncio.sleep(max(0.0, deadline - self._env.clock.monotonic()))
            await self._connection()

    @property
    def _is_quiet(self) -> bool:
        """Whether attempts have been failing for so long that they are not reported any more."""
        return self.primary.state.backoff >= self.primary.settings.max_backoff

    async def _connection(self) -> None:
        """One connection, from dialling to its end."""
        if not self._is_quiet:
            self._log.info("%s: connecting...", self._name)
        self._happened("connecting")
        self._env.counters.counter("vconn_open").add()
        try:
            async with asyncio.timeout(max(1.0, self.primary.state.backoff)):
                stream = await self._env.dial(self.primary.settings.target, port=OPENFLOW_PORT)
        except (OSError, TimeoutError) as error:
            reason = "Connection timed out" if isinstance(error, TimeoutError) else error_text(error)
            self._log.warn("%s: connection failed (%s)", self._name, reason)
            self._failed(reason, was_quiet=self._is_quiet)
            return
        self._over.clear()
        self._begin(stream)
        await self._over.wait()

    def _begin(self, stream: Stream) -> None:
        primary = self.primary
        if primary.settings.dscp is not None:
            stream.mark(primary.settings.dscp)
        primary.client = client = self._attach(primary.settings, primary.settings.target)
        self.session = Session(
            self._bridge,
            client,
            stream,
            clock=self._env.clock,
            log=self._env.log.module("ofproto"),
            timing=primary.settings.timing,
            state=primary.state,
            remote=primary.settings.target,
            received=self._received,
            sent=self._sent,
            agreed=self._agreed,
            heard=self._heard,
            carried_out=self._carried_out,
            ended=self._ended,
            snoop=self._snoop,
            refused=self._refused,
        )
        self.session.start()

    def _agreed(self) -> None:
        self._log.info("%s: connected", self._name)
        self._sync()
        self._changed()

    def _heard(self, message: m.Message | None) -> None:
        self._sync()
        self.primary.received(message, self._env.clock.monotonic())

    def _sync(self) -> None:
        if self.session is not None:
            self.primary.state = self.session.state

    def _ended(self, reason: str, error: str) -> None:
        self._sync()
        session, self.session = self.session, None
        was_connected, was_quiet = self.primary.is_connected, self._is_quiet
        self.primary.lost(self._env.clock.monotonic(), was_connected)
        if session is not None:
            self._detach(session.client)
        if not was_connected:
            self._env.log.module("vconn").warn("%s: %s", self.primary.settings.target, reason)
            self._log.warn("%s: connection failed (%s)", self._name, error)
        elif reason.startswith("no response"):
            self._log.err("%s: %s", self._name, reason)
        elif error in ("", "End of file"):
            self._log.info("%s: %s", self._name, reason)
        else:
            self._log.warn("%s: connection dropped (%s)", self._name, error)
        self._failed(error, was_quiet=was_quiet)
        self._over.set()

    def _failed(self, error: str, *, was_quiet: bool) -> None:
        """Settles how long to wait, and says so."""
        if error:
            self.primary.last_error = error
        held = self.primary.is_held(self._env.clock.monotonic())
        self._happened("disconnected")
        if not held and not was_quiet:
            if self._is_quiet:
                text = "%s: continuing to retry connections in the background but suppressing further logging"
                self._log.info(text, self._name)
            else:
                pause = self.primary.state.backoff
                self._log.info("%s: waiting %g seconds before reconnect", self._name, pause)
        self._changed()

    def _happened(self, event: Event) -> None:
        primary = self.primary
        primary.state = primary.state.happened(event, primary.settings.timing, self._env.clock.monotonic())
