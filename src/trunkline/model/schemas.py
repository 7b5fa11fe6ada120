"""The database schemas that come with Trunkline, as the JSON text that their files hold."""

from importlib.resources import files
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
    return str(files("trunkline.model").joinpath(FILES[name]))


def schema_text(name: str) -> str:
    """The schema of database `name`, as JSON."""
    return files("trunkline.model").joinpath(FILES[name]).read_text(encoding="utf-8")
