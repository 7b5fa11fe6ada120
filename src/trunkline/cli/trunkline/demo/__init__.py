"""``trunkline demo``: the main job, shown live.

The demo looks for the best stage the machine allows: network namespaces as root; the same in a user
namespace without root; simulated machines where namespaces are forbidden.  It says which one it found.  Each
step of the story (story.py) is configured by the very commands a person would type, and then everybody pings
everybody.
"""

import asyncio
import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence

from trunkline.base.options import Option, OptionError, parse_options
from trunkline.cli.trunkline.demo.screen import Lines, Screen
from trunkline.cli.trunkline.demo.stage import NamespaceStage, Stage, StageError
from trunkline.cli.trunkline.demo.story import PAIRS, STEPS, Step, reaches
from trunkline.io.alarm import hold_signals

_INSIDE = "TRUNKLINE_DEMO_INSIDE"
_OPTIONS = (Option("simulated"), Option("plain"), Option("pace", "required"), Option("help", short="h"))
_HELP = """\
usage: trunkline demo [--simulated] [--plain] [--pace=SECONDS]
Plugs four machines into two bridges, changes the configuration step by step, and shows who reaches whom.
  --simulated     use simulated machines even where network namespaces are to be had
  --plain         print lines even on a terminal
  --pace=SECONDS  how long to rest after each step (default: 1.5 on a terminal, else 0)
"""
_NAMESPACES = (
    ("root", ("unshare", "--net"), "Machines are network namespaces."),
    (
        "user",
        ("unshare", "--user", "--map-root-user", "--net"),
        "Without root: machines are network namespaces inside a user namespace.",
    ),
)
_TRIAL = ("ip", "link", "set", "lo", "up")
_SIMULATED = "Machines are simulated, in one process: {}."


def main(argv: Sequence[str]) -> int:
    """Runs the demo; 0 if every expectation held, 1 if not or on an error, 130 after Ctrl-C."""
    try:
        parsed = parse_options(argv, _OPTIONS)
        options = dict(parsed.options)
        if parsed.arguments:
            raise OptionError(f"unexpected argument '{parsed.arguments[0]}'")
        terminal = sys.stdout.isatty() and "plain" not in options
        pace = _seconds(options["pace"] or "") if "pace" in options else 1.5 if terminal else 0
    except OptionError as error:
        print(f"trunkline demo: {error}", file=sys.stderr)
        return 1
    if "help" in options:
        print(_HELP, end="")
        return 0
    inside = os.environ.pop(_INSIDE, None)
    if inside is None:
        inside = _SIMULATED.format("as asked") if "simulated" in options else _enter_namespaces(argv)
    screen = _screen(terminal)
    stage: Stage = NamespaceStage() if inside in (said for _, _, said in _NAMESPACES) else _simulated_stage()
    try:
        return asyncio.run(_play_until_signal(screen, stage, inside, pace))
    except OSError as error:  # nobody reads what we show, or the disk is full
        return _cannot_show(error)
    finally:
        screen.stop()


def _seconds(text: str) -> float:
    """Raises OptionError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < 3600:
        raise OptionError(f"--pace={text}: not a number of seconds below 3600")
    return seconds


def _cannot_show(error: OSError) -> int:
    """Ends in order although standard output does not take our words."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    print(f"trunkline demo: {error.strerror}", file=sys.stderr)
    return 1


def _screen(terminal: bool) -> Screen:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows no more than ASCII
    if not terminal:
        return Lines()
    from trunkline.cli.trunkline.demo.live import LiveTable

    return LiveTable()


def _enter_namespaces(argv: Sequence[str]) -> str:
    """Starts this program again inside fresh namespaces; returns only if there are none, saying why."""
    for program, package in (("ip", "iproute2"), ("ping", "iputils-ping"), ("unshare", "util-linux")):
        if shutil.which(program) is None:
            return _SIMULATED.format(f"{program} ({package}) is not installed")
    reason = ""
    for who, command, said in _NAMESPACES:
        if who == "root" and os.geteuid() != 0:
            continue
        try:  # not only to enter, but to do there what the demo has to
            tried = subprocess.run([*command, *_TRIAL], capture_output=True, text=True)
        except OSError as error:
            return _SIMULATED.format(f"unshare cannot be run: {error.strerror}")
        if tried.returncode == 0:
            again = [*command, sys.executable, "-Pm", "trunkline", "demo", *argv]
            os.execvpe("unshare", again, {**os.environ, _INSIDE: said})
        reason = tried.stderr.strip().rpartition(": ")[2]
    return _SIMULATED.format(f"namespaces are forbidden here ({reason})")


def _simulated_stage() -> Stage:
    from trunkline.cli.trunkline.demo.simulated import SimulatedStage

    return SimulatedStage()


async def _play_until_signal(screen: Screen, stage: Stage, said: str, pace: float) -> int:
    task = asyncio.ensure_future(_play(screen, stage, said, pace))
    loop = asyncio.get_running_loop()
    caught: list[int] = []

    def stop(number: int) -> None:
        caught.append(number)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        return 128 + caught[0] if caught else 1
    finally:
        hold_signals()  # the terminal is put back, and then it ends


async def _play(screen: Screen, stage: Stage, said: str, pace: float) -> int:
    held = 0
    try:
        screen.opening(said)
        await stage.start()
        for number, step in enumerate(STEPS, 1):
            held += await _play_step(screen, stage, number, step)
            await asyncio.sleep(pace)
    except StageError as error:
        screen.stop()
        print(f"trunkline demo: {error}", file=sys.stderr)
        return 1
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(stage.stop())
    expected = len(STEPS) * len(PAIRS)
    screen.closing(held, expected)
    return 0 if held == expected else 1


async def _play_step(screen: Screen, stage: Stage, number: int, step: Step) -> int:
    """The number of expectations that held."""
    seen: dict[tuple[str, str], bool] = {}
    screen.begin(number, step)
    for command in step.commands:
        screen.ran(command)
        screen.watch(number, step, seen)
        await stage.command(command)

    async def watch(one: str, other: str) -> None:
        seen[one, other] = await stage.ping(one, other)
        screen.watch(number, step, seen)

    async with asyncio.TaskGroup() as group:
        for one, other in PAIRS:
            group.create_task(watch(one, other))
    screen.done(number, step, seen)
    return sum(seen[pair] == reaches(step, *pair) for pair in PAIRS)
