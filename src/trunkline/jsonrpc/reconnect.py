"""When to connect, when to ask whether the peer is alive, when to give up: one connection's state machine.

Nothing here waits or reads a clock.  The owner tells what happened (`happened`), asks until when nothing is
to be done (`deadline`), and then what is to be done (`due`).  States and times are those of the originals, so
that log lines and tests that wait for "BACKOFF" mean the same.

State        until                       then       that leads to
-----------  --------------------------  ---------  ----------------
VOID         ever                        -
BACKOFF      the backoff is over         connect    CONNECTING
CONNECTING   max(1 s, backoff)           give up    BACKOFF (doubled)
ACTIVE       probe interval of silence   probe      IDLE
IDLE         probe interval of silence   give up    BACKOFF
"""

from typing import Final, Literal, NamedTuple

State = Literal["VOID", "BACKOFF", "CONNECTING", "ACTIVE", "IDLE"]
Action = Literal["connect", "probe", "disconnect"]
Event = Literal["enable", "connecting", "connected", "activity", "disconnected", "disable"]

MIN_BACKOFF: Final = 1.0
MAX_BACKOFF: Final = 8.0
PROBE_INTERVAL: Final = 5.0


class Timing(NamedTuple):
    """Seconds.  A probe interval of 0 never probes; `fresh_backoff` follows a connection that has held."""

    min_backoff: float = MIN_BACKOFF
    max_backoff: float = MAX_BACKOFF
    probe_interval: float = PROBE_INTERVAL
    fresh_backoff: float = 0.0


class Reconnect(NamedTuple):
    """Where one connection stands.  Immutable: `happened` gives the next one."""

    state: State = "VOID"
    since: float = 0.0  # when the state was entered
    heard: float = 0.0  # last sign of the peer
    backoff: float = 0.0  # the present one; 0 before the first failure
    connected_at: float = 0.0
    attempts: int = 0

    def deadline(self, timing: Timing) -> float | None:
        """The monotonic time at which `due` will have something to do; None: never by itself."""
        if self.state == "BACKOFF":
            return self.since + self.backoff
        if self.state == "CONNECTING":
            return self.since + max(1.0, self.backoff)
        if self.state == "ACTIVE" and timing.probe_interval:
            return max(self.heard, self.since) + timing.probe_interval
        if self.state == "IDLE" and timing.probe_interval:
            return self.since + timing.probe_interval
        return None

    def due(self, timing: Timing, now: float) -> Action | None:
        deadline = self.deadline(timing)
        if deadline is None or now < deadline:
            return None
        return _DUE[self.state]

    def happened(self, event: Event, timing: Timing, now: float) -> "Reconnect":
        if event == "activity":
            return (
                self._replace(state="ACTIVE", since=now, heard=now)
                if self.state == "IDLE"
                else (self._replace(heard=now))
            )
        if event == "enable":
            return self._replace(state="BACKOFF", since=now, backoff=0.0) if self.state == "VOID" else self
        if event == "disable":
            return Reconnect(attempts=self.attempts)
        if event == "connecting":
            return self._replace(state="CONNECTING", since=now, attempts=self.attempts + 1)
        if event == "connected":
            return self._replace(state="ACTIVE", since=now, heard=now, connected_at=now)
        return self._replace(state="BACKOFF", since=now, backoff=self._next_backoff(timing, now))

    def probing(self, now: float) -> "Reconnect":
        """After a probe was sent."""
        return self._replace(state="IDLE", since=now)

    def _next_backoff(self, timing: Timing, now: float) -> float:
        """A connection that held longer than the backoff earns a fresh start, a short one does not."""
        held = now - self.connected_at if self.state in ("ACTIVE", "IDLE") else 0.0
        if held >= max(self.backoff, timing.min_backoff):
            return timing.fresh_backoff
        return min(timing.max_backoff, max(timing.min_backoff, self.backoff * 2))


_DUE: Final[dict[State, Action]] = {
    "BACKOFF": "connect",
    "CONNECTING": "disconnect",
    "ACTIVE": "probe",
    "IDLE": "disconnect",
}
