"""Random transactions over a schema with every kind of column, right and wrong ones."""

import json
import random
import re
from typing import Any

STRONG: Any = {"type": "uuid", "refTable": "Leaf"}
WEAK: Any = {"type": "uuid", "refTable": "Root", "refType": "weak"}
MANY: Any = {"min": 0, "max": "unlimited"}

SCHEMA: Any = {
    "name": "Rich",
    "version": "1.0.0",
    "tables": {
        "Root": {
            "isRoot": True,
            "indexes": [["name"], ["i", "b"]],
            "columns": {
                "name": {"type": "string"},
                "i": {"type": {"key": {"type": "integer", "minInteger": -5, "maxInteger": 100}}},
                "r": {"type": {"key": {"type": "real", "minReal": -10.5}}},
                "b": {"type": "boolean"},
                "u": {"type": "uuid"},
                "color": {
                    "type": {"key": {"type": "string", "enum": ["set", ["red", "green", "blue"]]}, "min": 0}
                },
                "short": {
                    "type": {"key": {"type": "string", "minLength": 2, "maxLength": 4}, "min": 0, "max": 3}
                },
                "oi": {"type": {"key": "integer", "min": 0}},
                "orr": {"type": {"key": "real", "min": 0}},
                "ints": {"type": {"key": "integer", **MANY}},
                "reals": {"type": {"key": "real", **MANY}},
                "strings": {"type": {"key": "string", **MANY}},
                "bools": {"type": {"key": "boolean", "min": 0, "max": 2}},
                "i13": {"type": {"key": "integer", "min": 1, "max": 3}},
                "mss": {"type": {"key": "string", "value": "string", **MANY}},
                "msi": {
                    "type": {
                        "key": "string",
                        "value": {"type": "integer", "minInteger": 0},
                        "min": 0,
                        "max": 3,
                    }
                },
                "mir": {"type": {"key": "integer", "value": STRONG, **MANY}},
                "imm": {"type": "integer", "mutable": False},
                "eph": {"type": "string", "ephemeral": True},
                "leaf": {"type": {"key": STRONG, "min": 0}},
                "leaves": {"type": {"key": STRONG, **MANY}},
                "weak1": {"type": {"key": WEAK, "min": 0}},
                "mweak": {"type": {"key": "string", "value": WEAK, **MANY}},
            },
        },
        "Leaf": {
            "indexes": [["x"]],
            "columns": {
                "x": {"type": "integer"},
                "next": {"type": {"key": STRONG, "min": 0}},
                "other": {"type": {"key": WEAK, **MANY}},
            },
        },
        "Must": {
            "isRoot": True,
            "columns": {"one": {"type": {"key": WEAK, "min": 1, "max": 2}}, "n": {"type": "integer"}},
        },
        "Few": {"isRoot": True, "maxRows": 2, "columns": {"n": {"type": "integer"}}},
    },
}
STRINGS = ["", "a", "ab", "cd", "efgh", "red", "blue", "toolong", "é\u4e2d", 'q"\\\n', "x y"]
FUNCTIONS = ["==", "!=", "includes", "excludes", "<", "<=", ">", ">=", "==", "=="]
MUTATORS = ["+=", "-=", "*=", "/=", "%=", "insert", "delete", "insert", "delete"]
ODD: list[Any] = [
    5,
    "x",
    [],
    {},
    None,
    True,
    ["set", 5],
    ["map", [["a"]]],
    ["uuid", "zz"],
    ["set", [1, "x"]],
    1.5,
]


UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
HISTORY = re.compile(r'(Transaction causes multiple rows in "\w+" table).*')


def comparable(results: Any) -> Any:
    """Results without what may differ: order of rows, which of several broken rules is named first."""
    if not isinstance(results, list):
        return results
    shown = []
    for result in results:
        if isinstance(result, dict) and "rows" in result:
            rows = [
                {name: value for name, value in row.items() if name != "_version"} for row in result["rows"]
            ]
            shown.append({"rows": sorted(json.dumps(row, sort_keys=True) for row in rows)})
        elif isinstance(result, dict) and "details" in result:
            details = HISTORY.sub(r"\1", UUID.sub("UUID", result["details"]))
            shown.append({**result, "details": details})
        else:
            shown.append(result)
    return shown


