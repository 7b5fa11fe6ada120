"""Commands of ovs-ofctl beside the original, on the original's switch: tables, groups, meters, monitors."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from support.ofctl import Said, original, ours, without_log
from support.originals import PROGRAMS, Originals, wait_for

pytestmark = [pytest.mark.oracle, pytest.mark.timeout(120)]
ALL = "OpenFlow10,OpenFlow11,OpenFlow12,OpenFlow13,OpenFlow14,OpenFlow15"


@pytest.fixture(scope="module")
def switch() -> Iterator[Path]:
    """The original's switch with the bridge br0 and its ports p1 and p2; its directory."""
    directory = Path(tempfile.mkdtemp(prefix="tl.", dir="/tmp"))
    originals = Originals(directory)
    patch = pytest.MonkeyPatch()
    for name in ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR"):
        patch.setenv(name, str(directory))
    try:
        originals.start_database()
        originals.run("ovs-vsctl", "--no-wait", "init")
        options = ("--enable-dummy=override", "--disable-system", "--pidfile", "--log-file")
        originals.start("ovs-vswitchd", *options)
        words = f"add-br br0 -- set Bridge br0 datapath_type=dummy fail-mode=secure protocols={ALL}"
        for number in (1, 2):
            words += f" -- add-port br0 p{number} -- set Interface p{number} type=dummy"
            words += f" ofport_request={number}"
        made = originals.run("ovs-vsctl", "--timeout=30", *words.split())
        assert made.returncode == 0, made.stderr
        wait_for(directory / "br0.mgmt")
        yield directory
    finally:
        patch.undo()
        originals.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _clean(said: Said) -> Said:
    text = re.sub(r"(duration[=:]|time=)[\d.]+", r"\1-", said.output)
    text = re.sub(r"idle_age=\d+", "idle_age=-", re.sub(r"hard_age=\d+, ", "", text))
    return without_log(said._replace(output=text))


def _reset() -> None:
    for words in (["del-groups", "br0"], ["del-meters", "br0"], ["del-flows", "br0"], ["del-tlv-map", "br0"]):
        assert original(["-O", "OpenFlow15", *words]).status == 0


def _begin(before: Sequence[str]) -> None:
    _reset()
    for earlier in before:
        assert original(shlex.split(earlier)).status == 0, earlier


def _compare(commands: Sequence[str], before: Sequence[str] = ()) -> None:
    """Each command by both, from the same state: what changed something is undone first."""
    _begin(before)
    for command in commands:
        words = shlex.split(command)
        shows = any(word.startswith(("dump", "show", "get", "queue", "meter-")) for word in words)
        said = []
        for run in (original, ours):
            said.append(_clean(run(words)))
            if said[-1].status == 0 and not shows:
                _begin(before)
        assert said[1] == said[0], command


TABLES = """
queue-get-config br0
queue-get-config br0 1
queue-get-config br0 LOCAL
queue-get-config br0 1 3
queue-get-config br0 foo
queue-get-config br0 p1
-O OpenFlow11 queue-get-config br0
-O OpenFlow14 queue-get-config br0
-O OpenFlow15 queue-get-config br0 1
dump-table-features br0
-O OpenFlow13 dump-table-features br0
-O OpenFlow15 dump-table-features br0
dump-table-desc br0
-O OpenFlow14 dump-table-desc br0
mod-table br0 0 evict
-O OpenFlow14 mod-table br0 0 evict
-O OpenFlow14 mod-table br0 0 foo
-O OpenFlow14 mod-table br0 0 vacancy:10,20
-O OpenFlow14 mod-table br0 0 vacancy:30,20
-O OpenFlow14 mod-table br0 0 vacancy:foo
-O OpenFlow14 mod-table br0 0 vacancy:10
-O OpenFlow14 mod-table br0 0 vacancy:10,200
-O OpenFlow14 mod-table br0 0 vacancy
-O OpenFlow14 mod-table br0 0 novacancy
-O OpenFlow14 mod-table br0 0 noevict
-O OpenFlow13 mod-table br0 0 name:foo
mod-table br0 0 name:foo
-O OpenFlow15 mod-table br0 1 name:zork
-O OpenFlow13 mod-table br0 zork name:zork
-O OpenFlow13 mod-table br0 nosuch evict
-O OpenFlow14 mod-table br0 300 evict
-O OpenFlow13 mod-table br0 all name:foo
mod-table br0 0 drop
-O OpenFlow11 mod-table br0 0 controller
dump-tables br0
-O OpenFlow13 dump-tables br0
-O OpenFlow15 dump-tables br0
dump-ipfix-bridge br0
-O OpenFlow15 dump-ipfix-flow br0
get-frags br0
set-frags br0 foo
""".strip().splitlines()


