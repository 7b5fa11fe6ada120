"""Errors as OVSDB reports them: a tag that programs read, details for a person, and the JSON to blame.

RFC 7047 section 3.1 defines the object on the wire: ``{"error": tag, "details": text}``; the originals add
the offending JSON, as text, in ``"syntax"``.
"""

from typing import Final

from trunkline.base.json import Json, dumps

SYNTAX: Final = "syntax error"
CONSTRAINT: Final = "constraint violation"
UNKNOWN_COLUMN: Final = "unknown column"
UNKNOWN_TABLE: Final = "unknown table"
INTERNAL: Final = "ovsdb error"  # what the originals say where no tag was thought of


class OvsdbError(Exception):
    """`error` is the tag; `syntax` the JSON text of the place, or None."""

    def __init__(self, error: str, details: str, syntax: str | None = None) -> None:
        super().__init__(details)
        self.error = error
        self.details = details
        self.syntax = syntax

    def to_json(self) -> dict[str, Json]:
        """The object on the wire."""
        shown: dict[str, Json] = {"error": self.error, "details": self.details}
        if self.syntax is not None:
            shown["syntax"] = self.syntax
        return shown

    def __str__(self) -> str:
        """One line, as the original tools print it: ``syntax "...": syntax error: details``."""
        place = f'syntax "{self.syntax}": ' if self.syntax is not None else ""
        return f"{place}{self.error}: {self.details}"


class FileError(OvsdbError):
    """A file could not be read or written.  `reason` is the system's word for why.

    `fatal`: what is on the disk is not known any more, so nothing may be acknowledged after it.
    `logged`: the words for the log (module ovsdb_log), which name the file in full; "" for none.
    """

    def __init__(self, details: str, reason: str, *, fatal: bool = False, logged: str = "") -> None:
        super().__init__("I/O error", details)
        self.reason = reason
        self.fatal = fatal
        self.logged = f"{logged} ({reason})" if logged else ""

    def to_json(self) -> dict[str, Json]:
        return {**super().to_json(), "io-error": self.reason}

    def __str__(self) -> str:
        return f"{self.error}: {self.details} ({self.reason})"


class ClusteredError(OvsdbError):
    """A file of a clustered database, where a standalone one is wanted."""

    def __init__(self, name: str) -> None:
        super().__init__(INTERNAL, f"{name}: cannot apply this operation to clustered database file")


def syntax_error(json: Json, details: str) -> OvsdbError:
    """An error about the form of `json`, which it quotes with sorted members as the originals do."""
    return OvsdbError(SYNTAX, details, dumps(json, sort_keys=True))
