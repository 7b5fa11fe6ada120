"""``--record`` and ``--replay`` of a daemon: between it and the streams it talks over.

A `Recorder` hands on what the machine's sockets give, and writes down what came in.  A `Player` has no
sockets: it gives the daemon what a recording holds (io/recording.py), one event after the other.  Where the
recording says that something was sent, the player waits until the daemon has sent as much; what the daemon
does by itself after a while (inactivity probes, a ``wait`` that times out) it does in a replay after that
while, for time is no part of a recording.

What is sent in a replay goes nowhere; module jsonrpc shows it, and what is received, at level dbg.
"""

import asyncio
import errno
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from trunkline.base.json import Json, JsonError, JsonStream, dumps, loads
from trunkline.base.log import DBG, OFF, Log
from trunkline.base.targets import OVSDB_PORT
from trunkline.io.files import error_text
from trunkline.io.loop import settle
from trunkline.io.recording import (
    UUIDS,
    Cutter,
    Event,
    Recording,
    Track,
    file_name,
    read_recording,
    uuid_of,
    uuid_words,
)
from trunkline.io.streams import Accept, Listener, Sockets, Stream
from trunkline.io.uuids import random_uuid
from trunkline.jsonrpc.message import MessageError, Notification, Reply, Request, described, message

WAITING: Final = 0.01  # seconds between two looks at whether the daemon has said something by itself
PATIENCE: Final = 100  # such looks until it is taken for granted that it has said all
ATTEMPTS: Final = 2000  # such looks at whether the daemon has dialled
_UUID_FILE: Final = file_name(UUIDS) + "_0"
_MONITORS: Final = ("monitor", "monitor_cond", "monitor_cond_since")
RING: Final = 4096
LOW: Final = 1 << 16  # bytes of backlog with which `drain` is content


class ReplayError(Exception):
    """The recording cannot be written or read; the text follows the program's name."""


def listed(json: Json) -> list[Json]:
    return json if isinstance(json, list) else [json]


def _failed(log: Log, path: str, error: OSError) -> ReplayError:
    reason = error_text(error)
    log.module("ovs_replay").err("%s: fopen failed: %s", path, reason)
    log.set_level("uuid", "console", OFF)  # standard error hears it anyhow
    log.module("uuid").emer("failed to open uuid replay file: %s.", reason)
    return ReplayError(f"failed to open uuid replay file: {reason}.")


class Recorder:
    """Streams and uuids of `sockets`, written down in `directory`.  Raises ReplayError."""

    def __init__(self, sockets: Sockets, directory: str, log: Log) -> None:
        self._sockets = sockets
        self._recording = Recording(directory)
        self._control: list[Callable[[], None]] = []
        self._late: list[str] | None = []
        try:
            self._uuids = self._recording.open(UUIDS)
        except OSError as error:
            raise _failed(log, f"{directory}/{_UUID_FILE}", error) from None

    def new_uuid(self, *, early: bool = False) -> str:
        """A random one.  While the daemon starts, `early` ones come before what it opens, others after it: in
        the order of the originals."""
        made = random_uuid()
        if early or self._late is None:
            self._uuids.heard(uuid_words(made))
        else:
            self._late.append(made)
        return made

    def unused(self, count: int) -> None:
        """Uuids that the original would draw here, and that nobody sees."""
        for _ in range(count):
            self._uuids.heard(uuid_words(random_uuid()))

    def begin(self) -> None:
        """The daemon serves."""
        for late in self._control:
            late()
        self._control.clear()
        for made in self._late or ():
            self._uuids.heard(uuid_words(made))
        self._late = None

    async def listen(self, target: str, accept: Accept, *, port: int = OVSDB_PORT) -> Listener:
        return await self._listen(target, accept, port)

    async def listen_control(self, target: str, accept: Accept, *, port: int = OVSDB_PORT) -> Listener:
        """For the control socket, which the originals open when they serve."""
        track: list[Track] = []
        listener = await self._sockets.listen(
            target, lambda stream: self._accepted(track[0], stream, accept), port=port
        )

        def late() -> None:
            track.append(self._recording.open(target))
            track[0].heard(b"")

        self._control.append(late)
        return listener

    async def _listen(self, target: str, accept: Accept, port: int) -> Listener:
        track = self._recording.open(target)
        try:
            listener = await self._sockets.listen(
                target, lambda stream: self._accepted(track, stream, accept), port=port
            )
        except OSError as error:
            track.failed(error.errno or errno.EIO)
            raise
        track.heard(b"")
        return listener

    def _accepted(self, track: Track, stream: Stream, accept: Accept) -> None:
        track.heard(stream.name.encode())
        own = self._recording.open(stream.name)
        own.heard(b"")
        accept(_Recorded(stream, own, self.unused))

    async def dial(self, target: str, *, port: int = OVSDB_PORT) -> Stream:
        track = self._recording.open(target)
        try:
            stream = await self._sockets.dial(target, port=port)
        except OSError as error:
            track.failed(error.errno or errno.EIO)
            raise
        track.heard(b"")
        return _Recorded(stream, track, self.unused)


