"""Running other programs, and the lines that tell how each step went."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Final

_DAEMONS: Final = ("ovsdb-server", "ovs-vswitchd")


class StepFailed(Exception):
    """A step failed after its line was printed; ovs-ctl exits with status 1."""


def find(program: str) -> str:
    """The path of a program of ours or the original's.

    OVS_BINDIR and OVS_SBINDIR come first, then the directory that this ovs-ctl and its interpreter lie in,
    then PATH and the usual directories.  Raises StepFailed.
    """
    variable = os.environ.get("OVS_SBINDIR" if program in _DAEMONS else "OVS_BINDIR", "")
    beside = [os.path.dirname(os.path.abspath(sys.argv[0])), os.path.dirname(sys.executable)]
    places = [variable, *beside, os.environ.get("PATH", ""), "/usr/sbin:/usr/bin"]
    for place in places:
        found = shutil.which(program, path=place) if place else None
        if found:
            return found
    say(f"{program}: command not found")
    raise StepFailed


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def step(title: str, work: Callable[[], bool], *, fatal: bool = True) -> bool:
    """Does `work` and prints "TITLE." or "TITLE ... failed!".  Raises StepFailed if `fatal`."""
    if work():
        say(f"{title}.")
        return True
    say(f"{title} ... failed!")
    if fatal:
        raise StepFailed
    return False


def run(program: str, *arguments: str) -> bool:
    """Runs a program, whose output is ours; whether it ended well."""
    return subprocess.run([program, *arguments], executable=find(program), check=False).returncode == 0


def output(program: str, *arguments: str) -> str | None:
    """What a program prints, without the last new-line; None if it failed."""
    command = [program, *arguments]
    done = subprocess.run(command, executable=find(program), check=False, stdout=subprocess.PIPE, text=True)
    return done.stdout.rstrip("\n") if done.returncode == 0 else None


def quiet(program: str, *arguments: str) -> bool:
    """Whether a program ended well; what it prints is lost."""
    done = subprocess.run([find(program), *arguments], check=False, capture_output=True)
    return done.returncode == 0


def start_daemon(
    program: str, arguments: Sequence[str], *, niceness: int, directory: str, cores: bool
) -> bool:
    """Starts a daemon that detaches itself; whether it did."""

    def prepare() -> None:
        if cores:
            import resource

            _, hard = resource.getrlimit(resource.RLIMIT_CORE)
            resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        try:
            os.nice(niceness)
        except PermissionError:
            pass  # only root may be less nice

    done = subprocess.run(
        [program, *arguments],
        executable=find(program),
        check=False,
        cwd=directory,
        preexec_fn=prepare,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode == 0
