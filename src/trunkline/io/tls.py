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

from trunkline.base.log import ERR, INFO, WARN, Log, RateLimit
from trunkline.io.tls_files import certificate_faults, ciphers_fault, key_fault

if TYPE_CHECKING:
    import ssl


class TlsFiles(NamedTuple):
    """File names and lists of words; None is not given, "" is complained of.  `ca_certificate` "none"
    switches the check of the peer off.

    `bootstrap_ca_certificate` takes the place of `ca_certificate`; if its file is not there, the CA's
    certificate is to be fetched from the peer.  `peer_ca_certificate` holds certificates to send after
    ours.
    """

    private_key: str | None = None
    certificate: str | None = None
    ca_certificate: str | None = None
    protocols: str | None = None
    ciphers: str | None = None
    bootstrap_ca_certificate: str | None = None
    peer_ca_certificate: str | None = None


Line = tuple[int, str]  # level and text, for module stream_ssl


class TlsError(OSError):
    """The connection cannot be.  `report` logs `lines`; `complaints` are what is wrong with the settings
    themselves, for who has not said it yet."""

    def __init__(
        self, lines: Sequence[Line], *, number: int = errno.ENOPROTOOPT, complaints: Sequence[Line] = ()
    ) -> None:
        super().__init__(number, os.strerror(number))
        self.lines = lines
        self.complaints = complaints


def report(log: Log, error: OSError) -> None:
    """Logs what a failed connection says of TLS, if it was that."""
    if isinstance(error, TlsError):
        say(log, error.lines)


def say(log: Log, lines: Sequence[Line], limit: RateLimit | None = None) -> None:
    logger = log.module("stream_ssl")
    for level, text in lines:
        logger.message(level, "%s", (text,), limit)


DEFAULT_CIPHERS: Final = "HIGH:!aNULL:!MD5"  # ovs-vswitchd(8), --ssl-ciphers


class Prepared(NamedTuple):
    """A context, and what the original logs of the settings when it reads them, though they do."""

    context: "ssl.SSLContext"
    lines: Sequence[Line]
    trusts: bool = True  # False: the CA certificate could not be read, so there is nobody to trust


def prepare(files: TlsFiles, *, server: bool) -> Prepared:
    """A context for one side.  Raises TlsError: what must be there is not.

    A wrong protocol, cipher list or CA certificate is only complained of, as by the original: the connection
    is then made with the defaults, or fails because nobody can be trusted.
    """
    import ssl

    fetching = bootstraps(files)
    if fetching and server:
        name = files.bootstrap_ca_certificate
        raise TlsError([(ERR, f"{name}: no such file, and only a peer that is dialled can be asked for it")])
    result = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    result.check_hostname = False
    result.verify_mode = ssl.CERT_REQUIRED
    lines = [*_protocols(result, files.protocols), *_ciphers(result, files.ciphers)]
    wrong, missing = _own(result, files)
    authority = files.bootstrap_ca_certificate or files.ca_certificate
    trusting = _authority(result, authority) if authority and not fetching else []
    lines += [*wrong, *trusting]
    if not authority:
        missing.append((ERR, "CA certificate must be configured to use SSL"))
    if missing:
        raise TlsError(missing, complaints=lines)
    if fetching or authority == "none":
        result.verify_mode = ssl.CERT_NONE
    return Prepared(result, lines, all(level != ERR for level, _ in trusting))


def complaints(files: TlsFiles) -> list[Line]:
    """What ovsdb-server logs of the settings when it takes them up, whether TLS is in use or not."""
    order = (
        ("peer-ca-cert", files.peer_ca_certificate),
        ("certificate", files.certificate),
        ("private-key", files.private_key),
        ("bootstrap-ca-cert", files.bootstrap_ca_certificate),
        ("ca-cert", None if files.bootstrap_ca_certificate else files.ca_certificate),
        ("ssl-protocols", files.protocols),
        ("ssl-ciphers", files.ciphers),
    )
    return [line for name, value in order if value is not None for line in option_lines(name, value)]


def option_lines(name: str, value: str) -> list[Line]:
    """What the originals log of one option (``private-key`` and so on) as soon as they meet it: only of the
    option, not of what goes with what."""
    import ssl

    given = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    given.check_hostname = False
    if name == "private-key":
        return [*_stat_failed(value), *_said("SSL_use_PrivateKey_file", _no_key(value))]
    if name == "certificate":
        wrong = _no_certificate(value) or _refused(given, value)
        return [*_stat_failed(value), *_said("SSL_use_certificate_file", wrong)]
    if name == "ssl-protocols":
        return _protocols(given, value)
    if name == "ssl-ciphers":
        return _ciphers(given, value)
    if name == "peer-ca-cert":
        return _peer_authority(given, value)
    if name == "bootstrap-ca-cert" and value != "none" and not os.path.exists(value):
        lost = _stat_failed(value)
        return [*lost, *_authority(given, value)] if lost else []  # else it is to be fetched
    return [*_stat_failed(value), *_authority(given, value)]


