"""Multipart requests that come in parts (OpenFlow 1.3 on): kept until the last part is here.

All parts but the last say that more follow; they have one xid and one type, and their bodies in one row are
the body of the request.  Of several requests the parts may be mixed.  A part that cannot be part of its
request ends it, and so does a second in which none comes; the error then quotes the first part.

Requests about the features of tables are no matter of this module: what they change is carried out part by
part.  Nor are those of experimenters, whose parts have a header of their own.  Source: OpenFlow 1.3.5, 7.3.5.
"""

from typing import Final, NamedTuple

from trunkline.openflow.wire import HEADER, MULTIPART_MORE, DecodeError, multipart_kind, split

_REQUEST: Final = 18
_TABLE_FEATURES, _EXPERIMENTER = 12, 0xFFFF
_START: Final = 16  # of the body
_LONGEST: Final = 0xFFFF - _START
_MOST: Final = 1000  # requests that may wait for parts
_SECONDS: Final = 1.0


class _Begun(NamedTuple):
    first: bytes
    body: bytes
    since: float | None  # Clock.monotonic(), once the clock has been looked at


class PartsError(Exception):
    """A request that comes to nothing, by the name of the error and the part to be quoted."""

    def __init__(self, error: str, raw: bytes) -> None:
        super().__init__(error)
        self.error, self.raw = error, raw


class Parts:
    """The requests of one connection that are not whole yet."""

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun: dict[int, _Begun] = {}  # by xid

    def take(self, raw: bytes) -> bytes | None:
        """The message that is whole with this one, often itself; None: more parts are to come.

        Raises PartsError; DecodeError for a part that is wrong in itself.
        """
        version, kind, _, xid = HEADER.unpack_from(raw)
        if version < 4 or kind != _REQUEST or len(raw) < _START:
            return raw
        begun, more = self._begun.get(xid), raw[11] & MULTIPART_MORE
        if begun is None and not more:
            return raw
        if int.from_bytes(raw[8:10], "big") in (_TABLE_FEATURES, _EXPERIMENTER) and begun is None:
            return raw
        self._begun.pop(xid, None)
        if begun is None:
            begun = _Begun(raw, b"", None)
        elif begun.first[8:10] != raw[8:10]:
            raise PartsError("OFPBRC_BAD_STAT", raw)
        if len(raw) > _START:
            split(raw)
        else:
            multipart_kind(raw, version, reply=False)
        begun = begun._replace(body=begun.body + raw[_START:])
        if len(begun.body) > _LONGEST or len(self._begun) >= _MOST:
            raise PartsError("OFPBRC_MULTIPART_BUFFER_OVERFLOW", begun.first)
        if more:
            self._begun[xid] = begun
            return None
        header = HEADER.pack(version, kind, _START + len(begun.body), xid)
        whole = header + raw[8:_START] + begun.body
        try:
            split(whole)
        except DecodeError:
            raise PartsError("OFPBRC_BAD_STAT", begun.first) from None
        return whole

    def expire(self, now: float) -> list[bytes]:
        """The first parts of requests that were not gone on with for too long, which are given up."""
        late = []
        for xid, begun in list(self._begun.items()):
            if begun.since is None:
                self._begun[xid] = begun._replace(since=now)
            elif begun.since + _SECONDS <= now:
                late.append(self._begun.pop(xid).first)
        return late

    def next_timer(self, now: float) -> float | None:
        """When `expire` is to be called next."""
        times = (now if begun.since is None else begun.since + _SECONDS for begun in self._begun.values())
        return min(times, default=None)
