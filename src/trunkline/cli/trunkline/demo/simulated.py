"""The demo without namespaces: database, switch and machines in this process.

The tools are still programs of their own and find the daemons by their unix sockets, as always; only the
devices and the machines behind them are simulated.
"""

import shutil
import tempfile
from pathlib import Path

from trunkline.base.clock import ManualClock
from trunkline.base.log import Log
from trunkline.cli.trunkline.demo.stage import StageError, environment, run_line
from trunkline.cli.trunkline.demo.story import HOSTS
from trunkline.daemons.embedded import Embedded
from trunkline.daemons.process import Fatal
from trunkline.io.simulation.machines import Machine
from trunkline.io.streams import Sockets


class SimulatedStage:
    """A Stage (stage.py)."""

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="trunkline-demo."))
        self._sockets = Sockets(Log("demo", ManualClock(), ()), str(self._directory))
        self._embedded = Embedded(self._directory, self._sockets)
        self._machines: dict[str, Machine] = {}

    async def start(self) -> None:
        for host in HOSTS:
            machine = self._machines[host.name] = Machine(host.name, host.mac, host.address)
            self._embedded.devices.plug(host.name, machine)
        try:
            await self._embedded.start()
        except (Fatal, OSError) as error:
            raise StageError(f"the switch did not start: {error}") from error

    async def command(self, line: str) -> None:
        await run_line(line, environment(self._directory))

    async def ping(self, one: str, other: str) -> bool:
        return await self._machines[one].ping(self._machines[other].address)

    async def stop(self) -> None:
        await self._embedded.stop()
        self._sockets.close()
        shutil.rmtree(self._directory, ignore_errors=True)
