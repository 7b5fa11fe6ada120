"""One OpenFlow connection as a state machine without I/O: bytes in, messages out, and the other way.

Whoever owns a socket feeds what it reads and writes what `to_send` returns.  The connection itself says
hello, agrees on a version, answers echo requests, and answers what it cannot decode with the error that the
specification names; none of that reaches the owner.  What arrives never raises: a peer that is beyond
understanding (a length under 8, no common version) ends the connection, `closed` then says why.

    connection = Connection(versions=1 << 1 | 1 << 4)
    connection.feed(data)                      # -> list[Received]
    connection.send(message, xid=received.xid) # encodes in the agreed version
    connection.to_send()                       # -> bytes for the socket
"""

from typing import NamedTuple

from trunkline.openflow.messages import Message


class Received(NamedTuple):
    """A decoded message.  `raw` is its bytes as they came, header included, for an Error's `data`."""

    xid: int
    message: Message
    raw: bytes


class Connection:
    """`version` is the agreed wire version (1 is OpenFlow 1.0, 4 is 1.3), 0 until both hellos are there.

    `versions` are the allowed ones, a bitmap as in `messages.Hello`.
    """

    version: int
    closed: str | None
    flow_format: int  # of OpenFlow 1.0: 0, or 2 once NXT_SET_FLOW_FORMAT asked for NXM (kept by the connection)
    flow_mod_table_id: bool  # as NXT_FLOW_MOD_TABLE_ID set it (kept by the connection)
    packet_in_format: int  # as NXT_SET_PACKET_IN_FORMAT set it (kept by the connection)

    def __init__(self, versions: int) -> None:
        raise NotImplementedError

    def feed(self, data: bytes) -> list[Received]:
        """Takes bytes from the peer; returns the messages that they complete.  Never raises."""
        raise NotImplementedError

    def send(self, message: Message, xid: int | None = None) -> int:
        """Queues `message` in the agreed version; without `xid` takes a fresh one.  Returns the xid.

        Raises EncodeError when the agreed version cannot carry it, with nothing queued.
        """
        raise NotImplementedError

    def refuse(self, received: Received, error: str) -> None:
        """Queues the Error named `error` for a message that came."""
        raise NotImplementedError

    def to_send(self) -> bytes:
        """What is to be written to the socket now; each byte is returned once."""
        raise NotImplementedError
