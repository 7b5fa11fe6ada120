"""Random schemas: every base type, ranges, enumerations, sets, maps, references, indexes and limits."""

import copy
import random
from typing import Any

STRINGS = ["a", "ab", "red", "é中", 'q"\\', "x y", "", "z,z"]


class Schemas:
    """Makes schemas from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def schema(self, name: str) -> Any:
        choose = self.random
        tables = [f"T{number}" for number in range(choose.randint(1, 4))]
        made = {
            "name": name,
            "version": f"{choose.randint(0, 12)}.{choose.randint(0, 9)}.0",
            "tables": {table: self.table(tables) for table in tables},
        }
        if choose.random() < 0.3:
            made["cksum"] = f"{choose.randint(0, 1 << 32)} {choose.randint(100, 9999)}"
        if choose.random() < 0.1:
            del made["version"]
        made["tables"][tables[0]]["isRoot"] = True
        return made

    def table(self, tables: list[str]) -> Any:
        choose = self.random
        columns = {
            f"{choose.choice('abcxyz')}{number}": self.column(tables)
            for number in range(choose.randint(1, 6))
        }
        made: Any = {"columns": columns}
        if choose.random() < 0.6:
            made["isRoot"] = choose.random() < 0.8
        if choose.random() < 0.15:
            made["maxRows"] = choose.choice([1, 2, 5, 1000])
        lasting = [name for name, column in columns.items() if not column.get("ephemeral")]
        if lasting and choose.random() < 0.3:
            made["indexes"] = [choose.sample(lasting, choose.randint(1, min(2, len(lasting))))]
        return made

    def column(self, tables: list[str]) -> Any:
        choose = self.random
        made: Any = {"type": self.type(tables)}
        if choose.random() < 0.15:
            made["ephemeral"] = choose.random() < 0.8
        if choose.random() < 0.15:
            made["mutable"] = choose.random() < 0.3
        return made

    def type(self, tables: list[str]) -> Any:
        choose = self.random
        key = self.base(tables)
        if choose.random() < 0.4:
            return key if isinstance(key, str) else {"key": key}
        made: Any = {"key": key, "min": choose.choice([0, 0, 0, 1])}
        if choose.random() < 0.7:
            made["max"] = choose.choice(["unlimited", "unlimited", 1, 2, 3])
        if choose.random() < 0.3:
            made["value"] = self.base(tables)
        return made

    def base(self, tables: list[str]) -> Any:
        choose = self.random
        kind = choose.choice(["integer", "real", "boolean", "string", "string", "uuid"])
        if choose.random() < 0.3:
            return kind
        made: Any = {"type": kind}
        if kind == "integer":
            made.update(self.some(("minInteger", [-5, 0]), ("maxInteger", [50, 1 << 40])))
            if choose.random() < 0.2:
                made = {"type": kind, "enum": ["set", choose.sample([0, 1, 2, 3, 7, 10], 3)]}
        elif kind == "real":
            made.update(self.some(("minReal", [-10.5, 0]), ("maxReal", [100, 1e100])))
            if choose.random() < 0.2:
                made = {"type": kind, "enum": ["set", [0, 1.5, 3, 0.1]]}
        elif kind == "string":
            made.update(self.some(("minLength", [0, 1, 2]), ("maxLength", [2, 4, 10])))
            if choose.random() < 0.3:
                made = {"type": kind, "enum": ["set", choose.sample(STRINGS, 4)]}
            if choose.random() < 0.05:
                made = {"type": kind, "enum": "red"}
        elif kind == "uuid":
            made["refTable"] = choose.choice(tables)
            if choose.random() < 0.6:
                made["refType"] = choose.choice(["weak", "strong"])
        return made

    def some(self, *members: tuple[str, list[Any]]) -> dict[str, Any]:
        return {name: self.random.choice(values) for name, values in members if self.random.random() < 0.5}

    def changed(self, schema: Any) -> Any:
        """Another version of a schema."""
        choose = self.random
        made = copy.deepcopy(schema)
        tables = sorted(made["tables"])
        for _ in range(choose.randint(1, 3)):
            table = made["tables"][choose.choice(tables)]
            name = choose.choice(sorted(table["columns"]))
            what = choose.choice(["new", "gone", "type", "root", "version", "index"])
            if what == "new":
                table["columns"][f"n{choose.randint(0, 9)}"] = self.column(tables)
            elif what == "gone" and len(table["columns"]) > 1:
                del table["columns"][name]
                table.pop("indexes", None)
            elif what == "type":
                table["columns"][name] = self.column(tables)
                table.pop("indexes", None)
            elif what == "root":
                table["isRoot"] = not table.get("isRoot", False)
            elif what == "index" and not table["columns"][name].get("ephemeral"):
                table["indexes"] = [[name]]
            made["version"] = f"{choose.randint(0, 12)}.{choose.randint(0, 9)}.1"
        return made
