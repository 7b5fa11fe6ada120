"""Frames in and out of a device with what is left to hardware; a JSON list a line: [frame in hex, offload].

``wire.py send DEVICE`` sends what comes on standard input; ``wire.py receive DEVICE`` prints the frames whose
source address begins with 02:77.
"""

import json
import select
import socket
import sys

from trunkline.io.netdev.packet_socket import PacketSocket
from trunkline.packet.packet import Offload, Packet


def send(packets: PacketSocket) -> None:
    for line in sys.stdin:
        frame, offload = json.loads(line)
        packets.transmit(Packet(bytes.fromhex(frame), Offload(*offload) if offload else None))


def receive(packets: PacketSocket) -> None:
    while True:
        select.select([packets.fileno()], [], [])
        for frame, offload in packets.receive():
            if frame[6:8] == b"\x02\x77":
                print(json.dumps([frame.hex(), offload]), flush=True)


def main() -> None:
    packets = PacketSocket(socket.if_nametoindex(sys.argv[2]))
    if sys.argv[1] == "send":
        send(packets)
    else:
        print("ready", flush=True)
        receive(packets)


if __name__ == "__main__":
    main()
