"""What a daemon is handed: everything it has of the world outside.

A daemon is ``async def run(env: Env) -> None``.  As a process (daemons/process.py) the Env is made of the
machine's clock, sockets and directories; embedded, several daemons run in one process with an Env each, over
in-memory streams and virtual time (`embedded`).  A daemon reads no environment variable, no clock and no
signal itself.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from trunkline.base.clock import Clock
from trunkline.base.counters import Counters
from trunkline.base.directories import Directories
from trunkline.base.log import Log
from trunkline.daemons.commands import common_commands
from trunkline.io.loop import LoopClock
from trunkline.io.streams import Dial, Listen
from trunkline.io.tls import TlsFiles
from trunkline.jsonrpc.unixctl import Commands
from trunkline.model.log_modules import modules

__all__ = ["Directories", "Env", "embedded"]


class Uuids(Protocol):
    def __call__(self, *, early: bool = False) -> str:
        """A uuid.  `early`: one that the original draws before it listens."""
        ...


def _nothing() -> None:
    return None


def _ignore(files: TlsFiles) -> None:
    return None


@dataclass(frozen=True)
class Env:
    """`program` is the daemon's name; `commands` are served on its control socket from the start.

    The daemon calls `ready` once, when it serves (the parent of ``--detach`` waits for it), and returns when
    `stopping` is set (SIGTERM, or its own ``exit`` command sets it).  `tls` is what the command line said
    about keys and certificates, to the letter; a daemon that takes them from its database instead passes what
    it found to `set_tls`, at any time.  `confined` says that unix sockets which remote peers name must lie in
    `directories.run` (``--no-self-confinement`` lifts it).  `new_uuid` is where uuids come from, where it
    matters which (io/replay.py).
    """

    program: str
    clock: Clock
    log: Log
    counters: Counters
    commands: Commands
    directories: Directories
    dial: Dial
    listen: Listen
    random: random.Random
    ready: Callable[[], None] = _nothing
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    tls: TlsFiles = TlsFiles()  # noqa: RUF009 - immutable
    set_tls: Callable[[TlsFiles], None] = _ignore
    confined: bool = True
    new_uuid: Uuids | None = None


class Network(Protocol):
    """Where an embedded daemon finds its peers: a MemoryNetwork, or the machine's Sockets."""

    @property
    def dial(self) -> Dial: ...

    @property
    def listen(self) -> Listen: ...


def embedded(
    program: str,
    network: Network,
    directories: Directories = Directories("/run", "/run", "/run", "/run"),  # noqa: B008 - immutable
    *,
    seed: int = 0,
    names: Iterable[str] | None = None,
) -> Env:
    """The Env of a daemon inside a running event loop: in-memory streams, the loop's time, a fixed seed.

    The log writes nowhere until a sink is attached; the control commands are there, and are served where
    `network` is asked to.
    """
    clock = LoopClock(asyncio.get_running_loop())
    log = Log(program, clock, modules(program) if names is None else names)
    counters, commands = Counters(), Commands()
    commands.add(*common_commands(program, commands, log, counters))
    return Env(
        program=program,
        clock=clock,
        log=log,
        counters=counters,
        commands=commands,
        directories=directories,
        dial=network.dial,
        listen=network.listen,
        random=random.Random(seed),
    )
