"""Every parser, fed arbitrary input: it understands, or refuses by its own error; nothing else comes out.

One row a parser.  Text is arbitrary, or made of words that the parser knows, in any order, so that the deeper
branches are met as well.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.base.addresses import parse_ipv4, parse_ipv6, parse_mac
from trunkline.base.clock import ManualClock
from trunkline.base.json import JsonError, JsonStream, loads
from trunkline.base.log import Log, LogError
from trunkline.base.options import Option, OptionError, parse_options
from trunkline.base.targets import TargetError, parse_target
from trunkline.dpif.action_text import parse_actions as parse_datapath_actions
from trunkline.dpif.text import parse_key
from trunkline.flow.text import parse_match
from trunkline.flow.values import TextError
from trunkline.io.tls_files import certificate_faults, ciphers_fault, key_fault
from trunkline.jsonrpc.message import MessageError, message
from trunkline.model.schemas import schema_text
from trunkline.ofproto.tunnel_settings import TunnelError, parse_tunnel
from trunkline.openflow.actions_text import parse_actions
from trunkline.openflow.connection import Connection
from trunkline.openflow.flow_text import parse_flow, parse_request
from trunkline.ovsdb.conditions import parse_where
from trunkline.ovsdb.errors import OvsdbError
from trunkline.ovsdb.log import load, read_records
from trunkline.ovsdb.mutations import parse_mutation
from trunkline.ovsdb.schema import Schema
from trunkline.ovsdb.text import TextError as DatumTextError
from trunkline.ovsdb.text import datum_from_text
from trunkline.packet.membership import read_membership
from trunkline.packet.parse import parse

SCHEMA = Schema.from_json(loads(schema_text("Open_vSwitch")))
PORT = SCHEMA.tables["Port"]
COLUMNS = [column.type for table in SCHEMA.tables.values() for column in table.columns.values()]
OPTIONS = (Option("db", "required", "d"), Option("verbose", "optional", "v"), Option("dry-run"))


def vlog_set(text: str) -> None:
    Log("fuzz", ManualClock(), ("bridge", "vlog")).set(text)


def options(text: str) -> None:
    parse_options(text.split(" "), OPTIONS)


def every_column(text: str) -> None:
    for type_ in COLUMNS[:: max(1, len(COLUMNS) // 12)]:
        try:
            datum_from_text(type_, text)
        except DatumTextError:
            continue


def conversation(data: bytes) -> None:
    connection = Connection(0x7E)
    connection.feed(bytes.fromhex("0400000800000001") + data)
    connection.to_send()


def tunnel(text: str) -> None:
    """Each ``NAME=VALUE`` is an option."""
    options = dict(part.partition("=")[::2] for part in text.split(","))
    for kind in ("erspan", "bareudp", "vxlan"):
        try:
            parse_tunnel("t", kind, {"remote_ip": "1.2.3.4", **options}, lambda module, said: None)
        except TunnelError:
            continue


class Parser(NamedTuple):
    name: str
    run: Callable[[Any], object]
    refuses: tuple[type[Exception], ...]
    words: str = ""


TEXT = (
    Parser("json", loads, (JsonError,), '{ } [ ] , : "a" 1 -1.5e3 true null \\u00e9 "'),
    Parser("mac", parse_mac, (), "00:11:22:33:44:55 : ff"),
    Parser("ipv4", parse_ipv4, (), "10.0.0.1 . 256"),
    Parser("ipv6", parse_ipv6, (), "fe80:: ::1 : 1.2.3.4 ffff"),
    Parser("target", parse_target, (TargetError,), "tcp: ptcp: unix: punix: ssl: 1.2.3.4 [::1] :6640 %eth0"),
    Parser("options", options, (OptionError,), "--db = -d -v -- - --d"),
    Parser("vlog", vlog_set, (LogError,), "bridge: console: dbg PATTERN: %d %-5p ANY FACILITY: %D{ } , :"),
    Parser("datum", every_column, (), '{ } [ ] , = " a 1 true 00000000-0000-0000-0000-000000000000 @x \\n'),
    Parser(
        "match", parse_match, (TextError,), "in_port= tcp tp_dst=80 ip nw_src=10.0.0.0/8 , reg0= / dl_vlan"
    ),
    Parser(
        "flow",
        lambda text: parse_flow(text, 0),
        (TextError,),
        "priority=5 , tcp actions= output:1 NORMAL drop resubmit( ) load: -> NXM_NX_REG0[] set_field: learn(",
    ),
    Parser("request", parse_request, (TextError,), "table=0 , cookie=1/2 out_port=3 tcp , ="),
    Parser(
        "actions", parse_actions, (TextError,), "output: 1 , mod_vlan_vid: ( ) move: NXM_OF_ETH_SRC[] -> ."
    ),
    Parser(
        "datapath key", parse_key, (TextError,), "in_port(1) , eth( src= ) eth_type(0x800) ipv4( tunnel( /"
    ),
    Parser(
        "tunnel",
        tunnel,
        (TunnelError,),
        "remote_ip local_ip erspan_idx erspan_dir erspan_ver erspan_hwid key tos ttl dst_port payload_type exts "
        "egress_pkt_mark packet_type = , 1 -1 0x flow " + "9" * 5000,
    ),
    Parser("ciphers", ciphers_fault, (), "HIGH : ! @SECLEVEL=1 + , AES"),
    Parser(
        "datapath actions", parse_datapath_actions, (TextError,), "1 , set( ipv4( ) push_vlan( vid=5 recirc("
    ),
)
BYTES = (
    Parser("certificates", lambda data: certificate_faults(b"-----BEGIN CERTIFICATE-----\n" + data), ()),
    Parser("private key", lambda data: key_fault(b"-----BEGIN PRIVATE KEY-----\nMA" + data), ()),
    Parser("packet", parse, ()),
    Parser("membership", read_membership, ()),
    Parser("database file", lambda data: load(data, "file", lambda: "0" * 36), (OvsdbError,)),
    Parser("log records", lambda data: list(read_records(data, "file")), (OvsdbError,)),
    Parser("OpenFlow", conversation, ()),
    Parser("JSON stream", lambda data: JsonStream().feed(data), (JsonError,)),
)
JSON = (
    Parser("schema", Schema.from_json, (OvsdbError,)),
    Parser("condition", lambda json: parse_where(PORT, json), (OvsdbError,)),
    Parser("mutation", lambda json: parse_mutation(PORT, json), (OvsdbError,)),
    Parser("message", message, (MessageError,)),
)
HEADS = [b"", b"OVSDB JSON 5 ", b"\x04\x0e\x00\x40", b"\x01\x00\x00\x08", bytes(12) + b"\x08\x00\x45"]
WORDS = st.sampled_from(
    ["name", "tag", "trunks", "==", "!=", "includes", "+=", "insert", "set", "map", "uuid", "x"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


def attempt(parser: Parser, value: object) -> None:
    try:
        parser.run(value)
    except parser.refuses:
        pass


@pytest.mark.parametrize("parser", TEXT, ids=lambda parser: parser.name)
def test_text(parser: Parser) -> None:
    known = st.lists(st.sampled_from(parser.words.split()) | st.text(max_size=3), max_size=8).map("".join)

    @settings(max_examples=150, deadline=None)
    @given(st.text(max_size=40) | known)
    def check(text: str) -> None:
        attempt(parser, text)

    check()


@pytest.mark.parametrize("parser", BYTES, ids=lambda parser: parser.name)
def test_bytes(parser: Parser) -> None:
    @settings(max_examples=300, deadline=None)
    @given(st.sampled_from(HEADS), st.binary(max_size=120))
    def check(head: bytes, data: bytes) -> None:
        attempt(parser, head + data)

    check()


@pytest.mark.parametrize("parser", JSON, ids=lambda parser: parser.name)
def test_json(parser: Parser) -> None:
    @settings(max_examples=200, deadline=None)
    @given(VALUES)
    def check(value: object) -> None:
        attempt(parser, value)

    check()
