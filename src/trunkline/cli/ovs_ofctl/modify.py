"""Commands that change how ports, tables and fragments are treated."""

import sys
from collections.abc import Sequence

from trunkline.cli.ovs_ofctl import Failure
from trunkline.cli.ovs_ofctl.connection import Switch, complain
from trunkline.cli.ovs_ofctl.names import port_list
from trunkline.cli.ovs_ofctl.tool import Tool
from trunkline.model import openflow as of
from trunkline.openflow import messages as m

# word -> (bit, whether the word sets it)
_PORT_WORDS = {
    "up": (of.OFPPC_PORT_DOWN, False),
    "down": (of.OFPPC_PORT_DOWN, True),
    "stp": (of.OFPPC_NO_STP, False),
    "receive": (of.OFPPC_NO_RECV, False),
    "receive-stp": (of.OFPPC_NO_RECV_STP, False),
    "flood": (of.OFPPC_NO_FLOOD, False),
    "forward": (of.OFPPC_NO_FWD, False),
    "packet-in": (of.OFPPC_NO_PACKET_IN, False),
}


def _port_setting(action: str) -> tuple[int, bool]:
    """The bit that an action is about, and whether it sets it; "no-" or "no" before a word turns it round."""
    word = action.lower()
    found = _PORT_WORDS.get(word)
    if found is None and word.startswith("no"):
        found = _PORT_WORDS.get(word.removeprefix("no").removeprefix("-"))
        if found is not None:
            return found[0], not found[1]
    if found is None:
        raise Failure(f"unknown mod-port command '{action}'")
    return found


def mod_port(tool: Tool, arguments: Sequence[str]) -> int:
    name, word, action = arguments
    number = int(word) if word.isascii() and word.isdecimal() else None  # names like LOCAL are no ports here
    ports = port_list(tool, name)
    port = next(
        (p for p in ports if p.number == number or (number is None and tool.accept_names and p.name == word)),
        None,
    )
    if port is None:
        raise Failure(f"{name}: couldn't find port `{word}'")
    bit, on = _port_setting(action)
    switch = Switch(tool, name)
    error = switch.transact(m.PortMod(port.number, port.hardware_address, bit if on else 0, bit))
    switch.close()
    return 0 if error is None else complain(error, tool)


def _config(switch: Switch) -> m.SwitchConfig:
    _, incoming = switch.ask(m.GetConfigRequest())
    if not isinstance(incoming.message, m.GetConfigReply):
        raise Failure(f"{switch.name}: bad reply to config request")
    return incoming.message.config


def get_frags(tool: Tool, arguments: Sequence[str]) -> int:
    switch = Switch(tool, arguments[0])
    sys.stdout.write(of.FRAGMENT_NAMES[_config(switch).fragments] + "\n")
    switch.close()
    return 0


def set_frags(tool: Tool, arguments: Sequence[str]) -> int:
    name, word = arguments
    mode = next((number for number, text in of.FRAGMENT_NAMES.items() if text == word.lower()), None)
    if mode is None:
        raise Failure(f"{word}: unknown fragment handling mode")
    switch = Switch(tool, name)
    config = _config(switch)
    if config.fragments != mode:
        switch.transact(m.SetConfig(config._replace(fragments=mode)))
        if _config(switch).fragments != mode:
            text = of.FRAGMENT_NAMES[mode]
            raise Failure(
                f"{name}: setting fragment handling mode failed "
                f'(this switch probably doesn\'t support mode "{text}")'
            )
    switch.close()
    return 0
