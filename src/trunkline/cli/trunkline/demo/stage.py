"""Where the demo is played: in network namespaces with real traffic, or on simulated machines.

Whatever a stage makes lives in namespaces of its own, in child processes that die with the demo, and in one
temporary directory; so the machine is left as it was.  (Only a kill -9 leaves the directory behind.)
"""

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, Protocol

from trunkline.cli.trunkline.demo.story import HOSTS, Host

_PR_SET_PDEATHSIG = 1


class StageError(Exception):
    """The stage could not be set up, or a command of the story failed; the text says which and why."""


class Stage(Protocol):
    async def start(self) -> None: ...

    async def command(self, line: str) -> None:
        """Carries out a command of the story.  Raises StageError."""

    async def ping(self, one: str, other: str) -> bool: ...

    async def stop(self) -> None: ...


def environment(directory: Path) -> dict[str, str]:
    """The variables that make daemons and tools meet in `directory`."""
    names = ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR")
    return {**os.environ, **dict.fromkeys(names, str(directory))}


async def _started(starting: Coroutine[Any, Any, Process]) -> Process:
    """The process; cancelled meanwhile, it comes into being all the same, and is ended."""
    task = asyncio.ensure_future(starting)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        process = await task
        _signal(process, signal.SIGKILL)
        await process.wait()
        raise


def _signal(process: Process, number: signal.Signals) -> None:
    """Sends a signal, if there is anybody to get it.

    Process.kill() asks for the status of the child first, and so does asyncio with one cancelled half made.
    If the child has just ended by itself, the watcher of asyncio then complains of an unknown child.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


async def run(*command: str, variables: Mapping[str, str] | None = None) -> tuple[int, str]:
    """A command's exit status and everything it printed; cancelled, it takes the command along."""
    process = await _started(
        asyncio.create_subprocess_exec(
            *command,
            env=variables,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C is for the demo, which then puts things away in order
        )
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        _signal(process, signal.SIGKILL)
        await process.wait()
        raise
    return process.returncode or 0, output.decode(errors="replace").strip()


async def checked(*command: str, variables: Mapping[str, str] | None = None) -> None:
    """Runs a command that has to succeed in silence.  Raises StageError."""
    status, output = await run(*command, variables=variables)
    if status or output:
        raise StageError(f"{' '.join(command)}: {output} (exit status {status})")


async def run_line(line: str, variables: Mapping[str, str]) -> None:
    """Runs a command of the story with the programs beside this Python.  Raises StageError."""
    program, *arguments = line.split()
    path = Path(sys.executable).with_name(program)
    await checked(str(path), "--timeout=20", *arguments, variables=variables)


class NamespaceStage:
    """Machines are network namespaces, and so is the host of the switch: this process was started in one.

    A machine's namespace is held by a child that does nothing else, and goes with it.
    """

    def __init__(self) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="trunkline-demo."))
        self._children: list[Process] = []
        self._holders: dict[str, int] = {}

    async def start(self) -> None:
        await checked("ip", "link", "set", "lo", "up")
        starts = (self._start_switch(), *(self._start_host(host) for host in HOSTS))
        tasks = [asyncio.ensure_future(start) for start in starts]
        try:
            await asyncio.gather(*tasks)
        finally:  # when one fails the others do not go on beside the clearing up
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _start_switch(self) -> None:
        log = self._directory / "up.log"
        with log.open("wb") as output:
            child = await self._child(sys.executable, "-Pm", "trunkline", "up", output=output.fileno())
        socket = self._directory / "db.sock"
        for _ in range(200):
            if socket.exists():
                return
            if child.returncode is not None:
                break
            await asyncio.sleep(0.05)
        raise StageError(f"the switch did not start: {log.read_text(errors='replace').strip()}")

    async def _start_host(self, host: Host) -> None:
        log = self._directory / f"{host.name}.log"
        with log.open("wb") as output:
            child = await self._child("unshare", "--net", "sleep", "infinity", output=output.fileno())
        self._holders[host.name] = child.pid
        ours = os.readlink("/proc/self/ns/net")
        for _ in range(200):
            try:
                entered = os.readlink(f"/proc/{child.pid}/ns/net") != ours
            except FileNotFoundError:
                reason = log.read_text(errors="replace").strip()
                raise StageError(
                    f"no network namespace for {host.name}: {reason}; with --simulated none is needed"
                ) from None
            if entered:
                break
            await asyncio.sleep(0.01)
        peer = ("peer", "name", "eth0", "address", host.mac, "netns", str(child.pid))
        await checked("ip", "link", "add", host.name, "type", "veth", *peer)
        await checked("ip", "link", "set", host.name, "up")
        inside = ("nsenter", "--target", str(child.pid), "--net")
        await checked(*inside, "ip", "addr", "add", host.address, "dev", "eth0")
        await checked(*inside, "ip", "link", "set", "eth0", "up")

    async def _child(self, *command: str, output: int = asyncio.subprocess.DEVNULL) -> Process:
        child = await _started(
            asyncio.create_subprocess_exec(
                *command,
                env=environment(self._directory),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=_die_with_parent,
                start_new_session=True,  # as in run()
            )
        )
        self._children.append(child)
        return child

    async def command(self, line: str) -> None:
        await run_line(line, environment(self._directory))

    async def ping(self, one: str, other: str) -> bool:
        address = next(host.address for host in HOSTS if host.name == other).partition("/")[0]
        inside = ("nsenter", "--target", str(self._holders[one]), "--net")
        status, _ = await run(*inside, "ping", "-q", "-c", "1", "-w", "2", address)
        return status == 0

    async def stop(self) -> None:
        for child in reversed(self._children):
            _signal(child, signal.SIGTERM)
        for child in self._children:
            try:
                await asyncio.wait_for(child.wait(), 5)
            except TimeoutError:
                _signal(child, signal.SIGKILL)
                await child.wait()
        shutil.rmtree(self._directory, ignore_errors=True)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
