"""The original's dummy datapath and ours side by side, with the same flows, packets, commands and clock."""

import re
import socket
import time
from collections.abc import Sequence

from support.switches import Lab, OriginalSwitch, OurSwitch, PortSpec
from trunkline.conntrack.text import line
from trunkline.flow.text import parse_match
from trunkline.jsonrpc.unixctl import CommandError, Commands
from trunkline.model import openflow as of
from trunkline.openflow.actions_text import parse_actions
from trunkline.openflow.messages import FlowMod
from trunkline.upcall.control import every_command

LAB = Lab(("br0",), (PortSpec("br0", "p1", 1), PortSpec("br0", "p2", 2), PortSpec("br0", "p3", 3)))
_WARP = 1000  # milliseconds

Packets = dict[str, list[bytes]]


class Crash(Exception):
    """The original has crashed or lost count: it does, now and then, over connections with NAT."""


class ConntrackPair:
    def __init__(self, original: OriginalSwitch, lab: Lab = LAB) -> None:
        self.original = original
        self.lab = lab
        self.lines: dict[str, Sequence[str]] = {}
        original.build(lab)
        original.control("time/stop")
        self.reset()

    def reset(self) -> None:
        """Both without connections."""
        self.ours = OurSwitch()
        self.ours.build(self.lab)
        self.original.control("dpctl/flush-conntrack")
        for bridge in self.lines:
            self._install(bridge)
        self.commands = Commands()
        self.commands.add(*every_command({"dummy": self.ours.datapath}))

    @property
    def tracker(self):  # type: ignore[no-untyped-def]
        return self.ours.sim.conntrack

    def flows(self, lines: Sequence[str], bridge: str = "br0") -> None:
        """Flows in the text of ovs-ofctl; in ours the match has no spaces and comes before the actions."""
        originals = self.original.originals
        target = f"unix:{originals.directory}/{bridge}.mgmt"
        assert originals.run("ovs-ofctl", "del-flows", target).returncode == 0
        done = originals.run("ovs-ofctl", "add-flows", target, "-", input="\n".join(lines))
        assert done.returncode == 0, done.stderr
        self.lines[bridge] = lines
        self._install(bridge)

    def _install(self, bridge: str) -> None:
        flows = self.ours.bridges[bridge].flows
        flows.clear()
        for text in self.lines[bridge]:
            head, _, actions = text.partition(",actions=")
            words = dict(word.split("=", 1) if "=" in word else (word, "") for word in head.split(","))
            table, priority = int(words.pop("table", "0")), int(words.pop("priority", "32768"))
            match = parse_match(",".join(f"{k}={v}" if v else k for k, v in words.items()))
            flows.apply(FlowMod(of.OFPFC_ADD, match, priority, table, parse_actions(actions)), 1, "test")

    def receive(self, port: str, frame: bytes) -> tuple[Packets, Packets]:
        """What comes out of both; the packets of a port in no order."""
        try:
            want = self.original.receive(port, frame)
        except (ConnectionError, AssertionError) as error:
            raise Crash from error
        got = self.ours.receive(port, frame)
        return {k: sorted(v) for k, v in want.items()}, {k: sorted(v) for k, v in got.items()}

    def dumps(self) -> tuple[list[str], list[str]]:
        """The connections, with all that there is to show."""
        want = sorted(self.original.control("dpctl/dump-conntrack", "-m", "-s").splitlines())
        now = self.ours.clock.monotonic()
        connections = (one for one in self.tracker.connections() if one.expires > now)
        return want, sorted(line(one, now, verbose=True, timed=True) for one in connections)

    def step(self, port: str, frame: bytes, what: object) -> Packets:
        """Gives a packet to both: the same comes out, and the same connections are there."""
        want, got = self.receive(port, frame)
        assert got == want, (what, frame.hex(), self.lines)
        there, here = self.dumps()
        assert here == there, (what, frame.hex(), self.lines)
        return want

    def warp(self, milliseconds: int) -> None:
        """Lets time pass in both, until the original has forgotten what is over as well."""
        self.original.control("time/warp", str(milliseconds), str(milliseconds))
        self.ours.clock.advance(milliseconds / 1000)
        self.tracker.run(self.ours.clock.monotonic())
        deadline = time.monotonic() + 5
        while int(self.original.control("dpctl/ct-get-nconns")) != len(self.tracker.store):
            if time.monotonic() >= deadline:
                raise Crash("the original keeps connections that are over")
            time.sleep(0.002)

    def original_lives(self) -> bool:
        """Whether the original still listens on its control socket."""
        directory = self.original.originals.directory
        file = directory / "ovs-vswitchd.pid"
        pid = file.read_text().strip() if file.exists() else ""
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(f"{directory}/ovs-vswitchd.{pid}.ctl") == 0

    def forget_fragments(self) -> None:
        """Until neither holds a fragment any more."""
        self.ours.clock.advance(60)
        self.tracker.run(self.ours.clock.monotonic())
        deadline = time.monotonic() + 10
        while "num frag: 0" not in self.original.control("dpctl/ipf-get-status"):
            assert time.monotonic() < deadline, "the original keeps fragments"
            self.original.control("time/warp", str(_WARP), str(_WARP))

    def command(self, *words: str) -> tuple[list[str], list[str]]:
        """The lines of a control command's answer, sorted, of both."""
        want = self.original.control(*words)
        try:
            answer = self.commands.run(words[0], list(words[1:]))
            got = answer if isinstance(answer, str) else f"error: {answer}"
        except CommandError as error:
            got = f"error: {error}"
        return sorted(want.splitlines()), sorted(got.splitlines())


def held(text: str) -> list[str]:
    """The lists of fragments in ipf-get-status -m, without numbers that each switch gives itself."""
    return sorted(re.sub(r"recirc_id=\d+", "", row) for row in text.splitlines() if row.startswith("(src"))
