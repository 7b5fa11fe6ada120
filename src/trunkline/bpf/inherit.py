"""Reading what an earlier process has left in its maps.

Its programs forward on while this is read, and until this process puts its own in their place.  Read are
the keys and masks of its flows, the recirculations that their actions name, and where the flows of a port
come in; upcall/taking_up.py makes megaflows of that.  Then there are the packets that wait in its ring, for
nobody has read it for a while.

Maps that are laid out in another way than ours (another version of the program: adopt.HEAD) say nothing that
can be understood.  Then what was left only forwards until everything is set up here, and is gone then.
"""

from collections.abc import Iterator, Mapping
from struct import Struct
from typing import Final

from trunkline.bpf import layout as program
from trunkline.bpf.flows import NOTHING, summed
from trunkline.bpf.maps import Map, possible_cpus
from trunkline.bpf.masks import masks_in, number_in
from trunkline.dpif.provider import Statistics
from trunkline.flow import key as layout
from trunkline.upcall.taking_up import Left

_PORT: Final = layout.OFFSET["dp_in_port"]
_PORT_MASK: Final = layout.MASK["dp_in_port"]
_NUMBER: Final = Struct("=I").pack
_FLOW: Final = program.FLOW.packed
_ACTION: Final = program.ACTION.packed
_RECIRCULATE: Final = program.ACTIONS.index("RECIRCULATE")
_END: Final = program.ACTIONS.index("END")
_LONGEST: Final = 64  # elements of a list of actions


def with_port(key: int, number: int) -> int:
    return key & ~_PORT_MASK | number << _PORT


def ports(maps: Mapping[str, Map]) -> dict[int, int]:
    """The datapath port number of each interface index."""
    found = (
        (int.from_bytes(one, "little"), int.from_bytes(number, "little"))
        for one, number in maps["devices"].items()
    )
    return {index: known for index, known in found if not known & program.DEVICE_IS_UNDERLAY}


def tunnels(maps: Mapping[str, Map]) -> dict[int, int]:
    """The datapath port number of each tunnel whose headers the program takes off, by the tunnel's name."""
    return {
        int.from_bytes(name, "little"): program.TUNNEL.packed.unpack(value)[0]
        for name, value in maps["tunnels"].items()
    }


def sequences(maps: Mapping[str, Map]) -> dict[int, int]:
    """The number that the next packet of a tunnel's port would have got, by the port's."""
    found = {}
    place = [name for name, _ in program.PORT.members].index("sequence")
    for number in set(tunnels(maps).values()):
        value = maps["ports"].lookup(number.to_bytes(4, "little"))
        if value is not None:
            found[number] = program.PORT.packed.unpack(value)[place]
    return found


def flows(maps: Mapping[str, Map], numbers: Mapping[int, int], since: float) -> Iterator[Left]:
    """Every flow that was used `since` (Clock.monotonic()), or has counted what no rule knows of, as far as
    its port is in `numbers`: old to new.

    Raises BpfError.
    """
    masks = masks_in(maps["masks"])
    lists: dict[int, tuple[int, ...]] = {}
    counted, passed = statistics(maps), credits(maps)
    for name in ("flows", "wide_flows"):
        for key, value in maps[name].items():
            actions, place = _FLOW.unpack(value)
            mask = masks.get(number_in(key))
            total = counted.get(place, NOTHING)
            last = since if total.used is None else total.used
            packets, octets, *beside = passed.get(place, (0, 0, 0, 0))
            total = total._replace(packets=total.packets + beside[0], bytes=total.bytes + beside[1])
            if mask is None or (last < since and total.packets <= packets):
                continue
            found = mask.key_named(key)
            port = numbers.get((found & _PORT_MASK) >> _PORT)
            if port is None:
                continue
            if actions not in lists:
                lists[actions] = _recirculations(maps["actions"], actions)
            yield Left(
                with_port(found, port), mask.whole(), lists[actions], last, place, total, (packets, octets),
                last < since,
            )  # fmt: skip


def statistics(maps: Mapping[str, Map]) -> dict[int, Statistics]:
    """What has been counted, by the number of a flow's statistics; where nothing was: it is not there.

    Raises BpfError.
    """
    one = maps["statistics"]
    each = one.stride // possible_cpus()
    found: dict[int, Statistics] = {}
    start = 0
    while values := one.range(start, 4096):
        before = len(found)
        for at in range(0, len(values), one.stride):
            counted = summed(values, at, at + one.stride, each)
            if counted.used is not None:
                found[start + at // one.stride] = counted
        if len(found) == before:  # numbers are given out from below
            break
        start += 4096
    return found


def credits(maps: Mapping[str, Map]) -> dict[int, tuple[int, ...]]:
    """The records of the map, by the number of a flow's statistics; most of the empty ones are left out.

    Raises BpfError.
    """
    one = maps["credits"]
    found: dict[int, tuple[int, ...]] = {}
    for start in range(0, one.entries, 4096):
        values = one.range(start, 4096)
        if values.count(0) == len(values):
            continue
        for at, record in enumerate(program.CREDIT.packed.iter_unpack(values), start):
            found[at] = record
    return found


def _recirculations(one: Map, element: int) -> tuple[int, ...]:
    """The numbers that a list of actions names."""
    found: list[int] = []
    for _ in range(_LONGEST):
        value = one.lookup(_NUMBER(element))
        if value is None:
            break
        element = int.from_bytes(value[:4], "little")
        for kind, _, _, _, argument, _ in _ACTION.iter_unpack(value[8:]):
            if kind == _RECIRCULATE:
                found.append(argument)
            elif kind == _END:
                break
        if not element:
            break
    return tuple(found)
