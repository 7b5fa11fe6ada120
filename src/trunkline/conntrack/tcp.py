"""TCP connections: which segments fit, and what state they bring each side to.

The tracker sits in the middle and sees what both sides send, not what they receive.  For each side it keeps
the highest sequence number that the side has sent (`low`), the highest that it may send, by the other's
window (`high`), and the largest window it has ever offered.  A segment is sound when its data ends below
`high`, begins no more than one window before `low`, and acknowledges what the other has sent, give or take a
bit (Guido van Rooij, "Real Stateful TCP Packet Filtering in IP Filter", 2001).

A connection may be taken up in the middle: then nobody knows the window scales, and the largest is assumed.
"""

from typing import Final, NamedTuple

from trunkline.conntrack.verdict import FRESH, INVALID, NEW, VALID

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32

STATES: Final = (
    "CLOSED",
    "LISTEN",
    "SYN_SENT",
    "SYN_RECV",
    "ESTABLISHED",
    "CLOSE_WAIT",
    "FIN_WAIT_1",
    "CLOSING",
    "LAST_ACK",
    "FIN_WAIT_2",
    "TIME_WAIT",
)
CLOSED, SYN_SENT, ESTABLISHED, CLOSING, FIN_WAIT_2, TIME_WAIT = 0, 2, 4, 7, 9, 10

SLACK: Final = 0xFFFF + 1500  # how far an acknowledgement may be off
MAX_SCALE: Final = 14
SCALE_KNOWN: Final = 0x80  # flags in `scale`, above the scale itself
SCALE_UNKNOWN: Final = 0x40
SCALE: Final = 0x0F
_WORD: Final = 0xFFFFFFFF
_BIT31: Final = 0x80000000


class Segment(NamedTuple):
    flags: int
    sequence: int
    acknowledgement: int
    window: int
    length: int  # of the data
    scale: int  # option 3 of RFC 7323 with SCALE_KNOWN, 0 without


def segment_of(header: bytes) -> Segment:
    """From the bytes of a whole TCP header with its data."""
    size = (header[12] >> 4) * 4
    flags = header[13]
    return Segment(
        flags,
        int.from_bytes(header[4:8], "big"),
        int.from_bytes(header[8:12], "big"),
        header[14] << 8 | header[15],
        len(header) - size,
        _scale_option(header[20:size]) if flags & SYN else 0,
    )


def _scale_option(options: bytes) -> int:
    at = 0
    while len(options) - at >= 3:
        kind = options[at]
        if kind == 0:
            break
        if kind == 1:
            at += 1
            continue
        if kind == 3:
            return min(options[at + 2], MAX_SCALE) | SCALE_KNOWN
        at += max(options[at + 1], 2)
    return 0


class Side:
    """What is known of one end."""

    __slots__ = ("high", "low", "max_window", "scale", "state")

    def __init__(self) -> None:
        self.state = CLOSED
        self.low = 0
        self.high = 1
        self.max_window = 1
        self.scale = 0


TcpState = tuple[Side, Side]
"""Who began, and who answers."""


def impossible(flags: int) -> bool:
    """Combinations that no TCP sends."""
    if flags & (RST | FIN) if flags & SYN else not flags & (ACK | RST):
        return True
    return not flags & ACK and bool(flags & (FIN | PSH | URG))


def may_begin(segment: Segment) -> bool:
    """A SYN begins a connection, other segments are taken up in the middle; a SYN with ACK is an answer."""
    return not impossible(segment.flags) and segment.flags & (SYN | ACK) != SYN | ACK


def begin(segment: Segment) -> TcpState:
    source, target = Side(), Side()
    source.low = segment.sequence
    source.high = source.low + segment.length + 1
    window = max(segment.window, 1)
    if segment.flags & SYN:
        source.high += 1
        source.scale = segment.scale
        window = _rounded_up(window, segment.scale & SCALE)
    else:
        source.scale = target.scale = SCALE_UNKNOWN
    if segment.flags & FIN:
        source.high += 1
    source.high &= _WORD
    source.max_window = window
    source.state = SYN_SENT
    return source, target


def _rounded_up(window: int, scale: int) -> int:
    return -(-window >> scale) if scale else window


def _not_before(a: int, b: int) -> bool:
    """a >= b in sequence numbers, which wrap."""
    return not (a - b) & _BIT31


def _after(a: int, b: int) -> bool:
    return a != b and _not_before(a, b)


