"""The demo without namespaces: database, switch and machines in this process.  (Not there yet.)"""

from trunkline.cli.trunkline.demo.stage import StageError


class SimulatedStage:
    async def start(self) -> None:
        raise StageError("simulated machines are not there yet")

    async def command(self, line: str) -> None:
        raise NotImplementedError

    async def ping(self, one: str, other: str) -> bool:
        raise NotImplementedError

    async def stop(self) -> None:
        pass