def test_tables_and_queues(switch: Path) -> None:
    _compare(TABLES)


EXTENSIONS = """
dump-tlv-map br0
add-tlv-map br0 "{class=0xffff,type=0,len=4}->tun_metadata0,{class=1,type=2,len=8}->tun_metadata1"
add-tlv-map br0 "{class=0xabcd,type=9,len=4}->tun_metadata7"
add-tlv-map br0 foo
add-tlv-map br0 "{class=0xf,type=0}->tun_metadata0"
add-tlv-map br0 "{class=0xf,type=0,len=4}->reg0"
add-tlv-map br0 "{class=0xf,type=0,len=4}->tun_metadata70"
add-tlv-map br0 "{class=1,type=0,len=4,foo=3}->tun_metadata0"
-O OpenFlow13 del-tlv-map br0 "{class=0xabcd,type=9,len=4}->tun_metadata7"
del-tlv-map br0
-O OpenFlow13 dump-tlv-map br0
ct-flush-zone br0 5
ct-flush-zone br0 foo
ct-flush-zone br0 70000
ct-flush br0
ct-flush br0 zone=5
ct-flush br0 zone=foo
ct-flush br0 "ct_nw_src=10.1.1.1,ct_nw_proto=6"
ct-flush br0 "" "ct_nw_src=10.1.1.1,ct_nw_proto=6"
ct-flush br0 foo
ct-flush br0 foo=5
ct-flush br0 zone=1 "ct_nw_src=foo"
ct-flush br0 "ct_nw_src=1.1.1.1,ct_ipv6_dst=::1"
ct-flush br0 "ct_nw_proto=1,icmp_type=8,ct_tp_src=5"
-O OpenFlow13 ct-flush br0 zone=1
""".strip().splitlines()


def test_extensions(switch: Path) -> None:
    _compare(EXTENSIONS, ['add-tlv-map br0 "{class=0xabcd,type=9,len=4}->tun_metadata7"'])


GROUPS = """
group_id=2,type=all,bucket=output:1
group_id=1,type=all,bucket=output:1
group_id=2,type=select,bucket=weight:5,output:1,bucket=output:2
group_id=2,type=ff,bucket=watch_port:1,output:1,bucket=watch_group:2,actions=output:2
group_id=2,type=indirect,bucket=output:1,bucket=output:2
group_id=2,type=select,selection_method=hash,fields(ip_dst,nw_src=255.255.0.0),selection_method_param=5,bucket=output:1
group_id=2,type=foo
group_id=foo
type=all
group_id=2
group_id=2,type=all,bucket=weight:5,output:1
group_id=2,type=select,selection_method=aaaaaaaaaaaaaaaaaaaaa,bucket=output:1
group_id=2,type=all,bucket=
group_id=2,type=all,bucket=foo
group_id=2,type=all,bucket=goto_table:5
group_id=2,type=ff,bucket=output:1
group_id=2,type=all,bucket=load:1->reg0,output:1
""".strip().splitlines()
BUCKETS = """
group_id=1,command_bucket_id=first,bucket=output:1
group_id=1,bucket=output:1
group_id=1,command_bucket_id=foo
group_id=1,command_bucket_id=all,bucket=output:1
group_id=1,command_bucket_id=last,bucket=bucket_id:1,output:1
group_id=1,type=all,command_bucket_id=first
group_id=1,command_bucket_id=5
""".strip().splitlines()


