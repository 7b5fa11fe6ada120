"""vlog: the log of a daemon or a tool, as ovs-appctl(8) describes it.

A `Log` is an object that a program owns and hands down; ``log.module("bridge")`` is the `Logger` that the
bridge code uses.  A message has a level and a module, and goes to up to three *destinations* (syslog,
console, file).  Each destination has a level for every module, a *pattern* that makes the line, and, when
it is attached, a *sink* that takes the line: this module itself writes nowhere (io/log_sinks.py does).

Three texts steer it, and all are the original's to the letter: ``-v`` and ``vlog/set`` specifications
(`Log.set`), patterns (`_parse_pattern`), and the listings (`listing`, `pattern_listing`).  The rule for
speed: a message below every level costs one comparison, and arguments are formatted only when somebody
listens.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from trunkline.base.clock import Clock

OFF: Final = 0
EMER: Final = 1
ERR: Final = 2
WARN: Final = 3
INFO: Final = 4
DBG: Final = 5
LEVELS: Final = ("OFF", "EMER", "ERR", "WARN", "INFO", "DBG")
SEVERITY: Final = (1, 1, 3, 4, 5, 7)  # by level, the severities of syslog (RFC 5424, 6.2.1)

_FACILITY_NAMES: Final = (
    "kern user mail daemon auth syslog lpr news uucp clock ftp ntp audit alert clock2 "
    "local0 local1 local2 local3 local4 local5 local6 local7"
)
FACILITIES: Final = tuple(_FACILITY_NAMES.split())
# clock is 9, ftp 11 (RFC 5424, 6.2.1), with authpriv (10) left out.
_FACILITY_CODE: Final = {name: code + (code >= 10) for code, name in enumerate(FACILITIES)}
_FACILITY_CODE.update({f"local{n}": 16 + n for n in range(8)})
_LOCAL0: Final = 16

SYSLOG, CONSOLE, FILE = range(3)
DESTINATIONS: Final = ("syslog", "console", "file")
_LISTED: Final = (CONSOLE, SYSLOG, FILE)
DEFAULT_PATTERNS: Final = (
    "ovs|%05N|%c%T|%p|%m",
    "%D{%Y-%m-%dT%H:%M:%SZ}|%05N|%c%T|%p|%m",
    "%D{%Y-%m-%dT%H:%M:%S.###Z}|%05N|%c%T|%p|%m",
)
SYSLOG_TARGET_PATTERN: Final = "<%B>1 %D{%Y-%m-%dT%H:%M:%S.###Z} %E %A %P %c - \ufeff%m"

Sink = Callable[[int, str], None]  # (level, line without its new-line)
Strftime = Callable[[str, float, bool], str]  # (format, seconds since 1970, UTC rather than local time)


class LogError(Exception):
    """A ``-v`` or ``vlog/set`` specification is wrong; the text says what."""


class RateLimit:
    """At most `rate` messages a minute, and `burst` at once; 0 and 0 lets everything pass.

    Kept by whoever logs, one for each kind of message that a peer could make come by the thousand.
    """

    __slots__ = ("_filled", "_tokens", "burst", "dropped", "first_dropped", "last_dropped", "rate")

    def __init__(self, rate: int = 1, burst: int = 5) -> None:
        self.rate = rate
        self.burst = max(burst, 1)
        self._tokens = float(self.burst)
        self._filled: float | None = None
        self.dropped = 0
        self.first_dropped = 0.0
        self.last_dropped = 0.0

    def admit(self, now: float) -> bool:
        """Whether a message at `now` (monotonic seconds) may pass; counts it if not."""
        if self._filled is not None and now > self._filled:
            self._tokens = min(self.burst, self._tokens + (now - self._filled) * self.rate / 60)
        self._filled = now
        if self._tokens >= 1:
            self._tokens -= 1
            return True
        if not self.dropped:
            self.first_dropped = now
        self.last_dropped = now
        self.dropped += 1
        return False

    def summary(self, now: float) -> str | None:
        """What was dropped since the last summary, in the original's words."""
        if not self.dropped:
            return None
        text = (
            f"Dropped {self.dropped} log messages in last {int(now - self.first_dropped)} seconds (most "
            f"recently, {int(now - self.last_dropped)} seconds ago) due to excessive rate"
        )
        self.dropped = 0
        return text


class _Record(NamedTuple):
    log: "Log"
    serial: int
    module: str
    level: int
    text: str
    wall: float


