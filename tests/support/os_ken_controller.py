"""A process that is os-ken's controller: ``os_ken_controller.py VERSION APPLICATION...``.

It listens on a port of its own, which the first line says (``["port", 12345]``); what applications `say`
follows, a JSON value a line.  The log goes to stderr.  An application is a module, by its name or its file.
"""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

from os_ken.lib import hub

hub.patch(thread=False)

from os_ken import app, cfg, log  # noqa: E402
from os_ken.base.app_manager import AppManager  # noqa: E402
from os_ken.controller import controller  # noqa: E402, F401  (its options)


def say(*values: Any) -> None:
    sys.stdout.write(json.dumps(values, default=str) + "\n")
    sys.stdout.flush()


def main() -> None:
    version, *applications = sys.argv[1:]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [f"--ofp-tcp-listen-port={port}", "--ofp-listen-host=127.0.0.1", "--verbose"]
    cfg.CONF(args=options, project="os_ken", default_config_files=[], default_config_dirs=[])
    log.init_log()
    # The applications that releases up to 1.x came with: tools/setup.sh has fetched them.
    app.__path__.append(os.environ.get("OS_KEN_APPS", f"{sys.prefix}/share/os-ken-applications"))
    names = []
    for name in applications:
        path = Path(name)
        if path.suffix == ".py":
            sys.path.insert(0, str(path.parent))
            name = path.stem
        names.append(name)
    os.environ["TEST_VERSION"] = version  # that the applications of the tests are to speak
    say("port", port)
    AppManager.run_apps(names)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    main()
