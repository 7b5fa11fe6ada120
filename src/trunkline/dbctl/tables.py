"""Tables of cells, printed as list, table, csv, json or html: the output of every database tool.

A cell is a datum with its type, a JSON value, or plain text.  What a cell looks like is decided apart from
what the table looks like: ``--data`` says how data print (string, bare, json), ``--format`` how tables do.
In JSON tables data are always JSON.  Widths count bytes, as the originals' do, so cells travel as bytes'
surrogates.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from trunkline.base.json import Json, dumps
from trunkline.base.options import Found, Option
from trunkline.ovsdb.datum import Datum, datum_to_json
from trunkline.ovsdb.text import datum_to_bare, datum_to_text
from trunkline.ovsdb.types import ColumnType

OPTIONS: Final = (
    Option("format", "required", "f"),
    Option("data", "required", "d"),
    Option("no-headings"),
    Option("pretty"),
    Option("bare"),
    Option("max-column-width", "required"),
)
"""The options of every tool that prints tables; ovsdb-client has ``--timestamp`` besides."""

DATA_FORMATS: Final = ("string", "bare", "json")


class TableError(Exception):
    """An option of a table is wrong; the text is the original's."""


class Style(NamedTuple):
    """How to print tables.  `width` bounds a column of the "table" format in bytes; 0 is no bound."""

    format: str = "table"
    data: str = "string"
    headings: bool = True
    pretty: bool = False
    width: int = 0


class DatumCell(NamedTuple):
    type: ColumnType
    datum: Datum


class JsonCell(NamedTuple):
    value: Json


Cell = str | DatumCell | JsonCell


class Table(NamedTuple):
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str | None = None
    time: str | None = None
    """A line with the time above a table, when ``--timestamp`` asks for one."""


def style_from_options(found: Found, style: Style = Style()) -> Style:  # noqa: B008  (immutable)
    """`style` changed by the options found on a command line; others than OPTIONS are passed over.

    Raises TableError.
    """
    for name, value in found:
        if name == "format":
            if value not in FORMATS:
                raise TableError(f'unknown output format "{value}"')
            style = style._replace(format=value)
        elif name == "data":
            if value not in DATA_FORMATS:
                raise TableError(f'unknown data format "{value}"')
            style = style._replace(data=value)
        elif name == "no-headings":
            style = style._replace(headings=False)
        elif name == "pretty":
            style = style._replace(pretty=True)
        elif name == "bare":
            style = style._replace(format="list", data="bare", headings=False)
        elif name == "max-column-width":
            style = style._replace(width=_width(value or ""))
    return style


def _width(text: str) -> int:
    """As atoi(3) reads it: leading digits, 0 without any."""
    text = text.lstrip()
    end = 1 if text[:1] in ("+", "-") else 0
    while end < len(text) and text[end] in "0123456789":
        end += 1
    digits = text[:end]
    return max(0, int(digits)) if digits.strip("+-") else 0


def cell_text(cell: Cell, style: Style) -> str:
    if isinstance(cell, str):
        return cell
    if isinstance(cell, JsonCell):
        return dumps(cell.value)
    if style.data == "string":
        return datum_to_text(cell.type, cell.datum)
    if style.data == "bare":
        return datum_to_bare(cell.type, cell.datum)
    return dumps(datum_to_json(cell.type, cell.datum), sort_keys=True)


class Printer:
    """Prints one table after the other; remembers only whether it is the first, for the blank line
    between."""

    def __init__(self, style: Style) -> None:
        self.style = style
        self._first = True

    def render(self, table: Table) -> str:
        """The text of `table`, ending with a new-line unless it is empty."""
        lines: list[str] = []
        if self.style.format in ("table", "list", "csv") and not self._first:
            lines.append("")
        if self.style.format != "json" and table.time is not None:
            lines.append(table.time)
        if self.style.format in ("table", "list", "csv") and table.caption is not None:
            lines.append(table.caption)
        self._first = False
        lines += FORMATS[self.style.format](table, self.style)
        return "".join(f"{line}\n" for line in lines)


