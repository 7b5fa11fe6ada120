"""base/log.py: levels, patterns, rate limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.base.clock import ManualClock
from trunkline.base.log import DBG, INFO, OFF, WARN, Log, LogError, RateLimit

WORDS = [
    "bridge",
    "netdev_linux",
    "console",
    "file",
    "syslog",
    "any",
    "off",
    "dbg",
    "WARN",
    "nosuch",
    "Emer",
    "",
]


def make(*names: str) -> tuple[Log, list[str], ManualClock]:
    clock = ManualClock(wall=1_763_715_600.123)
    log = Log("prog", clock, names or ("bridge", "netdev_linux"), pid=42, host="vm")
    lines: list[str] = []
    log.attach("console", lambda level, line: lines.append(line))
    return log, lines, clock


def test_the_original_line() -> None:
    log, lines, _ = make()
    log.module("bridge").info("port %s is %d", "p0", 3)
    log.module("bridge").dbg("unheard")
    log.module("bridge").warn("100% literal")
    assert lines == [
        "2025-11-21T09:00:00Z|00001|bridge|INFO|port p0 is 3",
        "2025-11-21T09:00:00Z|00002|bridge|WARN|100% literal",
    ]


def test_nobody_listens_before_a_sink_is_there() -> None:
    log = Log("prog", ManualClock(), ("bridge",))
    assert not log.module("bridge").enabled(INFO)
    log.attach("file", lambda level, line: None)
    assert log.module("bridge").enabled(INFO)
    assert not log.module("bridge").enabled(DBG)
    log.set("bridge:file:dbg")
    assert log.module("bridge").enabled(DBG)


def test_levels_hold_for_later_modules_too() -> None:
    log, lines, _ = make()
    log.set("console:off")
    log.module("later").emer("x")
    assert lines == []
    assert log.module("later").levels == (INFO, OFF, INFO)


def test_a_wrong_specification_changes_nothing() -> None:
    log, _, _ = make()
    before = log.listing()
    with pytest.raises(LogError, match="no destination, level, or module"):
        log.set("bridge:dbg:nosuch")
    assert log.listing() == before


def test_dropped_messages_are_counted() -> None:
    log, lines, clock = make()
    log.set("PATTERN:console:%m")
    limit = RateLimit(rate=60, burst=2)
    logger = log.module("bridge")
    for number in range(10):
        logger.warn("%d", number, limit=limit)
    clock.advance(5)
    logger.warn("again", limit=limit)
    text = "Dropped 8 log messages in last 5 seconds (most recently, 5 seconds ago) due to excessive rate"
    assert lines == ["0", "1", text, "again"]
    log.limit_rates(["bridge"], False)
    for number in range(10):
        logger.warn("%d", number, limit=limit)
    assert len(lines) == 14


def test_subprogram_and_unfinished_patterns() -> None:
    log, lines, _ = make()
    log.subprogram = "monitor"
    for pattern in ("%c%T|%t", "%", "%-", "%d{", "%D{%Y", "%-010P|%r"):
        log.set(f"PATTERN:console:{pattern}")
        log.module("bridge").warn("x")
    assert lines[0] == "bridge(monitor)|monitor"
    assert lines[4] == "2025"
    assert lines[5] == "4200000000|0"


@given(st.lists(st.sampled_from(WORDS), max_size=5).map(":".join) | st.text())
def test_any_specification_is_taken_or_refused(text: str) -> None:
    log, _, _ = make()
    try:
        log.set(text)
    except LogError as error:
        assert str(error)  # noqa: PT017
    assert log.listing().count("\n") == 4


@given(st.text(alphabet="%-0123456789ABcdDEmNnpPrtTx{}#HMS|") | st.text())
def test_any_pattern_makes_a_line(pattern: str) -> None:
    log, lines, _ = make()
    log.strftime = lambda template, wall, utc: template
    log.set(f"PATTERN:console:{pattern}")
    log.module("bridge").warn("text")
    assert len(lines) == 1


def test_the_levels_of_warnings_reach_the_target_of_syslog() -> None:
    log, _, _ = make()
    lines: list[str] = []
    log.attach_target(lambda level, line: lines.append(line))
    log.module("bridge").warn("hello")
    assert lines == ["<132>1 2025-11-21T09:00:00.123Z vm prog 42 bridge - \ufeffhello"]
    log.set("FACILITY:user")
    log.module("bridge").message(WARN, "x", (), None)
    assert lines[1].startswith("<12>1 ")
