"""The demo's story and what it shows, on a stage that only pretends."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator

import pytest

from trunkline.cli.trunkline import demo
from trunkline.cli.trunkline.demo.screen import Lines
from trunkline.cli.trunkline.demo.stage import StageError, run
from trunkline.cli.trunkline.demo.story import HOSTS, PAIRS, STEPS, reaches


class PretendedStage:
    """Pings are answered as the story expects, but for the pairs in `wrong`."""

    def __init__(self, wrong: frozenset[tuple[str, str]] = frozenset(), fails_at: str = "") -> None:
        self.wrong, self.fails_at = wrong, fails_at
        self.commands: list[str] = []
        self.stopped = False

    async def start(self) -> None:
        pass

    async def command(self, line: str) -> None:
        if self.fails_at and self.fails_at in line:
            raise StageError(f"{line}: refused")
        self.commands.append(line)

    async def ping(self, one: str, other: str) -> bool:
        done = sum(set(step.commands) <= set(self.commands) for step in STEPS)
        return reaches(STEPS[done - 1], one, other) != ((one, other) in self.wrong)

    async def stop(self) -> None:
        self.stopped = True


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """The demo holds signals when it ends, for nothing comes after it; here something does."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def play(stage: PretendedStage) -> int:
    return asyncio.run(demo._play_until_signal(Lines(), stage, "Pretended.", 0))


def test_every_expectation_holds(capsys: pytest.CaptureFixture[str]) -> None:
    stage = PretendedStage()
    assert play(stage) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1] == "60 of 60 expectations held"
    assert all(f"$ {command}" in shown for step in STEPS for command in step.commands)
    assert stage.stopped


def test_a_broken_expectation_shows_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert play(PretendedStage(frozenset({("ann", "bob")}))) == 1
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1] == "55 of 60 expectations held"
    assert shown.count("YES?") == 1
    assert shown.count("NO?") == 4


def test_a_failing_command_ends_it_and_puts_away(capsys: pytest.CaptureFixture[str]) -> None:
    stage = PretendedStage(fails_at="trunks=100")
    assert play(stage) == 1
    assert "trunks=100 -- set Port to-left trunks=100: refused" in capsys.readouterr().err
    assert stage.stopped


def test_a_signal_ends_it_and_puts_away() -> None:
    class Slow(PretendedStage):
        async def ping(self, one: str, other: str) -> bool:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(60)
            return True

    stage = Slow()
    assert play(stage) == 128 + signal.SIGTERM
    assert stage.stopped


def test_the_story_is_sound() -> None:
    names = {host.name for host in HOSTS}
    assert len(PAIRS) == 12
    for step in STEPS:
        assert {name for group in step.groups for name in group.split()} <= names
        assert all(command.startswith("ovs-vsctl ") for command in step.commands)


@pytest.mark.parametrize("argv", [["--nonsense"], ["extra"], ["--pace=soon"], ["--pace=-1"], ["--pace=nan"]])
def test_bad_command_lines(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(argv) == 1
    said = capsys.readouterr().err
    assert said.startswith("trunkline demo: ")
    if argv[0].startswith("--pace"):
        assert said == f"trunkline demo: {argv[0]}: not a number of seconds below 3600\n"


def test_commands_that_are_cancelled_as_they_end(caplog: pytest.LogCaptureFixture) -> None:
    """At any moment: asyncio has nothing to complain of, and no process is left."""

    async def cancel_all() -> None:
        for turns in range(30):
            task = asyncio.ensure_future(run("true"))
            for _ in range(turns // 3):
                await asyncio.sleep(0)
            if turns % 3 == 1:
                time.sleep(0.01)  # the process ends, and the loop has not heard of it
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    asyncio.run(cancel_all())
    assert caplog.messages == []