class Logger:
    """The log of one module.  `text` is %-formatted with `arguments`, if there are any."""

    __slots__ = ("_said", "honour_limits", "levels", "log", "most", "name")

    def __init__(self, log: "Log", name: str, levels: tuple[int, int, int]) -> None:
        self.log = log
        self.name = name
        self.levels = levels
        self.honour_limits = True
        self.most = OFF
        self._said: set[str] = set()

    def enabled(self, level: int) -> bool:
        """Whether a message of `level` would go anywhere: ask before composing costly ones."""
        return level <= self.most

    def emer(self, text: str, *arguments: object, limit: RateLimit | None = None) -> None:
        if self.most >= EMER:
            self.message(EMER, text, arguments, limit)

    def err(self, text: str, *arguments: object, limit: RateLimit | None = None) -> None:
        if self.most >= ERR:
            self.message(ERR, text, arguments, limit)

    def warn(self, text: str, *arguments: object, limit: RateLimit | None = None) -> None:
        if self.most >= WARN:
            self.message(WARN, text, arguments, limit)

    def warn_once(self, text: str) -> None:
        """What is true as long as the program runs, and so is said only the first time."""
        if text not in self._said:
            self._said.add(text)
            self.warn("%s", text)

    def info(self, text: str, *arguments: object, limit: RateLimit | None = None) -> None:
        if self.most >= INFO:
            self.message(INFO, text, arguments, limit)

    def dbg(self, text: str, *arguments: object, limit: RateLimit | None = None) -> None:
        if self.most >= DBG:
            self.message(DBG, text, arguments, limit)

    def message(self, level: int, text: str, arguments: tuple[object, ...], limit: RateLimit | None) -> None:
        """Logs at a level that is a value; the methods named after levels are the usual way."""
        if level > self.most:
            return
        if limit is not None and self.honour_limits:
            now = self.log.clock.monotonic()
            if not limit.admit(now):
                return
            summary = limit.summary(now)
            if summary is not None:
                self.log.emit(self, level, summary)
        self.log.emit(self, level, text % arguments if arguments else text)


