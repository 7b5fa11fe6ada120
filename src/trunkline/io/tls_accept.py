"""The server's side of a TLS handshake on an asyncio transport.

asyncio's own `loop.start_tls` closes the connection when a handshake fails, before the alert that says why
has left; then the peer can only report that the connection ended.  Here the alert is sent.  And what the peer
said first is kept, for the commonest mistake is a peer that speaks no TLS at all.
"""

import asyncio
from asyncio import sslproto
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl


class _Accepting(sslproto.SSLProtocol):
    """The library's protocol, with the two additions."""

    first = b""

    def buffer_updated(self, nbytes: int) -> None:
        if not self.first:
            self.first = bytes(self._ssl_buffer_view[: min(nbytes, 8)])  # type: ignore[attr-defined]
        super().buffer_updated(nbytes)

    def _on_handshake_complete(self, handshake_exc: BaseException | None) -> None:
        if handshake_exc is not None:
            self._process_outgoing()  # type: ignore[attr-defined]
        super()._on_handshake_complete(handshake_exc)


class Refused(Exception):
    """The handshake failed for `error`; `first` is what the peer began with."""

    def __init__(self, error: OSError, first: bytes) -> None:
        super().__init__(str(error))
        self.error = error
        self.first = first


async def accept_tls(
    transport: asyncio.Transport, protocol: asyncio.BaseProtocol, security: "ssl.SSLContext"
) -> asyncio.Transport:
    """A transport within TLS, over `transport`, whose reading must be paused.  Raises Refused."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[Any] = loop.create_future()
    secured = _Accepting(
        loop, protocol, security, waiter, server_side=True, server_hostname=None, call_connection_made=False
    )
    transport.set_protocol(secured)
    loop.call_soon(secured.connection_made, transport)
    loop.call_soon(transport.resume_reading)
    try:
        await waiter
    except OSError as error:
        transport.close()
        raise Refused(error, secured.first) from None
    except BaseException:
        transport.abort()
        raise
    inner = secured._app_transport
    assert isinstance(inner, asyncio.Transport)
    return inner
