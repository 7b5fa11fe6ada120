"""ovsdb-server, which writes the longest pause for the cyclic collector so far, in milliseconds, into a file.

python -m bench.collected_server FILE ARGUMENT...
"""

import gc
import sys
import time
from pathlib import Path


def main() -> None:
    from trunkline.daemons import ovsdb_server

    path = Path(sys.argv.pop(1))
    longest = started = 0.0
    path.write_text("0")

    def note(phase: str, _: object) -> None:
        nonlocal longest, started
        if phase == "start":
            started = time.perf_counter()
        elif (took := (time.perf_counter() - started) * 1000) > longest:
            longest = took
            path.write_text(str(took))

    gc.callbacks.append(note)
    sys.argv[0] = "ovsdb-server"
    ovsdb_server.main()


if __name__ == "__main__":
    main()
