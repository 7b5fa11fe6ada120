"""compose-packet, parse-packet and parse-pcap of ovs-ofctl beside the original's; the list of commands."""

import random
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import openflow_flows
from support.flow_words import match_words
from support.ofctl import differences, ours
from support.openflow_messages import FRAMES

pytestmark = pytest.mark.oracle

TEXTS = ("", "a1 b2", "a1b2c3", "a", "zz", " 00")
FLOWS = (
    *("tcp", "udp", "icmp", "arp", "rarp", "ipv6", "tcp6", "udp6", "icmp6", "sctp", "sctp6", "mpls", "ip"),
    *("tcp,nw_frag=first", "tcp,nw_frag=later", "udp,dl_vlan=5,dl_vlan_pcp=3,nw_ttl=4", "dl_type=0x05ff"),
    "tcp,tcp_flags=syn",
    "icmp,icmp_type=8,icmp_code=0",
    *("mpls,mpls_label=5,mpls_bos=1,mpls_ttl=6", "foo", "tcp,tcp_flags=+syn", "dl_type=0x1234"),
)


def test_the_commands_are_the_originals() -> None:
    """All but check-vlan, which tests structures that only the original has."""
    theirs = subprocess.run(["/usr/bin/ovs-ofctl", "list-commands"], capture_output=True, text=True).stdout
    wanted = [line for line in theirs.splitlines() if line.split()[:1] != ["check-vlan"]]
    assert ours(["list-commands"]).output.splitlines() == wanted


def test_frames_of_flows() -> None:
    r = random.Random("frames of flows")
    cases = [["compose-packet", flow] for flow in FLOWS]
    cases += [["compose-packet", r.choice(("tcp", "udp", "icmp", "tcp6", "udp6")), text] for text in TEXTS]
    for _ in range(150):
        cases.append(["compose-packet", "--", ",".join(openflow_flows.match(r))])
        cases.append(["compose-packet", "--", match_words(r)])
    assert differences(cases) == []


def _frames(r: random.Random) -> Iterator[bytes]:
    for frame in FRAMES:
        yield frame
        for _ in range(12):
            data = bytearray(frame)
            data[r.randrange(12, len(data))] = r.randrange(256)
            yield bytes(data[: r.choice((len(data), len(data), r.randrange(1, len(data))))])


def _capture(frames: list[bytes]) -> bytes:
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    return head + b"".join(
        struct.pack("<IIII", 1, i, len(frame), len(frame)) + frame for i, frame in enumerate(frames)
    )


def test_flows_of_frames(tmp_path: Path) -> None:
    frames = list(_frames(random.Random("flows of frames")))
    whole = _capture(frames)
    files = {"whole": whole, "cut": whole[:-7], "header": whole[:10], "text": b"hello" * 9, "none": b""}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    paths = [str(tmp_path / name) for name in (*files, "missing")]
    assert differences([["parse-pcap", path] for path in paths] + [["parse-pcap", *paths]]) == []
    for frame in frames[::9]:
        theirs = subprocess.run(["/usr/bin/ovs-ofctl", "parse-packet"], input=frame, capture_output=True)
        assert _parsed(frame) == theirs.stdout.decode()


def _parsed(frame: bytes) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ovs-ofctl"), "parse-packet"], input=frame, capture_output=True
    )
    return done.stdout.decode()
