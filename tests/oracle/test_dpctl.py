"""ovs-dpctl against the original, where neither has a datapath."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.originals import PROGRAMS, environment

pytestmark = pytest.mark.oracle

FLOW = "in_port(1),eth(),eth_type(0x0800),ipv4(src=1.1.1.1,proto=6),tcp(src=1)"
_IPV4, _IPV6 = "in_port(1),eth_type(0x800),ipv4", "in_port(1),eth_type(0x86dd),ipv6"
INCOMPLETE = (
    *(
        f"in_port(1),eth_type({type:#x})"
        for type in (0x800, 0x86DD, 0x806, 0x8035, 0x8100, 0x8847, 0x894F, 0x1234)
    ),
    *(f"{_IPV4}(proto={proto})" for proto in (1, 6, 17, 47, 58, 132)),
    *(f"{_IPV6}(proto={proto})" for proto in (1, 6, 17, 58)),
    f"{_IPV4}(proto=6),tcp(src=1)",
    *(f"{_IPV6}(proto=17,frag={kind})" for kind in ("first", "later")),
    *(f"{_IPV6}(proto=58),icmpv6(type={type},code={code})" for type in (128, 135) for code in (0, 1)),
    "in_port(1),eth_type(0x88a8),vlan(vid=1,pcp=0)",
    "in_port(1),eth_type(0x8100),vlan(vid=1,pcp=0),encap()",
    "in_port(1),eth_type(0x8100),vlan(vid=1,pcp=0),encap(eth_type(0x800),ipv4(proto=6))",
    "in_port(1),eth_type(0x8100),vlan(vid=1,pcp=0),encap(eth_type(0x800),ipv4(proto=6),tcp(src=1))",
)
SAME = (
    ("--help",),
    ("help", "show"),
    ("list-commands",),
    ("--option",),
    (),
    ("foo",),
    ("dump-dps", "x"),
    ("add-if",),
    ("set-if", "a"),
    ("get-flow",),
    ("--foo",),
    ("show", "-q"),
    ("-t", "x", "show"),
    ("-t",),
    ("--read-only", "add-dp", "x"),
    ("parse-actions", "1,2", "push_vlan(vid=5,pcp=1),2", "drop"),
    ("parse-actions", "set(eth(src=aa:55:aa:55:00:01))", ""),
    ("parse-actions", "x"),
    ("normalize-actions", "1"),
    ("normalize-actions", FLOW, "3,1,push_vlan(vid=5,pcp=0),2"),
    ("normalize-actions", FLOW, "p1,2", "p1=7"),
    ("normalize-actions", FLOW, "1", "p1=x"),
    ("normalize-actions", FLOW, "foo"),
    *(("normalize-actions", flow, "1") for flow in INCOMPLETE),
    ("normalize-actions", "foo", "1"),
    ("parse-actions", "1", "x", "2"),
)


def outcome(command: list[str], directory: Path) -> tuple[int, str, str]:
    variables = {**environment(directory), "PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout, done.stderr.replace("/usr/bin/", "")  # getopt prints argv[0]


@pytest.mark.parametrize("arguments", SAME, ids=" ".join)
def test_same_text_and_status(arguments: tuple[str, ...], short_directory: Path) -> None:
    ours = outcome([sys.executable, "-m", "trunkline.cli.ovs_dpctl", *arguments], short_directory)
    assert ours == outcome([PROGRAMS["ovs-dpctl"], *arguments], short_directory)


@pytest.mark.parametrize("command", ["show", "dump-flows", "dump-dps", "del-flows"])
def test_without_a_switch_there_are_no_datapaths(command: str, short_directory: Path) -> None:
    status, text, error = outcome([sys.executable, "-m", "trunkline.cli.ovs_dpctl", command], short_directory)
    assert (status, text) == (1, "")
    assert "no datapaths exist" in error