def several_errors(ours: Any, theirs: Any) -> bool:
    """Both refuse, at the same place, for another of several reasons: the order in an object is anybody's."""
    if len(ours) != len(theirs):
        return False
    for one, other in zip(ours, theirs):
        failed = isinstance(one, dict) and "error" in one, isinstance(other, dict) and "error" in other
        if failed == (True, True):
            return True
        if one != other:
            return False
    return False


class Transactions:
    """Makes transactions from a seed; knows some uuids, so that references lead somewhere."""

    def __init__(self, schema: Any, seed: int) -> None:
        self.random = random.Random(seed)
        self.tables = schema["tables"]
        self.uuids: dict[str, list[str]] = {name: [] for name in self.tables}
        self.symbols: list[tuple[str, str]] = []

    def uuid(self) -> str:
        # The first eight digits tell rows apart in error messages as well.
        bits = f"{self.random.getrandbits(128):032x}"
        return f"{bits[:8]}-{bits[8:12]}-4{bits[13:16]}-8{bits[17:20]}-{bits[20:]}"

    def atom(self, base: Any) -> Any:
        choose = self.random
        base = {"type": base} if isinstance(base, str) else base
        kind = base["type"]
        if kind == "integer":
            number = choose.choice([0, 1, 2, 3, 7, 10, 50, 99, -1, -5, 5, 4])
            return choose.choice([101, -6, 1 << 62, -(1 << 63)]) if choose.random() < 0.02 else number
        if kind == "real":
            return choose.choice([0, 1, 1.5, -2.25, 0.1, 100, -10.5, 1e100, 3])
        if kind == "boolean":
            return choose.random() < 0.5
        if kind == "uuid":
            return self.reference(base.get("refTable"))
        if "enum" in base and choose.random() < 0.9:
            return choose.choice(base["enum"][1])
        if "minLength" in base and choose.random() < 0.9:
            return choose.choice(["ab", "cd", "efgh", "xyz"])
        return choose.choice(STRINGS)

    def reference(self, table: str | None) -> Any:
        choose = self.random
        named = [name for name, of in self.symbols if of == table]
        if named and choose.random() < 0.6:
            return ["named-uuid", choose.choice(named)]
        known = self.uuids.get(table or "Root")
        if known and choose.random() < 0.95:
            return ["uuid", choose.choice(known)]
        return ["uuid", "00000000-0000-0000-0000-00000000000" + choose.choice("01")]

    def value(self, type_: Any, relaxed: bool = False) -> Any:
        choose = self.random
        if choose.random() < 0.01:
            return choose.choice(ODD)
        type_ = {"key": type_} if isinstance(type_, str) else type_
        least, most = type_.get("min", 1), type_.get("max", 1)
        most = 4 if most == "unlimited" or relaxed else most
        size = choose.randint(0 if relaxed else least, most)
        if choose.random() < 0.02:
            size += 1
        keys: list[Any] = []
        for _ in range(size):
            key = self.atom(type_["key"])
            if key not in keys or choose.random() < 0.01:
                keys.append(key)
        if "value" in type_:
            return ["map", [[key, self.atom(type_["value"])] for key in keys]]
        if len(keys) == 1 and choose.random() < 0.8:
            return keys[0]
        return ["set", keys]

    def row(self, table: str, few: bool = True) -> Any:
        columns = self.tables[table]["columns"]
        names = self.random.sample(sorted(columns), self.random.randint(0, min(4, len(columns))))
        for index in self.tables[table].get("indexes", []):
            if not few:
                names += [name for name in index if name not in names]
        row = {name: self.value(columns[name]["type"]) for name in names}
        if "name" in row and self.random.random() < 0.9:
            row["name"] = f"n{self.random.randint(0, 30)}"
        if "x" in row and self.random.random() < 0.9:
            row["x"] = self.random.randint(0, 60)
        if "i" in row and self.random.random() < 0.9:
            row["i"] = self.random.randint(-5, 100)
        if self.random.random() < 0.01:
            row["nope"] = 1
        return row

    def condition(self, table: str) -> Any:
        choose = self.random
        if choose.random() < 0.04:
            return choose.choice(
                [True, False, 5, ["name"], [1, 2, 3], ["nope", "==", 1], ["_uuid", "foo", 1]]
            )
        if choose.random() < 0.35 and self.uuids[table]:
            return ["_uuid", choose.choice(["==", "==", "==", "!=", "includes"]),
                    ["uuid", choose.choice(self.uuids[table])]]  # fmt: skip
        name = choose.choice(sorted(self.tables[table]["columns"]))
        if "name" in self.tables[table]["columns"] and choose.random() < 0.3:
            return ["name", "==", f"n{choose.randint(0, 30)}"]
        return [name, choose.choice(FUNCTIONS), self.value(self.tables[table]["columns"][name]["type"])]

    def where(self, table: str) -> Any:
        return [self.condition(table) for _ in range(self.random.choice([0, 1, 1, 1, 1, 2]))]

    def columns(self, table: str) -> Any:
        names = [*sorted(self.tables[table]["columns"]), "_uuid"]
        return self.random.sample(names, self.random.randint(0, min(3, len(names))))

    def mutation(self, table: str) -> Any:
        choose = self.random
        columns = self.tables[table]["columns"]
        name = choose.choice(sorted(columns))
        type_ = columns[name]["type"]
        full = {"key": type_} if isinstance(type_, str) else type_
        mutator = choose.choice(MUTATORS)
        if mutator in ("insert", "delete"):
            if "value" in full and mutator == "delete" and choose.random() < 0.5:
                return [name, mutator, self.value({"key": full["key"]}, relaxed=True)]
            return [name, mutator, self.value(type_, relaxed=True)]
        operand = self.atom(full["key"])
        if mutator == "*=" and operand == 0:
            operand = 1  # the original's server dies of a negative integer times 0
        return [name, mutator, operand]

    def operation(self) -> Any:
        choose = self.random
        table = choose.choices(sorted(self.tables), [self.weight(name) for name in sorted(self.tables)])[0]
        kind = choose.choices(
            ["insert", "select", "update", "mutate", "delete", "wait", "comment", "abort", "commit", "odd"],
            [30, 20, 20, 20, 8, 6, 2, 1, 1, 2],
        )[0]
        base = {"op": kind, "table": table}
        if kind == "insert":
            base["row"] = self.row(table, few=choose.random() < 0.2)
            uuid = self.uuid()
            if choose.random() < 0.03 and self.uuids[table]:
                uuid = choose.choice(self.uuids[table])
            base["uuid"] = uuid
            self.uuids[table] = [*self.uuids[table][-15:], uuid]
            if choose.random() < 0.3:
                base["uuid-name"] = f"symbol{choose.randint(0, 99)}"
                self.symbols.append((base["uuid-name"], table))
            return base
        if kind == "comment":
            return {"op": "comment", "comment": choose.choice(STRINGS)}
        if kind == "commit":
            return {"op": "commit", "durable": False}
        if kind == "abort":
            return {"op": "abort"}
        if kind == "odd":
            return choose.choice([5, {}, {"op": "nope"}, {"op": "insert"}, {"op": "select", "table": "Root"},
                                  {"op": "delete", "table": "Root"}, {"op": "assert", "lock": "l"},
                                  {"op": "comment", "comment": 5, "a": 1, "b": 2}])  # fmt: skip
        base["where"] = self.where(table)
        if kind == "select" and choose.random() < 0.7:
            base["columns"] = self.columns(table)
        if kind == "update":
            base["row"] = self.row(table)
        if kind == "mutate":
            base["mutations"] = [self.mutation(table) for _ in range(choose.choice([1, 1, 2]))]
        if kind == "wait":
            base["columns"] = self.columns(table)
            base["until"] = choose.choice(["!=", "!=", "==", "=", "=="])
            base["rows"] = [self.row(table) for _ in range(choose.choice([0, 1, 1, 2]))]
            base["timeout"] = choose.choice([0, 0, 0, -1])
        if choose.random() < 0.005:
            base["extra"] = 1
        return base

    def weight(self, table: str) -> int:
        return {"Root": 10, "Leaf": 6, "Must": 1, "Few": 1}.get(table, 1)

    def transaction(self) -> list[Any]:
        self.symbols.clear()
        return [self.operation() for _ in range(self.random.choice([1, 1, 2, 2, 3, 4]))]
