"""Numbered datagrams from one machine to another, for tests that count what is lost.

``stream.py send ADDRESS RATE``: for ever, to port 9; ``stream.py receive``: until a line comes on standard
input, then prints how many numbers are missing between the first and the last that came, how many came, and
the longest pause in milliseconds.
"""

import select
import socket
import sys
import time

_BUFFER = 16 << 20


def send(address: str, rate: float) -> None:
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.connect((address, 9))
    start, number = time.monotonic(), 0
    while True:
        delay = start + number / rate - time.monotonic()
        if delay > 0:
            time.sleep(delay)
        try:
            sender.send(number.to_bytes(8, "big").ljust(64))
        except ConnectionRefusedError:  # nobody listens yet
            pass
        number += 1


def receive() -> None:
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.setsockopt(socket.SOL_SOCKET, 33, _BUFFER)  # SO_RCVBUFFORCE
    receiver.bind(("", 9))
    print("ready", flush=True)
    numbers: set[int] = set()
    pause, last = 0.0, None
    while True:
        ready, _, _ = select.select([receiver, sys.stdin], [], [])
        if receiver in ready:
            now = time.monotonic()
            numbers.add(int.from_bytes(receiver.recv(100)[:8], "big"))
            pause = max(pause, now - last) if last is not None else 0.0
            last = now
        elif sys.stdin in ready:
            break
    missing = max(numbers) - min(numbers) + 1 - len(numbers) if numbers else -1
    print(missing, len(numbers), round(pause * 1000), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "send":
        send(sys.argv[2], float(sys.argv[3]))
    else:
        receive()