class Log:
    """The log of a program.

    `program`, `pid` and `host` are what %A, %P and %E show; `names` are the modules of the beginning.
    `console` is the console's level at the start; syslog and file start at INFO.  Nothing is written before a
    sink is attached.
    """

    def __init__(
        self,
        program: str,
        clock: Clock,
        names: Iterable[str] = (),
        *,
        console: int = INFO,
        pid: int = 0,
        host: str = "localhost",
        strftime: Strftime | None = None,
    ) -> None:
        self.program = program
        self.clock = clock
        self.pid = pid
        self.host = host
        self.subprogram = ""  # "monitor" in the process that watches another
        self.facility: int | None = None  # as chosen with FACILITY:
        self.syslog_prefix = "<%B> %D{%h %e %T} %E %A:"  # what the listing shows
        self.started = clock.monotonic()
        self.serial = 0
        self.strftime = strftime or _strftime
        self.patterns = list(DEFAULT_PATTERNS)
        self._compiled = [_parse_pattern(pattern) for pattern in self.patterns]
        self._target = _parse_pattern(SYSLOG_TARGET_PATTERN)
        self._default: tuple[int, int, int] = (INFO, console, INFO)
        self._sinks: list[Sink | None] = [None, None, None]
        self._target_sink: Sink | None = None
        self._reopen: Callable[[], str] | None = None
        self._close: Callable[[], None] | None = None
        self._give: Callable[[int, int], None] | None = None
        self._loggers: dict[str, Logger] = {}
        for name in names:
            self.module(name)

    def module(self, name: str) -> Logger:
        """The Logger of a module, named as in the original (underscores: "netdev_linux")."""
        logger = self._loggers.get(name)
        if logger is None:
            logger = self._loggers[name] = Logger(self, name, self._default)
            self._refresh(logger)
        return logger

    def attach(self, destination: str, sink: Sink | None) -> None:
        """Sends the lines of a destination to `sink` from now on; None detaches it."""
        self._sinks[DESTINATIONS.index(destination)] = sink
        self._refresh_all()

    def attach_target(self, sink: Sink | None) -> None:
        """The RFC 5424 lines of ``--syslog-target``, beside those of syslog."""
        self._target_sink = sink
        self._refresh_all()

    def attach_file(
        self,
        sink: Sink,
        reopen: Callable[[], str],
        close: Callable[[], None],
        give: Callable[[int, int], None] | None = None,
    ) -> None:
        """The log file, with what ``vlog/reopen``, ``vlog/close`` and ``--user`` do to it."""
        self._reopen, self._close, self._give = reopen, close, give
        self.attach("file", sink)

    @property
    def has_file(self) -> bool:
        """Whether there is, or was, a log file."""
        return self._reopen is not None

    def reopen_file(self) -> str:
        """Takes up the file that has the log file's name now; gives the reason if there can be none."""
        return "Logging to file not configured" if self._reopen is None else self._reopen()

    def close_file(self) -> None:
        if self._close is not None:
            self._close()

    def give_file(self, uid: int, gid: int) -> None:
        """Makes the log file another user's.  Raises OSError."""
        if self._give is not None:
            self._give(uid, gid)

    # -- messages ---------------------------------------------------------------------------------------

    def emit(self, logger: Logger, level: int, text: str) -> None:
        self.serial += 1
        record = _Record(self, self.serial, logger.name, level, text, self.clock.wall())
        for destination, sink in enumerate(self._sinks):
            if sink is not None and level <= logger.levels[destination]:
                line = self._line(self._compiled[destination], record)
                if destination == SYSLOG:
                    for part in line.split("\n"):
                        sink(level, part)
                else:
                    sink(level, line)
        if self._target_sink is not None and level <= logger.levels[SYSLOG]:
            self._target_sink(level, self._line(self._target, record))

    def _line(self, pattern: "list[_Piece]", record: _Record) -> str:
        return "".join([piece if isinstance(piece, str) else piece.expand(record) for piece in pattern])

    def priority(self, level: int, *, facility: int = _LOCAL0) -> int:
        """The PRI of a syslog message: `facility` unless FACILITY: chose another."""
        return (facility if self.facility is None else self.facility) * 8 + SEVERITY[level]

    # -- levels -----------------------------------------------------------------------------------------

    def set(self, specification: str) -> None:
        """Does what ``-v SPEC`` and ``vlog/set SPEC`` ask.  Raises LogError; then nothing has changed."""
        head, _, rest = specification.partition(":")
        if head.upper() == "PATTERN":
            self._set_pattern(rest)
        elif head.upper() == "FACILITY":
            if rest.lower() not in _FACILITY_CODE:
                raise LogError("invalid facility")
            self.facility = _FACILITY_CODE[rest.lower()]
        else:
            self._set_levels(specification)

    def set_level(self, module: str | None, destination: str | None, level: int) -> None:
        """None stands for all of them."""
        which = range(3) if destination is None else (DESTINATIONS.index(destination),)
        loggers = self._loggers.values() if module is None else (self.module(module),)
        for logger in loggers:
            logger.levels = _with(logger.levels, which, level)
            self._refresh(logger)
        if module is None:
            self._default = _with(self._default, which, level)

    def _set_levels(self, specification: str) -> None:
        module = destination = level = None
        for word in _words(specification):
            lower = word.lower()
            if lower in DESTINATIONS:
                if destination is not None:
                    raise LogError("cannot specify multiple destinations")
                destination = lower
            elif lower.upper() in LEVELS:
                if level is not None:
                    raise LogError("cannot specify multiple levels")
                level = LEVELS.index(lower.upper())
            elif (name := self._find(lower)) is not None:
                if module is not None:
                    raise LogError("cannot specify multiple modules")
                module = name
            elif lower != "any":
                raise LogError(f'no destination, level, or module "{word}"')
        self.set_level(module, destination, DBG if level is None else level)

    def _find(self, name: str) -> str | None:
        return name if name in self._loggers else None

    def _set_pattern(self, rest: str) -> None:
        destination, _, pattern = rest.partition(":")
        lower = destination.lower()
        if not destination:
            raise LogError("missing destination")
        if lower not in (*DESTINATIONS, "any"):
            raise LogError(f'unknown destination "{destination}"')
        for index, name in enumerate(DESTINATIONS):
            if lower in (name, "any"):
                self.patterns[index] = pattern
                self._compiled[index] = _parse_pattern(pattern)

    def limit_rates(self, modules: Iterable[str], honour: bool) -> None:
        """``vlog/enable-rate-limit`` and ``vlog/disable-rate-limit``.  Raises LogError."""
        names = list(modules)
        for name in names or ["any"]:
            if name.lower() == "any":
                chosen = list(self._loggers.values())
            elif (found := self._find(name.lower())) is not None:
                chosen = [self._loggers[found]]
            else:
                raise LogError("unknown module")
            for logger in chosen:
                logger.honour_limits = honour

    def _refresh(self, logger: Logger) -> None:
        levels = [level for level, sink in zip(logger.levels, self._sinks, strict=True) if sink is not None]
        if self._target_sink is not None:
            levels.append(logger.levels[SYSLOG])
        logger.most = max(levels, default=OFF)

    def _refresh_all(self) -> None:
        for logger in self._loggers.values():
            self._refresh(logger)

    # -- listings ---------------------------------------------------------------------------------------

    def listing(self) -> str:
        """The text of ``vlog/list``."""
        lines = [
            "                 console    syslog    file",
            "                 -------    ------    ------",
        ]
        for name, logger in sorted(self._loggers.items()):
            levels = "       ".join(f"{LEVELS[logger.levels[where]]:>4}" for where in _LISTED)
            limits = "" if logger.honour_limits else "    (rate limiting disabled)"
            lines.append(f"{name:<16}  {levels}{limits}")
        return "\n".join(lines) + "\n"

    def pattern_listing(self) -> str:
        """The text of ``vlog/list-pattern``."""
        lines = [
            "         prefix                            format",
            "         ------                            ------",
        ]
        for name, pattern in zip(DESTINATIONS, self.patterns, strict=True):
            prefix = self.syslog_prefix if name == "syslog" else "none"
            lines.append(f"{name.upper():<7}  {prefix:<32}  {pattern}")
        return "\n".join(lines) + "\n"


