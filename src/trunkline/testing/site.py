"""A whole site in a test: database, switch and machines in one process, without root, on virtual time.

The daemons are the real ones (daemons/embedded.py), over in-memory streams.  A `Site` is used by plain calls:
its event loop turns only while a call waits, and time passes only when nothing is left to do.  The tools are
the real ones too, in this process; what they dial is answered from the in-memory network.
"""

import asyncio
import contextlib
import io
import os
import shlex
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

from trunkline.daemons.embedded import Embedded
from trunkline.io.alarm import alarms
from trunkline.io.blocking import dialling
from trunkline.io.loop import Loop
from trunkline.io.memory import MemoryNetwork
from trunkline.io.simulation.devices import SimulatedDevice
from trunkline.io.simulation.machines import Machine
from trunkline.io.streams import Stream
from trunkline.jsonrpc.unixctl import CommandError

Result = TypeVar("Result")
TOOL_SECONDS: Final = 60  # of virtual time that a tool may take, if it is not told another --timeout
_ALARM_STATUS: Final = 142  # 128 + SIGALRM, as a shell has it


class ToolError(Exception):
    """A tool ended with an exit status other than 0; the text is what it wrote to standard error."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class _Talk:
    """A tool's connection (io/blocking.py): while the tool waits, the daemons run."""

    def __init__(self, site: "Site", stream: Stream) -> None:
        self._site, self._stream = site, stream

    def read(self, most: int = 65536) -> bytes:
        return self._site.run(self._site.in_time(self._stream.read(most)))

    def write(self, data: bytes) -> None:
        self._site.call(self._stream.write, data)

    def settimeout(self, seconds: float | None) -> None:
        """Time is virtual; the site has one deadline for the whole tool."""

    def close(self) -> None:
        self._site.call(self._stream.close)


class SiteMachine:
    """A machine of a site: `Machine` in plain calls."""

    def __init__(self, site: "Site", machine: Machine, device: SimulatedDevice) -> None:
        self._site, self.machine, self.device = site, machine, device
        self.name = machine.name
        self.address = machine.address
        self.addresses = machine.addresses

    @property
    def frames(self) -> list[bytes]:
        """Every frame that has arrived, oldest first."""
        return self.machine.frames

    def ping(self, other: "SiteMachine | str", timeout: float = 1.0) -> bool:
        """Whether the other answers (at its first address) within `timeout` virtual seconds."""
        address = other if isinstance(other, str) else other.address
        return self._site.run(self.machine.ping(address, timeout))

    def send(self, frame: bytes) -> None:
        """Puts a frame on the wire and lets the switch deal with it."""
        self._site.call(self.machine.send, frame)
        self._site.settle()

    def set_carrier(self, up: bool) -> None:
        """Pulls the cable, or puts it back."""
        self._site.call(self.device.set_carrier, up)
        self._site.settle()


