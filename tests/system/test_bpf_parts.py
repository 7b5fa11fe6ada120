"""The parts of the kernel datapath around its program: maps, ring buffer, loading, attachment, discovery."""

import errno
import itertools
import os
import select
import socket
import struct
import sys
from collections.abc import Iterator

import pytest

from support.kernel_program import compiled, needs_kernel
from support.namespaces import sh
from trunkline.base.counters import Counter
from trunkline.base.log import Logger
from trunkline.bpf import adopt, loader, maps, probe
from trunkline.bpf.attach import Attachments, Tcx, attachments
from trunkline.bpf.clsact import Clsact
from trunkline.bpf.keeper import Keeper
from trunkline.bpf.loader import Loaded, LoadError, smallest_program
from trunkline.bpf.ring import RingBuffer
from trunkline.bpf.system_calls import BpfError

pytestmark = pytest.mark.system
_SERIAL = itertools.count()
FRAME = bytes.fromhex("0200000000010200000000028899") + bytes(50)


class Heard(Logger):
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def warn(self, text: str, *arguments: object, limit: object = None) -> None:
        self.lines.append(text % arguments)


@pytest.fixture(autouse=True)
def _kernel() -> None:
    needs_kernel()


@pytest.fixture
def device() -> Iterator[int]:
    """The ifindex of one end of a veth pair."""
    name = f"tb{os.getpid()}x{next(_SERIAL)}"
    sh("ip", "link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b")
    try:
        sh("ip", "link", "set", f"{name}a", "up")
        yield socket.if_nametoindex(f"{name}a")
    finally:
        sh("ip", "link", "del", f"{name}a", check=False)


WAYS: list[type[Attachments]] = [Tcx, Clsact]


@pytest.fixture(params=WAYS, ids=["tcx", "clsact"])
def way(request: pytest.FixtureRequest) -> Iterator[Attachments]:
    one: Attachments = request.param()
    if one.kind == "tcx" and attachments().kind != "tcx":
        pytest.skip("this kernel has no tcx")
    yield one
    one.close()


@pytest.fixture
def loaded() -> Iterator[Loaded]:
    constants, offsets = loader.network_namespace(moves=attachments().moves)
    one = loader.load(compiled(), constants=constants, offsets=offsets)
    yield one
    one.close()


def numbers(*values: int) -> bytes:
    return struct.pack(f"={len(values)}I", *values)


# ---- maps


def test_elements_of_a_hash_map_one_by_one() -> None:
    one = maps.create("table", maps.HASH, 4, 8, 2)
    one.update(numbers(1), b"12345678")
    assert one.lookup(numbers(1)) == b"12345678"
    assert one.lookup(numbers(2)) is None
    with pytest.raises(BpfError) as error:
        one.update(numbers(1), bytes(8), maps.NO_EXIST)
    assert error.value.errno == errno.EEXIST
    with pytest.raises(BpfError) as error:
        one.update(numbers(2), bytes(8), maps.EXIST)
    assert error.value.errno == errno.ENOENT
    one.update(numbers(2), bytes(8))
    with pytest.raises(BpfError, match=r"MAP_UPDATE_ELEM: .* \(map table\)") as error:
        one.update(numbers(3), bytes(8))
    assert error.value.errno == errno.E2BIG
    assert one.delete(numbers(1))
    assert not one.delete(numbers(1))
    with pytest.raises(ValueError, match="a key has 4 bytes, not 3"):
        one.lookup(b"123")
    one.close()


def test_many_elements_at_once_and_more_of_them_than_one_batch_holds() -> None:
    count = 10_000
    one = maps.create("table", maps.HASH, 4, 8, count, maps.NO_PREALLOC)
    expected = {numbers(at): struct.pack("=Q", at * at) for at in range(count)}
    one.update_batch(b"".join(expected), b"".join(expected.values()))
    assert dict(one.items()) == expected
    gone = [numbers(at) for at in (5, count + 1, 6, count + 2, 7)]
    assert one.delete_batch(b"".join(gone)) == 3
    assert dict(one.items()) == {key: value for key, value in expected.items() if key not in gone}
    assert one.delete_batch(b"") == 0
    small = maps.create("table", maps.HASH, 4, 8, 2)
    with pytest.raises(BpfError, match=r"\(map table, element 2 of 3\)") as error:
        small.update_batch(numbers(1, 2, 3), bytes(24))
    assert error.value.errno == errno.E2BIG
    for each in (one, small):
        each.close()


