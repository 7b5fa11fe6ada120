"""OpenFlow messages shown by the original and by ours: valid ones, damaged ones, those of another codec.

The original reads a file of messages in one run (``ofp-parse``), so that thousands cost one process.  Between
any two messages stands an echo request that marks where the text of one ends.
"""

import random
import re
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.openflow_messages import damaged, messages
from support.originals import Originals, environment
from trunkline.flow.values import TextError
from trunkline.openflow.codec import encode
from trunkline.openflow.formats import formats_text
from trunkline.openflow.groups import OFPGC_ADD
from trunkline.openflow.groups_text import parse_group
from trunkline.openflow.meters_text import parse_meter
from trunkline.openflow.style import PLAIN
from trunkline.openflow.text import message_text
from trunkline.openflow.wire import Protocol, error_name

pytestmark = pytest.mark.oracle

VERSIONS = (1, 2, 3, 4, 5, 6)
_PRINTED = 2  # the verbosity with which ofp-parse prints, to which each -m adds one


def _theirs(directory: Path, data: Sequence[bytes], verbosity: int = 0) -> list[str]:
    file = directory / "messages"
    file.write_bytes(
        b"".join(one + struct.pack("!BBHI", 1, 2, 8, 0x7A000000 + i) for i, one in enumerate(data))
    )
    result = subprocess.run(
        ["ovs-ofctl", *["-m"] * verbosity, "ofp-parse", str(file)],
        env=environment(directory),
        capture_output=True,
        timeout=60,
    )
    text = result.stdout.decode("utf-8", "surrogateescape")
    mark = r"OFPT_ECHO_REQUEST \(xid=0x7a[0-9a-f]{6}\): 0 bytes of payload\n(?:00000000 .*\n)?"
    parts = re.split(mark, text)
    assert len(parts) == len(data) + 1, result.stderr.decode()[-500:]
    return parts[:-1]


def _ours(data: Sequence[bytes], verbosity: int = 0) -> list[str]:
    return [message_text(one, PLAIN._replace(verbosity=_PRINTED + verbosity)) for one in data]


@pytest.mark.parametrize("version", VERSIONS)
def test_messages_of_every_kind_read_alike(tmp_path: Path, version: int) -> None:
    data = messages(random.Random(f"valid {version}"), version, 450)
    verbosity = version % 2
    for raw, expected, shown in zip(data, _theirs(tmp_path, data, verbosity), _ours(data, verbosity)):
        assert shown == expected, raw.hex()


@pytest.mark.parametrize("version", VERSIONS)
def test_damaged_messages_fail_alike(tmp_path: Path, version: int) -> None:
    """Nearly all fail with the same error, or read the same.  The rest differ in which of two errors is found
    first, or show times with more than a second of nanoseconds, which ours carries over."""
    r = random.Random(f"damaged {version}")
    valid = messages(r, version, 300)
    data = [damaged(r, r.choice(valid)) for _ in range(1200)]
    wrong = [
        (raw.hex(), expected, shown)
        for raw, expected, shown in zip(data, _theirs(tmp_path, data), _ours(data))
        if shown != expected
    ]
    assert len(wrong) < len(data) * 0.025, wrong[:5]


def test_every_error_code_has_its_name(tmp_path: Path) -> None:
    data, numbers = [], []
    for version in VERSIONS:
        for error_type in range(20):
            for code in range(20):
                data.append(struct.pack("!BBHIHH", version, 1, 12, 0, error_type, code))
                numbers.append((version, 0, error_type, code))
        for vendor, codes in ((0x2320, range(60)), (0x4F4E4600, (*range(2250, 2420), *range(4440, 4450)))):
            if version >= 3:
                for code in codes:
                    data.append(struct.pack("!BBHIHHI", version, 1, 16, 0, 0xFFFF, code, vendor))
                    numbers.append((version, vendor, -1, code))
                continue
            for error_type in range(16):
                for code in (*range(16), *range(256, 270), *range(512, 530)):
                    body = struct.pack("!HHIHH", 0xB0C2, 0, vendor, error_type, code)
                    data.append(struct.pack("!BBHI", version, 1, 20, 0) + body)
                    numbers.append((version, vendor, error_type, code))
    named = 0
    for number, text in zip(numbers, _theirs(tmp_path, data)):
        found = None if "decode error" in text else text.partition("): ")[2].partition("\n")[0]
        assert error_name(*number) == found, number
        named += found is not None
    assert named > 850


