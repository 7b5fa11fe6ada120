"""ovs-ofctl beside the original: the same flows parsed and printed, the same commands to the same switch."""

import random
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import openflow_flows
from support.originals import PROGRAMS, Originals, environment, wait_for

pytestmark = pytest.mark.oracle


def _ours(directory: Path, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trunkline.cli.ovs_ofctl", *arguments],
        env=environment(directory),
        capture_output=True,
        text=True,
        input=text,
        timeout=60,
    )


def _alike(result: subprocess.CompletedProcess[str]) -> tuple[str, str, int]:
    """Output without what differs from moment to moment."""
    texts = []
    for text in (result.stdout, result.stderr):
        text = re.sub(r"(duration=|time=)[\d.]+", r"\1-", text)
        text = re.sub(r"idle_age=\d+", "idle_age=-", re.sub(r"hard_age=\d+, ", "", text))
        text = re.sub(r"^\S+Z\|\d+\|", "", text, flags=re.M)
        text = text.replace("/usr/bin/ovs-ofctl:", "ovs-ofctl:")  # getopt says the whole name of the program
        texts.append(re.sub(r"^Finished in .*", "Finished", text, flags=re.M))
    return texts[0], texts[1], result.returncode


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Originals]:
    import shutil
    import tempfile

    directory = Path(tempfile.mkdtemp(prefix="tl.", dir="/tmp"))
    originals = Originals(directory)
    try:
        originals.start_database()
        originals.run("ovs-vsctl", "--no-wait", "init")
        originals.start(
            "ovs-vswitchd", "--enable-dummy=override", "--disable-system", "--pidfile", "--log-file"
        )
        words = "add-br br0 -- set Bridge br0 datapath_type=dummy fail-mode=secure"
        for number in (1, 2):
            words += (
                f" -- add-port br0 p{number} -- set Interface p{number} type=dummy ofport_request={number}"
            )
        made = originals.run("ovs-vsctl", "--timeout=30", *words.split())
        assert made.returncode == 0, made.stderr
        wait_for(directory / "br0.mgmt")
        yield originals
    finally:
        originals.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.parametrize("version", ["OpenFlow10", "OpenFlow12", "OpenFlow13", "OpenFlow14", "OpenFlow15"])
@pytest.mark.parametrize("seed", [1, 2])
def test_random_flows_print_alike(tmp_path: Path, version: str, seed: int) -> None:
    r = random.Random(f"{version}{seed}")
    flows = [openflow_flows.flow(r, version != "OpenFlow10") for _ in range(400)]
    file = tmp_path / "flows"
    file.write_text("\n".join(flows) + "\n")
    arguments = ("-O", version, "parse-flows", str(file))
    theirs = Originals(tmp_path).run("ovs-ofctl", *arguments)
    assert theirs.returncode == 0, theirs.stderr
    ours = _ours(tmp_path, *arguments)
    for flow, expected, got in zip(flows, theirs.stdout.splitlines()[2:], ours.stdout.splitlines()[2:]):
        assert got == expected, flow
    assert _alike(ours) == _alike(theirs)


