"""Locks that clients of a database server hold, wait for and steal (RFC 7047, 4.1.8 to 4.1.10).

A lock is a name with a queue of sessions: the first one owns it.  ``lock`` joins at the end, ``steal`` at the
front, ``unlock`` or the end of the session leaves.  Whoever becomes owner without having asked just now is
told "locked"; whoever is pushed from the front is told "stolen".  One that had come by ``lock`` stays in
the queue, right behind the thief; one that had itself stolen does not get the lock back, but must still
``unlock``.
"""

from collections.abc import Hashable
from typing import Literal, NamedTuple

Session = Hashable


class Notice(NamedTuple):
    """A notification that a session must be sent."""

    session: Session
    method: Literal["locked", "stolen"]
    name: str


class LockError(Exception):
    """The request is out of place; the text is the original's."""


class Locks:
    """The locks of one server."""

    __slots__ = ("_lost", "_queues", "_stolen")

    def __init__(self) -> None:
        self._queues: dict[str, list[Session]] = {}
        self._stolen: set[tuple[Session, str]] = set()  # owners by theft
        self._lost: set[tuple[Session, str]] = set()  # thieves who were robbed

    def owner(self, name: str) -> Session | None:
        queue = self._queues.get(name)
        return queue[0] if queue else None

    def of(self, session: Session) -> tuple[list[str], list[str], list[str]]:
        """The names of the locks that a session holds, waits for, and was robbed of, each sorted."""
        mine = sorted(name for name, queue in self._queues.items() if session in queue)
        held = [name for name in mine if self._queues[name][0] == session]
        waiting = [name for name in mine if self._queues[name][0] != session]
        return held, waiting, sorted(name for robbed, name in self._lost if robbed == session)

    def lock(self, session: Session, name: str, *, steal: bool = False) -> tuple[bool, list[Notice]]:
        """Whether the session owns the lock now, and whom to tell what.  Raises LockError."""
        queue = self._queues.setdefault(name, [])
        method = "steal" if steal else "lock"
        if session in queue or (session, name) in self._lost:
            raise LockError(f'must issue "unlock" before new "{method}"')
        if not steal:
            queue.append(session)
            return len(queue) == 1, []
        notices = [Notice(queue[0], "stolen", name)] if queue else []
        if queue and (queue[0], name) in self._stolen:
            self._stolen.discard((queue[0], name))
            self._lost.add((queue.pop(0), name))
        queue.insert(0, session)
        self._stolen.add((session, name))
        return True, notices

    def unlock(self, session: Session, name: str) -> list[Notice]:
        """Raises LockError."""
        if (session, name) in self._lost:
            self._lost.discard((session, name))
            return []
        if session not in self._queues.get(name, ()):
            raise LockError('"unlock" without "lock" or "steal"')
        return self._leave(session, name)

    def end(self, session: Session) -> list[Notice]:
        """The session is over."""
        self._lost = {lost for lost in self._lost if lost[0] != session}
        names = [name for name, queue in self._queues.items() if session in queue]
        return [notice for name in names for notice in self._leave(session, name)]

    def _leave(self, session: Session, name: str) -> list[Notice]:
        queue = self._queues[name]
        was_owner = queue[0] == session
        queue.remove(session)
        self._stolen.discard((session, name))
        if not queue:
            del self._queues[name]
            return []
        return [Notice(queue[0], "locked", name)] if was_owner else []