def test_values_of_each_processor_and_ranges_of_arrays() -> None:
    one = maps.create("counts", maps.PERCPU_ARRAY, 4, 4, 100)
    assert one.stride == 8 * maps.possible_cpus()
    value = b"".join(struct.pack("=Q", 1 + cpu) for cpu in range(maps.possible_cpus()))
    one.update(numbers(42), value)
    assert one.lookup(numbers(42)) == value
    assert one.range(41, 3) == bytes(one.stride) + value + bytes(one.stride)
    assert one.range(0, 200) == bytes(42 * one.stride) + value + bytes(57 * one.stride)
    with pytest.raises(BpfError):
        one.delete(numbers(42))  # an array has all its elements, always
    one.close()


def test_a_frozen_map_and_a_map_in_shared_memory() -> None:
    one = maps.create("memory", maps.ARRAY, 4, 8, 1000, maps.MMAPABLE)
    memory = one.memory()
    one.update(numbers(3), b"abcdefgh")
    assert memory[24:32] == b"abcdefgh"
    memory[32:40] = b"ijklmnop"
    assert one.lookup(numbers(4)) == b"ijklmnop"
    memory.close()
    one.close()
    other = maps.create("constant", maps.ARRAY, 4, 8, 1)
    other.freeze()
    with pytest.raises(BpfError) as error:
        other.update(numbers(0), bytes(8))
    assert error.value.errno == errno.EPERM
    other.close()


# ---- loading


def test_every_program_of_the_object_loads(loaded: Loaded) -> None:
    for name in ("ingress", "execute"):
        program = loaded.program(name)
        assert program is loaded.program(name)
        facts = sorted(one.name for one in program.maps() if not one.name.startswith("rodata"))
        assert facts == sorted(one[: maps.NAME_LIMIT] for one in loaded.maps)


def test_a_packet_without_a_flow_comes_up_through_the_ring(loaded: Loaded) -> None:
    ring = RingBuffer(loaded.maps["upcalls"])
    assert not ring.waiting()
    assert ring.read(10) == []
    program = loaded.program("execute")
    for size in (60, 900, 3000):
        program.test_run(FRAME.ljust(size, b"\xee"))
    assert select.select([ring], [], [], 0)[0]
    assert ring.waiting()
    first = ring.read(1)
    assert FRAME[:14] in first[0]
    rest = ring.read(10)
    assert [b"\xee" * 100 in record for record in rest] == [True, True]
    assert not ring.waiting()
    assert ring.used() == 0
    ring.close()


def test_what_one_reader_leaves_the_next_one_finds(loaded: Loaded) -> None:
    program = loaded.program("execute")
    for last in range(5):
        program.test_run(FRAME + bytes((last,)))
    ring = RingBuffer(loaded.maps["upcalls"])
    assert len(ring.read(2)) == 2
    ring.close()
    other = RingBuffer(loaded.maps["upcalls"])
    assert [record[-1] for record in other.read(10)] != []
    assert other.read(1) == []
    other.close()


def test_maps_of_another_make_are_not_taken() -> None:
    wrong = maps.create("devices", maps.HASH, 4, 8, 16)
    with pytest.raises(LoadError, match="map devices is of another make"):
        loader.load(compiled(), maps={"devices": wrong})
    with pytest.raises(LoadError, match="no map nonsense"):
        loader.load(compiled(), maps={"nonsense": maps.create("nonsense", maps.HASH, 4, 8, 16)})
    with pytest.raises(LoadError, match="no constant nonsense"):
        loader.load(compiled(), constants={"nonsense": 1})


def test_the_verifier_is_quoted() -> None:
    code = loader.Code(struct.pack("=BBhi", 0x95, 0, 0, 0), b"", b"")  # exit, without a result
    with pytest.raises(BpfError, match="R0 !read_ok") as error:
        loader._load("nothing", code, 0)
    assert error.value.errno == errno.EACCES
    assert "(program nothing: R0 !read_ok)" in str(error.value)
    assert "0: (95) exit" in error.value.log


# ---- attachment


def test_attached_replaced_and_detached(way: Attachments, device: int) -> None:
    for egress in (False, True):
        first, second = smallest_program(), smallest_program()
        assert way.attached(device, egress=egress) == []
        way.attach(device, first, egress=egress)
        assert way.attached(device, egress=egress) == [first.id]
        assert way.attached(device, egress=not egress) == []
        way.replace(device, second, first.id, egress=egress)
        assert way.attached(device, egress=egress) == [second.id]
        with pytest.raises(OSError):
            way.replace(device, first, first.id, egress=egress)
        assert not way.detach(device, first.id, egress=egress)
        assert way.detach(device, second.id, egress=egress)
        assert way.attached(device, egress=egress) == []


def test_a_device_that_is_not_there(way: Attachments) -> None:
    assert way.attached(0x7FFFFFF0) == []
    assert not way.detach(0x7FFFFFF0, smallest_program().id)
    with pytest.raises(OSError):
        way.attach(0x7FFFFFF0, smallest_program())


