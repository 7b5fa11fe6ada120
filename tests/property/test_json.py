"""JSON: what is printed is read back, in any chunking; arbitrary bytes give a value or JsonError."""

import json
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.base import json_scanner, json_stream
from trunkline.base.json import JsonError, JsonStream, dumps, encoded, loads

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | TEXT
    | st.integers(-(10**6), 10**6).map(lambda n: n / 1000 if n % 1000 else n // 1000),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)
ROOTS = st.lists(VALUES, max_size=4) | st.dictionaries(TEXT, VALUES, max_size=4)


@given(ROOTS)
def test_read_what_was_printed(value: object) -> None:
    assert loads(dumps(value)) == value
    assert loads(dumps(value, sort_keys=True)) == value
    assert loads(dumps(value, pretty=True)) == value
    assert json.loads(dumps(value)) == value


@given(st.lists(ROOTS, max_size=5), st.lists(st.integers(1, 40), min_size=1))
def test_any_chunking(values: list[object], sizes: list[int]) -> None:
    data = b" \n".join(encoded(value) for value in values)
    stream = JsonStream()
    found = []
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        found += stream.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    assert found == values
    assert JsonStream().feed(data) == values


@given(st.lists(ROOTS, min_size=1, max_size=3), st.data())
def test_damaged_bytes(values: list[object], draw: st.DataObject) -> None:
    data = bytearray(b"".join(encoded(value) for value in values))
    first = len(data)
    for _ in range(draw.draw(st.integers(1, 3))):
        place = draw.draw(st.integers(0, len(data) - 1))
        first = min(first, place)
        data[place] = draw.draw(st.integers(0, 255))
    try:
        value = loads(bytes(data))
    except JsonError:
        pass
    else:
        assert loads(encoded(value)) == value
    outcomes = []
    for size in (1, 7, len(data)):
        stream = JsonStream()
        found = []
        try:
            for at in range(0, len(data), size):
                found += stream.feed(bytes(data[at : at + size]))
            stream.check()
        except JsonError:
            wrong = True
        else:
            wrong = False
        outcomes.append((wrong, found))
    # One chunking may see sooner than another that something is wrong, but none reads something else.
    longest = max((found for _, found in outcomes), key=len)
    for wrong, found in outcomes:
        assert found == longest[: len(found)]
        assert wrong or found == longest
    whole, at = [], 0
    for value in values:
        at += len(encoded(value))
        if at <= first:
            whole.append(value)
    assert outcomes[0][1][: len(whole)] == whole


@given(st.binary(max_size=60))
def test_arbitrary_bytes(data: bytes) -> None:
    for read in (loads, JsonStream().feed):
        try:
            read(data)
        except JsonError:
            pass


def test_huge_message_in_small_chunks_is_linear() -> None:
    value = {"rows": [["x" * 20, {"a\\b": ["map", [["k", "v"]]], "n": n}] for n in range(20_000)]}
    data = encoded(value)
    stream = JsonStream()
    found = []
    for at in range(0, len(data), 1000):
        found += stream.feed(data[at : at + 1000])
    assert found == [value]


AWKWARD = {
    "one long text": b'["' + b"x" * 300_000 + b'"]',
    "escapes": b'["' + b"\\\\ \\u0041\\ud83d\\ude00" * 20_000 + b'"]',
    "what looks like half a pair": b'["' + b"\\\\ud800" * 40_000 + b'"]',
    "long numbers": b"[" + b",".join([b"12345678901234567890123"] * 12_000) + b"]",
    "brackets in texts": b'["' + b"[{" * 150_000 + b'"]',
    "many names": b"{" + b",".join(b'"n%d":[]' % n for n in range(30_000)) + b"}",
    "spaces": b" " * 300_000 + b"[]",
    "spaces inside": b"[" + b" " * 300_000 + b"]",
    "small messages": b'{"a":[1]}' * 30_000,
    "small messages with half pairs": b'["\\udc00"]' * 30_000,
    "a text that nobody wanted": b'"' + b"x " * 150_000,
    "a number that nobody wanted": b"1" * 300_000,
}


@pytest.mark.parametrize("what", AWKWARD)
@pytest.mark.parametrize("size", [1, 77, 4096, 1 << 20])
def test_work_is_linear_whatever_comes(what: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes that scanners are given are a few times those that came."""
    given = 0

    def counted(honest: Callable[..., object], length: Callable[..., int]) -> Callable[..., object]:
        def call(*arguments: object, **keywords: object) -> object:
            nonlocal given
            given += length(*arguments)
            return honest(*arguments, **keywords)

        return call

    run, scan, rest = json_scanner.Scanner.run, json_stream.scan_or_why, json_stream._bytes_from
    if "small" not in what:  # there each run sees one of many messages
        monkeypatch.setattr(
            json_scanner.Scanner, "run", counted(run, lambda one: len(one._data) - one._start)
        )
        monkeypatch.setattr(json_stream, "scan_or_why", counted(scan, lambda _, text, at: len(text)))
    monkeypatch.setattr(json_stream, "_bytes_from", counted(rest, lambda text, at, _: len(text)))
    data = AWKWARD[what][: 20_000 if size == 1 else None]
    stream = JsonStream()
    found = []
    try:
        for at in range(0, len(data), size):
            found += stream.feed(data[at : at + size])
    except JsonError:
        assert "nobody" in what
    assert given <= 6 * len(data) + 64 * 64
    if len(data) == len(AWKWARD[what]) and "nobody" not in what:
        whole = JsonStream().feed(data)
        assert found == whole
        assert len(found) == (30_000 if "small" in what else 1)


def test_a_message_has_a_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "LONGEST", 10_000)
    stream = JsonStream()
    for _ in range(9):
        assert not stream.feed(b'["' + b"x" * 1000 if stream.backlog == 0 else b"x" * 1000)
    with pytest.raises(JsonError, match="message longer than 10000 bytes"):
        stream.feed(b"x" * 1000)
    with pytest.raises(JsonError):
        stream.feed(b"[]")
    assert JsonStream().feed(b"[" + b'"x",' * 2000 + b"1]") == [["x"] * 2000 + [1]]


@given(st.integers(1, 1000), st.booleans())
def test_deep_values_are_written(depth: int, pretty: bool) -> None:
    value: object = [1]
    for level in range(depth - 1):
        value = {"a": value} if level % 3 else [value, 2.5]
    text = dumps(value, pretty=pretty)
    assert dumps(loads(text), pretty=pretty) == text
    assert dumps(value, sort_keys=True) == dumps(value)


def test_nesting_is_bounded() -> None:
    deep = b"[" * 1000 + b"]" * 1000
    assert JsonStream().feed(deep)
    with pytest.raises(JsonError, match="byte 1000: input exceeds maximum nesting depth 1000"):
        loads(b"[" + deep + b"]")
    with pytest.raises(JsonError):
        JsonStream().feed(b"[" * 100_000)


def test_pieces_in_a_process_without_the_json_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The C scanner finds its error class in json.decoder, which a daemon has no other reason to import."""
    whole = {"rows": ["x" * 20, 7] * 20, "names": {"a": [1.5, None], "b": "\\" * 20}}
    data = encoded(whole)
    for cut in range(256, 300):
        for second in range(2 * cut, 2 * cut + 30):
            monkeypatch.delitem(sys.modules, "json.decoder", raising=False)
            stream = JsonStream()
            values = stream.feed(data[:cut]) + stream.feed(data[cut:second]) + stream.feed(data[second:])
            assert values == [whole]
