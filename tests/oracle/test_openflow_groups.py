"""Groups, meters and flow monitors of the switch beside those of the original: the same messages to both."""

import random
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from support.openflow_talk import held_pair
from support.switch_pair import Pair, Peer
from trunkline.model import openflow as of
from trunkline.openflow import groups as g
from trunkline.openflow import messages as m
from trunkline.openflow import meters as me
from trunkline.openflow import monitors as mo
from trunkline.openflow.codec import decode, encode
from trunkline.openflow.flow_text import parse_flow
from trunkline.openflow.groups_text import parse_group
from trunkline.openflow.style import Style
from trunkline.openflow.text import message_text
from trunkline.openflow.wire import EncodeError, Protocol

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    yield from held_pair()


def texts(replies: list[bytes]) -> list[str]:
    """Answers as text; what lists groups, meters or flows in an order of its own choice, sorted."""
    shown = []
    for raw in replies:
        text = re.sub(r"duration[=:]?[\d.]+s", "duration", message_text(raw))
        first, _, rest = text.partition("\n")
        listed = raw[1] in (17, 19) and " reply" in first
        shown.append(first + "\n" + ("\n".join(sorted(rest.splitlines())) if listed else rest))
    return shown


class Talk:
    """Both switches are told and asked the same, and must say the same; the unasked may come late."""

    def __init__(self, pair: Pair, version: int) -> None:
        self.version = version
        self.peers = pair.peers(version)
        self.unasked: tuple[list[str], list[str]] = ([], [])

    def ask(self, message: Any, context: object = "") -> list[str]:
        data = b"".join(encode(Protocol(self.version, self.version == 1, True), message, 9))
        theirs, ours = (self._answers(peer, told, data) for peer, told in zip(self.peers, self.unasked))
        assert sorted(ours) == sorted(theirs), f"{message_text(data)}after {context}"
        return theirs

    def _answers(self, peer: Peer, told: list[str], data: bytes) -> list[str]:
        replies = peer.ask(data)
        told += texts([raw for raw in replies if raw[4:8] == bytes(4)])
        return texts([raw for raw in replies if raw[4:8] != bytes(4)])

    def compare_unasked(self) -> list[str]:
        deadline = time.monotonic() + 10
        while sorted(self.unasked[0]) != sorted(self.unasked[1]) and time.monotonic() < deadline:
            time.sleep(0.05)
            for peer, told in zip(self.peers, self.unasked):
                self._answers(peer, told, b"")
        assert sorted(self.unasked[1]) == sorted(self.unasked[0])
        return self.unasked[0]

    def close(self) -> None:
        for peer in self.peers:
            peer.close()


COMMANDS = ("add",) * 6 + ("modify", "add_or_mod", "delete", "insert_bucket", "remove_bucket")
BUCKETS = (
    "output:1", "output:2", "group:2", "mod_dl_src:00:00:00:00:00:01,output:3", "controller",
    "set_queue:1,output:2", "drop", "resubmit(,3)", "normal",
)  # fmt: skip


def group_mod(r: random.Random) -> str:
    command = r.choice(COMMANDS)
    number = r.randrange(5)
    text = f"{command} group_id={r.choice((number, number, 'all')) if command == 'delete' else number}"
    kind = r.choice(("all", "select", "indirect", "ff"))
    if command in ("add", "modify", "add_or_mod"):
        text += f",type={kind}"
        if kind == "select" and r.random() < 0.5:
            text += r.choice(
                (
                    ",selection_method=dp_hash",
                    ",selection_method=hash,fields(ip_src,tcp_dst)",
                    ",selection_method=hash,selection_method_param=7",
                )
            )
    elif command == "insert_bucket":
        text += f",command_bucket_id={r.choice(('first', 'last', 0, 1, 9))}"
    elif command == "remove_bucket":
        return text + f",command_bucket_id={r.choice(('first', 'last', 'all', 0, 1, 9))}"
    if command == "delete":
        return text
    for _ in range(1 if kind == "indirect" else r.randrange(4)):
        words = [r.choice(BUCKETS)]
        if command == "insert_bucket":
            words.append(f"bucket_id:{r.randrange(4)}")
        elif kind == "select":
            words.append(f"weight:{r.randrange(5)}")
        elif kind == "ff":
            words.append(r.choice(("watch_port:1", "watch_group:2", "watch_port:77")))
        text += ",bucket=" + ",".join(words)
    return text


