"""A little daemon for the tests of daemons/process.py, run as ``python -m support.daemon`` or by its path."""

import os
import signal
from collections.abc import Sequence

from trunkline.base import usage
from trunkline.base.directories import Directories
from trunkline.base.options import Option, Parsed
from trunkline.daemons.commands import exit_command, time_commands
from trunkline.daemons.env import Env
from trunkline.daemons.process import Fatal, Program, Run, main
from trunkline.io.loop import Loop
from trunkline.jsonrpc.unixctl import Command


def configure(parsed: Parsed, directories: Directories) -> Run:
    options = dict(parsed.options)
    if parsed.arguments:
        raise Fatal("at most zero non-option arguments accepted; use --help for usage")

    async def run(env: Env) -> None:
        import asyncio

        if "fail" in options:
            raise Fatal("asked to fail", 3)
        if "raise" in options:
            raise ValueError("a bug")
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)

        def crash(arguments: Sequence[str]) -> str:
            os.kill(os.getpid(), int(arguments[0]))
            return ""

        def bug(_: Sequence[str]) -> str:
            raise KeyError("oops")

        async def slow(_: Sequence[str]) -> str:
            await asyncio.sleep(float(_[0]))
            return "slept"

        env.commands.add(exit_command(env.stopping), *time_commands(loop))
        env.commands.add(Command("signal", "NUMBER", 1, 1, crash), Command("bug", "", 0, 0, bug))
        env.commands.add(Command("slow", "SECONDS", 1, 1, slow))
        env.commands.add(Command("warn", "TEXT", 1, 1, lambda a: env.log.module("daemon").warn(a[0]) or ""))
        env.commands.add(Command("where", "", 0, 0, lambda _: os.getcwd()))
        env.log.module("daemon").info("serving")
        listener = await env.listen("punix:test.sock", lambda stream: stream.receive(stream.write))
        env.ready()
        await env.stopping.wait()
        listener.close()

    return run


def text(directories: Directories) -> str:
    return (
        "test-daemon: for tests\n"
        + usage.streams("DATABASE", passive=False)
        + usage.daemon("test-daemon", directories.run)
        + usage.logging("test-daemon", directories.log)
    )


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    main(Program("test-daemon", text, (), (Option("fail"), Option("raise")), configure))
