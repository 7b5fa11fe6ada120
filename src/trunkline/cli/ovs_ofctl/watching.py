"""What ``monitor SWITCH watch:...`` asks for: which flows, and which of their changes."""

from trunkline.cli.ovs_ofctl import Failure
from trunkline.cli.ovs_ofctl.connection import Switch
from trunkline.flow.shape import SHORTHANDS
from trunkline.flow.text import Draft, finish, key_values, set_word
from trunkline.flow.values import TextError, parse_port
from trunkline.model.fields import FIELD
from trunkline.openflow import monitors as o
from trunkline.openflow.actions_text import ActionContext, parse_table, parse_u32

_NEGATED = {
    "!initial": o.OFPFMF_INITIAL,
    "!add": o.OFPFMF_ADD,
    "!delete": o.OFPFMF_REMOVED,
    "!modify": o.OFPFMF_MODIFY,
    "!actions": o.OFPFMF_INSTRUCTIONS,
}


def parse_watch(text: str, switch: Switch, context: ActionContext) -> o.FlowMonitorRequest:
    try:
        return o.FlowMonitorRequest((_parse(text, switch.tool.next_monitor(), context),))
    except TextError as error:
        raise Failure(f"{text}: {error}") from None


def _parse(text: str, number: int, context: ActionContext) -> o.FlowMonitor:
    flags = o.OFPFMF_INITIAL | o.OFPFMF_ADD | o.OFPFMF_REMOVED | o.OFPFMF_MODIFY | o.OFPFMF_INSTRUCTIONS
    draft = Draft()
    found = o.FlowMonitor(number, 0, finish(draft))
    for key, value in key_values(text):
        if key in _NEGATED:
            flags &= ~_NEGATED[key]
        elif key == "!own":
            flags |= o.OFPFMF_ONLY_OWN
        elif key in SHORTHANDS or key in FIELD:
            set_word(draft, key, value, context.text)
        elif not value:
            raise TextError(f"field {key} missing value")
        elif key == "table":
            table = parse_table(value, context)
            if table is None:
                raise Failure(f'unknown table "{value}"')
            found = found._replace(table=table)
        elif key == "out_port":
            port = parse_port(value, context.text)
            found = found._replace(out_port=0 if port is None else port)
        elif key == "out_group":
            found = found._replace(out_group=parse_u32(value))
        else:
            raise TextError(f"unknown keyword {key}")
    return found._replace(flags=flags, match=finish(draft))
