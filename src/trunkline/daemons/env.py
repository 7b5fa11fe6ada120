"""What a daemon is handed: everything it has of the world outside.

A daemon is ``async def run(env: Env, ...) -> None``.  As a process (daemons/process.py) the Env is made of the
machine's clock, sockets and directories; embedded, several daemons run in one process with an Env each, over
in-memory streams and virtual time.  A daemon reads no environment variable, no clock and no signal itself.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from trunkline.base.clock import Clock
from trunkline.base.counters import Counters
from trunkline.base.log import Log
from trunkline.io.streams import Dial, Listen
from trunkline.jsonrpc.unixctl import Commands


@dataclass(frozen=True)
class Directories:
    """Where a program's files lie (OVS_RUNDIR, OVS_DBDIR, OVS_LOGDIR, OVS_SYSCONFDIR, OVS_PKGDATADIR)."""

    run: str = "/var/run/openvswitch"
    database: str = "/etc/openvswitch"
    log: str = "/var/log/openvswitch"
    configuration: str = "/etc"
    data: str = "/usr/share/openvswitch"


@dataclass(frozen=True)
class Env:
    """`program` is the daemon's name; `commands` are served on its control socket from the start.

    The daemon calls `ready` once, when it serves (the parent of ``--detach`` waits for it), and returns when
    `stopping` is set (SIGTERM, or its own ``exit`` command sets it).
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
    ready: Callable[[], None]
    stopping: asyncio.Event
