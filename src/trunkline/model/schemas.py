"""The database schemas that come with Trunkline, as the JSON text that their files hold."""

import os.path
from functools import cache
from typing import Final

# By the name of the database; the files bear the names under which the originals install them.
FILES: Final = {
    "Open_vSwitch": "vswitch.ovsschema",
    "hardware_vtep": "vtep.ovsschema",
    "Local_Config": "local-config.ovsschema",
    "_Server": "server.ovsschema",
}


def schema_path(name: str) -> str:
    """The path of the schema file of database `name`."""
    # Not importlib.resources: that costs a tool 20 ms.
    return os.path.join(os.path.dirname(__file__), FILES[name])


@cache
def schema_text(name: str) -> str:
    """The schema of database `name`, as JSON; read once, for later the file may be out of reach."""
    with open(schema_path(name), encoding="utf-8") as file:
        return file.read()