WRONG_FLOWS = """
actions=nonsense
actions=output
actions=output:foo
actions=mod_vlan_vid:5000
actions=mod_vlan_vid
actions=mod_vlan_pcp:9
actions=mod_dl_src:1
actions=mod_nw_tos:7
actions=mod_nw_tos:300
actions=mod_nw_ecn:9
actions=mod_tp_src:99999
actions=enqueue:1
actions=enqueue:foo:1
actions=resubmit:foo
actions=resubmit(1,300)
actions=resubmit
actions=load:5
actions=load:5->foo
actions=load:5->reg0[40]
actions=load:99->reg0[0..1]
actions=set_field:5
actions=set_field:5->foo
actions=set_field:zz->reg0
actions=set_field:5->dl_type
actions=set_field:1.2.3.4->nw_src
actions=move:reg0
actions=move:reg0->reg1[0..3]
actions=push:foo
actions=drop,output:1
actions=goto_table:5,output:1
actions=goto_table:5,goto_table:6
actions=write_metadata
actions=group:foo
actions=note:1
actions=conjunction(1,2)
actions=conjunction(1,3/2)
actions=controller(foo=1)
actions=controller(reason=foo)
actions=push_vlan:5
actions=set_mpls_label:99999999
actions=fin_timeout(foo=1)
actions=output:70000
actions=sample(foo=1)
actions=write_actions(write_actions(output:1))
priority=70000,actions=drop
priority=foo,actions=drop
table=300,actions=drop
cookie=foo,actions=drop
idle_timeout=99999,actions=drop
tcp
nonsense,actions=drop
nonsense=5,actions=drop
nw_src=foo,actions=drop
priority,actions=drop
out_port=3,actions=drop
cookie=0x5/0xff,actions=drop
actions=drop actions=drop
add actions=drop
actions=
""".strip().splitlines()


@pytest.mark.parametrize("part", range(4))
def test_wrong_flows_are_refused_in_the_same_words(tmp_path: Path, part: int) -> None:
    for flow in WRONG_FLOWS[part::4]:
        theirs = Originals(tmp_path).run("ovs-ofctl", "parse-flow", flow)
        assert _alike(_ours(tmp_path, "parse-flow", flow)) == _alike(theirs), flow


COMMANDS = """
show br0
-O OpenFlow11 show br0
-O OpenFlow13 show br0
-O OpenFlow14 show br0
-O OpenFlow15 show br0
dump-desc br0
dump-tables br0
-O OpenFlow13 dump-tables br0
dump-flows br0
dump-flows br0 table=0
dump-flows br0 in_port=p1
dump-flows br0 cookie=0/1
dump-flows br0 out_port=1
--names dump-flows br0
--no-names dump-flows br0 table=0
--no-stats dump-flows br0
--sort dump-flows br0
--rsort dump-flows br0
--sort=nw_src dump-flows br0
-O OpenFlow12 dump-flows br0
-O OpenFlow13 dump-flows br0
-O OpenFlow14 dump-flows br0
-O OpenFlow15 dump-flows br0
-F OpenFlow10 dump-flows br0
-F NXM dump-flows br0
dump-aggregate br0
dump-aggregate br0 tcp
-O OpenFlow15 dump-aggregate br0
dump-ports br0
dump-ports br0 p9
dump-ports br0 9
--names dump-ports br0 p1
-O OpenFlow13 dump-ports br0
-O OpenFlow15 dump-ports br0
dump-ports-desc br0
-O OpenFlow15 dump-ports-desc br0 1
queue-stats br0
queue-stats br0 1 0
-O OpenFlow14 queue-stats br0
mod-port br0 p1 no-flood
show br0
mod-port br0 p1 flood
mod-port br0 p1 nonsense
mod-port br0 p9 up
set-frags br0 drop
get-frags br0
set-frags br0 reassemble
set-frags br0 foo
set-frags br0 normal
probe br0
ping br0 10
benchmark br0 10 100
add-flow br0 actions=output:1,group:5
-O OpenFlow13 add-flow br0 actions=output:1,group:5
--bundle add-flow br0 priority=7,actions=1
--bundle add-flow br0 priority=7,actions=group:7
--read-only add-flow br0 actions=drop
mod-table br0 0 drop
add-flows br0 /nonexistent
add-flow br0 nw_src=1.2.3.4,actions=drop
del-flows br0 nonsense
dump-flows br0 priority=5
dump-flows br0 actions=drop
packet-out br0 'in_port=1 packet=aabb actions=2'
packet-out br0 1 2 aabb
packet-out br0 'in_port=1 packet=aabbaabbaabbaabbaabbaabbaabbaabb actions=2'
diff-flows br0 br0
show br1
show unix:/nonexistent
show tcp:127.0.0.1:1
nonsense
show
show a b
--foo show br0
--timeout=foo show br0
-O OpenFlow19 show br0
-F foo show br0
-F OpenFlow10 add-flow br0 reg0=1,actions=1
-O OpenFlow13 -F NXM add-flow br0 reg0=1,actions=1
""".strip().splitlines()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("part", range(2))
def test_commands_say_the_same_of_the_same_switch(originals: Originals, part: int) -> None:
    originals.run("ovs-ofctl", "del-flows", "br0")
    originals.run(
        "ovs-ofctl", "add-flow", "br0", "priority=5,tcp,nw_src=1.2.3.0/24,actions=mod_dl_src:1:2:3:4:5:6,1"
    )
    originals.run(
        "ovs-ofctl", "add-flow", "br0", "table=3,priority=9,udp,reg1=5,actions=resubmit(,4),controller"
    )
    half = len(COMMANDS) // 2
    for command in COMMANDS[:half] if part == 0 else COMMANDS[half:]:
        words = shlex.split(command)
        theirs = originals.run("ovs-ofctl", *words)
        assert _alike(_ours(originals.directory, *words)) == _alike(theirs), command


