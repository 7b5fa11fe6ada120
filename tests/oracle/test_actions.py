"""Every action beside the original: as text, as bytes, its errors, in every version of OpenFlow."""

import random
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.mutated_actions import mutated_flow
from support.ofctl import differences, original, ours, without_log
from support.openflow_actions import ACTIONS, MATCHES
from support.originals import PROGRAMS, Originals
from trunkline.flow.values import TextError
from trunkline.model import openflow as of
from trunkline.model.fields import FIELDS
from trunkline.openflow.actions_decode import decode_actions
from trunkline.openflow.actions_encode import encode_actions
from trunkline.openflow.actions_format import format_actions
from trunkline.openflow.actions_text import parse_actions
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.formats import FORMAT_VERSIONS
from trunkline.openflow.wire import DecodeError, EncodeError

pytestmark = pytest.mark.oracle
VERSIONS = {name: number for number, name in of.VERSION_NAMES.items()}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "versions", ["OpenFlow10,OpenFlow13,OpenFlow15", "OpenFlow10", "OpenFlow12", "OpenFlow15"]
)
def test_actions_say_the_same(versions: str, seed: int) -> None:
    r = random.Random(f"{versions}{seed}")
    flows = [f"{r.choice(MATCHES)}actions={action}" for action in r.sample(ACTIONS, 150)]
    assert differences(["-O", versions, "parse-flow", flow] for flow in flows) == []


def _values(form: str) -> tuple[str, ...]:
    return {
        "ipv4": ("1.2.3.4", "1.2.0.0/16"),
        "ipv6": ("fe80::1", "fe80::/16"),
        "mac": ("00:11:22:33:44:55", "00:11:00:00:00:00/ff:ff:00:00:00:00"),
        "port10": ("5",),
    }.get(form, ("3", "0x2/0x6"))


# What is left out is odd in the original: see docs/differences.md.
_ODD = (
    "in_port_oxm",
    "skb_priority",
    "dl_vlan",
    "dl_vlan_pcp",
    "tun_erspan_dir",
    "vlan_tci",
    "actset_output",
    "nw_tos",
)


@pytest.mark.parametrize("version", ["OpenFlow10", "OpenFlow12", "OpenFlow15"])
def test_writable_fields_are_set_and_loaded_alike(version: str) -> None:
    r = random.Random(version)
    flows = []
    for field in FIELDS:
        if not field.writable or field.name in _ODD or field.name.startswith(("tun_metadata", "ct_")):
            continue
        match = {"ip/ipv6": "ip", "arp": "arp", "mpls": "mpls", "nsh": "dl_type=0x894f", "vlan": "dl_vlan=5"}
        words = match.get(field.prerequisite, field.prerequisite.split("/")[0])
        words = {
            "eth": "",
            "nd solicit": "icmp6,icmp_type=135,icmp_code=0",
            "nd": "icmp6,icmp_type=135,icmp_code=0",
        }.get(words, words)
        prefix = f"{words}," if words and words != "nd advert" else ""
        actions = [f"set_field:{value}->{field.name}" for value in _values(field.format)]
        actions += [f"load:1->{field.name}", f"load:1->{field.name}[0]", f"move:{field.name}[0]->reg0[0]"]
        flows += [f"{prefix}actions={action}" for action in r.sample(actions, 3)]
    assert differences(["-O", version, "parse-flow", flow] for flow in flows) == []


# ---- bytes ----


def _valid(version: int) -> Iterator[str]:
    """Flows that this version can carry."""
    mine = sum(bits for bits, number in FORMAT_VERSIONS.items() if number == version)
    for action in ACTIONS:
        for match in ("", "tcp,"):
            flow = f"{match}actions={action}"
            try:
                formats = parse_flow(flow, of.OFPFC_ADD).formats
            except TextError:
                continue
            plain = version > 1 or formats & 1  # all in one file: they must agree on a format
            if formats & mine and plain and "65534" not in action and not action.startswith("debug"):
                yield flow
                break