@pytest.mark.parametrize("version", ["OpenFlow10", "OpenFlow13", "OpenFlow15"])
def test_groups(switch: Path, version: str) -> None:
    start = ["-O OpenFlow15 add-group br0 group_id=1,type=select,bucket=bucket_id:5,output:1"]
    commands = [f'-O {version} add-group br0 "{group}"' for group in GROUPS]
    if version != "OpenFlow13":  # it has no buckets of their own
        for word in ("insert-buckets", "remove-buckets"):
            commands += [f'-O {version} {word} br0 "{group}"' for group in BUCKETS]
    commands += [
        f"-O {version} {words}"
        for words in (
            "dump-groups br0",
            "dump-groups br0 1",
            "dump-groups br0 foo",
            "dump-group-stats br0",
            "dump-group-stats br0 group_id=1",
            "dump-group-stats br0 all",
            "dump-group-features br0",
            "mod-group br0 group_id=1,type=all,bucket=output:2",
            "--may-create mod-group br0 group_id=3,type=all,bucket=output:2",
            "del-groups br0 group_id=1",
            "del-groups br0 group_id=1,type=all",
        )
    ]
    _compare(commands, start)


METERS = """
meter=2
meter=2,kbps,band=type=drop,rate=5
meter=1,kbps,band=type=drop,rate=5
meter=2,foo
meter=foo,kbps
meter=2,kbps,burst,bands=type=drop,rate=5,burst_size=10
meter=2,kbps,band=type=dscp_remark,rate=5,prec_level=2
meter=2,kbps,band=type=foo
meter=2,kbps,band=type=drop
meter=2,kbps,band=rate=5
meter=2,kbps,pktps,band=type=drop,rate=5
meter=0,kbps,band=type=drop,rate=5
meter=2,band=type=drop,rate=5
""".strip().splitlines()


@pytest.mark.parametrize("version", ["OpenFlow10", "OpenFlow13", "OpenFlow15"])
def test_meters(switch: Path, version: str) -> None:
    commands = [f'-O {version} add-meter br0 "{meter}"' for meter in METERS]
    for word in ("dump-meters", "dump-meter", "del-meter", "meter-stats"):
        commands += [
            f'-O {version} {word} br0 "{meter}"' for meter in ("meter=1", "meter=foo", "foo", "meter=7")
        ]
    commands += [
        f"-O {version} {words}"
        for words in (
            "dump-meters br0",
            "meter-features br0",
            "del-meters br0",
            "mod-meter br0 meter=1,pktps,band=type=drop,rate=9",
        )
    ]
    _compare(commands, ["-O OpenFlow13 add-meter br0 meter=1,kbps,band=type=drop,rate=50"])


FLOW_COMMANDS = ("add", "delete", "delete_strict", "modify", "modify_strict")
GROUP_COMMANDS = ("add", "add_or_mod", "delete", "insert_bucket", "modify", "remove_bucket")


def test_commands_cut_short(switch: Path) -> None:
    """A flow with a group that is not there, or a change of such a group, is shown in the error."""
    commands = []
    for kind, names, rests in (
        ("flow", FLOW_COMMANDS, ("table=1", "table=1,actions=group:77")),
        (
            "group",
            GROUP_COMMANDS,
            ("group_id=7", "group_id=7,type=all,bucket=group:77", "group_id=7,bucket=drop"),
        ),
    ):
        words = {name[:length] for name in names for length in range(len(name) + 1)}
        for word in sorted(words | {"adds", "deletes", "del_strict", "mod_strict", "Add", "insert_buckets"}):
            for number, rest in enumerate(rests):
                file = switch / f"{kind}.{word}.{number}"
                separator = ", \t"[len(commands) % 3]
                file.write_text(f"{kind} {word}{separator}{rest}\n")
                commands.append(f"-O OpenFlow15 bundle br0 {file}")
    for number, text in enumerate(
        ("del", "del,", " d,,table=1", "deltable=1", "table=1 del", "d\tm actions=drop")
    ):
        (switch / f"line.{number}").write_text(f"{text}\n")
        commands.append(f"add-flows br0 {switch}/line.{number}")
    _compare(commands)


def test_actions_within_actions(switch: Path) -> None:
    commands = []
    inner = (
        "output:2",
        "",
        "resubmit(,1)",
        "ct(commit,exec(load:1->NXM_NX_CT_MARK[]))",
        "write_actions(drop)",
    )
    for depth in (1, 2, 50, 98, 99, 100, 101, 1000):
        for place, action in enumerate(inner):
            file = switch / f"nested.{depth}.{place}"
            nested = "clone(" * depth + action + ")" * depth
            file.write_text(f"ip,actions={nested}\nip,actions=output:1,{nested},clone({nested})\n")
            commands.append(f"-O OpenFlow13 parse-flows {file}")
    _compare(commands)


