"""What the audience sees: plain lines, or on a terminal a live table (live.py); the words are the same."""

from collections.abc import Mapping
from typing import Protocol

from trunkline.cli.trunkline.demo.story import HOSTS, Step, reaches

Seen = Mapping[tuple[str, str], bool]
"""(from, to) -> whether the ping was answered; a pair that is missing is still being tried."""


class Screen(Protocol):
    def opening(self, stage: str) -> None: ...

    def begin(self, number: int, step: Step) -> None: ...

    def ran(self, command: str) -> None: ...

    def watch(self, number: int, step: Step, seen: Seen) -> None:
        """Called again whenever `seen` grew."""

    def done(self, number: int, step: Step, seen: Seen) -> None: ...

    def closing(self, held: int, expected: int) -> None: ...

    def stop(self) -> None:
        """Leaves the terminal in order, wherever the show was."""


def cell(step: Step, one: str, other: str, seen: Seen) -> tuple[str, bool]:
    """The words of one square, and whether they are as expected."""
    if one == other:
        return "·", True
    if (one, other) not in seen:
        return "…", True
    answered = seen[one, other]
    if answered == reaches(step, one, other):
        return ("yes" if answered else "-"), True
    return ("YES?" if answered else "NO?"), False


def last_line(held: int, expected: int) -> str:
    return f"{held} of {expected} expectations held"


class Lines:
    """Plain lines, for a file or a pipe."""

    def opening(self, stage: str) -> None:
        print(f"Trunkline: plug hosts into a switch, and they talk. {stage}", flush=True)

    def begin(self, number: int, step: Step) -> None:
        print(f"\n{number}. {step.title}: {step.note}", flush=True)

    def ran(self, command: str) -> None:
        print(f"   $ {command}", flush=True)

    def watch(self, number: int, step: Step, seen: Seen) -> None:
        pass

    def done(self, number: int, step: Step, seen: Seen) -> None:
        print("   " + "".join(f"{name:>6}" for name in ("from", *(host.name for host in HOSTS))))
        for host in HOSTS:
            squares = [cell(step, host.name, other.name, seen)[0] for other in HOSTS]
            print("   " + "".join(f"{word:>6}" for word in (host.name, *squares)), flush=True)

    def closing(self, held: int, expected: int) -> None:
        print(f"\n{last_line(held, expected)}", flush=True)

    def stop(self) -> None:
        pass