class _Peer:
    """A switch that takes everything and keeps the flow-mods."""

    def __init__(self, path: str) -> None:
        self.flow_mods: list[bytes] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(path)
        self._socket.listen(4)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._socket.accept()
            except OSError:
                return
            with connected:
                self._serve(connected)

    def _serve(self, connected: socket.socket) -> None:
        data = b""
        while received := connected.recv(1 << 16):
            data += received
            while len(data) >= 8:
                version, kind, length, xid = struct.unpack_from("!BBHI", data)
                if len(data) < length:
                    break
                message, data = data[:length], data[length:]
                if kind == 0 or kind == (18 if version == 1 else 20):  # hello, barrier request
                    connected.sendall(struct.pack("!BBHI", version, kind + (kind > 0), 8, xid))
                elif kind == 14:
                    self.flow_mods.append(message[8:])

    def close(self) -> None:
        self._socket.close()


def _sent(program: list[str], version: str, file: Path) -> list[bytes]:
    with tempfile.TemporaryDirectory(prefix="tl.", dir="/tmp") as directory:
        peer = _Peer(f"{directory}/s")
        words = [*program, "--no-names", "-O", version, "add-flows", f"unix:{directory}/s", str(file)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        peer.close()
    assert done.returncode == 0, done.stderr[-1000:]
    return peer.flow_mods


@pytest.mark.parametrize("version", VERSIONS)
def test_the_bytes_of_actions_are_the_originals(tmp_path: Path, version: str) -> None:
    flows = list(_valid(VERSIONS[version]))
    assert len(flows) > 150
    file = tmp_path / "flows"
    file.write_text("\n".join(flows) + "\n")
    theirs = _sent([PROGRAMS["ovs-ofctl"]], version, file)
    mine = _sent([sys.executable, "-m", "trunkline.cli.ovs_ofctl"], version, file)
    assert [(flow, a.hex()) for flow, a in zip(flows, mine)] == [(f, b.hex()) for f, b in zip(flows, theirs)]
    assert len(theirs) == len(flows)


@pytest.mark.parametrize("version", VERSIONS)
def test_bytes_read_back_to_the_same_words(version: str) -> None:
    """The original's own round trip of what we write: same text, no byte that differs."""
    number = VERSIONS[version]
    wanted, lines = [], []
    for text in ACTIONS:
        try:
            data = encode_actions(parse_actions(text), number)
            actions = decode_actions(data, number)
        except (TextError, EncodeError, DecodeError):
            continue
        if data and "write_metadata" not in text and "enqueue" not in text:
            wanted.append(f"actions={format_actions(actions)}")
            lines.append(data.hex())
    said = original(["-vconsole:off", "parse-actions", version], "\n".join(lines) + "\n")
    assert said.output.strip("\n").split("\n\n") == wanted
    assert ours(["parse-actions", version], "\n".join(lines) + "\n").output == said.output


def _mangled(r: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(r.choice((1, 1, 2, 3))):
        out[r.randrange(len(out))] = r.choice((0, 1, 2, 3, 255, r.randrange(256)))
    return bytes(out)


@pytest.mark.parametrize("version", VERSIONS)
def test_damaged_actions_are_refused_by_both(version: str) -> None:
    """Nearly always with the same error; where two things are wrong, which is named first may differ."""
    number, r = VERSIONS[version], random.Random(version)
    lines = []
    for text in ACTIONS:
        try:
            data = encode_actions(parse_actions(text), number)
        except (TextError, EncodeError):
            continue
        if data and "write_metadata" not in text:
            lines += [_mangled(r, data).hex() for _ in range(4)]
    text = "\n".join(lines) + "\n"
    theirs = original(["-vconsole:off", "parse-actions", version], text).output.split("\n\n")
    mine = ours(["parse-actions", version], text).output.split("\n\n")
    assert len(theirs) == len(mine)
    first: Callable[[str], str] = lambda part: part.strip("\n").split("\n")[0]  # noqa: E731
    pairs = [(first(a), first(b)) for a, b in zip(theirs, mine)]
    verdicts = [a.startswith("bad") == b.startswith("bad") for a, b in pairs]
    assert verdicts.count(False) <= len(pairs) * 0.015
    assert sum(a != b for a, b in pairs) <= len(pairs) * 0.04


# ---- matches ----

ENTRIES = """
NXM_OF_ETH_TYPE(0800), NXM_OF_ETH_TYPE(0800)
NXM_OF_ETH_SRC_W(aabbccddeeff/010000000000)
NXM_OF_ETH_SRC_W(000000000001/ffffffffffff)
NXM_OF_VLAN_TCI_W(1123/1fff)
NXM_NX_REG0_W(12345678/00000000)
NXM_OF_IP_TOS(f1)
NXM_OF_ETH_TYPE(0800) NXM_OF_IP_TOS(f0)
NXM_OF_ETH_TYPE(0800),NXM_OF_IP_TOS(f1)
NXM_OF_ETH_TYPE(0800), NXM_OF_IP_SRC_W(c0a80000/ffff0000), NXM_OF_IP_PROTO(06), NXM_OF_TCP_SRC_W(4000/fff0)
00010004(00000001)
NXM_NX_XXREG0(00000000000000000000000000000001)
NXM_NX_COOKIE(00000000abcdef01)
NXM_NX_COOKIE_W(0000000000000001/00000000ffffffff)
OXM_OF_VLAN_VID(1005), OXM_OF_VLAN_PCP(03)
OXM_OF_METADATA(5a5a5a5a5a5a5a5a)
NXM_NX_CT_STATE_W(00000021/00000021)
OXM_OF_ETH_TYPE(894f), NXOXM_NSH_MDTYPE(01)
OXM_OF_PKT_REG0(1234567812345678)
OXM_OF_IN_PORT(fffffffe)
OXM_OF_IN_PORT(0001fffe)
OXM_OF_ETH_TYPE(86dd), OXM_OF_IP_PROTO(3a), OXM_OF_ICMPV6_TYPE(87), OXM_OF_ICMPV6_CODE(00)
NXM_OF_IN_PORT()
NXM_OF_IN_PORT(000100)
NXM_OF_IN_PORT
NXM_OF_IN_PORT(0001
NXM_OF_IN_PORT_W(0001/ffff)
nonsense(12)
""".strip().splitlines()


@pytest.mark.parametrize(
    "words",
    [
        ["parse-nxm"],
        ["--strict", "parse-nxm"],
        ["parse-nx-match"],
        ["parse-oxm", "OpenFlow12"],
        ["parse-oxm", "OpenFlow15"],
    ],
)
def test_matches_as_entries(words: list[str]) -> None:
    for entry in ENTRIES:
        text = f"{entry}\n"
        assert without_log(ours(words, text)) == without_log(original(words, text)), entry


def test_mutated_actions_are_read_alike(tmp_path: Path) -> None:
    """What a typing error makes of an action is refused in the same words, or taken for the same."""
    r = random.Random(41)
    originals = Originals(tmp_path)
    refused = 0
    different = []
    for _ in range(500):
        flow = mutated_flow(r)
        done = originals.run("ovs-ofctl", "parse-flow", flow)
        expected = "".join(line for line in done.stderr.splitlines() if line.startswith("ovs-ofctl: "))
        try:
            parse_flow(flow, of.OFPFC_ADD)
            said = ""
        except TextError as error:
            said = f"ovs-ofctl: {error}"
        refused += bool(expected)
        if said != expected and expected != "ovs-ofctl: no usable protocol":
            different.append((flow, expected, said))
    assert different == []
    assert refused > 200
