"""``--record`` and ``--replay`` of a tool, whose one connection blocks (io/recording.py)."""

import errno
import os
from collections.abc import Callable, Iterator

from trunkline.base.log import Log
from trunkline.io.blocking import BlockingStream, Conversation, Dialler, dialling
from trunkline.io.files import error_text
from trunkline.io.recording import Cutter, Event, Recording, Track, file_name, read_recording


def recorder(directory: str, log: Log, dial: Callable[[str], BlockingStream]) -> Dialler:
    """For `dialling`: connects by `dial`, and writes down what comes in `directory`."""
    recording = Recording(directory)

    def dialled(target: str) -> Conversation:
        try:
            track = recording.open(target)
        except OSError as error:
            _report(log, f"{directory}/{file_name(target)}_{recording.step() - 1}", error)
            log.module("stream_replay").err("%s: failed to open replay file for stream.", target)
            raise
        try:
            with dialling(None):
                stream = dial(target)
        except OSError as error:
            track.failed(error.errno or errno.EIO)
            raise
        track.heard(b"")
        return _Recorded(stream, track)

    return dialled


def player(directory: str, log: Log) -> Dialler:
    """For `dialling`: connects to what the recording in `directory` has."""
    events: list[Event] = []
    taken: set[str] = set()

    def dialled(target: str) -> Conversation:
        try:
            if not events:
                events.extend(read_recording(directory))
            name = file_name(target)
            for event in events:
                if event.kind == "open" and event.file not in taken and event.file.rpartition("_")[0] == name:
                    taken.add(event.file)
                    return _Played([one for one in events if one.file == event.file and one.kind == "heard"])
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        except ValueError as error:
            raise OSError(errno.EPROTO, str(error)) from None
        except _Refused as refused:
            raise OSError(refused.number, os.strerror(refused.number)) from None
        except OSError as error:
            _report(log, f"{directory}/{file_name(target)}_0", error)
            log.module("stream_replay").err("%s: failed to open stream.", target)
            raise

    return dialled


def _report(log: Log, path: str, error: OSError) -> None:
    log.module("ovs_replay").err("%s: fopen failed: %s", path, error_text(error))


class _Recorded:
    def __init__(self, stream: BlockingStream, track: Track) -> None:
        self._stream = stream
        self._track = track
        self._cutter = Cutter()

    def read(self, most: int = 65536) -> bytes:
        data = self._stream.read(most)
        self._track.heard(data)
        return data

    def write(self, data: bytes) -> None:
        self._stream.write(data)
        for piece in self._cutter.cut(data):
            self._track.sent(len(piece))

    def settimeout(self, seconds: float | None) -> None:
        self._stream.settimeout(seconds)

    def close(self) -> None:
        self._track.close()
        self._stream.close()


class _Refused(Exception):
    """Connecting had failed."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Played:
    """What the tool sends is sent nowhere; after the end of the recording the connection has ended."""

    def __init__(self, events: list[Event]) -> None:
        self._events: Iterator[Event] = iter(events)
        self._rest = b""
        opened = next(self._events, None)
        if opened is not None and opened.result < 0:
            raise _Refused(-opened.result)

    def read(self, most: int = 65536) -> bytes:
        if not self._rest:
            event = next(self._events, None)
            if event is not None and event.result < 0:
                raise OSError(-event.result, os.strerror(-event.result))
            self._rest = b"" if event is None else event.data
        data, self._rest = self._rest[:most], self._rest[most:]
        return data

    def write(self, data: bytes) -> None:
        return None

    def settimeout(self, seconds: float | None) -> None:
        return None

    def close(self) -> None:
        return None