def _said(function: str, wrong: str | None) -> list[Line]:
    return [(ERR, f"{function}: {wrong}")] if wrong else []


NEEDED: Final = "must be configured"  # said when a connection is wanted, each time


def _authority(result: "ssl.SSLContext", name: str) -> list[Line]:
    """Trusts the CA certificates in a file, or "none"; says what is wrong with that."""
    if name == "none":
        return [(WARN, "Peer certificate validation disabled (this is a security risk)")]
    wrong = _no_certificate(name)
    if wrong:
        return [(ERR, f"failed to load client certificates from {name}: {wrong}")]
    try:
        result.load_verify_locations(name)
    except OSError as error:
        wrong = certificate_faults(_content(name))[1] or error_words(error)
    return _said("SSL_CTX_load_verify_locations", wrong)


def _peer_authority(given: "ssl.SSLContext", name: str) -> list[Line]:
    """What is wrong with the certificates to send after ours; `given` is spoilt."""
    try:
        with open(name, "rb"):
            pass
        given.load_verify_locations(name)
    except OSError as error:
        if error.filename is not None:
            return [(ERR, f"failed to open {name} for reading: {error.strerror}")]
        return [(ERR, f"PEM_read_X509 failed reading {name}: {error_words(error)}")]
    return []


def _ciphers(result: "ssl.SSLContext", ciphers: str | None) -> list[Line]:
    import ssl

    try:
        result.set_ciphers(DEFAULT_CIPHERS if ciphers is None else ciphers)
    except ssl.SSLError:
        return _said("SSL_CTX_set_cipher_list", ciphers_fault(ciphers or ""))
    return []


def context(files: TlsFiles, *, server: bool) -> "ssl.SSLContext":
    """`prepare` for who has nowhere to complain to."""
    return prepare(files, server=server).context


