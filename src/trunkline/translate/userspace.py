"""What a datapath hands up to the switch: packets for controllers, for the slow path, and samples.

Each kind may have to pass a meter first: the virtual meters `controller` and `slowpath` of a bridge measure
no flows but what comes up.  A `userspace` action of the datapath has no meter, so meter and action stand
together in a `sample` that is always taken: what the meter drops, only the copy within loses.
"""

from typing import Any, Final

from trunkline.dpif import actions as dp
from trunkline.flow import key as layout
from trunkline.ofproto.bridge import Bridge
from trunkline.ofproto.fabric import bridge_token, port_token
from trunkline.openflow import actions as a
from trunkline.openflow.meters import METER_CONTROLLER, METER_SLOWPATH
from trunkline.translate.result import SendToController
from trunkline.translate.walk import IN_PORT, Walk

_IN_PORT: Final = layout.OFFSET["in_port"]
_ALWAYS: Final = 0xFFFFFFFF
_NO_PORT: Final = 0xFFFFFFFF
SLOW: Final = "slow_path"


def slow_path(bridge: Bridge) -> tuple[Any, ...]:
    """The actions of a megaflow whose own the switch must carry out; its packets come in at `bridge`."""
    cookie = dp.Cookie(SLOW, (("", "action"),))
    return (_metered(bridge, METER_SLOWPATH, _ALWAYS, dp.Userspace(cookie)),)


def to_controller(x: Walk, what: SendToController) -> None:
    x.reads.append(bridge_token(x.bridge.name))
    x.out.append(_metered(x.bridge, METER_CONTROLLER, _ALWAYS, dp.Userspace(what)))


def sample(x: Walk, action: a.Sample, _: object) -> None:
    """sample(...): nothing, unless the bridge has collectors; which number they take is for them to see."""
    x.reads.append(bridge_token(x.bridge.name))
    if not x.bridge.collects:
        return
    x.commit()
    port = _NO_PORT
    if action.sampling_port is not None and action.sampling_port != (x.key & IN_PORT) >> _IN_PORT:
        x.reads.append(port_token(x.bridge.name, action.sampling_port))
        interface = x.bridge.interfaces.get(action.sampling_port)
        if interface is not None and interface.datapath_port is not None:
            port = interface.datapath_port
    words: tuple[tuple[str, str | int], ...] = (
        ("probability", action.probability),
        ("collector_set_id", action.collector_set),
        ("obs_domain_id", action.observation_domain),
        ("obs_point_id", action.observation_point),
        ("output_port", port),
    )
    if action.direction:
        words += (("", ("", "ingress", "egress")[action.direction]),)
    probability = action.probability << 16 | action.probability
    x.out.append(
        _metered(x.bridge, METER_SLOWPATH, probability, dp.Userspace(dp.Cookie("flow_sample", words)))
    )


def _metered(bridge: Bridge, meter: int, probability: int, action: dp.Userspace) -> Any:
    found = bridge.flows.meters.get(meter)
    if found is not None:
        return dp.Sample(probability, (dp.Meter(found.number), action))
    return action if probability == _ALWAYS else dp.Sample(probability, (action,))
