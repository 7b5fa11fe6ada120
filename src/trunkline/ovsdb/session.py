"""One client of the server: its messages, its monitors, its waiting transactions."""

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from trunkline.base.json import Json, JsonStream, dumps
from trunkline.jsonrpc.message import ErrorReply, Notification, encode
from trunkline.ovsdb.database import Changes
from trunkline.ovsdb.hosted import Hosted
from trunkline.ovsdb.monitor import Shape
from trunkline.ovsdb.rbac import Access

PROBE_INTERVAL: Final = 5.0


class Monitor:
    """One monitor of one session."""

    __slots__ = ("hosted", "id", "id_text", "method", "pending", "session", "shape")

    def __init__(self, session: "Session", hosted: Hosted, id_: Json, method: str, shape: Shape) -> None:
        self.session = session
        self.hosted = hosted
        self.id = id_
        self.id_text = dumps(id_)
        self.method = method  # of its notifications
        self.shape = shape
        self.pending: Changes = {}  # changes merged while the client does not read

    def send(self, text: str) -> None:
        """Sends <table-updates> that were composed for the shape."""
        last = f'"{self.hosted.last_id}",' if self.method == "update3" else ""
        line = f'{{"id":null,"method":"{self.method}","params":[{self.id_text},{last}{text}]}}'
        self.session.put(line.encode("utf-8", "surrogateescape"))

    def catch_up(self) -> None:
        if self.pending:
            text = self.shape.update(self.pending)
            self.pending = {}
            if text:
                self.send(text)


class Waiting(NamedTuple):
    """A transaction that cannot go on yet."""

    session: "Session"
    id: Json
    hosted: Hosted
    operations: list[Json]
    since: float
    until: float | None


class Session:
    """One client.  `congested` is set by the driver while the client does not take what it is sent: its
    monitors then merge what comes instead of queueing it."""

    __slots__ = (
        "access",
        "aware",
        "closing",
        "congested",
        "foreign",
        "heard",
        "held",
        "monitors",
        "name",
        "output",
        "parser",
        "probe_interval",
        "probed",
        "queued",
        "read_only",
        "requests",
        "unread",
    )

    def __init__(self, name: str, *, now: float, read_only: bool, probe_interval: float) -> None:
        self.name = name
        self.parser = JsonStream()
        self.output: list[bytes] = []
        self.queued = 0  # bytes in it
        self.unread: deque[Json] = deque()  # messages that wait: for `held`, or for room for their answers
        self.held = 0  # requests that wait until a conversion is done; those behind them do, too
        self.monitors: dict[str, Monitor] = {}
        self.aware = False  # of database changes: not disconnected for them
        self.read_only = read_only
        self.access: Access | None = None  # role and client, of a remote with a role
        self.congested = False
        self.closing: str | None = None  # why the connection ends
        self.foreign = ""  # the protocol that it seems to speak instead
        self.probe_interval = probe_interval  # seconds; 0 never asks
        self.heard = now
        self.probed = False
        self.requests = 0

    def put(self, data: bytes) -> None:
        """Sends a message."""
        self.output.append(data)
        self.queued += len(data)

    def reply(self, id_: Json, result: Json) -> None:
        self.reply_text(id_, dumps(result))

    def reply_text(self, id_: Json, result: str) -> None:
        id_text = str(id_) if type(id_) is int else dumps(id_)
        text = f'{{"id":{id_text},"result":{result},"error":null}}'
        self.put(text.encode("utf-8", "surrogateescape"))

    def error(self, id_: Json, error: Json) -> None:
        self.put(encode(ErrorReply(id_, error)))

    def notify(self, method: str, params: Sequence[Json]) -> None:
        self.put(encode(Notification(method, list(params))))

    def release(self) -> None:
        """The client is gone: whoever still refers to the session, what it held goes at once."""
        self.parser.end("the connection is closed")
        self.output.clear()
        self.queued = 0
        self.unread.clear()
        self.monitors.clear()

    def catch_up(self) -> None:
        for monitor in self.monitors.values():
            monitor.catch_up()
