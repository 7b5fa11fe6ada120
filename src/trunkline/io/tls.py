"""TLS settings: the private key, the certificate and the CA that ``ssl:`` and ``pssl:`` need.

They come from the command line (``-p``, ``-c``, ``-C``) or from the database's SSL table, and may change
while a daemon runs, so a `TlsFiles` is a value: a context is made of the files for each connection.
"""

import errno
import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import ssl


class TlsFiles(NamedTuple):
    """File names, "" for none.  `ca_certificate` "none" switches the check of the peer off.

    `bootstrap_ca_certificate` takes the place of `ca_certificate`; if its file is not there, the CA's
    certificate is to be fetched from the peer.
    """

    private_key: str = ""
    certificate: str = ""
    ca_certificate: str = ""
    protocols: str = ""
    ciphers: str = ""
    bootstrap_ca_certificate: str = ""


class TlsError(OSError):
    """The settings do not do; `lines` are what the log says about each."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
        self.lines = lines


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
    if files.bootstrap_ca_certificate:
        files = files._replace(ca_certificate=files.bootstrap_ca_certificate)
        if not os.path.exists(files.ca_certificate):
            text = f"{files.ca_certificate}: no such file, and fetching it from the peer is not there yet"
            raise TlsError([text])
    import ssl

    result = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    result.check_hostname = False
    result.verify_mode = ssl.CERT_NONE if files.ca_certificate == "none" else ssl.CERT_REQUIRED
    try:
        result.minimum_version = _oldest(files.protocols)
        if files.ciphers:
            result.set_ciphers(files.ciphers)
        result.load_cert_chain(files.certificate, files.private_key)
        if files.ca_certificate != "none":
            result.load_verify_locations(files.ca_certificate)
    except (OSError, ValueError) as error:
        raise TlsError([f"cannot use the key, certificate or CA certificate: {error}"]) from None
    return result


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
