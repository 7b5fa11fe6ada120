"""How ovs-ofctl mod-port takes a port (a number or a device's name, no word of OpenFlow) and its action."""

import tempfile
from pathlib import Path

import pytest

from support.switch_pair import Pair

pytestmark = pytest.mark.oracle


def test_ports_are_named_as_in_the_original() -> None:
    with tempfile.TemporaryDirectory() as directory:
        pair = Pair(Path(directory))
        try:
            statuses = set()
            for word in (
                "LOCAL",
                "local",
                "IN_PORT",
                "br0",
                "65534",
                "p1",
                '"p1"',
                '"1"',
                "1",
                "9",
                "nosuch",
            ):
                original = pair.ours.ofctl("mod-port", "br0", word, "up")
                ours = pair.ours.ofctl("mod-port", "br0", word, "up", ours=True)
                assert (ours.returncode, ours.stderr) == (original.returncode, original.stderr), word
                statuses.add(ours.returncode)
            assert statuses == {0, 1}
            for word in ("p1", '"p1"', '"1"', '"nosuch"', '"p1', "LOCAL", '"LOCAL"'):
                for command in (("dump-ports",), ("-O", "OpenFlow15", "dump-ports-desc"), ("queue-stats",)):
                    original = pair.ours.ofctl(*command, "br0", word)
                    ours = pair.ours.ofctl(*command, "br0", word, ours=True)
                    assert (ours.returncode, ours.stderr) == (original.returncode, original.stderr), (
                        command,
                        word,
                    )
            words = ("stp", "receive", "receive-stp", "flood", "forward", "packet-in", "up", "down")
            actions = [f"{before}{word}" for before in ("no-", "no", "") for word in words]
            actions += [
                "NoFlood",
                "NO-flood",
                "no-noflood",
                "no",
                "no-",
                "n",
                "",
                "no_flood",
                "Flood",
                "noflood",
            ]
            for action in actions:
                seen = []
                for switch, own in ((pair.original, False), (pair.ours, True)):
                    done = switch.ofctl("mod-port", "br0", "2", action, ours=own)
                    config = [
                        line
                        for line in switch.ofctl("dump-ports-desc", "br0", "2").stdout.splitlines()
                        if "config" in line
                    ]
                    seen.append((done.returncode, done.stderr, config))
                assert seen[0] == seen[1], action
            for port in ("9", "nosuch"):
                original = pair.ours.ofctl("mod-port", "br0", port, "no-such")
                ours = pair.ours.ofctl("mod-port", "br0", port, "no-such", ours=True)
                assert (ours.returncode, ours.stderr) == (original.returncode, original.stderr), port
            for port, action in (("3", "no-receive"), ("4", "no-forward")):
                for switch in pair.both:
                    assert switch.ofctl("mod-port", "br0", port, action).returncode == 0
            for switch in pair.both:
                assert not switch.ofctl("add-flow", "br0", "actions=4,in_port,normal").returncode
            for flow in ("in_port=3", "in_port=4", "in_port=LOCAL,ip"):
                traces = [
                    sorted(line for line in answer.splitlines() if line[:8] not in ("Megaflow", "Datapath"))
                    for answer in pair.control("ofproto/trace", "br0", flow)
                ]
                if flow == "in_port=3":  # docs/differences.md
                    traces = [[line for line in lines if " 0. " not in line] for lines in traces]
                    traces[1].remove("     >> OFPPC_NO_RECV set, dropping")
                else:
                    assert "     -> OFPPC_NO_FWD set, skipping output" in traces[0]
                assert traces[1] == traces[0], flow
            for arguments in (("zz", "3", "x"), ("p1", "3", "x"), ("9", "3", "50:54:00:00:00:01")):
                original_answer, answer = pair.control("fdb/add", "br0", *arguments)
                assert answer == original_answer, arguments
        finally:
            pair.stop()
