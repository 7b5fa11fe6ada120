"""Talking to a switch: connections, requests and what comes back."""

import os
import sys
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from trunkline.base.log import DBG
from trunkline.base.targets import OPENFLOW_PORT
from trunkline.cli.ovs_ofctl import Failure
from trunkline.cli.ovs_ofctl.tool import Tool
from trunkline.io import tls_options
from trunkline.model import openflow as of
from trunkline.openflow import messages as m
from trunkline.openflow.codec import Incoming, decode, encode
from trunkline.openflow.control import decode_hello, versions_named
from trunkline.openflow.flow_text import (
    FORMAT_VERSIONS,
    NXM,
    NXM_TID,
    OF10_TID,
    formats_text,
)
from trunkline.openflow.text import message_text
from trunkline.openflow.wire import HEADER, DecodeError, Envelope, Framer, Protocol, kind_named

_MULTIPART_REPLY: Final = 19  # since 1.1
AnyMessage = tuple[Any, ...]  # a record of openflow/: those of `messages`, or of a family's module


class _Lost(Failure):
    """The connection is gone."""

    def __init__(self, name: str, doing: str, reason: str) -> None:
        super().__init__(f"{name}: {doing} failed ({reason})")
        self.reason = reason


class Switch:
    """A connection to a switch with its version agreed upon."""

    def __init__(self, tool: Tool, name: str, versions: int = 0, service: str = "mgmt") -> None:
        from trunkline.io.blocking import dial
        from trunkline.io.target_log import explain, report_unreachable
        from trunkline.io.tls import report

        self.tool = tool
        self.name = name
        self._log = tool.log.module("vconn")
        self.target = find_target(tool, name, service)
        tool.log.module("ofctl").dbg("connecting to %s", self.target)
        explain(self.target, tool.log, OPENFLOW_PORT)
        try:
            self._stream = dial(
                self.target,
                directory=tool.directories.run,
                port=OPENFLOW_PORT,
                tls=tls_options.files_from(tool.tls),
                log=tool.log,
            )
        except OSError as error:
            report(tool.log, error)
            report_unreachable(self.target, error.errno or 0, tool.log, OPENFLOW_PORT)
            raise Failure(f"connecting to {self.target} ({_reason(error)})") from None
        self._framer = Framer()
        self._ready: list[bytes] = []
        self.protocol = Protocol(1)
        self._greet(versions or tool.versions)

    def _greet(self, versions: int) -> None:
        top = versions.bit_length() - 1
        self.protocol = Protocol(top)
        try:
            self.send(m.Hello(versions))
        except _Lost as error:
            path = self.target.removeprefix("unix:")
            raise Failure(f"{path}: failed to open socket ({error.reason})") from None
        try:
            raw = self._read()
        except _Lost as error:
            raise Failure(f"{self.name}: failed to connect to socket ({error.reason})") from None
        version, kind, _, xid = HEADER.unpack_from(raw)
        if kind != 0:
            raise Failure(f"{self.name}: OpenFlow peer sent type {kind} before its hello")
        hello = Envelope(version, xid, kind_named(1, "OFPT_HELLO"), raw[8:], False)
        theirs = decode_hello(hello).versions
        common = versions & theirs
        if not common:
            self._log.warn(
                "%s: version negotiation failed (we support %s, peer supports %s)",
                self.target,
                versions_named(versions),
                versions_named(theirs),
            )
            reason = "Protocol error"
            try:  # the peer may have hung up over it already, which is then the reason given
                self.send(m.Error("OFPHFC_INCOMPATIBLE", b"no common version"))
            except _Lost as error:
                reason = error.reason
            raise Failure(f"{self.name}: failed to connect to socket ({reason})")
        self._log.dbg(
            "%s: negotiated OpenFlow version 0x%02x (we support %s, peer supports %s)",
            self.target,
            common.bit_length() - 1,
            versions_named(versions),
            versions_named(theirs),
        )
        self.protocol = Protocol(common.bit_length() - 1)

    @property
    def version(self) -> int:
        return self.protocol.version

    def send(self, message: AnyMessage, xid: int | None = None) -> int:
        """Sends `message`; returns its xid, a new one where none is given."""
        xid = self.tool.next_xid() if xid is None else xid
        known: Any = message
        data = b"".join(encode(self.protocol, known, xid))
        self.write(data)
        return xid

    def write(self, data: bytes) -> None:
        try:
            self._stream.write(data)
        except OSError as error:
            raise _Lost(self.name, "send", _reason(error)) from None
        if self._log.enabled(DBG):
            self._log.dbg("%s: sent (Success): %s", self.target, message_text(data).rstrip("\n"))

    def _read(self) -> bytes:
        while not self._ready:
            try:
                data = self._stream.read(1 << 18)
            except OSError as error:
                raise _Lost(self.name, "receive", _reason(error)) from None
            if not data:
                raise _Lost(self.name, "receive", "End of file")
            self._ready = self._framer.feed(data)
            if self._framer.broken and not self._ready:
                raise Failure(f"{self.name}: receive failed (Protocol error)")
        raw = self._ready.pop(0)
        if self._log.enabled(DBG):
            self._log.dbg("%s: received: %s", self.target, message_text(raw).rstrip("\n"))
        return raw

    def receive(self) -> tuple[bytes, Incoming]:
        """The next message; echo requests are answered on the way.  Raises Failure."""
        while True:
            raw = self._read()
            try:
                incoming = decode(raw)
            except DecodeError as error:
                return raw, _unreadable(raw, error)
            if isinstance(incoming.message, m.EchoRequest):
                self.write(encode(self.protocol, m.EchoReply(incoming.message.data), incoming.xid)[0])
                continue
            return raw, incoming

    def replies(self, request: AnyMessage) -> Iterator[tuple[bytes, Incoming]]:
        """Sends a request and yields what answers it, each part.  An error from the switch ends the tool."""
        xid = self.send(request)
        while True:
            raw, incoming = self.receive()
            if incoming.xid != xid:
                continue
            yield raw, incoming
            if not incoming.more:
                return

    def raw_replies(self, request: AnyMessage) -> Iterator[bytes]:
        """As `replies`, of a multipart request of 1.3 and later, undecoded; nothing when an error comes."""
        xid = self.send(request)
        while True:
            raw = self._read()
            if int.from_bytes(raw[4:8], "big") != xid:
                continue
            if raw[1] != _MULTIPART_REPLY or len(raw) < 16:
                return
            yield raw
            if not raw[11] & 1:
                return

    def ask(self, request: AnyMessage) -> tuple[bytes, Incoming]:
        return next(self.replies(request))

    def barrier(self) -> bytes | None:
        """Waits until the switch has done all; the first error it reported, or None."""
        xid = self.send(m.BarrierRequest())
        error = None
        while True:
            raw, incoming = self.receive()
            if incoming.xid == xid and not isinstance(incoming.message, m.Error):
                return error
            if isinstance(incoming.message, m.Error) and error is None:
                error = raw

    def transact(self, message: AnyMessage) -> bytes | None:
        """Sends what has no reply, and a barrier; the error or None."""
        self.send(message)
        return self.barrier()

    def close(self) -> None:
        self._stream.close()

    # ---- for those that watch it

    def fileno(self) -> int:
        return self._stream.fileno()

    def poll(self) -> list[bytes]:
        """The messages that have come.  Raises OSError, and EOFError at the end of the connection."""
        ready, self._ready = self._ready, []
        self._stream.settimeout(0)
        try:
            while not self._framer.broken:
                data = self._stream.read(1 << 18)
                if not data:
                    if ready:
                        break
                    raise EOFError
                ready += self._framer.feed(data)
        except (BlockingIOError, TimeoutError):
            pass
        except OSError as error:
            if type(error).__name__ != "SSLWantReadError":
                raise
        finally:
            self._stream.settimeout(None)
        return ready


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def find_target(tool: Tool, name: str, service: str = "mgmt") -> str:
    """`name` as a target: a target as it is, a bridge's socket, a socket's path.  Raises Failure."""
    if ":" in name:
        return name
    from trunkline.io.blocking import is_socket

    bridge = os.path.join(tool.directories.run, f"{name.rpartition('@')[2]}.{service}")
    for path in (bridge, os.path.join(tool.directories.run, name)):
        if is_socket(path):
            return f"unix:{path}"
    raise Failure(f"{name} is not a bridge or a socket")


