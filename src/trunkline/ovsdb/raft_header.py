"""The first record of a clustered database file: who the server is and which cluster it belongs to.

A server that was told to join has `remote_addresses` to ask; one that made the cluster, or has compacted its
file, has `prev_servers`, and with an index what the file stood at then.  Of all this only the facts
about the server are kept here (ovsdb-tool(1): db-cid, db-sid, db-local-address), but the whole record is
checked, in the originals' order and words.
"""

import re
from typing import Final, NamedTuple

from trunkline.base.json import Json
from trunkline.ovsdb.errors import OvsdbError, syntax_error
from trunkline.ovsdb.members import ANY, Members

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\Z")


class RaftHeader(NamedTuple):
    """`cluster_id` None: the server has not joined yet."""

    name: str
    cluster_id: str | None
    server_id: str
    local_address: str


def check_address(text: str) -> None:
    """Raises OvsdbError for what is no address of a server of a cluster."""
    kind, colon, rest = text.partition(":")
    if not colon or kind not in ("tcp", "ssl"):
        raise OvsdbError("ovsdb error", f'{text}: expected "tcp" or "ssl" address')
    if ":" not in rest:
        raise OvsdbError("ovsdb error", f"{text}: syntax error in address")


def parse_header(json: Json) -> RaftHeader:
    """Raises OvsdbError."""
    members = Members(json, "raft header")
    server_id = _uuid(members, "server_id")
    name = members.take("name", ("string",))
    local_address = members.take("local_address", ("string",))
    joining = members.take("remote_addresses", ("array",), optional=True)
    servers = None
    if joining is None:
        servers = members.take("prev_servers", ("object",))
    members.check()
    if isinstance(joining, list):
        _check_addresses(joining)
    elif isinstance(servers, dict):
        _check_servers(servers)
    cluster_id = _uuid(members, "cluster_id", optional=joining is not None)
    if joining is None and members.take("prev_index", ("integer",), optional=True):
        if isinstance(json, dict) and json.get("prev_data", ...) is None:
            members.taken.append("prev_data")  # null is data, too
        else:
            members.take("prev_data", ANY)
        _uuid(members, "prev_eid")
        members.take("prev_term", ("integer",))
    members.finish()
    return RaftHeader(str(name), cluster_id, str(server_id), str(local_address))


def _uuid(members: Members, name: str, *, optional: bool = False) -> str | None:
    value = members.take(name, ("string",), optional)
    if not isinstance(value, str):
        return None
    if not _UUID.match(value):
        members.fail(f"{name} is not a valid UUID")
    return value


def _check_addresses(addresses: list[Json]) -> None:
    if not addresses:
        raise syntax_error(addresses, "at least one remote address is required")
    for address in addresses:
        _check_one(address)


def _check_servers(servers: dict[str, Json]) -> None:
    if not servers:
        raise syntax_error(servers, "must have at least one server")
    for server, address in servers.items():
        if not _UUID.match(server):
            raise syntax_error(servers, f"{server} is not a UUID")
        _check_one(address)


def _check_one(address: Json) -> None:
    if not isinstance(address, str):
        raise syntax_error(address, "server address is not string")
    check_address(address)
