"""The control commands that every daemon has (ovs-appctl(8), "Common Commands"), and those that hold time."""

import asyncio
from collections.abc import Sequence

from trunkline.base.counters import Counters
from trunkline.base.log import Log, LogError
from trunkline.base.version import OPEN_VSWITCH
from trunkline.io.loop import Loop, settle
from trunkline.jsonrpc.unixctl import Command, CommandError, Commands


def common_commands(program: str, commands: Commands, log: Log, counters: Counters) -> list[Command]:
    """The commands over `log` and `counters`; `commands` is the table that ``list-commands`` shows."""

    def list_commands(_: Sequence[str]) -> str:
        lines = [f"  {command.name:<23} {command.usage}" for command in commands if not command.hidden]
        return "\n".join(["The available commands are:", *lines]) + "\n"

    def read_counter(arguments: Sequence[str]) -> str:
        total = counters.read(arguments[0])
        if total is None:
            raise CommandError("No such counter")
        return f"{total}\n"

    return [
        Command("list-commands", "", 0, 0, list_commands),
        Command("version", "", 0, 0, lambda _: f"{program} (Open vSwitch) {OPEN_VSWITCH}\n"),
        Command("coverage/show", "", 0, 0, lambda _: counters.coverage_text()),
        Command("coverage/read-counter", "COUNTER", 1, 1, read_counter),
        Command("memory/show", "", 0, 0, lambda _: counters.memory_text()),
        *_log_commands(log),
    ]


def _log_commands(log: Log) -> list[Command]:
    def set_levels(arguments: Sequence[str]) -> str:
        try:
            for argument in arguments or [""]:
                log.set(argument)
        except LogError as error:
            raise CommandError(str(error)) from None
        return ""

    def limit_rates(arguments: Sequence[str], honour: bool) -> str:
        try:
            log.limit_rates(arguments, honour)
        except LogError as error:
            raise CommandError(str(error)) from None
        return ""

    def close(_: Sequence[str]) -> str:
        log.close_file()
        return ""

    def reopen(_: Sequence[str]) -> str:
        wrong = log.reopen_file()
        if wrong:
            raise CommandError(wrong)
        return ""

    return [
        Command("vlog/set", "{spec | PATTERN:destination:pattern}", 0, None, set_levels),
        Command("vlog/list", "", 0, 0, lambda _: log.listing()),
        Command("vlog/list-pattern", "", 0, 0, lambda _: log.pattern_listing()),
        Command("vlog/enable-rate-limit", "[module]...", 0, None, lambda a: limit_rates(a, True)),
        Command("vlog/disable-rate-limit", "[module]...", 0, None, lambda a: limit_rates(a, False)),
        Command("vlog/close", "", 0, 0, close),
        Command("vlog/reopen", "", 0, 0, reopen),
    ]


def exit_command(stopping: asyncio.Event) -> Command:
    """The plain ``exit``; ovs-vswitchd has one with an option instead."""

    def leave(_: Sequence[str]) -> str:
        stopping.set()
        return ""

    return Command("exit", "", 0, 0, leave)


def time_commands(loop: Loop) -> list[Command]:
    """``time/stop`` and ``time/warp``, for daemons under test (ovs-vswitchd with --enable-dummy has them)."""
    warping = False

    def stop(_: Sequence[str]) -> str:
        loop.stop_time()
        return ""

    async def warp(arguments: Sequence[str]) -> str:
        nonlocal warping
        if not all(argument.isdigit() and int(argument) > 0 for argument in arguments):
            raise CommandError("invalid MSECS")
        if warping:
            raise CommandError("A previous warp in progress")
        left, step = int(arguments[0]), int(arguments[-1])
        warping = True
        try:
            while left > 0:
                loop.warp(min(step, left) / 1000)
                left -= step
                await settle()
        finally:
            warping = False
        return "warped\n"

    return [
        Command("time/stop", "", 0, 0, stop),
        Command("time/warp", "[large_msecs] msecs", 1, 2, warp),
    ]
