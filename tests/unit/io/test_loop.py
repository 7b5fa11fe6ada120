"""The event loop's own additions: what is called before and after everything else in a turn."""

import asyncio
import os

import pytest

from trunkline.io.loop import Loop, Rally, run


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


def test_who_asks_again_at_once_is_waited_for_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0

    async def main() -> None:
        nonlocal now
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        rally = Rally()
        with monkeypatch.context() as patch:
            patch.setattr("trunkline.io.loop.time.monotonic", lambda: now)
            seen = []
            for gap in (1.0, 0.0001, 0.0001, 0.0001, 0.01, 0.0001, 0.0001):
                now += gap
                rally.heard()
                rally.said()
                seen.append(loop.lingers)
                loop.lingers = False
        assert seen == [False, False, True, True, False, False, True]
        loop.lingers = True
        await asyncio.sleep(0.001)  # nobody asks: it sleeps after all
        assert not loop.lingers

    run(main())
    Rally().said()  # without a loop there is nothing to wait in


def test_an_event_that_comes_while_the_loop_is_awake_is_met() -> None:
    order: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        readable, writable = os.pipe()
        done = asyncio.Event()
        loop.add_reader(readable, done.set)
        loop.call_first(readable, lambda: order.append("first"))
        loop.lingers = True
        os.write(writable, b"x")
        await done.wait()
        loop.remove_reader(readable)
        os.close(readable)
        os.close(writable)

    run(main())
    assert order[0] == "first"
