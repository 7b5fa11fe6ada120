"""TLS settings: the private key, the certificate and the CA that ``ssl:`` and ``pssl:`` need.

They come from the command line (``-p``, ``-c``, ``-C``) or from the database's SSL table, and may change
while a daemon runs, so a `TlsFiles` is a value: a context is made of the files for each connection.

``--bootstrap-ca-cert`` trusts the first peer: while its file is not there, a connection that *we* open is
made without checking the peer, whose CA certificate, the last of the chain that it sends, goes into the file;
the connection itself is dropped, and the next one is checked (`bootstrap`).  Python shows a peer's chain
from 3.13 on; before, the object under its SSL objects does (docs/design/dependencies.md).
"""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from trunkline.base.log import Log

if TYPE_CHECKING:
    import ssl


class TlsFiles(NamedTuple):
    """File names, "" for none.  `ca_certificate` "none" switches the check of the peer off.

    `bootstrap_ca_certificate` takes the place of `ca_certificate`; if its file is not there, the CA's
    certificate is to be fetched from the peer.  `peer_ca_certificate` holds certificates to send after
    ours.
    """

    private_key: str = ""
    certificate: str = ""
    ca_certificate: str = ""
    protocols: str = ""
    ciphers: str = ""
    bootstrap_ca_certificate: str = ""
    peer_ca_certificate: str = ""


class TlsError(OSError):
    """The connection cannot be.  `report` logs `lines` at ERR and `notices` at INFO."""

    def __init__(
        self, lines: Sequence[str], *, number: int = errno.ENOPROTOOPT, notices: Sequence[str] = ()
    ) -> None:
        super().__init__(number, os.strerror(number))
        self.lines = lines
        self.notices = notices


def report(log: Log, error: OSError) -> None:
    """Logs what a failed connection says of TLS, if it was that."""
    if isinstance(error, TlsError):
        logger = log.module("stream_ssl")
        for line in error.notices:
            logger.info("%s", line)
        for line in error.lines:
            logger.err("%s", line)


def missing(files: TlsFiles) -> list[str]:
    """What must be configured first, in the original's words."""
    wanted = (
        ("Private key", files.private_key),
        ("Certificate", files.certificate),
        ("CA certificate", files.ca_certificate or files.bootstrap_ca_certificate),
    )
    return [f"{what} must be configured to use SSL" for what, name in wanted if not name]


def context(files: TlsFiles, *, server: bool) -> "ssl.SSLContext":
    """A context for one side.  Raises TlsError."""
    lines = missing(files)
    if lines:
        raise TlsError(lines)
    fetching = bootstraps(files)
    if fetching and server:
        name = files.bootstrap_ca_certificate
        raise TlsError([f"{name}: no such file, and only a peer that is dialled can be asked for it"])
    authority = files.bootstrap_ca_certificate or files.ca_certificate
    import ssl

    result = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    result.check_hostname = False
    result.verify_mode = ssl.CERT_NONE if fetching or authority == "none" else ssl.CERT_REQUIRED
    try:
        result.minimum_version = _oldest(files.protocols)
        if files.ciphers:
            result.set_ciphers(files.ciphers)
        with _chain(files) as chain:
            result.load_cert_chain(chain, files.private_key)
        if not fetching and authority != "none":
            result.load_verify_locations(authority)
    except (OSError, ValueError) as error:
        raise TlsError([f"cannot use the key, certificate or CA certificate: {error}"]) from None
    return result


@contextmanager
def _chain(files: TlsFiles) -> Iterator[str]:
    """The name of a file with our certificate and those to send after it.  Raises OSError."""
    if not files.peer_ca_certificate:
        yield files.certificate
        return
    descriptor = os.memfd_create("certificates")
    try:
        for name in (files.certificate, files.peer_ca_certificate):
            with open(name, "rb") as file:
                os.write(descriptor, file.read() + b"\n")
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


# -- the CA certificate of the peer ------------------------------------------------------------------------


def bootstraps(files: TlsFiles) -> bool:
    """Whether the CA certificate is still to be fetched from the peer."""
    name = files.bootstrap_ca_certificate
    return bool(name) and not os.path.exists(name)


def bootstrap(files: TlsFiles, connected: "ssl.SSLSocket | ssl.SSLObject") -> TlsError:
    """Saves the peer's CA certificate after the handshake; gives what to raise: the connection is to end."""
    name = files.bootstrap_ca_certificate
    wrong = "could not bootstrap CA cert: "
    chain = _peer_chain(connected)
    if not chain:
        return TlsError([wrong + "no certificate presented by peer"], number=errno.EPROTO)
    last = chain[-1]
    about = last.get_info()
    if about["subject"] != about["issuer"]:
        lines = [wrong + "obtained certificate is not self-signed (subject issuer mismatch)"]
        if len(chain) == 1:
            lines.append(
                "only one certificate was received, so probably the peer is not configured to send its CA "
                "certificate"
            )
        return TlsError(lines, number=errno.EPROTO)
    text: str = last.public_bytes()  # PEM
    try:
        descriptor = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o444)
    except FileExistsError:
        return TlsError([], number=errno.EPROTO)  # another connection was quicker
    except OSError as error:
        number = error.errno or errno.EIO
        return TlsError([f"{wrong}creating {name} failed: {os.strerror(number)}"], number=number)
    with open(descriptor, "w") as file:
        file.write(text)
    trusted = f"Trusting CA cert from {name} ({_subject(about)}) (fingerprint {_fingerprint(text)})"
    notices = [
        f"successfully bootstrapped CA cert to {name}",
        trusted,
        "killing successful connection to retry using CA cert",
    ]
    return TlsError([], number=errno.EPROTO, notices=notices)


def _peer_chain(connected: Any) -> Sequence[Any]:
    """The certificates that the peer sent, its own first, as objects of the interpreter's ``_ssl``."""
    return connected._sslobj.get_unverified_chain() or ()


_SHORT: Final = {
    "commonName": "CN",
    "countryName": "C",
    "stateOrProvinceName": "ST",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
}


def _subject(about: Any) -> str:
    """Whose certificate it is: ``/C=US/CN=name``."""
    return "".join(f"/{_SHORT.get(name, name)}={value}" for part in about["subject"] for name, value in part)


def _fingerprint(pem: str) -> str:
    import base64
    import hashlib

    body = "".join(line for line in pem.splitlines() if not line.startswith("-----"))
    digest = hashlib.sha1(base64.b64decode(body), usedforsecurity=False).hexdigest()
    return ":".join(digest[place : place + 2] for place in range(0, len(digest), 2))


def handshake_error(error: OSError, what: str) -> OSError:
    """What a failed handshake is to whoever dialled: "Protocol error", and the reason for the log."""
    import ssl

    if not isinstance(error, ssl.SSLError):
        return error
    reason = (error.reason or str(error)).lower().replace("_", " ")
    return TlsError([f"{what}: {reason}"], number=errno.EPROTO)


def _oldest(protocols: str) -> "ssl.TLSVersion":
    """The oldest version that ``--ssl-protocols`` names.  Raises ValueError."""
    import ssl

    versions = {
        "tlsv1": ssl.TLSVersion.TLSv1,
        "tlsv1.1": ssl.TLSVersion.TLSv1_1,
        "tlsv1.2": ssl.TLSVersion.TLSv1_2,
    }
    names = protocols.replace(",", " ").lower().split()
    unknown = [name for name in names if name not in versions]
    if unknown:
        raise ValueError(f"{unknown[0]}: SSL protocol not recognized")
    return min((versions[name] for name in names), default=ssl.TLSVersion.TLSv1_2)
