"""Output to a port whose number is learned on the way: from a register, or as a bundle's member."""

from trunkline.model import openflow as of
from trunkline.translate.controller import output_controller
from trunkline.translate.fields import Part, read
from trunkline.translate.normal import normal
from trunkline.translate.output import flood, in_port_of, output, resubmit, send
from trunkline.translate.walk import Walk


def to_any(x: Walk, port: int, max_length: int) -> bool | int:
    """Output to a port by number, whichever kind it is: by those who learn the number on the way."""
    if port < of.OFPP_MAX or port == of.OFPP_LOCAL:
        output(x, port)
    elif port == of.OFPP_TABLE:
        return resubmit(x, of.OFPP_IN_PORT, 0)
    elif port == of.OFPP_IN_PORT:
        send(x, in_port_of(x))
    elif port == of.OFPP_NORMAL:
        normal(x)
    elif port in (of.OFPP_FLOOD, of.OFPP_ALL):
        flood(x, port == of.OFPP_ALL, None)
    elif port == of.OFPP_CONTROLLER:
        output_controller(x, max_length, None)
    return False


def to_register(x: Walk, source: Part, max_length: int) -> bool | int:
    """output:FIELD[...]: a port whose number a field holds."""
    port = read(x, source)
    if port > 0xFFFF:
        x.warn(f"output port {port} is out of range")
        return False
    x.note(f"output port is {port}")
    return to_any(x, port, max_length)
