"""Records of packets that come up: what is put back, and whose turn it is."""

import pytest

from trunkline.bpf import layout as program
from trunkline.bpf.pending import PATIENCE, Pending
from trunkline.bpf.upcalls import Queues, decode
from trunkline.dpif.provider import FlowPut
from trunkline.flow import key as layout
from trunkline.packet.build import build
from trunkline.packet.checksum import pseudo_header
from trunkline.packet.packet import GSO_TCPV4, NEEDS_CHECKSUM, Offload
from trunkline.packet.parse import parse

KEY, _ = layout.pack(
    dl_type=0x0800, nw_proto=6, nw_src=1, nw_dst=2, tp_src=3, tp_dst=4, dl_src=5, dl_dst=6, nw_ttl=64
)


def record(
    frame: bytes,
    *,
    port: int = 1,
    vlan: int = 0,
    gso: int = 0,
    whole: int = 0,
    cut: int = 0,
    options: bytes = b"",
) -> bytes:
    key = layout.datapath_bytes(parse(frame))
    words = [int.from_bytes(key[at : at + 8], "little") for at in range(0, len(key), 8)]
    length = whole or len(frame) + (4 if vlan else 0)
    room = options.ljust(8 * program.OPTION_WORDS, b"\0")
    words += [int.from_bytes(room[at : at + 8], "little") for at in range(0, len(room), 8)]
    head = (len(frame), length, port, 0, 7, 1, gso, vlan, cut, len(options) // 4)
    return program.UPCALL.packed.pack(*head, *words) + frame


def partial(frame: bytes) -> bytes:
    """Its TCP checksum is left to hardware."""
    total = pseudo_header(frame[26:30], frame[30:34], 6, len(frame) - 34)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return frame[:50] + total.to_bytes(2, "big") + frame[52:]


def test_a_whole_packet_comes_back_as_it_was() -> None:
    frame = build(KEY)
    found = decode(record(frame, port=9))
    assert (found.port, found.argument, found.packet.frame, found.packet.offload) == (9, 7, frame, None)
    assert found.key == parse(frame)


def test_options_of_a_tunnel_come_back() -> None:
    frame, options = build(KEY), bytes(range(12))
    key = decode(record(frame, options=options)).key
    assert layout.get(key, "tun_options_length") == 3
    assert layout.get(key, "tun_options").to_bytes(256, "big") == options.ljust(256, b"\0")
    assert key & layout.DATAPATH == parse(frame)


def test_the_tag_beside_the_packet_is_put_back() -> None:
    frame = build(KEY)
    found = decode(record(frame, vlan=0x88A8F005)).packet.frame
    assert found == frame[:12] + b"\x88\xa8\xf0\x05" + frame[12:]


@pytest.mark.parametrize("tag", [0, 4])
def test_an_unfinished_checksum_is_seen(tag: int) -> None:
    frame = partial(build(KEY))
    offload = decode(record(frame, vlan=0x81000001 if tag else 0)).packet.offload
    assert offload == Offload(NEEDS_CHECKSUM, 0, 0, 0, 34 + tag, 16)
    large = decode(record(frame, gso=1000, vlan=0x81000001 if tag else 0)).packet.offload
    assert large == Offload(NEEDS_CHECKSUM, GSO_TCPV4, 54 + tag, 1000, 34 + tag, 16)


def test_a_truncated_packet_has_nothing_left_to_do() -> None:
    frame = partial(build(KEY))
    packet = decode(record(frame, whole=20, cut=1)).packet
    assert (packet.frame, packet.offload) == (frame[:20], None)


def test_ports_take_turns() -> None:
    queues = Queues()
    frame = build(KEY)
    queues.put([record(frame, port=1)] * 3 + [record(frame, port=2)] * 2 + [record(frame, port=3)])
    assert [decode(queues.take()).port for _ in range(6)] == [1, 2, 3, 1, 2, 1]
    assert (queues.waiting, queues.bytes) == (0, 0)
    with pytest.raises(IndexError):
        queues.take()


def test_new_flows_wait_for_the_packets_before_them_but_not_for_ever() -> None:
    pending = Pending()
    flows = [
        FlowPut(ufid, layout.put(0, "dp_in_port", port), 0, ()) for ufid, port in ((1, 5), (2, 5), (3, 6))
    ]
    for flow in flows:
        pending.put(flow, 100.0)
    assert pending.due({5, 6}, 100.0) == []
    assert pending.due({5}, 100.0) == [flows[2]]
    pending.delete(1)
    assert pending.due({5}, 100.0 + 2 * PATIENCE) == [flows[1]]
    assert not pending
