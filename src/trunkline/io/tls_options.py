"""The options for keys and certificates that programs have, and how they are minded.

The originals look at the files as soon as they meet the option, whether TLS is in use or not, and log what is
wrong; what is missing they say when a connection needs it (io/tls.py, which is loaded only when an option
stands there).
"""

from typing import TYPE_CHECKING, Final

from trunkline.base.log import Log
from trunkline.base.options import Found, Option

if TYPE_CHECKING:
    from trunkline.io.tls import TlsFiles

KEYS: Final = (
    Option("private-key", "required", "p"),
    Option("certificate", "required", "c"),
    Option("ca-cert", "required", "C"),
)
CHOICES: Final = (Option("ssl-protocols", "required"), Option("ssl-ciphers", "required"))
BOOTSTRAP: Final = Option("bootstrap-ca-cert", "required")
PEER: Final = Option("peer-ca-cert", "required")
_FIELDS: Final = {
    "private-key": "private_key",
    "certificate": "certificate",
    "ca-cert": "ca_certificate",
    "ssl-protocols": "protocols",
    "ssl-ciphers": "ciphers",
    "bootstrap-ca-cert": "bootstrap_ca_certificate",
    "peer-ca-cert": "peer_ca_certificate",
}


def files_from(options: Found) -> "TlsFiles":
    """What a command line says, the last of each option."""
    from trunkline.io.tls import TlsFiles

    return TlsFiles(**{_FIELDS[name]: value or "" for name, value in options if name in _FIELDS})


def mind(log: Log, name: str, argument: str | None) -> bool:
    """Logs what is wrong with an option, if it is one of these; whether it was."""
    if name not in _FIELDS:
        return False
    from trunkline.io.tls import option_lines, say

    say(log, option_lines(name, argument or ""))
    return True
