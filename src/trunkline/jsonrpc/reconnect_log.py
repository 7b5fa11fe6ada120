"""What a connection that is made anew again and again says in the log (module ``reconnect``).

The first attempts are told one by one.  Once the backoff has come to its limit a line says so, and attempts
that fail from then on are worth a line at level DBG only: a peer that is not there must not fill the disk.
"""

from trunkline.base.log import DBG, INFO, WARN, Logger
from trunkline.jsonrpc.reconnect import Reconnect, Timing


def quiet(state: Reconnect, timing: Timing) -> bool:
    """Whether what fails now is told at level DBG only.  `state` is the one of the attempt."""
    return state.attempts > 1 and max(state.backoff, timing.min_backoff) >= timing.max_backoff


def tell_connecting(log: Logger, target: str, state: Reconnect, timing: Timing) -> None:
    log.message(DBG if quiet(state, timing) else INFO, "%s: connecting...", (target,), None)


def tell_failed(log: Logger, target: str, reason: str, state: Reconnect, timing: Timing) -> None:
    """An attempt failed; `state` is the one before."""
    level = DBG if quiet(state, timing) else INFO
    log.message(level, "%s: connection attempt failed (%s)", (target, reason), None)


def tell_ended(log: Logger, target: str, reason: str) -> None:
    """A connection ended; `reason` is "" when the peer closed it in peace."""
    if reason:
        log.message(WARN, "%s: connection dropped (%s)", (target, reason), None)
    else:
        log.message(INFO, "%s: connection closed by peer", (target,), None)


def tell_waiting(log: Logger, target: str, before: Reconnect, after: Reconnect, timing: Timing) -> None:
    """After `happened("disconnected")`, which made `after` of `before`."""
    if after.backoff <= 1 or quiet(before, timing):
        return
    if after.backoff < timing.max_backoff:
        log.message(INFO, "%s: waiting %g seconds before reconnect", (target, after.backoff), None)
    else:
        text = "%s: continuing to reconnect in the background but suppressing further logging"
        log.message(INFO, text, (target,), None)