def test_differences_of_flows(switch: Path) -> None:
    """Each flow against none, so that the order of several is no matter."""
    (switch / "none").write_text("")
    commands = []
    matches = ("", "in_port=1", "tcp,tp_dst=80", "priority=5", "priority=0", "priority=7,ip")
    others = ("", "table=3", "cookie=5", "idle_timeout=5", "hard_timeout=7,table=2", "importance=3,table=9")
    for place, (match, other) in enumerate((match, other) for match in matches for other in others):
        file = switch / f"diff.{place}"
        file.write_text(",".join(filter(None, (match, other, "actions=output:1"))) + "\n")
        pair = (f"{switch}/none", str(file))
        commands.append(f"diff-flows {' '.join(pair if place % 2 else pair[::-1])}")
    _compare(commands)


def test_bundles(switch: Path) -> None:
    right, wrong, bad = switch / "right", switch / "wrong", switch / "bad"
    right.write_text(
        "flow add table=1,actions=drop\ngroup group_id=3,type=all,bucket=output:1\n# a comment\n"
        "flow actions=group:3\ngroup delete group_id=99\nflow delete table=1\n"
        "packet-out in_port=1,packet=0123456789ab0123456789abffff0000,actions=output:2\n"
    )
    wrong.write_text("flow add table=1,actions=drop\nflow actions=group:77\n")
    bad.write_text("\nnonsense 5\n")
    commands = [f"-O {version} bundle br0 {right}" for version in ("OpenFlow13", "OpenFlow14", "OpenFlow15")]
    commands += [f"bundle br0 {right}", f"-O OpenFlow14 bundle br0 {wrong}", f"bundle br0 {bad}"]
    commands += ["bundle br0 /nonexistent", "-O OpenFlow15 --bundle add-group br0 group_id=7,type=all"]
    commands += ["-O OpenFlow15 --bundle add-flow br0 actions=group:99"]
    buckets = switch / "buckets"
    buckets.write_text("insert_bucket group_id=5,command_bucket_id=first,bucket=bucket_id:44,output:1\n")
    single = switch / "single"
    single.write_text(f"group {buckets.read_text()}")
    for version in ("OpenFlow13", "OpenFlow14", "OpenFlow15"):
        commands.append(f"-O {version} --bundle add-groups br0 {buckets}")
        commands.append(f"-O {version} add-groups br0 {buckets}")
        commands.append(f"-O {version} bundle br0 {single}")
    _compare(commands)
    for run in (original, ours):
        _reset()
        assert run(["-O", "OpenFlow14", "bundle", "br0", str(right)]).status == 0
        flows = original(["-O", "OpenFlow14", "--no-stats", "dump-flows", "br0"]).output
        assert flows == " actions=group:3\n"


MISMATCHES = """
-O OpenFlow10 show nosuch
show unix:/nonexistent
show tcp:127.0.0.1:1
show foo:bar
-P foo monitor br0
monitor br0 foo
monitor br0 watch:foo
monitor br0 watch:priority=5
monitor br0 watch:table=300
snoop nosuch
""".strip().splitlines()


def test_what_cannot_be_is_refused_in_the_same_words(switch: Path) -> None:
    _compare(MISMATCHES)


def test_versions_that_do_not_meet(switch: Path) -> None:
    for bridge in ("protocols=OpenFlow13", f"protocols={ALL}"):
        done = subprocess.run(
            [PROGRAMS["ovs-vsctl"], "--timeout=10", "set", "bridge", "br0", bridge], check=False
        )
        assert done.returncode == 0
        if bridge != f"protocols={ALL}":
            for words in (["show", "br0"], ["-O", "OpenFlow10,OpenFlow12", "show", "br0"]):
                said = ours(words)
                theirs = original(words)
                assert said.status == theirs.status == 1
                warning = re.compile(r"\|vconn\|WARN\|(.*)")
                assert warning.findall(said.errors) == warning.findall(theirs.errors)
                reason = re.compile(
                    r"^(ovs-ofctl: br0: failed to connect to socket) \((?:Broken pipe|Protocol error)\)$"
                )
                assert reason.match(said.errors.splitlines()[-1]), said.errors  # which of both is a race


