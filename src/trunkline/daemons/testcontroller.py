"""ovs-testcontroller: a simple OpenFlow controller for tests (ovs-testcontroller(8)).

It makes each switch that connects, or that it connects to, a learning switch or a hub: it remembers behind
which port an address was seen, and sets up a flow for what it knows.  `_Switch` is one such connection.
"""

import asyncio
from collections.abc import Sequence
from struct import Struct
from typing import Any, Final, NamedTuple

from trunkline.base import usage
from trunkline.base.directories import Directories
from trunkline.base.options import Option, Parsed
from trunkline.base.targets import OPENFLOW_PORT
from trunkline.daemons.env import Env
from trunkline.daemons.process import Fatal, Program, Run
from trunkline.daemons.process import main as process_main
from trunkline.flow.key import get
from trunkline.flow.match import Match, exact_value, match
from trunkline.flow.values import TextError
from trunkline.io.files import error_text, lines_of_text
from trunkline.io.streams import Listener, Stream
from trunkline.model import openflow as of
from trunkline.openflow import actions as a
from trunkline.openflow import match10
from trunkline.openflow import messages as m
from trunkline.openflow.codec import Incoming, decode, encode
from trunkline.openflow.control import decode_hello
from trunkline.openflow.flow_text import ParsedFlow, parse_flow
from trunkline.openflow.formats import ANY_NXM, FORMAT_VERSIONS, NXM_TID, OF10_TID
from trunkline.openflow.wire import HEADER, DecodeError, Envelope, Framer, Protocol, kind_named
from trunkline.packet.parse import parse

_WILDCARDS: Final = 0x2820F0  # what --wildcards without a mask leaves open: all but L2
_MISS_LENGTH: Final = 128
_AGE_SECONDS: Final = 300.0  # after which an address is forgotten
_PROBE_SECONDS: Final = 60.0  # of silence, after which a switch is asked for a sign of life
_RESERVED: Final = 0x0180C2000000  # and the 15 addresses above: never forwarded by bridges
_MULTICAST: Final = 1 << 40
_MATCH10: Final = Struct("!IH6s6sHBxHBB2xIIHH")
_PASSIVE: Final = ("ptcp", "pssl", "punix")


class Settings(NamedTuple):
    """The command line.  `idle` 0: flows stay; `queue` None: no queue; `ports` are queues by name of port."""

    versions: int = 0x7E
    hub: bool = False
    flows: bool = True
    idle: int = 60
    normal: bool = False
    wildcards: int = 0
    mute: bool = False
    queue: int | None = None
    port_queues: tuple[tuple[str, int], ...] = ()
    first_flows: tuple[ParsedFlow, ...] = ()