FLOWS = (
    "in_port=1,send_flow_rem,actions=group:1",
    "in_port=2,send_flow_rem,actions=group:1,group:2",
    "priority=3,actions=write_actions(group:2)",
    "priority=4,actions=clone(group:3),1", "priority=5,send_flow_rem,actions=group:4", "priority=6,actions=1",
)  # fmt: skip


NAMES = (0, 1, 2, 3, 7, 11, 500, 0x1234567, 0xFFFFFEFF)
SELECTIONS = (
    "type=all",
    "type=ff",
    "type=select,selection_method=hash,fields=eth_dst",
    "type=select,selection_method=hash,selection_method_param=99,fields(ip_src,ip_dst)",
    "type=select,selection_method=dp_hash",
)


def named_buckets(r: random.Random, names: list[int], weighted: bool) -> str:
    watch = (",watch_port:1", ",watch_port:9", *((",watch_port:2", "") if weighted else (",watch_port:2",)))
    found = ""
    for name in names:
        weight = f",weight:{r.choice((1, 1, 5, 0))}" if weighted else ""
        found += f",bucket=bucket_id:{name}{weight}{r.choice(watch)}"
        found += f",actions=output:{r.randint(2, 4)}"
    return found


def test_buckets_go_by_their_names(pair: Pair) -> None:
    """What is hashed and told is bucket_id, not the place, also when buckets have come in front and gone."""
    r = random.Random("bucket names")
    talk = Talk(pair, 6)
    flow = parse_flow("actions=group:1", of.OFPFC_ADD).mod
    chosen: set[str] = set()
    for i in range(40):
        names = r.sample(NAMES, 6)
        selection = SELECTIONS[i % len(SELECTIONS)]
        weighted = "select" in selection
        commands = [
            "delete",
            f"add group_id=1,{selection}{named_buckets(r, names[:4], weighted)}",
            f"remove_bucket group_id=1,command_bucket_id={names[r.randrange(4)]}",
            f"insert_bucket group_id=1,command_bucket_id=first{named_buckets(r, names[4:], weighted)}",
        ]
        for command in commands[: 2 if "dp_hash" in selection else None]:  # the original's table goes wrong
            talk.ask(parse_group(command, None).mod, command)
        talk.ask(flow)
        for _ in range(10):
            packet = (
                f"in_port=1,ip,dl_dst=50:54:00:00:00:{r.randrange(256):02x},nw_src=10.0.0.{r.randrange(256)}"
            )
            both = pair.control("ofproto/trace", "br0", packet)
            theirs, ours = (re.sub(r"Megaflow: .*|recirc\(0x\w+\)", "", text) for text in both)
            assert ours == theirs, commands
            chosen.update(re.findall(r"using bucket (\d+)", ours))
    talk.close()
    assert len(chosen) > 4


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6])
def test_random_group_mods_leave_the_same_groups_and_flows(pair: Pair, version: int) -> None:
    r = random.Random(f"groups {version}")
    for switch in pair.both:
        assert switch.ofctl("-OOpenFlow15", "del-groups", "br0").returncode == 0
        assert switch.ofctl("del-flows", "br0").returncode == 0
    talk = Talk(pair, version)
    talk.ask(m.SetConfig(m.SwitchConfig(0, 128, False)))
    if version == 1:
        talk.ask(m.SetFlowFormat(of.NXFF_NXM))
    talk.ask(g.GroupFeaturesRequest())
    for step in range(150):
        text = group_mod(r)
        message: Any
        if r.random() < 0.3:
            text = r.choice(FLOWS)
            message = parse_flow(text, of.OFPFC_ADD).mod._replace(table=0)
        elif r.random() < 0.05:
            message = parse_flow("", of.OFPFC_DELETE).mod._replace(out_group=r.randrange(5))
        else:
            message = parse_group(text, None).mod
        try:
            talk.ask(message, f"step {step}: {text}")
        except EncodeError:
            continue  # 1.0 cannot say it
        if step % 5 == 4:
            for request in (
                g.GroupDescriptionRequest(r.choice((1, 2)) if version in (1, 6) else of.OFPG_ALL),
                g.GroupDescriptionRequest(),
                g.GroupStatsRequest(),
                g.GroupStatsRequest(r.randrange(6)),
                m.FlowStatsRequest(parse_flow("", of.OFPFC_DELETE).mod.match),
            ):
                talk.ask(request, f"step {step}: {text}")
    told = talk.compare_unasked()
    assert any("reason=group_delete" in text for text in told) == (version >= 4)
    talk.close()


