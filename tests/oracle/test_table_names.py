"""Names that controllers give tables, by requests for other table features, beside the original's."""

import struct
from collections.abc import Iterator

import pytest

from support.switch_pair import Pair, Peer, fresh_pair

pytestmark = [pytest.mark.oracle, pytest.mark.xdist_group("openflow_tables")]

HEAD = struct.Struct("!BBHIHH4x")  # of a multipart message: version, type, length, xid, kind, flags
TABLE_FEATURES = 12
MOST = 60000


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    yield from fresh_pair()


def entries(messages: list[bytes]) -> list[bytes]:
    """What is told of each table: length, table, command, 4 bytes, a name of 32 bytes, the rest."""
    found = []
    for raw in messages:
        at = HEAD.size
        while at < len(raw):
            size = int.from_bytes(raw[at : at + 2], "big")
            found.append(raw[at : at + size])
            at += size
    return found


def names_of(tables: list[bytes]) -> dict[int, str]:
    found = {one[2]: one[8:40].rstrip(b"\0").decode() for one in tables}
    return {number: name for number, name in found.items() if name}


def called(table: bytes, name: str, command: int = 0, number: int | None = None) -> bytes:
    number = table[2] if number is None else number
    return table[:2] + bytes((number, command)) + bytes(4) + name.encode().ljust(32, b"\0") + table[40:]


def ask(peer: Peer, tables: list[bytes]) -> list[bytes]:
    """What is answered to a request that lists `tables`, in as many messages as it takes."""
    parts = [b""]
    for table in tables:
        if len(parts[-1]) + len(table) > MOST:
            parts.append(b"")
        parts[-1] += table
    last = len(parts) - 1
    return peer.ask(
        *(
            HEAD.pack(peer.version, 18, HEAD.size + len(part), 6, TABLE_FEATURES, i < last) + part
            for i, part in enumerate(parts)
        )
    )


def change(peers: tuple[Peer, Peer], *tables: bytes) -> tuple[bytes, dict[int, str]]:
    """Asks both for it: the error, which must be the same, and otherwise the names that they tell then."""
    told = []
    for peer in peers:
        answers = ask(peer, list(tables))
        error = next((raw[8:12] for raw in answers if raw[1] == 1), b"")
        names = names_of(entries(answers)) if not error else {}
        told.append((error, names))
    assert told[1] == told[0]
    return told[0]


EPERM = bytes((0, 13, 0, 5))


@pytest.mark.parametrize("version", [4, 5, 6])
def test_names_from_controllers(pair: Pair, version: int) -> None:
    peers = pair.peers(version)
    tables = [called(table, "") for table in entries(ask(peers[0], []))]
    assert change(peers, *tables) == (b"", {})
    some = [called(one, f"n{one[2]}") if one[2] in (0, 9) else one for one in tables]
    assert change(peers, *some) == (b"", {0: "n0", 9: "n9"})
    assert change(peers, called(tables[3], "three"))[0] == EPERM
    assert change(peers, tables[3], tables[3])[0][:2] == b"\xff\xff"
    if version == 6:
        one = called(tables[3], "three", 1)
        assert change(peers, one) == (b"", {0: "n0", 3: "three", 9: "n9"})
        change(peers, called(one, "", 1), called(tables[4], "four", 1))
        assert change(peers, called(one, "x", 2))[0] == EPERM
        assert change(peers, called(one, "x", 1, 254))[0] == EPERM
    change(peers, *tables)
    for peer in peers:
        peer.close()


def test_tools_name_tables(pair: Pair) -> None:
    shown = []
    for switch in pair.both:
        said = []
        for words in (
            ("-O", "OpenFlow15", "mod-table", "br0", "2", "name:second"),
            ("-O", "OpenFlow13", "mod-table", "br0", "3", "name:third"),
            ("-O", "OpenFlow15", "--names", "add-flow", "br0", "table=second,actions=resubmit(,third)"),
            ("-O", "OpenFlow15", "--names", "--no-stats", "dump-flows", "br0", "table=second"),
            ("-O", "OpenFlow14", "mod-table", "br0", "2", "name:"),
            ("del-flows", "br0"),
        ):
            done = switch.ofctl(*words)
            said.append((done.returncode, done.stdout, done.stderr))
        shown.append(said)
    assert shown[1] == shown[0]
    assert " table=second, actions=resubmit(,third)\n" in shown[0][3][1]