@pytest.mark.parametrize("version", ["OpenFlow10", "OpenFlow13", "OpenFlow15"])
def test_flows_that_ours_adds_are_the_originals(originals: Originals, tmp_path: Path, version: str) -> None:
    r = random.Random(version)
    lines: list[str] = []
    while len(lines) < 150:
        flow = openflow_flows.flow(r, version != "OpenFlow10")
        if not re.search(
            r"group:|goto_table|check_overlap|resubmit\(2,9\)|ct_|delete_field|controller\(", flow
        ):
            lines.append(flow)
    file = tmp_path / "flows"
    file.write_text("\n".join(lines) + "\n")
    dumps = []
    for run in ("theirs", "ours"):
        originals.run("ovs-ofctl", "del-flows", "br0")
        arguments = ("-O", version, "add-flows", "br0", str(file))
        result = (
            originals.run("ovs-ofctl", *arguments)
            if run == "theirs"
            else _ours(originals.directory, *arguments)
        )
        assert result.returncode == 0, result.stderr
        dumped = originals.run("ovs-ofctl", "-O", version, "dump-flows", "br0")
        dumps.append(sorted(_alike(dumped)[0].splitlines()))
        mine = _ours(originals.directory, "-O", version, "dump-flows", "br0")
        assert sorted(_alike(mine)[0].splitlines()) == dumps[-1]
    assert dumps[0] == dumps[1]
    assert len(dumps[0]) > 100


def test_messages_of_random_bytes_get_the_same_verdict(tmp_path: Path) -> None:
    """Messages that ours wrote, with a byte changed, are decoded or refused as the original does it."""
    from trunkline.openflow.codec import encode
    from trunkline.openflow.flow_text import parse_flow
    from trunkline.openflow.wire import Protocol

    r = random.Random(5)
    messages = []
    for _ in range(600):
        version = r.choice((1, 4, 6))
        mod = parse_flow(openflow_flows.flow(r, version != 1), 0).mod
        messages.append(encode(Protocol(version, version == 1, True), mod, len(messages) + 1)[0])
    file = tmp_path / "messages"
    file.write_bytes(b"".join(messages))
    theirs = Originals(tmp_path).run("ovs-ofctl", "ofp-parse", str(file))
    ours = _ours(tmp_path, "ofp-parse", str(file))
    assert ours.stdout.splitlines() == theirs.stdout.splitlines()


