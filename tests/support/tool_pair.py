"""Two databases, one for an original *ctl tool and one for ours, and the same command lines for both."""

import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.originals import VSWITCH_SCHEMA, Originals
from support.vsctl import Result, contents, same_form


class ToolPair:
    """What tools of one kind share; a subclass gives the words to both (`compare_words`)."""

    database = "Open_vSwitch"
    tables: Sequence[str] = ()

    def __init__(self, theirs: Originals, ours: Originals) -> None:
        self.theirs = theirs
        self.ours = ours

    def compare(self, line: str) -> Result:
        return self.compare_words(shlex.split(line), line)

    def compare_words(self, words: list[str], line: str = "") -> Result:
        raise NotImplementedError

    def form(self, result: Result) -> tuple[str, str, int]:
        """A result without what differs by chance: made-up uuids, times, directories."""
        return self.placed(same_form(result.output)), self.placed(same_form(result.errors)), result.status

    def placed(self, part: str) -> str:
        """Without what depends on where the databases are."""
        for directory in (self.theirs.directory, self.ours.directory):
            part = part.replace(str(directory), "DIRECTORY")
        return part

    def compare_contents(self) -> None:
        ours, theirs = (
            contents(one.directory / "db.sock", list(self.tables), self.database)
            for one in (self.ours, self.theirs)
        )
        assert ours == theirs

    def run_script(self, script: Path) -> None:
        """The lines of a file, one after the other on the same database; all their differences at the end."""
        differences = []
        for line in script.read_text().splitlines():
            if line and not line.startswith("#"):
                try:
                    self.compare(line)
                except AssertionError as difference:
                    differences.append(str(difference).partition("\nassert")[0])
        assert not differences, f"{len(differences)} differences\n" + "\n\n".join(differences)
        self.compare_contents()


@contextmanager
def two_databases(schema: str = VSWITCH_SCHEMA) -> Iterator[tuple[Originals, Originals]]:
    """Two running servers, each in a short directory of its own."""
    with tempfile.TemporaryDirectory(prefix="tl.", dir="/tmp") as name:
        both = Originals(Path(name) / "t"), Originals(Path(name) / "o")
        try:
            for one in both:
                one.directory.mkdir()
                one.start_database(schema)
            yield both
        finally:
            for one in both:
                one.stop()
