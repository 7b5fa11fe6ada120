"""A learning switch as an os-ken application, in the version that TEST_VERSION says; every event is said."""

import os
from typing import Any

from os_ken.base.app_manager import OSKenApp
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib.packet import ethernet, packet
from os_ken_controller import say

VERSION = int(os.environ["TEST_VERSION"])


class Learning(OSKenApp):
    OFP_VERSIONS = (VERSION,)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.ports: dict[tuple[int, str], int] = {}  # by switch and address

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def features(self, event: Any) -> None:
        datapath = event.msg.datapath
        say(event.msg.datapath_id, "features", event.msg.n_tables)
        if VERSION > 1:
            o, p = datapath.ofproto, datapath.ofproto_parser
            self.add(datapath, 0, p.OFPMatch(), [p.OFPActionOutput(o.OFPP_CONTROLLER, o.OFPCML_NO_BUFFER)])

    def add(self, datapath: Any, priority: int, match: Any, actions: list[Any]) -> None:
        o, p = datapath.ofproto, datapath.ofproto_parser
        if VERSION == 1:
            mod = p.OFPFlowMod(
                datapath, match, 0, o.OFPFC_ADD, 0, 0, priority, flags=o.OFPFF_SEND_FLOW_REM, actions=actions
            )
        else:
            do = [p.OFPInstructionActions(o.OFPIT_APPLY_ACTIONS, actions)]
            mod = p.OFPFlowMod(
                datapath=datapath, priority=priority, match=match, instructions=do, command=o.OFPFC_ADD,
                flags=o.OFPFF_SEND_FLOW_REM, out_port=o.OFPP_ANY, out_group=o.OFPG_ANY,
                buffer_id=o.OFP_NO_BUFFER,
            )  # fmt: skip
        datapath.send_msg(mod)

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, event: Any) -> None:
        message = event.msg
        datapath = message.datapath
        o, p = datapath.ofproto, datapath.ofproto_parser
        port = message.in_port if VERSION == 1 else message.match["in_port"]
        frame = packet.Packet(message.data).get_protocols(ethernet.ethernet)[0]
        say(
            datapath.id,
            "packet-in",
            port,
            frame.src,
            frame.dst,
            message.reason,
            message.total_len,
            len(message.data),
        )
        self.ports[datapath.id, frame.src] = port
        out = self.ports.get((datapath.id, frame.dst), o.OFPP_FLOOD)
        actions = [p.OFPActionOutput(out)]
        if out != o.OFPP_FLOOD:
            fields = {"in_port": port, ("dl_dst" if VERSION == 1 else "eth_dst"): frame.dst}
            self.add(datapath, 1, p.OFPMatch(**fields), actions)
        where = {"match": p.OFPMatch(in_port=port)} if VERSION == 6 else {"in_port": port}
        datapath.send_msg(
            p.OFPPacketOut(
                datapath=datapath, buffer_id=message.buffer_id, actions=actions,
                data=message.data if message.buffer_id in (0xFFFFFFFF, -1) else None, **where,
            )
        )  # fmt: skip

    @set_ev_cls(ofp_event.EventOFPPortStatus, MAIN_DISPATCHER)
    def port_status(self, event: Any) -> None:
        message = event.msg
        name = message.desc.name.decode().rstrip("\0")
        say(message.datapath.id, "port-status", message.reason, message.desc.port_no, name)

    @set_ev_cls(ofp_event.EventOFPFlowRemoved, MAIN_DISPATCHER)
    def flow_removed(self, event: Any) -> None:
        say(event.msg.datapath.id, "flow-removed", event.msg.reason, event.msg.priority)

    @set_ev_cls(ofp_event.EventOFPErrorMsg, [CONFIG_DISPATCHER, MAIN_DISPATCHER])
    def error(self, event: Any) -> None:
        say(event.msg.datapath.id, "error", event.msg.type, event.msg.code)