def test_every_error_has_its_name() -> None:
    import struct
    import tempfile

    from trunkline.model.openflow_errors import ERRORS, STANDARD

    messages = []
    for error in ERRORS:
        for version in range(error.first, error.last + 1):
            head, body = (error.type, error.code), b""
            if error.vendor != STANDARD and version < 3:
                head, body = (0xB0C2, 0), struct.pack("!IHH", error.vendor, error.type, error.code)
            elif error.vendor != STANDARD:
                head, body = (0xFFFF, error.code), struct.pack("!I", error.vendor)
            body = struct.pack("!HH", *head) + body
            messages.append(struct.pack("!BBHI", version, 1, 8 + len(body), len(messages) + 1) + body)
    with tempfile.NamedTemporaryFile(suffix=".openflow") as file:
        file.write(b"".join(messages))
        file.flush()
        theirs = subprocess.run(
            [PROGRAMS["ovs-ofctl"], "ofp-parse", file.name], capture_output=True, text=True
        )
        ours = _ours(Path(tempfile.gettempdir()), "ofp-parse", file.name)
    expected = re.findall(r"^OFPT_ERROR.*", theirs.stdout, flags=re.M)
    assert re.findall(r"^OFPT_ERROR.*", ours.stdout, flags=re.M) == expected
    assert len(expected) == len(messages)


@pytest.mark.parametrize("version", ["OpenFlow10", "OpenFlow11", "OpenFlow13"])
@pytest.mark.parametrize("change", ["", "cookie=0x9,", "cookie=7/-1,cookie=9,"])
def test_the_cookie_that_a_modification_leaves(originals: Originals, version: str, change: str) -> None:
    """Each tool adds a flow with a cookie and changes it; the original's switch tells what became of it."""
    found = []
    for mine in (False, True):
        for words in (
            ("del-flows", "br0"),
            ("add-flow", "br0", "cookie=0x7,priority=10,ip,actions=drop"),
            ("mod-flows", "br0", f"{change}priority=10,ip,actions=NORMAL"),
        ):
            arguments = ("-O", version, *words)
            if mine:
                _ours(originals.directory, *arguments)
            else:
                originals.run("ovs-ofctl", *arguments)
        found.append(originals.run("ovs-ofctl", "-O", version, "--no-stats", "dump-flows", "br0").stdout)
    assert found[0] == found[1]
    assert "priority=10" in found[0]


UNREADABLE = (
    "dump-flows br0",
    "--sort dump-flows br0",
    "--no-stats dump-flows br0",
    "-O OpenFlow13 dump-flows br0",
    "-O OpenFlow15 --no-stats dump-flows br0",
    "-O OpenFlow15 dump-groups br0",
    "diff-flows br0 /dev/null",
    "dump-flows br0 tun_metadata0=5",
    "-O OpenFlow13 --sort dump-flows br0 tun_metadata0=5",
    "dump-aggregate br0 tcp,ip_frag=later,tp_src=80",
    "replace-flows br0 /dev/null",
    "dump-aggregate br0",
)


def test_answers_that_cannot_be_read(originals: Originals) -> None:
    """An action for tests of a switch goes in by every tool, and no tool knows it when it comes back."""
    assert originals.run("ovs-ofctl", "add-flow", "br0", "tcp,actions=debug_recirc").returncode == 0
    group = "group_id=1,type=all,bucket=debug_recirc"
    assert originals.run("ovs-ofctl", "-O", "OpenFlow15", "add-group", "br0", group).returncode == 0
    for line in UNREADABLE:
        theirs = _alike(originals.run("ovs-ofctl", *line.split(), input=""))
        ours = _alike(_ours(originals.directory, *line.split(), text=""))
        for which, (said, got) in enumerate(zip(theirs, ours, strict=True)):
            if isinstance(said, str):
                said, got = (re.sub(r"^0000.*\n", "", str(one), flags=re.M) for one in (said, got))
                said = re.sub(r"^(ofp_actions|ofp_flow)\|WARN.*\n", "", said, flags=re.M)
            assert got == said, (line, which)
    for command in (("del-flows", "br0"), ("-O", "OpenFlow15", "del-groups", "br0")):
        assert originals.run("ovs-ofctl", *command).returncode == 0
