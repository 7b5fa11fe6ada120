"""A database server and a switch inside this process, with simulated devices.

They are the real daemons, the real protocols and a real database file; only sockets and devices need not be
the kernel's.  `Embedded` runs on any event loop, in real or virtual time.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from trunkline.base.directories import Directories
from trunkline.base.json import loads
from trunkline.daemons import ovsdb_server, vswitchd
from trunkline.daemons.env import Env, Network, embedded
from trunkline.io.ovsdb_file import DatabaseFile
from trunkline.io.simulation.devices import SimulatedDevices
from trunkline.model.schemas import schema_text
from trunkline.ovsdb.schema import Schema

_TYPES: Final = ("internal", "system", "tap")


class Embedded:
    """Both daemons as tasks of the running event loop; files in `directory`, streams over `network`."""

    def __init__(self, directory: Path, network: Network) -> None:
        self.directories = Directories(*(str(directory),) * 4)
        self.devices = SimulatedDevices()
        self.database: Env
        self.switch: Env
        self._directory = directory
        self._network = network
        self._tasks: list[tuple[Env, asyncio.Task[None]]] = []

    async def start(self) -> None:
        """Returns when both serve."""
        path = self._directory / "conf.db"
        if not path.exists():
            schema = Schema.from_json(loads(schema_text("Open_vSwitch")))
            DatabaseFile.create(str(path), schema).close()
        socket = f"{self._directory}/db.sock"
        self.database = await self._start(
            "ovsdb-server", lambda env: ovsdb_server.serve(env, [str(path)], [f"punix:{socket}"])
        )
        self.switch = await self._start(
            "ovs-vswitchd", lambda env: vswitchd.serve(env, f"unix:{socket}", self.devices, _TYPES)
        )

    async def _start(self, program: str, serve: Callable[[Env], Awaitable[None]]) -> Env:
        ready = asyncio.Event()
        env = embedded(program, self._network, self.directories)
        env = dataclasses.replace(env, ready=ready.set)
        task: asyncio.Task[None] = asyncio.ensure_future(serve(env))
        self._tasks.append((env, task))
        waiting = asyncio.ensure_future(ready.wait())
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if task.done():
            task.result()
            raise RuntimeError(f"{program} ended at its start")
        return env

    async def stop(self) -> None:
        """The switch first, then the database."""
        for env, task in reversed(self._tasks):
            env.stopping.set()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()
