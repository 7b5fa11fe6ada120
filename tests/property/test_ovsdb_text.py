"""The text form of atoms and datums: what is printed is read back; of garbage comes nothing but TextError."""

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from trunkline.dbctl.tables import DatumCell, Style, Table, render
from trunkline.ovsdb.atoms import AtomicType
from trunkline.ovsdb.datum import Datum
from trunkline.ovsdb.text import TextError, datum_from_text, datum_to_bare, datum_to_text, word
from trunkline.ovsdb.types import UNLIMITED, BaseType, ColumnType

STRINGS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)))
ATOMS: dict[AtomicType, st.SearchStrategy[Any]] = {
    AtomicType.INTEGER: st.integers(-(1 << 63), (1 << 63) - 1),
    AtomicType.REAL: st.integers(-(10**6), 10**6).map(lambda number: number / 8),
    AtomicType.BOOLEAN: st.booleans(),
    AtomicType.STRING: STRINGS,
    AtomicType.UUID: st.uuids().map(str),
}
KINDS = st.sampled_from(list(AtomicType))


@st.composite
def typed(draw: st.DrawFn) -> tuple[ColumnType, Datum]:
    key = draw(KINDS)
    if draw(st.booleans()):
        value = draw(KINDS)
        type_ = ColumnType(BaseType(key), BaseType(value), 0, UNLIMITED)
        pairs = draw(st.dictionaries(ATOMS[key], ATOMS[value], max_size=5))
        return type_, tuple(sorted(pairs.items()))
    most = draw(st.sampled_from([1, 3, UNLIMITED]))
    type_ = ColumnType(BaseType(key), None, 0, most)
    return type_, tuple(sorted(draw(st.sets(ATOMS[key], max_size=min(most, 5)))))


@given(typed())
def test_what_is_printed_is_read_back(one: tuple[ColumnType, Datum]) -> None:
    type_, datum = one
    assert datum_from_text(type_, datum_to_text(type_, datum)) == datum


@given(st.binary(), typed())
@example(b"a\0b", (ColumnType(BaseType(AtomicType.STRING), None, 0, 1), ()))
@example(b'"a\0b"', (ColumnType(BaseType(AtomicType.STRING), None, 0, UNLIMITED), ()))
def test_garbage_gives_one_kind_of_error(data: bytes, one: tuple[ColumnType, Datum]) -> None:
    text = data.decode("utf-8", "surrogateescape")
    try:
        datum = datum_from_text(one[0], text, lambda name: "00000000-0000-0000-0000-000000000000")
    except TextError:
        return
    assert datum_from_text(one[0], datum_to_text(one[0], datum)) == datum
    assert isinstance(datum_to_bare(one[0], datum), str)


@given(st.text(), st.integers(0, 5))
def test_words_go_forward(text: str, start: int) -> None:
    start = min(start, len(text))
    try:
        found, end = word(text, start)
    except TextError:
        return
    taken = text[start:end]
    if "\\" not in taken:
        assert taken == found
    else:  # outside quotes a backslash goes, and what is behind it stays
        assert len(found) < len(taken) or '"' in taken
        assert set(found) <= set(taken)


@given(
    st.lists(typed(), max_size=3),
    st.sampled_from(["table", "list", "csv", "json", "html"]),
    st.sampled_from(["string", "bare", "json"]),
    st.booleans(),
    st.integers(0, 9),
)
def test_every_table_prints(
    cells: list[tuple[ColumnType, Datum]], format: str, data: str, headings: bool, width: int
) -> None:
    row = [DatumCell(*cell) for cell in cells]
    table = Table([f"c{number}" for number in range(len(row))], [row, row], "caption")
    text = render([table, table], Style(format, data, headings, True, width))
    assert text.endswith("\n")
