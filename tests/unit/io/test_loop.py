"""The event loop's own additions: what is called before and after everything else in a turn."""

import asyncio
import os

from trunkline.io.loop import Loop, run


def test_who_is_called_first_comes_before_the_reader_and_before_what_is_ready() -> None:
    order: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        readable, writable = os.pipe()
        done = asyncio.Event()

        def read() -> None:
            order.append("reader")
            os.read(readable, 1)
            loop.remove_reader(readable)
            done.set()

        loop.add_reader(readable, read)
        loop.call_first(readable, lambda: order.append("first"))
        os.write(writable, b"x")
        loop.call_soon(order.append, "soon")  # ready in the turn that finds the pipe readable
        await done.wait()
        assert not loop.first
        os.close(readable)
        os.close(writable)

    run(main())
    assert order == ["first", "soon", "reader"]


def test_what_it_raises_does_not_end_the_loop() -> None:
    problems: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        loop.set_exception_handler(lambda _, context: problems.append(repr(context["exception"])))
        readable, writable = os.pipe()
        done = asyncio.Event()

        def fail() -> None:
            raise ValueError("no")

        loop.add_reader(readable, done.set)
        loop.call_first(readable, fail)
        os.write(writable, b"x")
        await done.wait()
        loop.remove_reader(readable)
        os.close(readable)
        os.close(writable)

    run(main())
    assert problems[0] == "ValueError('no')"
