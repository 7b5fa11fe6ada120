"""What the parts of the database server know of the whole.

The server (ovsdb_daemon.py) is made of parts: compaction, conversion, remotes, relays, replication.  They are
made with a `Hosting`, the server as far as they need it, and with calls for what they need of each other.
"""

from typing import NamedTuple, Protocol

from trunkline.base.log import Logger
from trunkline.daemons.env import Env
from trunkline.io.loop import Rally
from trunkline.io.ovsdb_file import DatabaseFile
from trunkline.io.streams import Stream
from trunkline.ovsdb.errors import OvsdbError
from trunkline.ovsdb.server import Server
from trunkline.ovsdb.session import Session


class RemoteSettings(NamedTuple):
    """What a row says of its remote.  Seconds."""

    probe_interval: float = 5.0
    max_backoff: float = 8.0
    read_only: bool = False
    role: str = ""
    dscp: int | None = None


class Connection:
    """A client's stream and its session."""

    __slots__ = ("backlog", "opened", "rally", "remote", "session", "stream")

    def __init__(self, stream: Stream, session: Session, remote: str, opened: float) -> None:
        self.stream = stream
        self.session = session
        self.remote = remote
        self.opened = opened
        self.backlog = 0  # when it was looked at last
        self.rally = Rally()


class Hosting(Protocol):
    """`files` are by database; with `column_diff` changes are written to them as differences."""

    env: Env
    server: Server
    files: dict[str, DatabaseFile]
    log: Logger
    column_diff: bool

    def accept(self, stream: Stream, remote: str, settings: RemoteSettings) -> Connection:
        """A client came by a remote."""

    def schedule(self) -> None:
        """Lets a turn follow once everything that is ready now has been read."""

    def sync_now(self) -> None:
        """Makes durable what is written, before a file is replaced.  Raises OvsdbError."""

    def log_unwritten(self, error: OvsdbError) -> None:
        """Logs that a file could not be written, if that is what went wrong."""

    def fail(self, error: Exception) -> None:
        """Ends the server: nothing is sent from now on."""