def update(state: TcpState, reply: bool, segment: Segment, check: bool = True) -> tuple[int, str]:
    """(verdict, timeout) of a segment; the timeout is "" where it stays.  `check`: look at sequences."""
    source, target = (state[1], state[0]) if reply else state
    flags = segment.flags
    if impossible(flags):
        return INVALID, ""
    if flags & (SYN | ACK) == SYN:
        if source.state >= FIN_WAIT_2 and target.state >= FIN_WAIT_2:
            source.state = target.state = CLOSED
            return NEW, ""  # the same ports again
        if source.state <= SYN_SENT:
            source.state = SYN_SENT
            return FRESH, "tcp_syn_sent"
    source_scale, target_scale = (0, 0) if flags & SYN else _scales(source, target)
    window = segment.window
    begins = segment.sequence
    ends = begins + segment.length + (flags & SYN != 0) + (flags & FIN != 0)
    moved = False
    if source.state < SYN_SENT:
        window, source_scale, target_scale, moved = _first_of_side(
            source, target, segment, ends, source_scale, target_scale
        )
    if not flags & ACK or (not segment.acknowledgement and flags & RST):
        acknowledged = target.low
    else:
        acknowledged = segment.acknowledgement
    if begins == ends:  # nothing sent: where it stands matters little
        begins = ends = source.low
    ends &= _WORD
    skew = 0 if moved else _signed(target.low - acknowledged)
    fits = (
        _not_before(source.high, ends)
        and _not_before(begins, source.low - (target.max_window << target_scale))
        and -SLACK <= skew <= SLACK << source_scale
        and (not flags & RST or _signed(segment.sequence - source.low) in (-1, 0, 1))
    )
    if fits or not check:
        _slide(source, target, ends, acknowledged, window, source_scale)
        return VALID, _advance(source, target, flags)
    if (
        (target.state < SYN_SENT or target.state >= FIN_WAIT_2 or source.state >= FIN_WAIT_2)
        and _not_before(source.high + SLACK, ends)
        and _not_before(begins, source.low - SLACK)
    ):
        # Before both have spoken, and after both have said good-bye, a wider window will do.
        _slide(source, target, ends, acknowledged, window, source_scale)
        _close(source, target, flags)
        return VALID, ""
    return INVALID, ""


def _scales(source: Side, target: Side) -> tuple[int, int]:
    """The scales of both windows: as both ends have said, or the largest where nobody knows."""
    if source.scale & target.scale & SCALE_KNOWN:
        return source.scale & SCALE, target.scale & SCALE
    if source.scale & target.scale & SCALE_UNKNOWN:
        return MAX_SCALE, MAX_SCALE
    return 0, 0


def _close(source: Side, target: Side, flags: int) -> None:
    if flags & FIN and source.state < CLOSING:
        source.state = CLOSING
    if flags & RST:
        source.state = target.state = TIME_WAIT


def _signed(number: int) -> int:
    number &= _WORD
    return number - (1 << 32) if number & _BIT31 else number


def _first_of_side(
    source: Side, target: Side, segment: Segment, ends: int, source_scale: int, target_scale: int
) -> tuple[int, int, int, bool]:
    """The first segment from this end: (window, scale of this end, scale of the other, `high` has moved).

    Where `high` moves nobody knew this end before, and what it acknowledges is not looked at.
    """
    window = segment.window
    if segment.flags & SYN and target.scale & SCALE_KNOWN:
        source.scale = segment.scale
        if source.scale & SCALE_KNOWN:
            source_scale, target_scale = source.scale & SCALE, target.scale & SCALE
            window = _rounded_up(window, source_scale)
        else:  # no scaling at all: the other's window was not scaled either
            target.max_window = target.max_window << (target.scale & SCALE) & 0xFFFF  # 16 bits: 65536 is 0
            target.scale = 0
    source.low = segment.sequence
    source.state = SYN_SENT
    limit = ends + max(1, target.max_window << target_scale) & _WORD
    moved = source.high == 1 or _not_before(limit, source.high)
    if moved:
        source.high = limit
    source.max_window = max(source.max_window, window)
    return window, source_scale, target_scale, moved


def _slide(source: Side, target: Side, ends: int, acknowledged: int, window: int, scale: int) -> None:
    """Moves the windows on, by what this end has sent and offers."""
    source.max_window = max(source.max_window, window)
    if _after(ends, source.low):
        source.low = ends
    limit = acknowledged + (window << scale)
    if _not_before(limit, target.high):
        target.high = acknowledged + max(window << scale, 1) & _WORD


def _advance(source: Side, target: Side, flags: int) -> str:
    """The states after a segment that fits, and the name of the timeout."""
    if flags & SYN and source.state < SYN_SENT:
        source.state = SYN_SENT
    if flags & FIN and source.state < CLOSING:
        source.state = CLOSING
    if flags & ACK:
        if target.state == SYN_SENT:
            target.state = ESTABLISHED
        elif target.state == CLOSING:
            target.state = FIN_WAIT_2
    if flags & RST:
        source.state = target.state = TIME_WAIT
    least, most = sorted((source.state, target.state))
    if least >= FIN_WAIT_2:
        return "tcp_close"
    if least >= CLOSING:
        return "tcp_time_wait"
    if least < ESTABLISHED:
        return "tcp_syn_recv"
    if most >= CLOSING:
        return "tcp_fin_wait"
    return "tcp_established"


_COALESCED: Final = {FIN_WAIT_2: TIME_WAIT, 3: ESTABLISHED}


def information(state: TcpState, verbose: bool) -> str:
    """As ``dpctl/dump-conntrack`` shows it."""
    first, second = state
    if not verbose:
        return f"state={STATES[_COALESCED.get(first.state, first.state)]}"
    text = f"state_orig={STATES[first.state]},state_reply={STATES[second.state]}"
    scales = first.scale & SCALE, second.scale & SCALE
    if any(scales):
        text += f",wscale_orig={scales[0]},wscale_reply={scales[1]}"
    return f"{text},flags_orig={_flags(first)},flags_reply={_flags(second)}"


def _flags(side: Side) -> str:
    names = ((SCALE_KNOWN, "WINDOW_SCALE"), (SCALE_UNKNOWN, "BE_LIBERAL"))
    return "|".join(name for bit, name in names if side.scale & bit) or "0"
