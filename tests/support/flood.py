"""Datagrams of flows that nobody has seen, as fast as they go; and such as somebody waits for.

``flood.py flood``: out of eth0 to UDP port 7, each from another address, for a minute at most.
``flood.py answer``: answers what comes to port 7.
``flood.py ask ADDRESS COUNT``: a datagram from each of COUNT ports, again every half second until all are
answered, for SECONDS (environment) at most; prints how many were.
"""

import os
import select
import socket
import sys
import time

_HEADERS = bytes.fromhex(
    "02000000000302000000000108004500002e00004000401100000b0000000a09090904000007001a0000"
)
_SOURCE = 26  # where the sender's address stands


def flood() -> None:
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind(("eth0", 0))
    before, behind = _HEADERS[:_SOURCE], _HEADERS[_SOURCE + 4 :] + bytes(18)
    number, end = 0x0B000000, time.monotonic() + 60
    print("ready", flush=True)
    while time.monotonic() < end:
        for _ in range(64):
            number += 1
            try:
                out.send(before + number.to_bytes(4, "big") + behind)
            except OSError:  # no room just now
                time.sleep(0.001)


def answer() -> None:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("", 7))
    print("ready", flush=True)
    while True:
        data, who = one.recvfrom(100)
        one.sendto(data, who)


def ask(address: str, count: int) -> None:
    left = {}
    for number in range(count):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind(("", 20000 + number))
        one.connect((address, 7))
        left[one.fileno()] = one
    end = time.monotonic() + float(os.environ["SECONDS"])
    while left and time.monotonic() < end:
        for one in left.values():
            one.send(b"?")
        again = time.monotonic() + 0.5
        while left and (delay := again - time.monotonic()) > 0:
            for ready in select.select(list(left), [], [], delay)[0]:
                left.pop(ready).close()
    print(count - len(left), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "flood":
        flood()
    elif sys.argv[1] == "answer":
        answer()
    else:
        ask(sys.argv[2], int(sys.argv[3]))