class _Switch:
    """One connection to a switch."""

    def __init__(self, controller: "_Controller", stream: Stream) -> None:
        self._controller = controller
        self._settings = controller.settings
        self._stream = stream
        self._log = controller.env.log.module("learning_switch")
        self._framer = Framer()
        self._xid = 0
        self._protocol = Protocol(self._settings.versions.bit_length() - 1)
        self._greeted = False
        self._heard = controller.env.clock.monotonic()
        self._probed = False
        self._ports: dict[bytes, tuple[int, float]] = {}  # address -> port, and when it was seen
        self._queues: dict[int, int] = {}  # port -> queue
        self._timer: asyncio.TimerHandle | None = None
        self._send(m.Hello(self._settings.versions))
        stream.receive(self._receive)
        self._schedule()

    # ---- bytes

    def _send(self, message: tuple[Any, ...], xid: int | None = None) -> None:
        if xid is None:
            self._xid += 1
            xid = self._xid
        known: Any = message
        self._stream.write(b"".join(encode(self._protocol, known, xid)))

    def _receive(self, data: bytes) -> None:
        if not data:
            self.close()
            return
        self._heard, self._probed = self._controller.env.clock.monotonic(), False
        for raw in self._framer.feed(data):
            self._take(raw)
        if self._framer.broken:
            self._log.warn("%s: received a message that is too short", self._stream.name)
            self.close()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._stream.close()
        self._controller.forget(self)

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_PROBE_SECONDS, self._look)

    def _look(self) -> None:
        """A silent switch is asked for a sign of life, and left when none comes."""
        if self._controller.env.clock.monotonic() - self._heard >= _PROBE_SECONDS:
            if self._probed:
                self._log.err("%s: no response to inactivity probe, disconnecting", self._stream.name)
                self.close()
                return
            self._probed = True
            self._send(m.EchoRequest(b""))
        self._schedule()

    # ---- messages

    def _take(self, raw: bytes) -> None:
        if not self._greeted:
            self._greet(raw)
            return
        if self._settings.mute:
            return
        try:
            incoming = decode(raw)
        except DecodeError as error:
            self._log.warn("%s: received a message that cannot be decoded: %s", self._stream.name, error)
            return
        match incoming.message:
            case m.EchoRequest(data=data):
                self._send(m.EchoReply(data), incoming.xid)
            case m.FeaturesReply():
                self._begin(incoming)
            case m.PacketIn():
                self._forward(incoming.message)

    def _greet(self, raw: bytes) -> None:
        version, kind, _, xid = HEADER.unpack_from(raw)
        if kind != 0:
            self._log.warn("%s: the switch sent type %d before its hello", self._stream.name, kind)
            self.close()
            return
        hello = decode_hello(Envelope(version, xid, kind_named(1, "OFPT_HELLO"), raw[8:], False))
        common = self._settings.versions & hello.versions
        if not common:
            self._log.warn("%s: version negotiation failed", self._stream.name)
            self._send(m.Error("OFPHFC_INCOMPATIBLE", b"no common version"))
            self.close()
            return
        self._greeted = True
        self._protocol = Protocol(common.bit_length() - 1)
        self._send(m.FeaturesRequest())
        self._send(m.SetConfig(m.SwitchConfig(0, _MISS_LENGTH)))

    def _begin(self, incoming: Incoming) -> None:
        names = dict(self._settings.port_queues)
        for port in getattr(incoming.message, "ports", None) or ():
            if port.name in names:
                self._queues[port.number] = names[port.name]
        if self._settings.first_flows:
            self._agree(self._settings.first_flows)
            for flow in self._settings.first_flows:
                self._send(flow.mod)
        if self._protocol.version >= 4:  # what misses is not sent to a controller by itself
            to_controller = a.Output(of.OFPP_CONTROLLER, _MISS_LENGTH)
            self._send(m.FlowMod(of.OFPFC_ADD, Match(), 0, 0, (to_controller,)))

    def _agree(self, flows: Sequence[ParsedFlow]) -> None:
        """Switches on the extensions of 1.0 that the flows need."""
        if self._protocol.version > 1:
            return
        formats = sum(bits for bits, version in FORMAT_VERSIONS.items() if version == 1)
        for flow in flows:
            formats &= flow.formats
        nxm = bool(formats) and not formats & ~ANY_NXM
        if nxm:
            self._send(m.SetFlowFormat(of.NXFF_NXM))
        table_id = bool(formats & (OF10_TID | NXM_TID))
        if table_id:
            self._send(m.FlowModTableId(True))
        self._protocol = self._protocol._replace(nxm=nxm, table_id=table_id)

    # ---- packets

    def _forward(self, packet: m.PacketIn) -> None:
        port = exact_value(packet.metadata, "in_port")
        if port is None:
            return
        key = parse(packet.data)
        out = self._destination(key, port)
        if out is None:
            actions: tuple[a.Action, ...] = ()
        elif self._queue(port) is not None and out < of.OFPP_MAX:
            actions = (a.Enqueue(out, self._queue(port) or 0),)
        else:
            actions = (a.Output(out),)
        learns = not (self._settings.hub or self._settings.normal)
        if self._settings.flows and (not learns or out != of.OFPP_FLOOD):
            self._send(
                m.FlowMod(
                    of.OFPFC_ADD,
                    _match(key, port, self._settings.wildcards),
                    1,
                    of.OFPTT_ALL if self._protocol.version == 1 else 0,
                    actions,
                    out_group=0,
                    idle_timeout=self._settings.idle,
                    buffer=packet.buffer,
                )
            )
            if packet.buffer is not None:
                return  # the flow takes the packet along
        if actions:
            data = b"" if packet.buffer is not None else packet.data
            self._send(m.PacketOut(data, match(in_port=port), actions, packet.buffer))

    def _queue(self, port: int) -> int | None:
        return self._queues.get(port, self._settings.queue)

    def _destination(self, key: int, port: int) -> int | None:
        """The port to send to; None: the packet is to be dropped."""
        source, destination = get(key, "dl_src"), get(key, "dl_dst")
        learns = not (self._settings.hub or self._settings.normal)
        now = self._controller.env.clock.monotonic()
        if learns and not source & _MULTICAST:
            self._ports[source.to_bytes(6, "big")] = (port, now)
        if destination & ~0xF == _RESERVED:
            return None
        if not learns:
            return of.OFPP_FLOOD
        known = self._ports.get(destination.to_bytes(6, "big"))
        if known is None or now - known[1] > _AGE_SECONDS:
            return of.OFPP_FLOOD
        return None if known[0] == port else known[0]