# ---- monitor ----


def _session(program: list[str], directory: Path, arguments: list[str], steps: list[list[str]]) -> list[str]:
    """Runs a monitor, talks to its control socket, and gives all that it and the answers said."""
    control = directory / "monitor.ctl"
    control.unlink(missing_ok=True)
    running = subprocess.Popen(
        [*program, f"--unixctl={control}", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(control)
    said = []
    for step in steps:
        if step[0] in PROGRAMS:
            subprocess.run([PROGRAMS[step[0]], *step[1:]], check=True, timeout=30)
            continue
        words = [PROGRAMS["ovs-appctl"], "-t", str(control), *step]
        answer = subprocess.run(words, capture_output=True, text=True, timeout=30)
        said += [answer.stdout, answer.stderr]
    output, errors = running.communicate(timeout=30)
    text = "\n".join([*said, output, errors, str(running.returncode)])
    return re.sub(r"^\S+Z\|\d+\|", "", text, flags=re.M).splitlines()


OURS = [sys.executable, "-m", "trunkline.cli.ovs_ofctl"]
PACKET = "in_port=1,packet=0123456789ab0123456789abffff0000,actions=controller"


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        (
            ["monitor", "br0", "65535"],
            [
                ["list-commands"],
                ["ofctl/send", "0102000800000099"],
                ["ofctl/send", "zz"],
                ["ofctl/send", "01"],
                ["ofctl/barrier"],
                ["ofctl/packet-out", "foo"],
                ["ofctl/set-output-file", "/nonexistent/file"],
                ["ofctl/block"],
                ["ofctl/unblock"],
                ["ofctl/barrier"],
            ],
        ),
        *(
            (["-O", version, *form, "monitor", "br0", "65535"], [["ovs-ofctl", "packet-out", "br0", PACKET]])
            for version in ("OpenFlow10", "OpenFlow15")
            for form in ([], ["-P", "standard"], ["-P", "nxt_packet_in"])
        ),
        *(
            (
                ["-O", version, "monitor", "br0", "watch:"],
                [
                    ["ovs-ofctl", "add-flow", "br0", "table=7,tcp,actions=output:1"],
                    ["ovs-ofctl", "mod-flows", "br0", "table=7,tcp,actions=output:2"],
                    ["ovs-ofctl", "del-flows", "br0", "table=7"],
                ],
            )
            for version in ("OpenFlow10", "OpenFlow13", "OpenFlow14")
        ),
        (["monitor", "br0", "watch:!initial,table=1,out_port=3"], []),
        (["monitor", "br0", "invalid_ttl"], []),
    ],
)
def test_monitors_show_the_same(switch: Path, arguments: list[str], steps: list[list[str]]) -> None:
    _reset()
    steps = [*steps, ["ofctl/barrier"], ["exit"]]
    wanted = _session([PROGRAMS["ovs-ofctl"]], switch, arguments, steps)
    _reset()
    assert _session(OURS, switch, arguments, steps) == wanted


def test_a_monitor_in_the_background(switch: Path) -> None:
    """--detach with a pid file and a file for the output; ``exit`` ends it."""
    control, pidfile, output = switch / "bg.ctl", switch / "bg.pid", switch / "bg.out"
    words = [*OURS, "--detach", f"--pidfile={pidfile}", f"--unixctl={control}", "monitor", "br0", "65535"]
    # What it prints goes on to the standard error that it was given.
    with open(os.devnull, "r+b") as null:
        assert subprocess.run(words, stdin=null, stdout=null, stderr=null, timeout=30).returncode == 0
    assert int(pidfile.read_text()) > 1
    appctl = [PROGRAMS["ovs-appctl"], "-t", str(control)]
    subprocess.run([*appctl, "ofctl/set-output-file", str(output)], check=True, timeout=30)
    subprocess.run(
        [*appctl, "ofctl/send", "010200080000009a"], check=True, timeout=30, stdout=subprocess.DEVNULL
    )
    subprocess.run([*appctl, "ofctl/barrier"], check=True, timeout=30)
    assert "OFPT_ECHO_REPLY (xid=0x9a)" in output.read_text()
    subprocess.run([*appctl, "exit"], check=True, timeout=30)
    deadline = time.monotonic() + 10
    while pidfile.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not pidfile.exists()
