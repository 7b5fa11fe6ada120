"""The stack: push and pop of fields."""

from trunkline.translate.fields import Part, read, store
from trunkline.translate.walk import Walk


def push(x: Walk, source: Part, _: object) -> None:
    x.stack = *x.stack, read(x, source)


def pop(x: Walk, target: Part, _: object) -> None:
    if x.stack:
        *left, top = x.stack
        x.stack = tuple(left)
        store(x, target, top)
    else:
        x.error("stack underflow")
