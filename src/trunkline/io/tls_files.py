"""What is wrong with a file of keys or certificates, in the words of the library that the originals use.

Python says only that something was ("PEM lib"), so the reason is looked for here.  A PEM file (RFC 7468) is
text with blocks of base64 between a BEGIN and an END line; blocks of another kind, and text between them, are
passed over, but a block that is broken ends the search.  What it holds is DER, and begins with a SEQUENCE
as long as the block.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

CERTIFICATES: Final = frozenset(("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"))
NO_KEY: Final = "error:1E08010C:DECODER routines::unsupported"
NO_PASS_PHRASE: Final = "error:1400006B:UI routines::processing error"
_NO_START: Final = "error:0480006C:PEM routines::no start line"
_NO_END: Final = "error:04800066:PEM routines::bad end line"
_NO_BASE64: Final = "error:04800064:PEM routines::bad base64 decode"
_WRONG_TAG: Final = "error:068000A8:asn1 encoding routines::wrong tag"
_BEGIN: Final = re.compile(rb"^-----BEGIN ([^\r\n]*?)-----[ \t]*\r?$", re.MULTILINE)
_ENCRYPTED: Final = (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED")


class _Broken(Exception):
    """The text is the reason."""


def _blocks(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Kind and DER of each block.  Raises _Broken."""
    content = content.removeprefix(b"\xef\xbb\xbf")  # a byte order mark
    at = 0
    while (begin := _BEGIN.search(content, at)) is not None:
        end = re.compile(rb"^-----END %b-----" % re.escape(begin[1]), re.MULTILINE).search(
            content, begin.end()
        )
        if end is None:
            raise _Broken(_NO_END)
        body = content[begin.end() : end.start()]
        if b":" in body:  # headers, as of an encrypted key; an empty line ends them
            body = re.split(rb"\r?\n\r?\n", body, maxsplit=1)[-1]
        try:
            yield begin[1].decode("latin-1"), base64.b64decode(b"".join(body.split()), validate=True)
        except binascii.Error:
            raise _Broken(_NO_BASE64) from None
        at = end.end()


def _is_sequence(data: bytes) -> bool:
    """Whether it is one SEQUENCE, as far as its length tells."""
    if len(data) < 2 or data[0] != 0x30:
        return False
    more = data[1] & 0x7F if data[1] & 0x80 else 0
    length = int.from_bytes(data[2 : 2 + more], "big") if more else data[1]
    return len(data) == 2 + more + length


def certificate_faults(content: bytes) -> tuple[str | None, str | None]:
    """Why there is no first certificate, and why there is not another after it although the file goes on."""
    found = 0
    try:
        for kind, data in _blocks(content):
            if kind in CERTIFICATES:
                if not _is_sequence(data):
                    raise _Broken(_WRONG_TAG)
                found += 1
    except _Broken as broken:
        return (None, str(broken)) if found else (str(broken), None)
    return (None if found else _NO_START), None


def key_fault(content: bytes) -> str | None:
    """Why there is no private key that can be used; nobody is asked for a pass phrase."""
    if any(mark in content for mark in _ENCRYPTED):
        return NO_PASS_PHRASE
    try:
        for kind, data in _blocks(content):
            if kind.endswith("PRIVATE KEY"):
                return None if _is_sequence(data) else NO_KEY
    except _Broken:
        pass
    return NO_KEY


def ciphers_fault(ciphers: str) -> str:
    """Why a list of ciphers that the library does not take is none: it is badly written, or names none."""
    for word in re.split("[:;, ]", ciphers):
        if word and not re.fullmatch(r"[-+!]?(?:[A-Za-z0-9._=-]+|@STRENGTH|@SECLEVEL=[0-5])", word):
            return "error:0A000118:SSL routines::invalid command"
        if word in ("-", "+"):
            return "error:0A000118:SSL routines::invalid command"
    return "error:0A0000B9:SSL routines::no cipher match"
