"""Devices in memory and their control commands."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from trunkline.base.clock import ManualClock
from trunkline.bridge.devices import DeviceError
from trunkline.io.netdev.dummy import DummyDevice
from trunkline.io.netdev.factory import MachineDevices
from trunkline.jsonrpc.unixctl import CommandError, Commands
from trunkline.packet.packet import Packet

FRAME = bytes.fromhex("ffffffffffff000000000001080045")


class NoLoop:
    def add_reader(self, descriptor: int, callback: object) -> None:
        raise AssertionError("no device of the kernel is to be touched")

    remove_reader = add_reader  # type: ignore[assignment]


@pytest.fixture
def devices() -> MachineDevices:
    return MachineDevices(NoLoop(), "/run/x", ManualClock(), dummy="override")  # type: ignore[arg-type]


def commands(devices: MachineDevices) -> Commands:
    table = Commands()
    table.add(*devices.commands())
    return table


def opened(devices: MachineDevices, name: str, type: str, options: Mapping[str, str] = {}) -> DummyDevice:
    device = devices.open(name, type, options)
    assert isinstance(device, DummyDevice)
    return device


def test_override_makes_every_type_a_dummy(devices: MachineDevices) -> None:
    assert opened(devices, "a", "").type == "system"
    assert opened(devices, "b", "internal").type == "dummy-internal"
    assert opened(devices, "c", "dummy").type == "dummy"
    assert opened(devices, "d", "tap").type == "tap"


def test_types_that_are_not_asked_for_do_not_open() -> None:
    devices = MachineDevices(NoLoop(), "/run/x", ManualClock())  # type: ignore[arg-type]
    for type in ("dummy", "dummy-internal", "dummy-pmd", "vxlan"):
        with pytest.raises(DeviceError, match="Address family not supported by protocol"):
            devices.open("a", type, {})
    assert devices.types() == ("internal", "system", "tap")


def test_a_received_packet_reaches_the_switch_and_is_counted(devices: MachineDevices) -> None:
    device = opened(devices, "p1", "dummy")
    seen: list[Packet] = []
    device.start(seen.extend)
    run = commands(devices).run
    assert run("netdev-dummy/receive", ["p1", FRAME.hex()]) == ""
    assert run("netdev-dummy/receive", ["p1", "--qid", "0", FRAME.hex(), FRAME.hex()]) == ""
    assert seen == [Packet(FRAME)] * 3
    assert device.statistics().rx_packets == 3
    assert device.statistics().rx_bytes == 3 * len(FRAME)
    assert device.statistics().rx_errors is None
    assert device.more_statistics()["rx_q0_packets"] == 3


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["zz", FRAME.hex()], "no such dummy netdev"),
        (["p1", "00112233445566778899aabbcc"], "syntax error at 00112233445566778899aabbcc"),
        (["p1", "in_port(1),eth(),foo"], "syntax error at foo"),
        (["p1", "in_port(1),eth()", "--len", "59"], "too small packet len"),
        (["p1", "--qid", "9", FRAME.hex()], "bad rx queue id."),
        (
            ["p1", "--qid"],
            '"netdev-dummy/receive" command requires at least 2 arguments|syntax error at --qid',
        ),
    ],
)
def test_receive_refuses_as_the_original_does(
    devices: MachineDevices, arguments: list[str], error: str
) -> None:
    devices.open("p1", "dummy", {})
    with pytest.raises(CommandError, match=error):
        commands(devices).run("netdev-dummy/receive", arguments)


def test_a_packet_is_composed_of_a_flow(devices: MachineDevices) -> None:
    device = opened(devices, "p1", "dummy")
    seen: list[Packet] = []
    device.start(seen.extend)
    flow = "in_port(9),eth(src=50:54:00:00:00:01,dst=50:54:00:00:00:02),eth_type(0x1234)"
    run = commands(devices).run
    assert run("netdev-dummy/receive", ["p1", flow, "--len", "70", flow]) == ""
    head = bytes.fromhex("5054000000025054000000011234")
    assert [packet.frame[:14] for packet in seen] == [head, head]
    assert len(seen[0].frame) == 70


def test_admin_state_by_command_is_news(devices: MachineDevices) -> None:
    device = opened(devices, "p1", "dummy")
    other = opened(devices, "p2", "dummy")
    news: list[str] = []
    devices.watch(news.append)
    run = commands(devices).run
    assert run("netdev-dummy/set-admin-state", ["p1", "down"]) == "OK\n"
    assert not device.state().admin_up
    assert not device.state().link_up
    assert other.state().admin_up
    assert run("netdev-dummy/set-admin-state", ["down"]) == "OK\n"
    assert not other.state().admin_up
    assert news == ["p1", "p1", "p2"]
    with pytest.raises(CommandError, match="Invalid Admin State"):
        run("netdev-dummy/set-admin-state", ["xx"])
    with pytest.raises(CommandError, match="Unknown Dummy Interface"):
        run("netdev-dummy/set-admin-state", ["zz", "up"])


def test_captures_hold_what_was_sent_and_received(devices: MachineDevices, tmp_path: Path) -> None:
    sent, both = tmp_path / "tx.pcap", tmp_path / "both.pcap"
    device = opened(devices, "p1", "dummy", {"tx_pcap": str(sent), "pcap": str(both)})
    device.transmit(Packet(FRAME))
    device.inject(FRAME + b"x")
    header = bytes.fromhex("d4c3b2a1020004000000000000000000ee05000001000000")
    assert sent.read_bytes()[:24] == header
    assert sent.read_bytes()[40:] == FRAME
    assert len(both.read_bytes()) == 24 + 16 + len(FRAME) + 16 + len(FRAME) + 1
    device.configure({})
    device.transmit(Packet(FRAME))
    assert len(sent.read_bytes()) == 24 + 16 + len(FRAME)
    device.configure({"pcap": f"{tmp_path}/none/x"})
    assert device.state().status == {"pcap": f"{tmp_path}/none/x: No such file or directory"}


def test_a_name_is_free_again_after_close(devices: MachineDevices) -> None:
    device = devices.open("p1", "dummy", {})
    with pytest.raises(DeviceError, match="File exists"):
        devices.open("p1", "dummy", {})
    device.close(remove=True)
    devices.open("p1", "dummy", {})
    with pytest.raises(DeviceError, match="options:stream is not there yet"):
        devices.open("p2", "dummy", {"stream": "unix:x"})
    devices.open("p2", "dummy", {})


def test_addresses_count_up(devices: MachineDevices) -> None:
    macs: Sequence[int] = [devices.open(f"p{i}", "dummy", {}).state().mac for i in range(3)]
    assert macs == [0xAA55AA550001, 0xAA55AA550002, 0xAA55AA550003]
