"""JSON as the originals read and write it: same values, same text, same errors with their positions.

This is the interface; the work is in modules of its own: json_numbers (the rules for numbers), json_scanner
(our own scanner, which has the last word), json_fast (the interpreter's scanner in C for all that it reads as
the originals do), json_whole (one text), json_stream (a stream of them), json_text (writing).  Rules that are
not RFC 8259's, each found by experiment:

- a number whose value is a 64-bit integer is an integer, however written (json_numbers);
- the last of several equal names counts; a text is an array or an object; nesting ends at 1000;
- bytes that are no UTF-8 pass unchanged (as surrogate escapes in `str`), NUL is refused, and so is the first
  half of an escaped surrogate pair without the second.
"""

from trunkline.base.json_numbers import INTEGER_MAX, INTEGER_MIN, number, real_text
from trunkline.base.json_stream import JsonStream
from trunkline.base.json_text import dumps, encoded
from trunkline.base.json_values import MAX_DEPTH, Json, JsonError
from trunkline.base.json_whole import loads

__all__ = [
    "INTEGER_MAX",
    "INTEGER_MIN",
    "MAX_DEPTH",
    "Json",
    "JsonError",
    "JsonStream",
    "dumps",
    "encoded",
    "loads",
    "number",
    "real_text",
]