MENTIONS = (
    "group:1",
    "group:2",
    "clone(group:1)",
    "clone(group:2,clone(group:1,group:1))",
    "1",
    "resubmit(,3)",
)


def test_every_mention_of_a_group_counts(pair: Pair) -> None:
    """Groups that flows name stay here: the original ends when one goes that a flow names twice."""
    r = random.Random("mentions")
    for switch in pair.both:
        assert switch.ofctl("del-flows", "br0").returncode == 0
        assert switch.ofctl("-OOpenFlow15", "del-groups", "br0").returncode == 0
    talk = Talk(pair, 6)
    for text in (
        "add group_id=1,type=all,bucket=1,bucket=2",
        "add group_id=2,type=all,bucket=group:1,bucket=group:1",
    ):
        talk.ask(parse_group(text, None).mod)
    highest = 0
    for step in range(60):
        words = ",".join(r.choice(MENTIONS) for _ in range(r.randrange(1, 5)))
        written = f",write_actions({r.choice(MENTIONS[:2])})" if r.random() < 0.3 else ""
        text = f"in_port={r.randrange(5)},actions={words}{written}"
        command = r.choice((of.OFPFC_ADD, of.OFPFC_ADD, of.OFPFC_MODIFY, of.OFPFC_DELETE))
        if command == of.OFPFC_DELETE:
            text = text.partition(",")[0]
        talk.ask(parse_flow(text, command).mod._replace(table=0), text)
        said = talk.ask(g.GroupStatsRequest(), f"step {step}: {text}")
        highest = max(highest, *(int(count) for count in re.findall(r"ref_count=(\d+)", "".join(said))))
    assert highest > 10
    talk.ask(parse_flow("", of.OFPFC_DELETE).mod)
    assert "ref_count=0" in "".join(talk.ask(g.GroupStatsRequest()))
    talk.close()


COUNTED = (
    "group_id=1,type=all,bucket=output:2,bucket=output:3,bucket=group:3",
    "group_id=2,type=indirect,bucket=set_field:50:54:00:00:00:09->eth_dst,output:3",
    "group_id=3,type=ff,bucket=watch_port:77,output:2,bucket=watch_port:3,output:3,bucket=watch_port:2,output:2",
    "group_id=4,type=select,bucket=weight:0,output:2,bucket=weight:5,output:3",
    "group_id=5,type=select,selection_method=hash,fields(tcp_dst),bucket=output:2,bucket=output:3,bucket=drop",
    "group_id=6,type=all,bucket=group:2,bucket=group:2,bucket=drop",
    "group_id=7,type=all",
)
COUNTING = (
    *(f"group:{number}" for number in range(1, 8)),
    *("group:1,group:2", "clone(group:6),group:6", "output:2,group:5", "resubmit(,1),group:1"),
    *("write_actions(group:4)", "group:1,write_actions(group:1)", "write_actions(output:2,group:7)"),
)
PACKET = "in_port(4),eth(src=50:54:00:00:00:01,dst=50:54:00:00:00:02),eth_type(0x0800),"
PACKET += "ipv4(src=10.0.0.1,dst=10.0.0.2,proto=6,frag=no),tcp(src=1,dst={port})"