class Unreadable(NamedTuple):
    """In place of a message that does not hold what it should; as text it shows what is wrong with it."""

    error: str


def _unreadable(raw: bytes, error: DecodeError) -> Incoming:
    version, kind, _, xid = HEADER.unpack_from(raw)
    more = kind == (17 if version == 1 else _MULTIPART_REPLY) and len(raw) >= 12 and raw[11] & 1
    message: Any = Unreadable(error.shown)
    return Incoming(version, xid, message, "", bool(more))


def listed_flows(raw: bytes, message: object, tool: Tool) -> tuple[m.FlowStats, ...]:
    """The flows of an answer that lists flows.  Raises Failure if it is none, or cannot be read."""
    if isinstance(message, m.FlowStatsReply):
        return message.flows
    wrong = f"parse error in reply ({message.error})" if isinstance(message, Unreadable) else ""
    tool.warn("vconn", wrong or f"received bad reply: {message_text(raw).rstrip(chr(10))}")
    raise Failure("dump flows (Protocol error)")


def complain(raw: bytes, tool: Tool) -> int:
    """Shows the error that a switch answered with; the tool's exit status."""
    sys.stdout.flush()
    sys.stderr.write(message_text(raw, tool.style(1)))
    return 1


def with_format(switch: Switch, formats: int) -> int:
    """Agrees with the switch on the first of `formats` that its version has; switches extensions on.

    Returns the format.  Raises Failure when there is none.
    """
    for bit, version in FORMAT_VERSIONS.items():
        if not formats & bit or version != switch.version:
            continue
        if bit & (NXM | NXM_TID):
            switch.send(m.SetFlowFormat(of.NXFF_NXM))
            error = switch.barrier()
            if error is not None:
                continue
            switch.protocol = switch.protocol._replace(nxm=True)
        if bit & (OF10_TID | NXM_TID):
            switch.send(m.FlowModTableId(True))
            error = switch.barrier()
            if error is not None:
                continue
            switch.protocol = switch.protocol._replace(table_id=True)
        return bit
    raise Failure(f"{switch.name}: no usable flow format among {formats_text(formats)}")
