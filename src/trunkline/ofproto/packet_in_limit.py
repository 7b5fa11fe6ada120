"""How many packets a second a controller is sent: a token bucket with a fair queue behind it.

Packets that no flow matched and packets that an action sent are limited each by itself.  While there are
tokens a packet goes at once; then packets wait, for each port in a queue of its own, and leave in turns.
When `burst` packets wait in all, the longest queue loses its oldest (ovs-vswitchd.conf.db(5), Controller:
controller_rate_limit, controller_burst_limit).
"""

from collections import deque
from typing import Final

from trunkline.openflow.messages import PacketIn

KINDS: Final = ("miss", "action")


class _Bucket:
    __slots__ = ("backlog", "bypassed", "dropped", "queued", "queues", "since", "tokens", "turns")

    def __init__(self, tokens: float, now: float) -> None:
        self.tokens = tokens
        self.since = now
        self.queues: dict[int, deque[PacketIn]] = {}
        self.turns: deque[int] = deque()  # ports in whose queues something waits
        self.bypassed = self.queued = self.dropped = self.backlog = 0


class PacketInLimiter:
    """`rate` packets a second and kind, `burst` packets that may wait or go at once after a pause."""

    __slots__ = ("_buckets", "burst", "rate")

    def __init__(self, rate: int, burst: int, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self._buckets = [_Bucket(0.1 * burst, now) for _ in KINDS]

    def admit(self, message: PacketIn, port: int, *, miss: bool, now: float) -> bool:
        """Whether `message` is to be sent at once; if not it waits, or pushes out one that waits."""
        bucket = self._buckets[0 if miss else 1]
        self._refill(bucket, now)
        if not bucket.backlog and bucket.tokens >= 1:
            bucket.tokens -= 1
            bucket.bypassed += 1
            return True
        if bucket.backlog >= self.burst:
            self._drop(bucket)
        queue = bucket.queues.setdefault(port, deque())
        if not queue:
            bucket.turns.append(port)
        queue.append(message)
        bucket.queued += 1
        bucket.backlog += 1
        return False

    def ready(self, now: float) -> list[PacketIn]:
        """What has waited long enough."""
        found = []
        for bucket in self._buckets:
            self._refill(bucket, now)
            while bucket.backlog and bucket.tokens >= 1:
                bucket.tokens -= 1
                found.append(self._take(bucket, bucket.turns.popleft()))
        return found

    def next_timer(self, now: float) -> float | None:
        """When the next message that waits may go."""
        waits = [bucket.since + (1 - bucket.tokens) / self.rate for bucket in self._buckets if bucket.backlog]
        return max(now, min(waits)) if waits else None

    def status(self) -> dict[str, str]:
        """The packet-in-TYPE-* keys of Controller:status."""
        return {
            f"packet-in-{kind}-{name}": str(getattr(bucket, name))
            for kind, bucket in zip(KINDS, self._buckets, strict=True)
            for name in ("bypassed", "queued", "dropped", "backlog")
        }

    def _refill(self, bucket: _Bucket, now: float) -> None:
        bucket.tokens = min(float(self.burst), bucket.tokens + (now - bucket.since) * self.rate)
        bucket.since = now

    @staticmethod
    def _take(bucket: _Bucket, port: int) -> PacketIn:
        queue = bucket.queues[port]
        message = queue.popleft()
        bucket.backlog -= 1
        if queue:
            bucket.turns.append(port)
        else:
            del bucket.queues[port]
        return message

    @staticmethod
    def _drop(bucket: _Bucket) -> None:
        port = max(bucket.queues, key=lambda port: len(bucket.queues[port]))
        queue = bucket.queues[port]
        queue.popleft()
        bucket.backlog -= 1
        bucket.dropped += 1
        if not queue:
            del bucket.queues[port]
            bucket.turns.remove(port)