def _match(key: int, port: int, wildcards: int) -> Match:
    """All that the match of OpenFlow 1.0 has of a packet, save what `wildcards` leaves open."""
    tci = get(key, "vlan_tci")
    tag = tci & 0xFFF if tci & 0x1000 else 0xFFFF
    kind = get(key, "dl_type")
    protocol, first, second = get(key, "nw_proto"), get(key, "tp_src"), get(key, "tp_dst")
    body = _MATCH10.pack(
        wildcards & 0x3FFFFF,
        port,
        get(key, "dl_src").to_bytes(6, "big"),
        get(key, "dl_dst").to_bytes(6, "big"),
        tag,
        tci >> 13 if tci & 0x1000 else 0,
        kind,
        get(key, "nw_tos") & 0xFC,
        protocol,
        get(key, "nw_src") & 0xFFFFFFFF,
        get(key, "nw_dst") & 0xFFFFFFFF,
        first,
        second,
    )
    return match10.decode(body)


class _Controller:
    """All connections, and the sockets that more may come by."""

    def __init__(self, env: Env, settings: Settings) -> None:
        self.env, self.settings = env, settings
        self._log = env.log.module("controller")
        self._switches: set[_Switch] = set()
        self._listeners: list[Listener] = []

    def forget(self, switch: _Switch) -> None:
        self._switches.discard(switch)
        if not self._switches and not self._listeners:
            self.env.stopping.set()

    def _accept(self, stream: Stream) -> None:
        self._switches.add(_Switch(self, stream))

    async def run(self, targets: Sequence[str]) -> None:
        for target in targets:
            try:
                if target.partition(":")[0] in _PASSIVE:
                    self._listeners.append(await self.env.listen(target, self._accept, port=OPENFLOW_PORT))
                else:
                    self._accept(await self.env.dial(target, port=OPENFLOW_PORT))
            except (OSError, TimeoutError) as error:
                self._log.err("%s: connect: %s", target, _reason(error))
        if not self._switches and not self._listeners:
            raise Fatal("no active or passive switch connections")
        self.env.ready()
        await self.env.stopping.wait()
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for switch in list(self._switches):
            switch.close()


def _reason(error: OSError | TimeoutError) -> str:
    return error_text(error) if isinstance(error, OSError) and error.errno else "Connection timed out"


# ---- the command line ----

OPTIONS: Final = (
    Option("hub", short="H"),
    Option("noflow", short="n"),
    Option("normal", short="N"),
    Option("wildcards", "optional", "w"),
    Option("max-idle", "required"),
    Option("mute"),
    Option("queue", "required", "q"),
    Option("port-queue", "required", "Q"),
    Option("with-flows", "required"),
    Option("protocols", "required", "O"),
)


def configure(parsed: Parsed, directories: Directories) -> Run:
    settings = Settings()
    for name, argument in parsed.options:
        settings = _apply(settings, name, argument)
    if not parsed.arguments:
        raise Fatal("at least one vconn argument required; use --help for usage")
    targets = tuple(parsed.arguments)

    async def run(env: Env) -> None:
        await _Controller(env, settings).run(targets)

    return run


