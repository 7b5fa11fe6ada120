"""The live table: it fills while one looks at it, and steps that are over stay above it."""

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from trunkline.cli.trunkline.demo.screen import Seen, cell, last_line
from trunkline.cli.trunkline.demo.story import HOSTS, Step


class LiveTable:
    """A Screen for a terminal."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._live: Live | None = None
        self._commands: list[str] = []

    def opening(self, stage: str) -> None:
        self._console.print(f"[bold]Trunkline[/]: plug hosts into a switch, and they talk. [dim]{stage}[/]")

    def begin(self, number: int, step: Step) -> None:
        self._commands = []
        self._live = Live(console=self._console, refresh_per_second=12)
        self._live.start()
        self.watch(number, step, {})

    def ran(self, command: str) -> None:
        self._commands.append(command)

    def watch(self, number: int, step: Step, seen: Seen) -> None:
        if self._live is not None:
            self._live.update(self._picture(number, step, seen))

    def done(self, number: int, step: Step, seen: Seen) -> None:
        self.watch(number, step, seen)
        self.stop()

    def stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def closing(self, held: int, expected: int) -> None:
        style = "bold green" if held == expected else "bold red"
        self._console.print(f"\n[{style}]{last_line(held, expected)}[/]")

    def _picture(self, number: int, step: Step, seen: Seen) -> Group:
        table = Table(box=box.ROUNDED, border_style="dim", padding=(0, 1))
        table.add_column("from \\ to", style="bold")
        for host in HOSTS:
            table.add_column(host.name, justify="center", min_width=5)
        for host in HOSTS:
            table.add_row(
                Text.assemble(host.name, (f"  on {host.bridge}", "dim")),
                *(self._square(step, host.name, other.name, seen) for other in HOSTS),
            )
        head = Text.assemble("\n", (f"{number}. {step.title}", "bold cyan"), (f"  ({step.note})", "dim"))
        commands = [Text(f"   $ {command}", style="yellow") for command in self._commands]
        return Group(head, *commands, Padding(table, (0, 0, 0, 3)))

    @staticmethod
    def _square(step: Step, one: str, other: str, seen: Seen) -> Text:
        word, good = cell(step, one, other, seen)
        shown = {"yes": "● yes", "-": "○", "YES?": "● YES?", "NO?": "○ NO?"}.get(word, word)
        style = {"yes": "green", "-": "dim", "…": "yellow", "·": "dim"}.get(word, "")
        return Text(shown, style=style if good else "bold white on red")