class Site:
    """An `Embedded` on virtual time, for tests.  Use as a context manager."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._loop = Loop("virtual")
        self._network = MemoryNetwork(str(directory))
        self._next = 1
        self._deadline = 0.0  # of the tool that runs, in virtual time
        self.embedded = Embedded(directory, self._network)

    def __enter__(self) -> "Site":
        self.run(self.embedded.start())
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.run(self.embedded.stop())
        finally:
            self._loop.close()

    def run(self, work: Awaitable[Result]) -> Result:
        """Runs something of yours on the site's event loop until it is done."""
        asyncio.set_event_loop(self._loop)
        try:
            return self._loop.run_until_complete(work)
        finally:
            asyncio.set_event_loop(None)

    async def in_time(self, work: Awaitable[Result]) -> Result:
        """`work`, unless the tool that waits for it has no time left.  Raises ToolError."""
        left = self._deadline - self._loop.time()
        try:
            return await asyncio.wait_for(work, left)
        except TimeoutError:
            raise ToolError("timed out: what the tool waits for does not come", _ALARM_STATUS) from None

    def _set_alarm(self, seconds: int) -> None:
        self._deadline = self._loop.time() + seconds

    def call(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Calls a function that wants a running event loop."""

        async def work() -> Result:
            return function(*arguments)

        return self.run(work())

    @property
    def now(self) -> float:
        """The virtual time, in seconds."""
        return self._loop.time()

    def advance(self, seconds: float) -> None:
        """Lets so many virtual seconds pass; everything that falls due happens.

        Raises ValueError where time would go backwards.
        """
        if not seconds >= 0:
            raise ValueError(f"advance({seconds!r}): virtual time goes forward only")
        self.run(asyncio.sleep(seconds))

    def settle(self) -> None:
        """Lets everything happen that can without time passing."""
        self.run(_turns())

    def machine(
        self, name: str, address: str, bridge: str | None = None, mac: str | None = None
    ) -> SiteMachine:
        """Plugs a machine in under port `name`; with `bridge` the port is added as well.  One that is there
        under that name gives way: it is heard no more.

        `address` is ``10.0.0.1/24``, ``fd00::1/64``, or one of each with a comma between; ValueError tells
        what is wrong with one that is not.  A name that no device on a real machine could have is a
        ValueError, too.
        """
        if mac is None:
            mac = f"02:00:00:00:{self._next >> 8:02x}:{self._next & 0xFF:02x}"
        self._next += 1
        machine = Machine(name, mac, address)
        device = self.call(self.embedded.devices.plug, name, machine)
        if bridge is not None:
            self.vsctl("add-port", bridge, name)
        return SiteMachine(self, machine, device)

    def vsctl(self, *words: str) -> str:
        """Runs ovs-vsctl; one word is split like a shell would.  Raises ToolError."""
        from trunkline.cli.ovs_vsctl import main

        return self._tool("ovs-vsctl", main, words)

    def ofctl(self, *words: str) -> str:
        """Runs ovs-ofctl.  Raises ToolError."""
        from trunkline.cli.ovs_ofctl import main

        return self._tool("ovs-ofctl", main, words)

    def client(self, *words: str) -> str:
        """Runs ovsdb-client.  Raises ToolError."""
        from trunkline.cli.ovsdb_client import main

        return self._tool("ovsdb-client", main, words)

    def appctl(self, name: str, *arguments: str, target: str = "ovs-vswitchd") -> str:
        """A control command of the switch, or of target ``ovsdb-server``.  Raises ToolError."""
        env = self.embedded.switch if target == "ovs-vswitchd" else self.embedded.database
        try:
            shown = env.commands.run(name, arguments)
            return shown if isinstance(shown, str) else self.run(shown)
        except CommandError as error:
            raise ToolError(str(error), 2) from None

    def _tool(self, program: str, main: Callable[[], Any], words: tuple[str, ...]) -> str:
        try:
            line = shlex.split(words[0]) if len(words) == 1 else list(words)
        except ValueError as error:
            raise ToolError(f"{program}: {words[0]}: {error}\n", 1) from None
        self._set_alarm(TOOL_SECONDS)
        process = _process(self._directory, [program, *line])
        with process as (output, errors), dialling(self._dial), alarms(self._set_alarm):
            try:
                status = main()
            except SystemExit as exit:
                status = exit.code
            sys.stdout.flush()
            sys.stderr.flush()
            shown, said = output.getvalue().decode(), errors.getvalue().decode()
        if status not in (None, 0):
            raise ToolError(said, status if isinstance(status, int) else 1)
        return shown

    def _dial(self, target: str) -> _Talk:
        return _Talk(self, self.run(self._network.dial(target)))


async def _turns() -> None:
    """A few turns of the loop: a frame takes a handful from one machine through the switch to another."""
    for _ in range(32):
        await asyncio.sleep(0)


@contextlib.contextmanager
def _process(directory: Path, argv: list[str]) -> Iterator[tuple[io.BytesIO, io.BytesIO]]:
    """What a tool takes for its process: arguments, environment, standard output and standard error."""
    output, errors = io.BytesIO(), io.BytesIO()
    names = ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR")
    before = {name: os.environ.get(name) for name in names}
    arguments, sys.argv = sys.argv, argv
    os.environ.update(dict.fromkeys(names, str(directory)))
    try:
        with (
            contextlib.redirect_stdout(io.TextIOWrapper(output, "utf-8", write_through=True)),
            contextlib.redirect_stderr(io.TextIOWrapper(errors, "utf-8", write_through=True)),
        ):
            yield output, errors
    finally:
        sys.argv = arguments
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