GROUPS = """
group_id=1,type=all
group_id=1,type=all,bucket=
group_id=1,type=all,bucket=actions=output:1,output:2,bucket=3
group_id=1 type=select bucket=weight:5,output:1 bucket=weight=0,actions=2
group_id=1,type=select,bucket=weight:5,actions=output:1,weight:6
group_id=1,type=ff,bucket=watch_port:1,output:1,bucket=watch_group:5,2
group_id=1,type=fast_failover,bucket=watch_port:LOCAL,output:1
group_id=1,type=indirect,bucket=1
group_id=1,type=indirect,bucket=1,bucket=2
type=all
group_id=1
group_id=foo,type=all
group_id=4294967040,type=all
group_id=4294967041,type=all
group_id=all,type=all
group_id=-1,type=all
group_id=1,type=foo
group_id=1,type=all,foo=bar
group_id=1,type=all,foo
group_id=1,type=all,bucket=foo
group_id=1,type=all,bucket=output:foo
group_id=1,type=all,bucket=weight:foo,1
group_id=1,type=all,bucket=weight:5,1
group_id=1,type=all,bucket=watch_port:foo,1
group_id=1,type=all,bucket=watch_port:1,1
group_id=1,type=ff,bucket=1
group_id=1,type=ff,bucket=watch_group:foo,1
group_id=1,type=all,bucket=bucket_id:5,1,bucket=2
group_id=1,type=all,bucket=bucket_id:foo,1
group_id=1,type=all,bucket=bucket_id:4294967295,1
group_id=1,type=all,command_bucket_id=first
group_id=1,type=select,selection_method=dp_hash,bucket=1
group_id=1,type=select,selection_method=aaaaaaaaaaaaaaaaaaaaaaaaaa,bucket=1
group_id=1,type=select,selection_method_param=5,bucket=1
group_id=1,type=select,selection_method=hash,selection_method_param=foo,bucket=1
group_id=1,type=select,fields=ip_src,bucket=1
group_id=1,type=select,selection_method=hash,fields(ip_src=255.255.0.0,tcp_dst),bucket=1
group_id=1,type=select,selection_method=hash,fields(foo),bucket=1
group_id=1,type=select,selection_method=hash,fields(ip_src=foo),bucket=1
group_id=1,type=select,selection_method=hash,fields(eth_type=5),bucket=1
group_id=1,type=select,selection_method=hash,fields(ip_src,ip_src),bucket=1
group_id=1,type=select,selection_method=hash,fields(ip_src=1.2.3.4/24),bucket=1
bucket=1,group_id=1,type=all
group_id=1,type=all,bucket=1,type=select
group_id,type=all
group_id=1,type=all,bucket
group_id=1,type=select,bucket=weight:5
group_id=1,type=select,bucket=weight:70000,1
group_id=1,type=select,bucket=goto_table:1
group_id=1,type=all,bucket=group:2,mod_dl_src:00:11:22:33:44:55,set_field:5->reg0,resubmit(,3),ct(commit)
group_id=1,type=all,bucket=drop
group_id=1,type=select,bucket=weight:10,bucket_id:5,set_queue:3,output:1
""".strip().splitlines()


def test_groups_are_read_and_refused_alike(tmp_path: Path) -> None:
    originals = Originals(tmp_path)
    for text in GROUPS:
        theirs = originals.run("ovs-ofctl", "parse-group", text)
        assert _group_text(text) == theirs.stdout + theirs.stderr, text


def _group_text(text: str) -> str:
    try:
        parsed = parse_group(text, OFPGC_ADD)
    except TextError as error:
        return f"ovs-ofctl: {error}\n"
    (raw,) = encode(Protocol(1), parsed.mod, 1)
    formats = f"usable protocols: {formats_text(parsed.formats)}\nchosen version: OpenFlow10\n"
    return formats + message_text(raw, PLAIN._replace(verbosity=1))


METERS = """
meter=1
meter=1 kbps band=type=drop,rate=10
meter=1 kbps bands=type=drop rate=10 burst_size=5
meter=1 bands=type=drop rate=10
meter=foo kbps bands=type=drop rate=10
meter=0 kbps bands=type=drop rate=10
meter=controller kbps bands=type=drop rate=10
meter=4294901761 kbps bands=type=drop rate=10
kbps bands=type=drop rate=10
meter=1 kbps bands=
meter=1 kbps bands=rate=10
meter=1 kbps bands=type=drop
meter=1 kbps bands=type=foo rate=10
meter=1 kbps bands=type=dscp_remark rate=10
meter=1 kbps bands=type=dscp_remark rate=10 prec_level=3
meter=1 kbps bands=type=drop rate=10 prec_level=3
meter=1 kbps bands=type=drop rate=foo
meter=1 kbps burst bands=type=drop rate=10
meter=1 kbps burst stats bands=type=drop rate=10 burst_size=5 type=drop rate=20
meter=1 kbps foo bands=type=drop rate=10
meter=1 kbps=1 bands=type=drop rate=10
meter=1 kbps bands=type=dscp_remark rate=10 prec_level=300
meter=1 flags:0x10 kbps bands=type=drop rate=1
bands=type=drop rate=10 meter=1 kbps
""".strip().splitlines()


def test_meters_are_read_and_refused_alike(tmp_path: Path) -> None:
    """What the original can read, it tries to send to a switch that is not there."""
    originals = Originals(tmp_path)
    missing = "ovs-ofctl: connecting to unix:/nonexistent (No such file or directory)"
    for command, name in enumerate(("add-meter", "mod-meter", "del-meter")):
        for text in METERS[:: 1 + 5 * command]:
            theirs = originals.run("ovs-ofctl", "-O", "OpenFlow13", name, "unix:/nonexistent", text)
            try:
                parse_meter(text, command)
                ours = missing
            except TextError as error:
                ours = f"ovs-ofctl: {error}"
            assert ours == theirs.stderr.strip(), (name, text)