def render(tables: Iterable[Table], style: Style) -> str:
    """The text of several tables of one run."""
    printer = Printer(style)
    return "".join(printer.render(table) for table in tables)


def _texts(table: Table, style: Style) -> list[list[str]]:
    rows = [[cell_text(cell, style) for cell in row] for row in table.rows]
    return [list(table.headings), *rows] if style.headings else rows


def _list(table: Table, style: Style) -> list[str]:
    lines: list[str] = []
    for number, row in enumerate(table.rows):
        if number:
            lines.append("")
        for heading, cell in zip(table.headings, row):
            text = cell_text(cell, style)
            lines.append(f"{heading}{' ' * (20 - _size(heading))}: {text}" if style.headings else text)
    return lines


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))


def _cut(text: str, width: int) -> str:
    if _size(text) <= width:
        return text
    return text.encode("utf-8", "surrogateescape")[:width].decode("utf-8", "surrogateescape")


def _columns(table: Table, style: Style) -> list[str]:
    rows = _texts(table, style)
    widths = [max((_size(row[i]) for row in rows), default=0) for i in range(len(table.headings))]
    if style.width:
        least = [_size(heading) if style.headings else 0 for heading in table.headings]
        widths = [max(min(width, style.width), floor) for width, floor in zip(widths, least)]
    lines = []
    for number, row in enumerate(rows):
        cut = [_cut(text, width) for text, width in zip(row, widths)]
        padded = [text + " " * (width - _size(text)) for text, width in zip(cut, widths)]
        lines.append(" ".join(padded).rstrip(" "))
        if style.headings and not number:
            lines.append(" ".join("-" * width for width in widths))
    return lines


def _csv(table: Table, style: Style) -> list[str]:
    return [",".join(map(_csv_cell, row)) for row in _texts(table, style)]


def _csv_cell(text: str) -> str:
    if any(mark in text for mark in '\n",'):
        doubled = text.replace('"', '""')
        return f'"{doubled}"'
    return text


HTML_ESCAPES: Final = {"&": "&amp;", ">": "&gt;", "<": "&lt;", '"': "&quot;"}


def _html_cell(text: str, element: str) -> str:
    return f"    <{element}>{_html_escaped(text)}</{element}>"


def _html_escaped(text: str) -> str:
    return "".join(HTML_ESCAPES.get(letter, letter) for letter in text)


def _html(table: Table, style: Style) -> list[str]:
    lines = ["<table border=1>"]
    if table.caption is not None:
        lines.append(_html_cell(table.caption, "caption"))
    for number, row in enumerate(_texts(table, style)):
        if style.headings and not number:
            cells = [_html_cell(text, "th") for text in row]
        else:
            cells = [_html_linked(text, heading) for text, heading in zip(row, table.headings)]
        lines += ["  <tr>", *cells, "  </tr>"]
    return [*lines, "</table>"]


def _html_linked(text: str, heading: str) -> str:
    """A cell whose uuids are short and linked: those in column "_uuid" are what the others lead to."""
    from re import sub

    if heading == "_uuid":
        return f'    <td><a name="{_html_escaped(text)}">{_html_escaped(text[:8])}</a></td>'
    uuid = "([0-9a-fA-F]{8})(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    linked = sub(uuid, lambda found: f'<a href="#{found[0]}">{found[1]}</a>', _html_escaped(text))
    return f"    <td>{linked}</td>"


def _json(table: Table, style: Style) -> list[str]:
    value: dict[str, Json] = {
        "headings": list(table.headings),
        "data": [[_json_cell(cell) for cell in row] for row in table.rows],
    }
    if table.caption is not None:
        value["caption"] = table.caption
    if table.time is not None:
        value["time"] = table.time
    return [dumps(value, sort_keys=True, pretty=style.pretty)]


def _json_cell(cell: Cell) -> Json:
    if isinstance(cell, str):
        return cell
    return cell.value if isinstance(cell, JsonCell) else datum_to_json(cell.type, cell.datum)


FORMATS: Final[dict[str, Callable[[Table, Style], list[str]]]] = {
    "list": _list,
    "table": _columns,
    "html": _html,
    "csv": _csv,
    "json": _json,
}