class _Recorded:
    """A Stream that writes down what comes, and how much of what is sent has left."""

    def __init__(self, stream: Stream, track: Track, unused: Callable[[int], None]) -> None:
        self._stream = stream
        self._track = track
        self._unused = unused
        self._count = 0  # bytes that came
        self._monitors: dict[str, bool] = {}  # by ids of requests, as JSON: whether of everything
        self._whole: set[str] = set()  # the names of those
        self._lengths: deque[int] = deque()  # of messages that have not wholly left
        self._heard_cut, self._sent_cut = Cutter(), Cutter()

    @property
    def name(self) -> str:
        return self._stream.name

    @property
    def backlog(self) -> int:
        return self._stream.backlog

    @property
    def peer_id(self) -> str | None:
        return self._stream.peer_id

    def mark(self, dscp: int) -> None:
        self._stream.mark(dscp)

    async def read(self, most: int = 65536) -> bytes:
        data = await self._stream.read(most)
        self._heard(data)
        return data

    def receive(self, receiver: Callable[[bytes], None]) -> None:
        def received(data: bytes) -> None:
            for part in self._parts(data):
                self._heard(part)
                for piece in self._heard_cut.cut(part):  # one by one: so the originals work
                    if b'"monitor' in piece:
                        self._note(piece)
                    receiver(piece)
            if not data:
                self._heard(data)
                receiver(data)

        self._stream.receive(received)

    def _parts(self, data: bytes) -> Iterator[bytes]:
        """As the originals can take them: they read into a ring of 4,096 bytes."""
        while data:
            room = RING - self._count % RING
            yield data[:room]
            self._count += len(data[:room])
            data = data[room:]

    def _heard(self, data: bytes) -> None:
        self._left()
        self._track.heard(data)
        if not data:
            self._track.close()

    def when_sent(self, callback: Callable[[], None]) -> None:
        self._stream.when_sent(callback)

    def pause(self) -> None:
        self._stream.pause()

    def resume(self) -> None:
        self._stream.resume()

    def write(self, data: bytes) -> None:
        self._left()
        for piece in self._sent_cut.cut(data):
            if self._monitors or self._whole:
                self._draw(piece)
            self._lengths.append(len(piece))
        self._stream.write(data)
        self._left()

    def _note(self, piece: bytes) -> None:
        """A request for a monitor, perhaps."""
        with suppress(JsonError, MessageError, ValueError, AttributeError, TypeError):
            item = message(loads(piece))
            if isinstance(item, Request) and item.method in _MONITORS:
                _, name, tables = item.params[:3]
                requests = [one for table in tables.values() for one in listed(table)]
                everything = all(one.get("where") in (None, [], [True]) for one in requests)
                self._monitors[dumps(item.id)] = everything
                if everything:
                    self._whole.add(dumps(name))

    def _draw(self, piece: bytes) -> None:
        """What the original draws for its monitors: a uuid for each new one, and one for each set of changes
        that it keeps for those without conditions."""
        with suppress(JsonError, MessageError):
            item = message(loads(piece))
            if isinstance(item, Reply) and dumps(item.id) in self._monitors:
                self._unused(1 + self._monitors.pop(dumps(item.id)))
            elif isinstance(item, Notification) and item.method.startswith("update"):
                self._unused(int(dumps(item.params[0]) in self._whole))

    def _left(self) -> None:
        """Writes down what has left since the last look, a message at a time, as the originals send."""
        left = sum(self._lengths) - self._stream.backlog
        while left > 0 and self._lengths:
            length = min(left, self._lengths[0])
            self._track.sent(length)
            left -= length
            self._lengths[0] -= length
            if not self._lengths[0]:
                self._lengths.popleft()

    async def drain(self) -> None:
        await self._stream.drain()
        self._left()

    def close(self) -> None:
        self._left()
        self._track.close()
        self._stream.close()

    def abort(self) -> None:
        self._track.close()
        self._stream.abort()


