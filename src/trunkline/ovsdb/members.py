"""Members of a JSON object, taken one by one, with the originals' errors for what is missing, wrong or too
much.

The first error counts; members are then still taken, so that what is left over is known.  `finish` raises.
"""

from collections.abc import Iterable
from typing import Final

from trunkline.base.json import Json
from trunkline.ovsdb.atoms import is_id
from trunkline.ovsdb.errors import OvsdbError, syntax_error

_KINDS: Final[dict[str, type]] = {
    "array": list,
    "object": dict,
    "string": str,
    "integer": int,
    "real": float,
    "boolean": bool,
    "id": str,
}
ANY: Final = ("array", "object", "string", "integer", "real", "boolean")


class Members:
    """`what` names the object: "ovsdb operation 1 of 2"."""

    __slots__ = ("error", "json", "taken", "what")

    def __init__(self, json: Json, what: str) -> None:
        self.json = json
        self.what = what
        self.taken: list[str] = []
        self.error: OvsdbError | None = None
        if not isinstance(json, dict):
            self.error = OvsdbError("syntax error", f"Parsing {what} failed: Object expected.")

    def fail(self, details: str) -> None:
        if self.error is None:
            self.error = syntax_error(self.json, f"Parsing {self.what} failed: {details}")

    def take(self, name: str, kinds: Iterable[str], optional: bool = False) -> Json:
        """The value of a member, or None when it is absent, wrong or a JSON null."""
        json = self.json
        if json.__class__ is not dict:
            return None
        value = json.get(name)
        if value is None and name not in json:
            if not optional:
                self.fail(f"Required '{name}' member is missing.")
            return None
        self.taken.append(name)
        for kind in kinds:
            if value.__class__ is _KINDS[kind] and (kind != "id" or is_id(value)):  # type: ignore[arg-type]
                return value
        self.fail(f"Type mismatch for member '{name}'.")
        return None

    def check(self) -> None:
        """Raises what went wrong so far."""
        if self.error is not None:
            raise self.error

    def finish(self) -> None:
        """Raises what went wrong, or that members are left over."""
        if self.error is not None:
            raise self.error
        json = self.json
        if json.__class__ is dict and len(self.taken) < len(json):
            extra = sorted(json.keys() - self.taken)
            if len(extra) == 1:
                self.fail(f"Member '{extra[0]}' is present but not allowed here.")
            elif extra:
                more = f"{len(extra) - 1} other member" + ("s" if len(extra) > 2 else "")
                self.fail(f"Member '{extra[0]}' and {more} are present but not allowed here.")
        self.check()