def test_programs_of_others_stay(way: Attachments, device: int) -> None:
    name = socket.if_indextoname(device)
    sh("tc", "qdisc", "add", "dev", name, "clsact")
    sh("tc", "filter", "add", "dev", name, "ingress", "prio", "7", "bpf", "bytecode", "1,6 0 0 0")
    others = smallest_program()
    if way.kind == "tcx":
        way.attach(device, others)
    ours = smallest_program()
    way.attach(device, ours)
    assert way.attached(device)[-1] == ours.id
    assert way.detach(device, ours.id)
    assert way.attached(device) == ([others.id] if way.kind == "tcx" else [])
    assert "pref 7 bpf" in sh("tc", "filter", "show", "dev", name, "ingress")


def test_the_keeper_puts_back_what_somebody_detaches(way: Attachments, device: int) -> None:
    program, log, counter = smallest_program(), Heard(), Counter("restored")
    keeper = Keeper(way, program, log, counter)
    keeper.add(device, "port7")
    keeper.add(device, "port7")  # twice is once
    assert way.attached(device) == [program.id]
    assert keeper.check() == []
    assert way.detach(device, program.id)
    assert keeper.check() == [device]
    assert way.attached(device) == [program.id]
    assert log.lines == ["port7: somebody has detached the program; it is back"]
    assert counter.total == 1
    other = smallest_program()
    keeper.replace(other)
    assert way.attached(device) == [other.id]
    keeper.remove(device)
    keeper.remove(device)
    assert way.attached(device) == []
    assert keeper.check() == []


def test_the_keeper_takes_the_place_of_an_earlier_process(way: Attachments, device: int) -> None:
    earlier = smallest_program()
    way.attach(device, earlier)
    way.attach(device, earlier, egress=True)
    program = smallest_program()
    keeper = Keeper(way, program, Heard())
    keeper.take_up({(device, False): earlier.id, (device, True): earlier.id})
    assert way.attached(device) == [earlier.id]
    keeper.add(device, "port7")
    assert keeper.check() == []
    assert way.attached(device) == [earlier.id], "it is at work until everything is ready"
    keeper.take_over()
    assert way.attached(device) == [program.id]
    assert way.attached(device, egress=True) == []
    keeper.close(remove=False)
    assert way.attached(device) == [program.id]
    keeper.close(remove=True)
    assert way.attached(device) == []


def test_a_device_that_goes_is_no_error(way: Attachments, device: int) -> None:
    log = Heard()
    keeper = Keeper(way, smallest_program(), log)
    keeper.add(device, "port7")
    sh("ip", "link", "del", socket.if_indextoname(device))
    assert keeper.check() == []
    keeper.remove(device)
    assert log.lines == []


# ---- discovery


def test_two_switches_find_each_its_own(way: Attachments, device: int) -> None:
    mine, others = adopt.owner(f"/run/one{os.getpid()}"), adopt.owner(f"/run/two{os.getpid()}")
    assert mine == adopt.owner(f"/run/../run/one{os.getpid()}")
    assert adopt.find(mine, way, [device]) is None
    constants, offsets = loader.network_namespace(moves=way.moves)
    made: list[Loaded] = []
    for who, layout in ((mine, 77), (others, 78)):
        one = loader.load(compiled(), constants=constants, offsets=offsets)
        settings = one.maps[adopt.CONFIGURATION]
        settings.update(bytes(4), adopt.HEAD.pack(who, layout).ljust(settings.value_size, b"\0"))
        made.append(one)
    way.attach(device, made[0].program("ingress"), egress=False)
    way.attach(device, made[1].program("ingress"), egress=True)
    found = adopt.find(mine, way, [device])
    assert found is not None
    assert found.layout == 77
    assert found.ports == {(device, False): made[0].program("ingress").id}
    assert found.others == {}
    names = {one.name: one.id for one in found.maps.values()}
    assert names == {one.name: one.id for one in made[0].maps.values()}
    found.maps["devices"].update(numbers(9), numbers(8))
    assert made[0].maps["devices"].lookup(numbers(9)) == numbers(8)
    found.close()
    for one in made:
        one.close()
    still = adopt.find(mine, way, [device])  # whoever has attached it may be gone
    assert still is not None
    assert still.maps["devices"].lookup(numbers(9)) == numbers(8)
    still.close()


def test_nothing_is_in_the_way_here() -> None:
    assert probe.obstacle() is None
    assert probe.can_take_up()


def test_without_the_rights_it_is_said_which() -> None:
    script = "from trunkline.bpf import probe; print(probe.obstacle())"
    run = ["setpriv", "--bounding-set", "-bpf,-sys_admin", "--inh-caps", "-bpf,-sys_admin"]
    text = sh(*run, sys.executable, "-c", script)
    assert "CAP_BPF" in text
    text = sh("unshare", "--user", "--map-root-user", sys.executable, "-c", script)
    assert "user namespace" in text
