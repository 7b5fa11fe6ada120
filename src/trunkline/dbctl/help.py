"""Pieces of ``--help`` that every database tool shares."""

from collections.abc import Mapping
from typing import Final

from trunkline.dbctl.names import Lookup
from trunkline.ovsdb.schema import Schema

DATABASE_COMMANDS: Final = """\
Database commands:
  list TBL [REC]              list RECord (or all records) in TBL
  find TBL CONDITION...       list records satisfying CONDITION in TBL
  get TBL REC COL[:KEY]       print values of COLumns in RECord in TBL
  set TBL REC COL[:KEY]=VALUE set COLumn values in RECord in TBL
  add TBL REC COL [KEY=]VALUE add (KEY=)VALUE to COLumn in RECord in TBL
  remove TBL REC COL [KEY=]VALUE  remove (KEY=)VALUE from COLumn
  clear TBL REC COL           clear values from COLumn in RECord in TBL
  create TBL COL[:KEY]=VALUE  create and initialize new record
  destroy TBL REC             delete RECord from TBL
  wait-until TBL REC [COL[:KEY]=VALUE]  wait until condition is true
Potentially unsafe database commands require --force option.
Database commands may reference a row in each table in the following ways:
"""
FORMATTING: Final = """\

Output formatting options:
  -f, --format=FORMAT         set output formatting to FORMAT
                              ("table", "html", "csv", or "json")
  -d, --data=FORMAT           set table cell output formatting to
                              FORMAT ("string", "bare", or "json")
  --no-headings               omit table heading row
  --pretty                    pretty-print JSON in output
  --bare                      equivalent to "--format=list --data=bare --no-headings"
"""
OTHER: Final = """\

Other options:
  -h, --help                  display this help message
  -V, --version               display version information
"""


def references(schema: Schema, lookups: Mapping[str, tuple[Lookup, ...]]) -> str:
    """How a row of each table may be named."""
    lines = []
    for table in sorted(schema.tables):
        lines += [f"  {table}:\n", "    by UUID\n"]
        for column, holder, via in lookups.get(table, ()):
            if column is None:
                lines.append('    as "."\n')
            elif holder is None:
                lines.append(f'    by "{column}"\n')
            else:
                lines.append(f'    via "{via}" of {holder} with matching "{column}"\n')
    return "".join(lines)