def _with(levels: tuple[int, int, int], which: Iterable[int], level: int) -> tuple[int, int, int]:
    changed = list(levels)
    for index in which:
        changed[index] = level
    return changed[0], changed[1], changed[2]


def _words(specification: str) -> list[str]:
    words = specification.replace(",", " ").replace(":", " ").split(" ")
    return [word for word in words if word]


# -- patterns -------------------------------------------------------------------------------------------


class _Escape(NamedTuple):
    """One %-escape: `letter` with its `{argument}`, padded to `width`."""

    letter: str
    argument: str
    left: bool
    zero: bool
    width: int

    def expand(self, record: _Record) -> str:
        expand = _EXPAND.get(self.letter)
        text = self.letter if expand is None else expand(record, self.argument)
        if len(text) >= self.width:
            return text
        fill = "0" if self.zero else " "
        return text.ljust(self.width, fill) if self.left else text.rjust(self.width, fill)


_Piece = str | _Escape


def _subprogram(record: _Record, _: str) -> str:
    return f"({record.log.subprogram})" if record.log.subprogram else ""


def _date(record: _Record, argument: str, utc: bool) -> str:
    template = argument or "%Y-%m-%d %H:%M:%S.###"
    if "#" in template:
        template = _fraction(template, record.wall)
    return record.log.strftime(template, record.wall, utc)


def _fraction(template: str, wall: float) -> str:
    """Each run of # becomes as many digits of the milliseconds, further ones being 0."""
    digits = f"{int(wall * 1000) % 1000:03d}"
    result = []
    place = 0
    for character in template:
        if character == "#":
            result.append(digits[place] if place < 3 else "0")
            place += 1
        else:
            result.append(character)
            place = 0
    return "".join(result)


def _strftime(template: str, wall: float, utc: bool) -> str:
    from datetime import UTC, datetime  # dear to import, and tools seldom log

    moment = datetime.fromtimestamp(wall, UTC) if utc else datetime.fromtimestamp(wall).astimezone()
    return moment.strftime(template)


_EXPAND: Final[dict[str, Callable[[_Record, str], str]]] = {
    "A": lambda record, _: record.log.program,
    "B": lambda record, _: str(record.log.priority(record.level)),
    "c": lambda record, _: record.module,
    "d": lambda record, argument: _date(record, argument, False),
    "D": lambda record, argument: _date(record, argument, True),
    "E": lambda record, _: record.log.host,
    "m": lambda record, _: record.text,
    "N": lambda record, _: str(record.serial),
    "n": lambda record, _: "\n",
    "p": lambda record, _: LEVELS[record.level],
    "P": lambda record, _: str(record.log.pid),
    "r": lambda record, _: str(int((record.log.clock.monotonic() - record.log.started) * 1000)),
    "t": lambda record, _: record.log.subprogram or "main",
    "T": _subprogram,
}


def _parse_pattern(pattern: str) -> list[_Piece]:
    """The pieces of a pattern.  An unknown escape stands for its letter; a % at the end for nothing."""
    pieces: list[_Piece] = []
    position = 0
    while position < len(pattern):
        percent = pattern.find("%", position)
        if percent < 0:
            pieces.append(pattern[position:])
            break
        if percent > position:
            pieces.append(pattern[position:percent])
        piece, position = _parse_escape(pattern, percent + 1)
        if piece:
            pieces.append(piece)
    return pieces


def _parse_escape(pattern: str, position: int) -> tuple[_Piece, int]:
    def at() -> str:
        return pattern[position : position + 1]

    left = zero = False
    if at() == "-":
        left = True
        position += 1
    if at() == "0":
        zero = True
        position += 1
    digits = position
    while at() and at() in "0123456789":
        position += 1
    width = min(int(pattern[digits:position] or 0), 1000)
    letter = at()
    position += 1
    if not letter:
        return "", position
    argument = ""
    if letter in "cdD" and at() == "{":
        end = pattern.find("}", position)
        end = len(pattern) if end < 0 else end
        argument = pattern[position + 1 : end]
        position = end + 1
    return _Escape(letter, argument, left, zero, width), position