def _own(result: "ssl.SSLContext", files: TlsFiles) -> tuple[list[Line], list[Line]]:
    """Loads our key and certificate.  What is wrong with the files, and what is therefore missing."""
    import ssl

    key, certificate = files.private_key, files.certificate
    no_key = None if key is None else _no_key(key)
    no_certificate = None if certificate is None else _no_certificate(certificate)
    wrong = [*_said("SSL_use_PrivateKey_file", no_key), *_said("SSL_use_certificate_file", no_certificate)]
    missing = [(ERR, "Private key must be configured to use SSL")] if no_key or not key else []
    if no_certificate or not certificate:
        missing.append(_NO_CERTIFICATE)
    if missing or not certificate:
        return wrong, missing
    try:
        with _chain(certificate, files.peer_ca_certificate) as chain:
            result.load_cert_chain(chain, key, password=_no_pass_phrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            none = _words("SSL", "NO_PRIVATE_KEY_ASSIGNED")
            return [], [(ERR, f"Private key does not match certificate public key: {none}")]
        return [(ERR, f"SSL_use_certificate_file: {error_words(error)}")], [_NO_CERTIFICATE]
    except OSError as error:
        text = f"failed to load client certificates from {files.peer_ca_certificate}: {error_words(error)}"
        return [(ERR, text)], [_NO_CERTIFICATE]
    return [], []


_NO_CERTIFICATE: Final = (ERR, "Certificate must be configured to use SSL")


def _no_key(name: str) -> str | None:
    """Why a file is no private key, in the words of the library; None if it is one."""
    wrong = _unreadable(name)
    return wrong or key_fault(_content(name))


def _no_certificate(name: str) -> str | None:
    """Why a file holds no certificate, if so."""
    return _unreadable(name) or certificate_faults(_content(name))[0]


def _refused(given: "ssl.SSLContext", name: str) -> str | None:
    """Why the library would not show this certificate to a peer; `given` is spoilt."""
    import ssl

    try:
        given.load_cert_chain(name, password=_no_pass_phrase)
    except ssl.SSLError as error:  # that no key is with it is none of the certificate's
        return error_words(error) if error.reason in _REFUSED else None
    return None


_REFUSED: Final = ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK", "UNKNOWN_CERTIFICATE_TYPE")


def _no_pass_phrase() -> bytes:
    """Nobody is asked: a daemon has no terminal."""
    return b""


def _stat_failed(name: str) -> list[Line]:
    """What the originals say of a name under which there cannot be a file."""
    try:
        if name != "none":
            os.stat(name)
    except FileNotFoundError:
        pass
    except OSError as error:
        return [(ERR, f"{name}: stat failed ({error.strerror})")]
    return []


def _content(name: str) -> bytes:
    try:
        with open(name, "rb") as file:
            return file.read()
    except IsADirectoryError:
        return b""


def _unreadable(name: str) -> str | None:
    """Why a file cannot be read, in the words of the library; None if it can."""
    try:
        _content(name)
    except OSError as error:
        return error_words(error)
    return None


_VERSIONS: Final = {"tlsv1": "OP_NO_TLSv1", "tlsv1.1": "OP_NO_TLSv1_1", "tlsv1.2": "OP_NO_TLSv1_2"}


def _protocols(result: "ssl.SSLContext", protocols: str | None) -> list[Line]:
    """Allows only the versions that ``--ssl-protocols`` names; without it, all that the library's security
    level lets pass."""
    import ssl

    result.options |= ssl.OP_NO_SSLv3
    names = [] if protocols is None else protocols.lower().replace(",", " ").split()
    if protocols is not None and not names:
        return [(ERR, "SSL protocol settings invalid")]
    unknown = [name for name in (protocols or "").replace(",", " ").split() if name.lower() not in _VERSIONS]
    if unknown:
        return [(ERR, f"{unknown[0]}: SSL protocol not recognized")]
    result.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    if names:
        result.options |= ssl.OP_NO_TLSv1_3
        for version, option in _VERSIONS.items():
            if version not in names:
                result.options |= getattr(ssl, option)
    return []


def error_words(error: OSError) -> str:
    """An error as OpenSSL prints it: ``error:0A000086:SSL routines::certificate verify failed``."""
    import ssl

    if isinstance(error, ssl.SSLError) and error.reason == "NO_CERTIFICATE_OR_CRL_FOUND":
        return _words("PEM", "NO_START_LINE")  # as the functions say that the original calls
    if isinstance(error, ssl.SSLError) and error.reason:
        return _words(error.library or "SSL", error.reason)
    if isinstance(error, ssl.SSLEOFError):
        return _words("SSL", _EOF)
    number = error.errno or errno.EIO
    if isinstance(error, ssl.SSLError):  # another library's, of which Python tells no more
        return f"error:0488{number & 0xFFFF:04X}:PEM routines::PEM lib"
    return f"error:{0x80000000 | number:08X}:system library::{os.strerror(number)}"


def _words(library: str, reason: str) -> str:
    import _ssl

    group, code = _ssl.err_names_to_codes.get(reason, (20, 0))
    text = reason.lower().replace("_", " ")
    return f"error:{group << 23 | code:08X}:{library} routines::{text}"


@contextmanager
def _chain(certificate: str, peers: str | None) -> Iterator[str]:
    """The name of a file with our certificate and those to send after it.  Raises OSError."""
    if not peers:
        yield certificate
        return
    descriptor = os.memfd_create("certificates")
    try:
        for name in (certificate, peers):
            with open(name, "rb") as file:
                os.write(descriptor, file.read() + b"\n")
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


# -- the CA certificate of the peer ------------------------------------------------------------------------


def bootstraps(files: TlsFiles) -> bool:
    """Whether the CA certificate is still to be fetched from the peer."""
    name = files.bootstrap_ca_certificate
    return bool(name) and name != "none" and not os.path.exists(str(name))


def bootstrap(files: TlsFiles, connected: "ssl.SSLSocket | ssl.SSLObject") -> TlsError:
    """Saves the peer's CA certificate after the handshake; gives what to raise: the connection is to end."""
    name = str(files.bootstrap_ca_certificate)
    wrong = "could not bootstrap CA cert: "
    chain = _peer_chain(connected)
    if not chain:
        return TlsError([(ERR, wrong + "no certificate presented by peer")], number=errno.EPROTO)
    last = chain[-1]
    about = last.get_info()
    if about["subject"] != about["issuer"]:
        lines = [wrong + "obtained certificate is not self-signed (subject issuer mismatch)"]
        if len(chain) == 1:
            lines.append(
                "only one certificate was received, so probably the peer is not configured to send its CA "
                "certificate"
            )
        return TlsError([(ERR, line) for line in lines], number=errno.EPROTO)
    text: str = last.public_bytes()  # PEM
    try:
        descriptor = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o444)
    except FileExistsError:
        return TlsError([], number=errno.EPROTO)  # another connection was quicker
    except OSError as error:
        number = error.errno or errno.EIO
        return TlsError([(ERR, f"{wrong}creating {name} failed: {os.strerror(number)}")], number=number)
    with open(descriptor, "w") as file:
        file.write(text)
    trusted = f"Trusting CA cert from {name} ({_subject(about)}) (fingerprint {_fingerprint(text)})"
    notices = [
        f"successfully bootstrapped CA cert to {name}",
        trusted,
        "killing successful connection to retry using CA cert",
    ]
    return TlsError([(INFO, notice) for notice in notices], number=errno.EPROTO)


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
    """What a failed handshake is to whoever wanted it: "Protocol error", and the reason for the log."""
    import ssl

    if isinstance(error, TlsError):
        return error
    if isinstance(error, ssl.SSLError) or error.errno in (errno.ECONNRESET, errno.EPIPE, None):
        text = error_words(error) if isinstance(error, ssl.SSLError) else _words("SSL", _EOF)
        return TlsError([(WARN, f"{what}: {text}")], number=errno.EPROTO)
    return error


_EOF: Final = "UNEXPECTED_EOF_WHILE_READING"
