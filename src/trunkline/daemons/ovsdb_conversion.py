"""Online schema conversion (ovsdb-server(7), "convert"), and that nobody else notices how long it takes.

Small databases are converted at once.  The rows of a large one are converted in a thread, which takes turns
with the event loop every few milliseconds: it only reads rows, which never change, and makes a database that
nobody else knows yet.  Its file is then written like a compacted one, in small steps
(io/ovsdb_compaction.py).
Reads of the database go on meanwhile, and everything that concerns other databases; who would change it waits
(ovsdb/server.py, `begin_conversion`).  What is seen in the end, by files and by clients, is one step.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from trunkline.base.json import Json
from trunkline.daemons.ovsdb_compaction import BUDGET, Compactor, Steps
from trunkline.daemons.ovsdb_host import Hosting
from trunkline.io.loop import Loop
from trunkline.io.ovsdb_compaction import compaction
from trunkline.io.uuids import random_uuid
from trunkline.ovsdb.conversion import convert
from trunkline.ovsdb.database import Database
from trunkline.ovsdb.errors import OvsdbError
from trunkline.ovsdb.hosted import Hosted
from trunkline.ovsdb.schema import Schema
from trunkline.ovsdb.server import Converted

ROWS: Final = 1000  # converted in a few milliseconds
COMMENT: Final = "converted by ovsdb-server"


class Converter:
    """The conversions of one server.  `replaced` is told when a database has become another."""

    def __init__(self, daemon: Hosting, compactor: Compactor, replaced: Callable[[], None]) -> None:
        self.daemon = daemon
        self._compactor = compactor
        self._replaced = replaced
        self._running: dict[str, asyncio.Task[None]] = {}

    def start(self, hosted: Hosted, schema: Json, done: Converted) -> None:
        """Converts, and calls `done`, at once or later."""

        def finish(outcome: Database | OvsdbError) -> None:
            done(outcome)
            if isinstance(outcome, Database):
                self._replaced()

        try:
            new = Schema.from_json(schema)
            if new.name != hosted.name:
                text = f"new schema name ({new.name}) does not match database name ({hosted.name})"
                raise OvsdbError("invalid parameters", text)
            self.daemon.sync_now()
            self._compactor.stop(hosted.name)
            rows = sum(len(state.rows) for state in hosted.database.tables.values())
            loop = asyncio.get_running_loop()
            if rows > ROWS and isinstance(loop, Loop) and loop.mode == "real":
                self._running[hosted.name] = asyncio.ensure_future(self._work(hosted, new, finish))
                return
            converted = convert(hosted.database, new, self.daemon.server.new_uuid)
            for _ in self._writing(hosted.name, converted):
                pass
        except OvsdbError as error:
            self.daemon.log_unwritten(error)
            finish(error)
            return
        finish(converted)

    def is_running(self, name: str) -> bool:
        return name in self._running

    def stop(self, name: str) -> None:
        """Gives up: the database goes."""
        running = self._running.pop(name, None)
        if running is not None:
            running.cancel()

    def close(self) -> None:
        for name in list(self._running):
            self.stop(name)

    def _writing(self, name: str, converted: Database) -> Steps:
        daemon = self.daemon
        milliseconds = int(daemon.env.clock.wall() * 1000)
        file = daemon.files[name]
        return compaction(file, COMMENT, milliseconds, database=converted, as_difference=daemon.column_diff)

    async def _work(self, hosted: Hosted, schema: Schema, done: Converted) -> None:
        outcome: Database | OvsdbError = OvsdbError("canceled", f"{hosted.name}: the database was removed")
        loop = asyncio.get_running_loop()
        try:
            converted = await asyncio.to_thread(convert, hosted.database, schema, random_uuid)
            writing = self._writing(hosted.name, converted)
            try:
                until = loop.time() + BUDGET
                for _ in writing:
                    if loop.time() > until:
                        await asyncio.sleep(0)
                        until = loop.time() + BUDGET
            finally:
                writing.close()
            outcome = converted
        except OvsdbError as error:
            self.daemon.log_unwritten(error)
            outcome = error
        except Exception as error:
            self.daemon.fail(error)
        finally:
            if self._running.get(hosted.name) is asyncio.current_task():
                del self._running[hosted.name]
            done(outcome)
            self.daemon.schedule()
