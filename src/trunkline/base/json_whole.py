"""One whole JSON text."""

from trunkline.base.json_fast import end_of_space, is_suspicious, scanner_for
from trunkline.base.json_values import Json


def loads(data: str | bytes) -> Json:
    """The one array or object in `data`, with white space around it.  Raises JsonError."""
    if isinstance(data, str):
        text, raw = data, data.encode("utf-8", "surrogateescape")
    else:
        text, raw = data.decode("utf-8", "surrogateescape"), data
    start = end_of_space(text, 0)
    if text[start : start + 1] in ("{", "[") and not is_suspicious(text):
        try:
            value, end = scanner_for(text, raw)(text, start)
        except (ValueError, StopIteration, RecursionError, SystemError):
            pass  # SystemError: the scanner would raise JSONDecodeError, and json.decoder is not imported
        else:
            if end_of_space(text, end) == len(text):
                return value
    from trunkline.base.json_scanner import Scanner

    value, _ = Scanner(raw).run(whole=True)
    return value
