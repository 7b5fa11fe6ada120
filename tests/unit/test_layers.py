"""The layers of docs/design/layers.md, held by the syntax trees of the modules."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "trunkline"
LAYERS = [
    ["base"],
    ["model"],
    ["flow", "packet", "jsonrpc"],
    ["openflow", "ovsdb", "dpif"],
    ["proto", "conntrack", "ofproto", "translate", "upcall", "sim", "bridge", "dbctl"],
    ["ovn"],
    ["io"],
    ["bpf"],
    ["daemons", "cli", "testing", "cni", "web"],
]
RANK = {name: (layer, line) for layer, names in enumerate(LAYERS) for line, name in enumerate(names)}
SANS_IO = {name for names in LAYERS[:6] for name in names}
FORBIDDEN = {
    *("asyncio", "socket", "select", "selectors", "subprocess", "threading", "signal"),
    *("time", "random", "secrets"),
}
MODULES = sorted(SOURCE.rglob("*.py"))


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_module_keeps_its_layer(path: Path) -> None:
    parts = path.relative_to(SOURCE).parts
    if len(parts) == 1:
        return
    package = parts[0]
    assert package in RANK, f"{package} has no layer"
    tree = ast.parse(path.read_text())
    for name in imports(tree):
        words = name.split(".")
        if words[0] == "trunkline" and len(words) > 1 and words[1] in RANK:
            assert RANK[words[1]] <= RANK[package], f"{package} imports {name}"
        elif package in SANS_IO:
            assert words[0] not in FORBIDDEN, f"{package} is sans-I/O and imports {name}"
    if package in SANS_IO:
        reads = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr == "environ"]
        assert not reads, f"{package} is sans-I/O and reads the environment"