def _apply(settings: Settings, name: str, argument: str | None) -> Settings:
    text = argument or ""
    if name == "hub":
        return settings._replace(hub=True)
    if name == "noflow":
        return settings._replace(flows=False)
    if name == "normal":
        return settings._replace(normal=True)
    if name == "mute":
        return settings._replace(mute=True)
    if name == "wildcards":
        return settings._replace(wildcards=_hexadecimal(text) if argument else _WILDCARDS)
    if name == "max-idle":
        return settings._replace(idle=_idle(text))
    if name == "queue":
        return settings._replace(queue=int(text) & 0xFFFFFFFF if text.isdecimal() else 0)
    if name == "port-queue":
        return settings._replace(port_queues=(*settings.port_queues, _port_queue(settings, text)))
    if name == "with-flows":
        return settings._replace(first_flows=settings.first_flows + _read_flows(text))
    return settings._replace(versions=_versions(text))


def _hexadecimal(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return 0


def _idle(text: str) -> int:
    if text == "permanent":
        return 0
    number = int(text) if text.isdecimal() else 0
    if not 1 <= number <= 65535:
        raise Fatal("--max-idle argument must be between 1 and 65535 or the word 'permanent'")
    return number


def _port_queue(settings: Settings, text: str) -> tuple[str, int]:
    name, colon, number = text.partition(":")
    if not name or not colon:
        raise Fatal('argument to -Q or --port-queue should take the form "<port-name>:<queue-id>"')
    if any(name == other for other, _ in settings.port_queues):
        raise Fatal("<port-name> arguments for -Q or --port-queue must be unique")
    return name, int(number) & 0xFFFFFFFF if number.isdecimal() else 0


def _read_flows(path: str) -> tuple[ParsedFlow, ...]:
    flows = []
    try:
        for number, text in lines_of_text(path):
            try:
                flows.append(parse_flow(text, None))
            except TextError as error:
                raise Fatal(f"{path}:{number}: {error}") from None
    except OSError as error:
        raise Fatal(f"{path}: open failed ({error.strerror})") from None
    return tuple(flows)


def _versions(text: str) -> int:
    versions = 0
    for word in text.replace(",", " ").split():
        version = of.VERSION_BY_NAME.get(word)
        if version is None:
            raise Fatal(f'Unknown OpenFlow version: "{word}"')
        versions |= 1 << version
    if not versions:
        raise Fatal(f'Unknown OpenFlow version: "{text}"')
    return versions


def _usage(directories: Directories) -> str:
    versions = ", ".join(of.VERSION_NAMES.values())
    return (
        "ovs-testcontroller: OpenFlow controller\n"
        "usage: ovs-testcontroller [OPTIONS] METHOD\n"
        "where METHOD is any OpenFlow connection method.\n"
        + usage.openflow_streams()
        + usage.daemon("ovs-testcontroller", directories.run)
        + "\nOpenFlow version options:\n"
        "  -V, --version           display version information\n"
        "  -O, --protocols         set allowed OpenFlow versions\n"
        f"                          (default: {versions})\n"
        + usage.logging("ovs-testcontroller", directories.log)
        + _OTHER
    )


_OTHER: Final = """
Other options:
  -H, --hub               act as hub instead of learning switch
  -n, --noflow            pass traffic, but don't add flows
  --max-idle=SECS         max idle time for new flows
  -N, --normal            use OFPP_NORMAL action
  -w, --wildcards[=MASK]  wildcard (specified) bits in flows
  -q, --queue=QUEUE-ID    OpenFlow queue ID to use for output
  -Q PORT-NAME:QUEUE-ID   use QUEUE-ID for frames from PORT-NAME
  --with-flows FILE       use the flows from FILE
  --unixctl=SOCKET        override default control socket name
  -h, --help              display this help message
  -V, --version           display version information
"""

PROGRAM: Final = Program(
    "ovs-testcontroller", _usage, ("OpenFlow versions 0x1:0x6",), OPTIONS, configure, accept_module=""
)


def main() -> None:
    process_main(PROGRAM)


if __name__ == "__main__":
    main()
