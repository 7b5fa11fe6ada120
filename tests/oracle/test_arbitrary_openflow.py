"""Whatever bytes come over an OpenFlow connection, the switch goes on, for its other peers and for packets.

Messages of every kind and version, whole, damaged, cut and mixed with noise, go to our running switch; its
flows meet packets meanwhile.  An error of its own would be in its log.
"""

import random
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.openflow_messages import FRAMES, damaged, messages
from support.switch_pair import Peer, Switch

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def switch() -> Iterator[Switch]:
    directory = Path(tempfile.mkdtemp(prefix="tl.", dir="/tmp"))
    switch = Switch(directory, ours=True)
    command = ["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=dummy", "fail-mode=secure"]
    command += ["protocols=" + ",".join(f"OpenFlow1{minor}" for minor in range(6))]
    for i in range(1, 5):
        command += f"-- add-port br0 p{i} -- set interface p{i} ofport_request={i}".split()
    switch.vsctl(*command)
    try:
        yield switch
    finally:
        switch.stop()
        shutil.rmtree(directory, ignore_errors=True)


def give(switch: Switch, version: int, data: bytes) -> None:
    """Sends it on a connection of its own, reading what comes back, until either side has enough."""
    peer = switch.peer(version)
    try:
        peer.socket.sendall(data)
        peer.socket.shutdown(socket.SHUT_WR)
        while peer.socket.recv(1 << 16):
            pass
    except (BrokenPipeError, ConnectionResetError):
        pass  # the switch has given up on nonsense
    finally:
        peer.close()


def unharmed(switch: Switch, bystander: Peer, what: str) -> None:
    assert bystander.barrier() == [], what
    errors = re.findall(r"^.*internal error.*$", switch.log(), re.MULTILINE)
    assert not errors, (what, errors[:9])


def pieces(r: random.Random, version: int, count: int) -> Iterator[bytes]:
    for message in messages(r, version, count):
        whole = bytes((version,)) + message[1:]
        kind = r.randrange(10)
        if kind < 3:
            yield whole
        elif kind < 8:
            yield damaged(r, whole)
        else:  # another kind's body, or any
            body = whole[8:] if kind == 8 else r.randbytes(r.randrange(60))
            number = r.randrange(40)
            yield bytes((version, number)) + (8 + len(body)).to_bytes(2, "big") + r.randbytes(4) + body


@pytest.mark.parametrize("version", range(1, 7))
def test_messages_of_every_kind(switch: Switch, version: int) -> None:
    r = random.Random(f"arbitrary {version}")
    bystander = switch.peer(4)
    some = list(pieces(r, version, 1500))
    for i in range(0, len(some), 150):
        give(switch, version, b"".join(some[i : i + 150]))
        for port in (1, 2):
            switch.control("netdev-dummy/receive", f"p{port}", r.choice(FRAMES).hex())
        unharmed(switch, bystander, f"version {version}, from message {i}")
    bystander.close()


def test_noise(switch: Switch) -> None:
    r = random.Random("noise")
    bystander = switch.peer(4)
    for number in range(60):
        version = r.randrange(1, 7)
        noise = r.randbytes(r.randrange(1, 300))
        whole = next(iter(messages(r, version, 1)))
        give(switch, version, r.choice((noise, whole[: r.randrange(len(whole))], whole + noise)))
        raw = socket.socket(socket.AF_UNIX)
        raw.connect(f"{switch.directory}/br0.mgmt")
        raw.sendall(noise)  # instead of a hello
        raw.close()
        if number % 20 == 19:
            unharmed(switch, bystander, f"noise {number}")
    bystander.close()


def test_many_at_once(switch: Switch) -> None:
    """Connections that are half way through a message hold nobody up."""
    r = random.Random("many")
    bystander = switch.peer(4)
    peers = [switch.peer(r.randrange(1, 7)) for _ in range(60)]
    for peer in peers:
        whole = next(iter(messages(r, peer.version, 1)))
        peer.socket.sendall(whole[: r.randrange(1, len(whole))])
    unharmed(switch, bystander, "halves")
    for peer in peers:
        peer.socket.sendall(r.randbytes(200))
        peer.close()
    unharmed(switch, bystander, "and their ends")
    bystander.close()


def test_groups_in_circles(switch: Switch) -> None:
    """Groups that go on to each other, and that watch each other, at which the original hangs."""
    groups = (
        ("add-group", "group_id=902,type=all,bucket=output:2"),
        ("add-group", "group_id=901,type=all,bucket=group:902,bucket=output:3"),
        ("mod-group", "group_id=902,type=all,bucket=group:901,bucket=output:4"),
        ("add-group", "group_id=907,type=ff,bucket=watch_group:907,output:2,bucket=watch_group:907,output:3"),
    )
    for command, group in groups:
        assert switch.ofctl("-OOpenFlow13", command, "br0", group).returncode == 0
    for number in (901, 907):
        flow = f"table=0,priority=65535,in_port=3,actions=group:{number}"
        assert switch.ofctl("-OOpenFlow13", "add-flow", "br0", flow).returncode == 0
        told = switch.control("ofproto/trace", "br0", "in_port=3")
        assert ("Recursion too deep" if number == 901 else "no live bucket") in told
        switch.control("netdev-dummy/receive", "p3", FRAMES[0].hex())
    bystander = switch.peer(4)
    unharmed(switch, bystander, "circles")
    bystander.close()