@pytest.mark.parametrize("version", [2, 4, 6])
def test_packets_are_counted_in_groups_and_buckets(pair: Pair, version: int) -> None:
    """But which bucket a hash selects is each switch's own: buckets of those are added up."""
    for switch in pair.both:
        assert switch.ofctl("del-flows", "br0").returncode == 0
        assert switch.ofctl("-OOpenFlow15", "del-groups", "br0").returncode == 0
        for group in (COUNTED[1], COUNTED[2], *COUNTED[:1], *COUNTED[3:]):
            done = switch.ofctl("-OOpenFlow15", "add-group", "br0", group)
            assert done.returncode == 0, done.stderr
        flows = [f"tcp,tp_dst={port},actions={does}" for port, does in enumerate(COUNTING, 100)]
        flows.append("table=1,actions=group:2")
        done = switch.ofctl("-OOpenFlow15", "add-flows", "br0", "-", input="\n".join(flows))
        assert done.returncode == 0, done.stderr
    r = random.Random(f"counted {version}")
    for _ in range(60):
        packet = PACKET.format(port=r.randrange(100, 100 + len(COUNTING)))
        pair.control("netdev-dummy/receive", "p4", packet)
    peers = pair.peers(version)
    request = b"".join(encode(Protocol(version), g.GroupStatsRequest(), 9))
    deadline = time.monotonic() + 30
    while True:
        pair.control("time/warp", "1000")
        theirs, ours = (counted(peer.ask(request)) for peer in peers)
        if theirs == ours and sum(packets for packets, *_ in ours.values()) > 60:
            break
        assert time.monotonic() < deadline, (theirs, ours)
        time.sleep(0.05)
    for peer in peers:
        peer.close()


def counted(replies: list[bytes]) -> dict[int, tuple[int, ...]]:
    """Packets and bytes of each group, and of its buckets."""
    found = {}
    for raw in replies:
        for stats in getattr(decode(raw).message, "groups", ()):
            buckets: list[int] = [number for bucket in stats.buckets for number in bucket[:2]]
            if stats.group in (4, 5):
                buckets = [sum(buckets[::2]), sum(buckets[1::2])]
            found[stats.group] = (stats.packets, stats.bytes, *buckets)
    return found


def meter_mod(r: random.Random) -> me.MeterMod:
    bands = tuple(
        me.Band(
            2 if r.random() < 0.03 else 1,
            0 if r.random() < 0.03 else r.choice((1, 2, 5, 9)),
            r.choice((0, 0, 3)),
        )
        for _ in range(r.choice((0, 1, 1, 1, 2, 2, 3, 8, 9)))
    )
    return me.MeterMod(
        r.choice((0, 0, 1, 2)),
        r.choice((0, 1, 2, 3, 4, 0xFFFF0000, 0xFFFF0001, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF)),
        r.choice((0, 1, 1, 1, 2, 2, 2, 5, 9, 14, 16)),
        bands,
    )


@pytest.mark.parametrize("version", [4, 5, 6])
def test_random_meter_mods_leave_the_same_meters_and_flows(pair: Pair, version: int) -> None:
    r = random.Random(f"meters {version}")
    for switch in pair.both:
        assert switch.ofctl("-OOpenFlow15", "del-meters", "br0").returncode == 0
        assert switch.ofctl("del-flows", "br0").returncode == 0
    talk = Talk(pair, version)
    talk.ask(m.SetConfig(m.SwitchConfig(0, 128, False)))
    talk.ask(me.MeterFeaturesRequest())
    for step in range(150):
        if r.random() < 0.3:
            number, port = r.randrange(1, 5), r.randrange(3)
            text = f"in_port={port},send_flow_rem,actions=meter:{number},1"
            talk.ask(parse_flow(text, of.OFPFC_ADD).mod._replace(table=0), f"step {step}: {text}")
        else:
            mod = meter_mod(r)
            talk.ask(mod, f"step {step}: {mod}")
        if step % 5 == 4:
            for request in (
                me.MeterStatsRequest(),
                me.MeterConfigRequest(),
                me.MeterStatsRequest(r.randrange(6)),
                me.MeterConfigRequest(r.randrange(6)),
                m.FlowStatsRequest(parse_flow("", of.OFPFC_DELETE).mod.match),
            ):
                talk.ask(request, f"step {step}")
    told = talk.compare_unasked()
    assert any("reason=meter_delete" in text for text in told) == (version >= 5)
    talk.close()


