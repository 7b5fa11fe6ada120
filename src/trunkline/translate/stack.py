"""The stack: push and pop of fields."""

from trunkline.translate.fields import Part, read, store
from trunkline.translate.walk import Walk


def push(x: Walk, source: Part, _: object) -> None:
    x.stack.append(read(x, source))


def pop(x: Walk, target: Part, _: object) -> None:
    if x.stack:
        store(x, target, x.stack.pop())
    else:
        x.error("stack underflow")
