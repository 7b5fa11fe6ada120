"""How actions are painted (flow/colors.py): a pattern for each record of actions.py, over its text.

What an action holds inside (clone, write_actions, exec of ct) is painted already, and passed over.
"""

import re
from collections.abc import Hashable
from functools import lru_cache
from typing import Final, cast

from trunkline.flow.colors import PAINTED, Colors, paint, paint_by
from trunkline.openflow import actions as a

_HEAD: Final = r"(?P<pm>^\w+:)"  # mod_nw_ttl:5
_SPECIAL: Final = r"(?P<sp>^\w+:|->(?=\w+(?:\[[\d.]*\])?$))"  # load:5->reg0
_CALL: Final = r"(?P<pr>^\w+\(|\)$)"  # multipath(...)
_ARGUMENTS: Final = _CALL + r"|(?P<pm>(?<=[(,])\w+=)"  # fin_timeout(idle_timeout=1)
_FLAG: Final = r"(?P<vl>^\w+$)"  # strip_vlan

_LEARN: Final = (
    r"(?P<le>^learn\(|\)$)"
    r"|(?P<sp>(?<=\()table=|,priority=|(?<=,)(?:output|load):|->)"
    r"|(?P<vl>(?<=,)(?:send_flow_rem|delete_learned)(?=[,)]))"
    r"|(?P<pm>(?<=,)\w+\[[\d.]*\](?==\w+\[)|(?<=\])=(?=\w+\[)|,fin_hard_timeout="
    r"|(?<=,)\w+(?:\[[\d.]*\])?=|(?<=,)\w+\[[\d.]*\])"
)
_CT: Final = (
    rf"{PAINTED}|(?P<pr>^ct\(|exec\(|\)$)|(?P<pr2>\)(?:,|(?=\)$)))"
    r"|(?P<sp>(?<=[(,])table=)|(?P<pm>(?<=[(,])(?:zone|alg)=)|(?P<vl>(?<=[(,])(?:commit|force)(?=[,)]))"
)
_NAT: Final = (
    r"(?P<pr>^nat|\(|\)$)|(?P<pm>(?<=\()(?:src|dst)|(?<=src)=|(?<=dst)=)"
    r"|(?P<vl>(?<=,)(?:persistent|hash|random))"
)

_PATTERNS: Final[dict[type, str]] = {
    a.Output: r"(?P<sp>^output:)",
    a.Controller: r"(?P<sp>^CONTROLLER:)|" + _ARGUMENTS + r"|(?P<vl>(?<=[(,])pause(?=[,)]))",
    a.OutputTruncated: r"(?P<sp>^output)",
    a.OutputRegister: r"(?P<sp>^output:)",
    a.Enqueue: _HEAD,
    a.SetVlanVid: _HEAD,
    a.SetVlanPcp: _HEAD,
    a.StripVlan: _FLAG,
    a.PushVlan: _HEAD,
    a.SetEthSrc: _HEAD,
    a.SetEthDst: _HEAD,
    a.SetIpv4Src: _HEAD,
    a.SetIpv4Dst: _HEAD,
    a.SetIpDscp: _HEAD,
    a.SetIpEcn: _HEAD,
    a.SetIpTtl: _HEAD,
    a.SetL4SrcPort: _HEAD,
    a.SetL4DstPort: _HEAD,
    a.SetField: _SPECIAL,
    a.Load: _SPECIAL,
    a.Move: _SPECIAL,
    a.StackPush: _HEAD,
    a.StackPop: _HEAD,
    a.DecTtl: r"(?P<pr>^dec_ttl|\(|\))",
    a.DecNshTtl: _FLAG,
    a.SetMplsLabel: _CALL,
    a.SetMplsTc: _CALL,
    a.SetMplsTtl: _CALL,
    a.DecMplsTtl: _FLAG,
    a.PushMpls: _HEAD,
    a.PopMpls: _HEAD,
    a.SetTunnel: _HEAD,
    a.SetQueue: _HEAD,
    a.PopQueue: _FLAG,
    a.FinTimeout: _ARGUMENTS,
    a.Resubmit: r"(?P<sp>^resubmit:)|" + _CALL,
    a.Group: r"(?P<sp>^group:)",
    a.Exit: r"(?P<sp>^exit)",
    a.Note: _HEAD,
    a.Conjunction: _CALL,
    a.Sample: _ARGUMENTS + r"|(?P<pm2>(?<=,)(?:in|e)gress(?=\)))",
    a.CtClear: _FLAG,
    a.CheckPacketLarger: r"(?P<pm>^\w+\()",
    a.DeleteField: _HEAD,
    a.Clone: _CALL,
    a.Learn: _LEARN,
    a.Multipath: _CALL,
    a.Bundle: _CALL + r"|(?P<pm>(?<=,)members:)",
    a.Ct: _CT,
    a.Nat: _NAT,
    a.Encap: _CALL + r"|(?P<pr2>(?<=\(nsh)\(|\)(?=\)$))",
    a.DecapAny: _CALL,
    a.Meter: _HEAD,
    a.ClearActions: _FLAG,
    a.WriteActions: _CALL,
    a.WriteMetadata: _HEAD,
    a.GotoTable: _HEAD,
}


@lru_cache
def _pattern(kind: Hashable) -> re.Pattern[str]:
    return re.compile(_PATTERNS.get(cast(type, kind), r"(?!)"), re.DOTALL)


def paint_action(action: a.Action, text: str, colors: Colors) -> str:
    """The text of one action in colours."""
    if type(action) is a.Ct and text.endswith("))"):
        text = f"{text[:-1]},)"  # the original has a comma behind exec(...) when it paints
    return paint_by(_pattern(cast(Hashable, type(action))), text, colors)


def paint_drop(colors: Colors) -> str:
    return paint("dr", "drop", colors)
