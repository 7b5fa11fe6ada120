"""Control commands of the switch, word for word as the original, after the same packets."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.originals import Originals
from support.switches import Lab, OriginalSwitch, OurSwitch, PortSpec
from trunkline.jsonrpc.unixctl import CommandError, Commands
from trunkline.upcall.control import every_command

LAB = Lab(
    ("br0", "br1"),
    (
        PortSpec("br0", "p1", 1),
        PortSpec("br0", "p2", 2, tag=10),
        PortSpec("br0", "pa", 4, peer="pb"),
        PortSpec("br1", "pb", 5, peer="pa"),
        PortSpec("br1", "p6", 6),
    ),
)
A, B = "505400000001", "505400000002"
IPV4 = "08004500002e0007000040117ab90000000000000000" + "00" * 26
TAGGED, UNTAGGED = B + A + "8100000a" + IPV4, A + B + IPV4
TCP = A + B + "08004500002800000000400600000a0000010a00000200010002000000000000000050{:02x}000000000000"
COMMANDS = (
    "fdb/show br0",
    "fdb/stats-show br0",
    "dpif/show",
    "dpctl/show",
    "dpctl/show nosuch",
    "dpctl/show dummy@nosuch",
    "dpctl/show foo@bar",
    "dpctl/dump-dps",
    "dpif/dump-dps",
    "ofproto/list",
    "dpctl/dump-flows",
    "dpctl/dump-flows -m",
    "dpctl/dump-flows type=foo",
    "dpctl/dump-flows type=ovs,foo",
    "dpctl/dump-flows -m --no-names",
    "dpctl/dump-flows --names dummy@ovs-dummy",
    "dpif/dump-flows -m br0",
    "dpif/dump-flows br0",
    "dpif/dump-flows br1",
    "bridge/dump-flows br0",
    "bridge/dump-flows --offload-stats br0",
    "ofproto/trace br0 in_port=1,dl_vlan=10,dl_dst=50:54:00:00:00:02,dl_src=50:54:00:00:00:01,ip",
    "ofproto/trace br0 in_port=p2,dl_dst=50:54:00:00:00:01,arp",
    "ofproto/trace br0 in_port=9",
    "ofproto/trace br0 foo=1",
    "ofproto/trace br9 in_port=1",
    "ofproto/trace br0",
    "ofproto/trace br1 in_port=6,dl_dst=01:80:c2:00:00:00",
    "ofproto/trace br0 in_port=2,dl_vlan=7",
    f"ofproto/trace br0 in_port=1 {TAGGED}",
    "ofproto/trace br0 in_port=2,dl_dst=50:54:00:00:00:01,dl_src=50:54:00:00:00:77,ip -generate",
    "ofproto/trace br0 in_port=1,dl_vlan=10,dl_dst=50:54:00:00:00:01,dl_src=50:54:00:00:00:01",
    "fdb/show br0",
    "fdb/add br0 p1 5 aa:bb:cc:00:00:01",
    "fdb/show br0",
    "fdb/del br0 5 aa:bb:cc:00:00:01",
    "fdb/del br0 5 aa:bb:cc:00:00:01",
    "fdb/add br0 p1 5 aa:bb",
    "fdb/add br0 p77 5 aa:bb:cc:00:00:01",
    "fdb/add br9 p1 5 aa:bb:cc:00:00:01",
    "fdb/show br9",
    "fdb/stats-show br9",
    "fdb/stats-clear br9",
    "fdb/flush br9",
    "fdb/stats-clear br0",
    "fdb/stats-show br0",
    "fdb/stats-clear",
    "upcall/set-flow-limit 5",
    "dpctl/show nope",
    "dpctl/get-flow zz",
    "dpctl/get-flow ufid:00000000-0000-0000-0000-000000000000",
    "dpctl/dump-flows nope",
    "fdb/flush br0",
    "fdb/show br0",
    "fdb/flush",
    "dpctl/del-flows",
    "dpctl/dump-flows",
    "bridge/dump-flows zz",
    "dpif/dump-flows zz",
    "revalidator/wait",
    "revalidator/purge",
)


@pytest.fixture(scope="module")
def switches() -> Iterator[tuple[OriginalSwitch, OurSwitch]]:
    with tempfile.TemporaryDirectory(prefix="cmd") as directory:
        original, ours = OriginalSwitch(Originals(Path(directory))), OurSwitch()
        original.build(LAB)
        ours.build(LAB)
        for port, frame in (("p1", TAGGED), ("p2", UNTAGGED), ("p1", TAGGED), ("p2", UNTAGGED)):
            original.receive(port, bytes.fromhex(frame))  # forgets its megaflows
            ours.receive(port, bytes.fromhex(frame))
            ours.datapath.purge()
        for port, frame in (
            ("p1", TAGGED),
            ("p2", UNTAGGED),
            *(("p2", TCP.format(1 << bit)) for bit in range(8)),
        ):
            original.deliver(port, bytes.fromhex(frame))
            ours.receive(port, bytes.fromhex(frame))
        original.control("revalidator/wait")  # what the datapath has counted is now in the rules
        yield original, ours
        original.stop()


def comparable(text: str) -> str:
    """Without what must differ: identifiers, ages, the original's own device, hidden flows, megaflows."""
    text = re.sub(r"ufid:[0-9a-f-]{36}", "ufid:U", text)
    text = re.sub(r", dp-extra-info:\S+", "", text)
    text = re.sub(r"(used:|duration=)[0-9.]+s", r"\1T", text)
    text = re.sub(r" +\d+$", " AGE", text, flags=re.MULTILINE) if text.startswith(" port") else text
    lines = [line for line in text.splitlines() if not re.match(r"  port 0: |table_id=254|Megaflow: ", line)]
    if text.startswith(("flow-dump", " port")):
        lines.sort()
    return "\n".join(lines)


@pytest.mark.oracle
def test_commands_say_what_the_original_says(switches: tuple[OriginalSwitch, OurSwitch]) -> None:
    original, ours = switches
    commands = Commands()
    commands.add(*every_command({"dummy": ours.datapath}))
    for line in COMMANDS:
        name, *arguments = line.split()
        want = original.control(name, *arguments)
        try:
            got = commands.run(name, arguments)
        except CommandError as error:
            got = f"error: {error}"
        assert isinstance(got, str)
        assert comparable(got) == comparable(want), line