class Player:
    """Streams and uuids out of the recording in `directory`.  Raises ReplayError."""

    def __init__(self, directory: str, log: Log, ended: Callable[[], None]) -> None:
        self._log = log.module("ovs_replay")
        self._jsonrpc = log
        try:
            os.stat(f"{directory}/{_UUID_FILE}")
            self._events = read_recording(directory)
        except OSError as error:
            raise _failed(log, f"{directory}/{_UUID_FILE}", error) from None
        except ValueError as error:
            raise ReplayError(str(error)) from None
        self._ended = ended
        self._taken = [False] * len(self._events)  # opened files, drawn uuids and results of opening
        self._next = 0  # the event that is being played
        self._last = -1  # the last one that happened, uuids aside
        self._listeners: dict[str, Accept] = {}
        self._streams: dict[str, _Played] = {}
        self._reached: dict[int, asyncio.Event] = {}  # results of dialling, which somebody waits for
        self._task: asyncio.Task[None] | None = None

    def new_uuid(self, *, early: bool = False) -> str:
        """The next one that was drawn before something else happened; one of our own if there is none."""
        start, end = self._last + 1, len(self._events)
        if self._task is None:
            opened = (
                n for n, one in enumerate(self._events) if one.kind == "open" and one.file != _UUID_FILE
            )
            first = next(opened, end)
            start, end = (start, first) if early else (first, end)
        for place in range(start, end):
            event = self._events[place]
            if self._taken[place] or event.kind == "open":
                continue
            if event.file == _UUID_FILE:
                self._taken[place] = True
                return uuid_of(event.data)
            if self._task is not None or event.result > 0:
                break
        return random_uuid()

    def _take(self, source: str) -> tuple[str, Event]:
        """The file that the recording has for `source` from here on, and how opening it went.  Raises
        FileNotFoundError."""
        name = file_name(source)
        for place, event in enumerate(self._events):
            if event.kind == "open" and not self._taken[place] and event.file.rpartition("_")[0] == name:
                self._taken[place] = True
                for later in range(place + 1, len(self._events)):
                    if self._events[later].file == event.file:
                        self._taken[later] = True
                        return event.file, self._events[later]
                return event.file, Event(event.file, "heard")
        self._log.err("%s: not in the recording", source)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source)

    def begin(self) -> None:
        """The daemon serves: the world begins to move."""
        self._task = asyncio.ensure_future(self._play())

    async def listen(self, target: str, accept: Accept, *, port: int = OVSDB_PORT) -> Listener:
        file, opened = self._take(target)
        if opened.result < 0:
            raise OSError(-opened.result, os.strerror(-opened.result))
        self._listeners[file] = accept
        return _PlayedListener(target)

    listen_control = listen

    async def dial(self, target: str, *, port: int = OVSDB_PORT) -> Stream:
        file, opened = self._take(target)
        place = self._events.index(opened) if opened in self._events else 0
        if self._next < place:
            reached = self._reached[place] = asyncio.Event()
            await reached.wait()
        if opened.result < 0:
            raise OSError(-opened.result, os.strerror(-opened.result))
        stream = self._streams[file] = _Played(target, self._jsonrpc, dialled=True)
        return stream

    async def _play(self) -> None:
        for place, event in enumerate(self._events):
            self._next = place
            if place in self._reached:
                self._reached.pop(place).set()
                await settle()  # the stream is there before anything comes
            elif event.kind == "sent":
                await self._sent(event)
                self._last = place
            elif not self._taken[place]:
                await self._heard(place, event)
        self._next = len(self._events)
        for stream in self._streams.values():
            while stream.advance():
                pass
        await settle()
        self._log.info("end of the recording")
        self._ended()

    async def _sent(self, event: Event) -> None:
        stream = self._streams.get(event.file)
        if stream is None or event.result <= 0:
            return
        tries = 0
        while stream.backlog < event.result and not stream.closed:
            if stream.advance():
                continue
            await (settle() if tries < 4 else asyncio.sleep(WAITING))
            tries += 1
            if stream.backlog and tries > PATIENCE:  # how long a wait took, say, is shorter now
                self._log.warn("%s: shorter than recorded", stream.name)
                break
        stream.leave(event.result)

    async def _heard(self, place: int, event: Event) -> None:
        if event.kind == "open":
            await settle()
            await self._dialled(place, event)
            return
        if event.file == _UUID_FILE:
            await settle()
            if not self._taken[place]:
                self._advance(place)
            return
        self._last = place
        accept = self._listeners.get(event.file)
        if accept is not None:
            if event.result > 0:
                name = event.data.decode()
                stream = _Played(name, self._jsonrpc)
                self._streams[self._take(name)[0]] = stream
                accept(stream)
            return
        if event.file not in self._streams:
            await settle()
        played = self._streams.get(event.file)
        if played is not None:
            played.deliver(event.data)

    async def _dialled(self, place: int, event: Event) -> None:
        """Waits until the daemon opens what was opened here: it may try again after a while only."""
        tries = 0
        while not self._taken[place] and event.file != _UUID_FILE and tries < ATTEMPTS:
            await asyncio.sleep(WAITING)
            tries += 1

    def _advance(self, place: int) -> None:
        """Somebody drew a uuid here: who was answered next, perhaps, for a request that had come before."""
        for event in self._events[place:]:
            stream = self._streams.get(event.file)
            if event.kind == "sent" and stream is not None:
                if stream.backlog < event.result:
                    stream.advance()
                return
            if event.kind == "heard" and event.file != _UUID_FILE:
                return