METERS = (
    me.MeterMod(0, 1, me.OFPMF_PKTPS | me.OFPMF_STATS, (me.Band(1, 5), me.Band(1, 10, 3))),
    me.MeterMod(0, 2, me.OFPMF_KBPS | me.OFPMF_BURST, (me.Band(1, 3, 2), me.Band(1, 1, 9))),
    me.MeterMod(0, 3, me.OFPMF_PKTPS, (me.Band(1, 1),)),
)
METERED = (
    "in_port=1,actions=meter:1,2", "in_port=2,actions=meter:2,3", "in_port=3,actions=meter:3,1",
)  # fmt: skip


def test_meters_drop_the_same_packets(pair: Pair) -> None:
    r = random.Random("metered")
    for switch in pair.both:
        assert switch.ofctl("-OOpenFlow15", "del-meters", "br0").returncode == 0
        assert switch.ofctl("del-flows", "br0").returncode == 0
    talk = Talk(pair, 6)
    for mod in METERS:
        talk.ask(mod)
    for text in METERED:
        talk.ask(parse_flow(text, of.OFPFC_ADD).mod._replace(table=0), text)
    sent = dict.fromkeys((1, 2, 3), 0)
    for _ in range(120):
        port = r.randrange(1, 4)
        frame = "505400000002505400000001" + "88b5" + "00" * r.choice((46, 86, 186))
        assert pair.control("netdev-dummy/receive", f"p{port}", frame) == ("", "")
        sent[port] += 1
        wait_for_packets(talk, port, sent[port])
        talk.ask(me.MeterStatsRequest(), sent)
        pair.control("time/warp", str(r.choice((1, 20, 100, 300))))
    stats = talk.ask(me.MeterStatsRequest())[0]
    assert re.search(r"0: packet_count:[1-9]", stats)
    assert re.search(r"1: packet_count:[1-9]", stats)
    talk.close()


def wait_for_packets(talk: Talk, port: int, count: int) -> None:
    request = b"".join(encode(Protocol(6, False, True), m.PortStatsRequest(port), 9))
    deadline = time.monotonic() + 5
    for peer in talk.peers:
        while f"rx pkts={count}," not in message_text(peer.ask(request)[0], Style(verbosity=1)):
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize("version", [1, 3, 4, 5, 6])
def test_flow_monitors_tell_the_same(pair: Pair, version: int) -> None:
    r = random.Random(f"monitors {version}")
    for switch in pair.both:
        assert switch.ofctl("-OOpenFlow15", "del-groups", "br0").returncode == 0
        assert switch.ofctl("del-flows", "br0").returncode == 0
    talks = [Talk(pair, version), Talk(pair, version)]
    numbers: list[set[int]] = [set(), set()]
    every = parse_flow("", of.OFPFC_DELETE).mod.match
    for talk in talks:
        if version == 1:
            talk.ask(m.SetFlowFormat(of.NXFF_NXM))
    commands = (of.OFPFC_ADD, of.OFPFC_ADD, of.OFPFC_MODIFY, of.OFPFC_DELETE, of.OFPFC_DELETE_STRICT)
    for step in range(250):
        talk = r.choice(talks)
        if step < 4 or r.random() < 0.2:
            # In an error about a request for monitors, the original's xid and data are accidents.
            number, had = r.randrange(4), numbers[talks.index(talk)]
            if number in had or (version < 5 and r.random() < 0.2):
                message: Any = mo.FlowMonitorCancel(number)
                had.discard(number)
            else:
                had.add(number)
                flags = r.choice((31, 31, 14, 2, 4, 8, 94))
                match = every if r.random() < 0.7 else parse_flow("in_port=1", of.OFPFC_DELETE).mod.match
                port = r.choice((of.OFPP_ANY, of.OFPP_ANY, 1))
                message = mo.FlowMonitorRequest((mo.FlowMonitor(number, flags, match, 255, port),))
        else:
            command = r.choice(commands)
            text = f"in_port={r.randrange(3)}"
            if command in (of.OFPFC_ADD, of.OFPFC_MODIFY):
                text += f",cookie={r.randrange(2)},actions={r.randrange(1, 3)}"
            message = parse_flow(text, command).mod._replace(table=0)
        talk.ask(message, f"step {step}: {message}")
    told = [text for talk in talks for text in talk.compare_unasked()]
    for event in ("ADDED", "MODIFIED", "DELETED", "ABBREV"):
        assert any(f"event={event}" in text for text in told)
    for talk in talks:
        talk.close()