class _PlayedListener:
    def __init__(self, target: str) -> None:
        self.target = target

    def close(self) -> None:
        return None


class _Played:
    """A Stream whose peer is a recording."""

    peer_id = None

    def __init__(self, name: str, log: Log, *, dialled: bool = False) -> None:
        self.name = name
        self.backlog = 0
        self._dialled = dialled  # it gives answers and news, not requests that have an answer
        self.closed = False
        self._log = log.module("jsonrpc")
        self._shows = self._log.enabled(DBG)
        self._receiver: Callable[[bytes], None] | None = None
        self._data = bytearray()
        self._ended = False
        self._cutter = Cutter()
        self._pieces: deque[bytes] = deque()  # that came, and are not the daemon's turn yet
        self._heard, self._said = JsonStream(), JsonStream()
        self._changed = asyncio.Event()

    def deliver(self, data: bytes) -> None:
        """What the peer sent, b"" for its end.  Of several requests the first; the next when its answer is
        due, for in between others may have had theirs.  Who was dialled is heard as it came."""
        if self._dialled:
            self._pass(data)
            return
        idle, whole = not self._pieces, self._cutter.between
        pieces = self._cutter.cut(data)
        if self._pieces and not whole and pieces:
            self._pieces[-1] += pieces.pop(0)
        self._pieces.extend(pieces)
        if not data:
            while self.advance():
                pass
            self._pass(data)
        elif idle:
            self.advance()

    def advance(self) -> bool:
        """Passes the next request; whether there was one."""
        if not self._pieces:
            return False
        self._pass(self._pieces.popleft())
        return True

    def _pass(self, data: bytes) -> None:
        if self.closed:
            return
        self._show("received", self._heard, data)
        self._ended = not data
        if self._receiver is not None:
            self._receiver(data)
            return
        self._data += data
        self._changed.set()

    def leave(self, length: int) -> None:
        """As much as the peer took."""
        self.backlog = max(0, self.backlog - length)
        self._changed.set()

    def _show(self, how: str, messages: JsonStream, data: bytes) -> None:
        if self._shows:
            try:
                for value in messages.feed(data):
                    self._log.dbg("%s: %s %s", self.name, how, described(message(value)))
            except (JsonError, MessageError):
                pass  # which the daemon sees, too

    def mark(self, dscp: int) -> None:
        return None

    async def read(self, most: int = 65536) -> bytes:
        while not self._data and not self._ended and not self.closed:
            self._changed.clear()
            await self._changed.wait()
        data = bytes(self._data[:most])
        del self._data[:most]
        return data

    def receive(self, receiver: Callable[[bytes], None]) -> None:
        self._receiver = receiver
        if self._data:
            data = bytes(self._data)
            self._data.clear()
            receiver(data)
        if self._ended:
            receiver(b"")

    def when_sent(self, callback: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_soon(callback)

    def pause(self) -> None:
        return None

    def resume(self) -> None:
        return None

    def write(self, data: bytes) -> None:
        if not self.closed:
            self._show("send", self._said, data)
            self.backlog += len(data)

    async def drain(self) -> None:
        while self.backlog > LOW and not self.closed:
            self._changed.clear()
            await self._changed.wait()

    def close(self) -> None:
        self.closed = True
        self._receiver = None
        self._changed.set()

    abort = close
