"""Every OpenFlow message kind: its name, its numbers, the versions that have it, and the lengths it may have.

A message is told from another by its family and a number: the type in the header (OFPT), the type of a
multipart request or reply (OFPST), or the subtype within an experimenter message or multipart of Nicira
(NXT, NXST; experimenter 0x2320) or the ONF (ONFT, ONFST; experimenter 0x4f4e4600).  Versions are a column:
wire versions `first` to `last`, where 1 is OpenFlow 1.0 and 6 is 1.5.

The body of a message (what follows the headers that tell its kind) has at least `minimum` bytes and beyond
them a multiple of `step`; a step of 0 allows exactly `minimum`.  Any other length is OFPBRC_BAD_LEN.

Sources: the OpenFlow Switch Specification 1.0.0 to 1.5.1, section A.3; names and lengths as the original's
``ovs-ofctl ofp-parse`` shows and accepts them.
"""

from typing import Final, NamedTuple

OFPT: Final = "OFPT"
NXT: Final = "NXT"
ONFT: Final = "ONFT"
OFPST_REQUEST: Final = "OFPST request"
OFPST_REPLY: Final = "OFPST reply"
NXST_REQUEST: Final = "NXST request"
NXST_REPLY: Final = "NXST reply"
ONFST_REQUEST: Final = "ONFST request"
ONFST_REPLY: Final = "ONFST reply"

NICIRA_EXPERIMENTER: Final = 0x2320
ONF_EXPERIMENTER: Final = 0x4F4E4600


class Kind(NamedTuple):
    family: str
    number: int
    name: str
    first: int
    last: int
    minimum: int
    step: int


SWITCHES_SAY: Final = frozenset(
    (
        "OFPT_PACKET_IN", "OFPT_FLOW_REMOVED", "OFPT_PORT_STATUS", "OFPT_ROLE_STATUS", "OFPT_TABLE_STATUS",
        "OFPT_REQUESTFORWARD", "ONFT_ROLE_STATUS", "ONFT_REQUESTFORWARD", "NXT_PACKET_IN",
        "NXT_PACKET_IN2", "NXT_FLOW_REMOVED", "NXT_REQUESTFORWARD", "NXT_FLOW_MONITOR_PAUSED",
        "NXT_FLOW_MONITOR_RESUMED", "ONFT_FLOW_MONITOR_PAUSED", "ONFT_FLOW_MONITOR_RESUMED",
        "OFPT_FEATURES_REPLY", "OFPT_GET_CONFIG_REPLY", "OFPT_QUEUE_GET_CONFIG_REPLY",
        "OFPT_BARRIER_REPLY", "OFPT_ROLE_REPLY", "OFPT_GET_ASYNC_REPLY", "NXT_ROLE_REPLY",
        "NXT_TLV_TABLE_REPLY",
    )
)  # fmt: skip
"""Kinds that only a switch says; the families of replies are the rest of them."""


def only_switches_say(kind: Kind) -> bool:
    """Whether a switch that hears such a message has been taken for a controller."""
    return kind.name in SWITCHES_SAY or kind.family.endswith(" reply")


KINDS: Final = (
    Kind(OFPT, 0, "OFPT_HELLO", 1, 6, 0, 1),
    Kind(OFPT, 1, "OFPT_ERROR", 1, 6, 4, 1),
    Kind(OFPT, 2, "OFPT_ECHO_REQUEST", 1, 6, 0, 1),
    Kind(OFPT, 3, "OFPT_ECHO_REPLY", 1, 6, 0, 1),
    Kind(OFPT, 5, "OFPT_FEATURES_REQUEST", 1, 6, 0, 0),
    Kind(OFPT, 6, "OFPT_FEATURES_REPLY", 1, 1, 24, 48),
    Kind(OFPT, 6, "OFPT_FEATURES_REPLY", 2, 3, 24, 64),
    Kind(OFPT, 6, "OFPT_FEATURES_REPLY", 4, 6, 24, 0),
    Kind(OFPT, 7, "OFPT_GET_CONFIG_REQUEST", 1, 6, 0, 0),
    Kind(OFPT, 8, "OFPT_GET_CONFIG_REPLY", 1, 6, 4, 0),
    Kind(OFPT, 9, "OFPT_SET_CONFIG", 1, 6, 4, 0),
    Kind(OFPT, 10, "OFPT_PACKET_IN", 1, 1, 10, 1),
    Kind(OFPT, 10, "OFPT_PACKET_IN", 2, 2, 16, 1),
    Kind(OFPT, 10, "OFPT_PACKET_IN", 3, 3, 8, 1),
    Kind(OFPT, 10, "OFPT_PACKET_IN", 4, 6, 16, 1),
    Kind(OFPT, 11, "OFPT_FLOW_REMOVED", 1, 1, 80, 0),
    Kind(OFPT, 11, "OFPT_FLOW_REMOVED", 2, 5, 40, 8),
    Kind(OFPT, 11, "OFPT_FLOW_REMOVED", 6, 6, 16, 8),
    Kind(OFPT, 12, "OFPT_PORT_STATUS", 1, 1, 56, 0),
    Kind(OFPT, 12, "OFPT_PORT_STATUS", 2, 4, 72, 0),
    Kind(OFPT, 12, "OFPT_PORT_STATUS", 5, 6, 48, 8),
    Kind(OFPT, 13, "OFPT_PACKET_OUT", 1, 1, 8, 1),
    Kind(OFPT, 13, "OFPT_PACKET_OUT", 2, 5, 16, 1),
    Kind(OFPT, 13, "OFPT_PACKET_OUT", 6, 6, 8, 1),
    Kind(OFPT, 14, "OFPT_FLOW_MOD", 1, 1, 64, 8),
    Kind(OFPT, 14, "OFPT_FLOW_MOD", 2, 6, 40, 8),
    Kind(OFPT, 15, "OFPT_PORT_MOD", 1, 1, 24, 0),
    Kind(OFPT, 15, "OFPT_GROUP_MOD", 2, 5, 8, 8),
    Kind(OFPT, 15, "OFPT_GROUP_MOD", 6, 6, 16, 8),
    Kind(OFPT, 16, "OFPT_PORT_MOD", 2, 4, 32, 0),
    Kind(OFPT, 16, "OFPT_PORT_MOD", 5, 6, 24, 8),
    Kind(OFPT, 17, "OFPT_TABLE_MOD", 2, 4, 8, 0),
    Kind(OFPT, 17, "OFPT_TABLE_MOD", 5, 6, 8, 8),
    Kind(OFPT, 18, "OFPT_BARRIER_REQUEST", 1, 1, 0, 0),
    Kind(OFPT, 19, "OFPT_BARRIER_REPLY", 1, 1, 0, 0),
    Kind(OFPT, 20, "OFPT_QUEUE_GET_CONFIG_REQUEST", 1, 1, 4, 0),
    Kind(OFPT, 20, "OFPT_BARRIER_REQUEST", 2, 6, 0, 0),
    Kind(OFPT, 21, "OFPT_QUEUE_GET_CONFIG_REPLY", 1, 1, 8, 8),
    Kind(OFPT, 21, "OFPT_BARRIER_REPLY", 2, 6, 0, 0),
    Kind(OFPT, 22, "OFPT_QUEUE_GET_CONFIG_REQUEST", 2, 4, 8, 0),
    Kind(OFPT, 23, "OFPT_QUEUE_GET_CONFIG_REPLY", 2, 4, 8, 8),
    Kind(OFPT, 24, "OFPT_ROLE_REQUEST", 3, 6, 16, 0),
    Kind(OFPT, 25, "OFPT_ROLE_REPLY", 3, 6, 16, 0),
    Kind(OFPT, 26, "OFPT_GET_ASYNC_REQUEST", 4, 6, 0, 0),
    Kind(OFPT, 27, "OFPT_GET_ASYNC_REPLY", 4, 4, 24, 0),
    Kind(OFPT, 27, "OFPT_GET_ASYNC_REPLY", 5, 6, 0, 8),
    Kind(OFPT, 28, "OFPT_SET_ASYNC", 4, 4, 24, 0),
    Kind(OFPT, 28, "OFPT_SET_ASYNC", 5, 6, 0, 8),
    Kind(OFPT, 29, "OFPT_METER_MOD", 4, 6, 8, 8),
    Kind(OFPT, 30, "OFPT_ROLE_STATUS", 5, 6, 16, 8),
    Kind(OFPT, 31, "OFPT_TABLE_STATUS", 5, 6, 8, 8),
    Kind(OFPT, 32, "OFPT_REQUESTFORWARD", 5, 6, 8, 8),
    Kind(OFPT, 33, "OFPT_BUNDLE_CONTROL", 5, 6, 8, 8),
    Kind(OFPT, 34, "OFPT_BUNDLE_ADD_MESSAGE", 5, 6, 8, 1),
    Kind(NXT, 10, "NXT_ROLE_REQUEST", 1, 6, 4, 0),
    Kind(NXT, 11, "NXT_ROLE_REPLY", 1, 6, 4, 0),
    Kind(NXT, 12, "NXT_SET_FLOW_FORMAT", 1, 1, 4, 0),
    Kind(NXT, 13, "NXT_FLOW_MOD", 1, 6, 32, 8),
    Kind(NXT, 14, "NXT_FLOW_REMOVED", 1, 6, 40, 8),
    Kind(NXT, 15, "NXT_FLOW_MOD_TABLE_ID", 1, 6, 8, 0),
    Kind(NXT, 16, "NXT_SET_PACKET_IN_FORMAT", 1, 6, 4, 0),
    Kind(NXT, 17, "NXT_PACKET_IN", 1, 6, 24, 1),
    Kind(NXT, 18, "NXT_FLOW_AGE", 1, 6, 0, 0),
    Kind(NXT, 19, "NXT_SET_ASYNC_CONFIG", 1, 6, 24, 0),
    Kind(NXT, 20, "NXT_SET_CONTROLLER_ID", 1, 6, 8, 0),
    Kind(NXT, 21, "NXT_FLOW_MONITOR_CANCEL", 1, 3, 4, 0),
    Kind(NXT, 22, "NXT_FLOW_MONITOR_PAUSED", 1, 3, 0, 0),
    Kind(NXT, 23, "NXT_FLOW_MONITOR_RESUMED", 1, 3, 0, 0),
    Kind(NXT, 24, "NXT_TLV_TABLE_MOD", 1, 6, 8, 8),
    Kind(NXT, 25, "NXT_TLV_TABLE_REQUEST", 1, 6, 0, 0),
    Kind(NXT, 26, "NXT_TLV_TABLE_REPLY", 1, 6, 16, 8),
    Kind(NXT, 27, "NXT_SET_ASYNC_CONFIG2", 1, 4, 0, 8),
    Kind(NXT, 28, "NXT_RESUME", 1, 6, 0, 8),
    Kind(NXT, 29, "NXT_CT_FLUSH_ZONE", 1, 6, 8, 0),
    Kind(NXT, 30, "NXT_PACKET_IN2", 1, 6, 0, 8),
    Kind(NXT, 31, "NXT_GROUP_MOD", 1, 1, 16, 8),
    Kind(NXT, 32, "NXT_CT_FLUSH", 1, 6, 8, 8),
    Kind(NXT, 132, "NXT_REQUESTFORWARD", 1, 3, 8, 8),
    Kind(ONFT, 1870, "ONFT_FLOW_MONITOR_CANCEL", 4, 4, 4, 0),
    Kind(ONFT, 1871, "ONFT_FLOW_MONITOR_PAUSED", 4, 4, 0, 0),
    Kind(ONFT, 1872, "ONFT_FLOW_MONITOR_RESUMED", 4, 4, 0, 0),
    Kind(ONFT, 1911, "ONFT_ROLE_STATUS", 4, 4, 16, 8),
    Kind(ONFT, 2300, "ONFT_BUNDLE_CONTROL", 4, 4, 8, 8),
    Kind(ONFT, 2301, "ONFT_BUNDLE_ADD_MESSAGE", 4, 4, 8, 1),
    Kind(ONFT, 2350, "ONFT_REQUESTFORWARD", 4, 4, 8, 8),
    Kind(OFPST_REQUEST, 0, "OFPST_DESC request", 1, 6, 0, 0),
    Kind(OFPST_REQUEST, 1, "OFPST_FLOW request", 1, 1, 44, 0),
    Kind(OFPST_REQUEST, 1, "OFPST_FLOW request", 2, 6, 32, 8),
    Kind(OFPST_REQUEST, 2, "OFPST_AGGREGATE request", 1, 1, 44, 0),
    Kind(OFPST_REQUEST, 2, "OFPST_AGGREGATE request", 2, 6, 32, 8),
    Kind(OFPST_REQUEST, 3, "OFPST_TABLE request", 1, 6, 0, 0),
    Kind(OFPST_REQUEST, 4, "OFPST_PORT request", 1, 6, 8, 0),
    Kind(OFPST_REQUEST, 5, "OFPST_QUEUE request", 1, 6, 8, 0),
    Kind(OFPST_REQUEST, 6, "OFPST_GROUP request", 2, 6, 8, 0),
    Kind(OFPST_REQUEST, 7, "OFPST_GROUP_DESC request", 2, 5, 0, 0),
    Kind(OFPST_REQUEST, 7, "OFPST_GROUP_DESC request", 6, 6, 8, 0),
    Kind(OFPST_REQUEST, 8, "OFPST_GROUP_FEATURES request", 3, 6, 0, 0),
    Kind(OFPST_REQUEST, 9, "OFPST_METER request", 4, 6, 8, 0),
    Kind(OFPST_REQUEST, 10, "OFPST_METER_CONFIG request", 4, 6, 8, 0),
    Kind(OFPST_REQUEST, 11, "OFPST_METER_FEATURES request", 4, 6, 0, 0),
    Kind(OFPST_REQUEST, 12, "OFPST_TABLE_FEATURES request", 4, 6, 0, 8),
    Kind(OFPST_REQUEST, 13, "OFPST_PORT_DESC request", 1, 5, 0, 0),
    Kind(OFPST_REQUEST, 13, "OFPST_PORT_DESC request", 6, 6, 8, 0),
    Kind(OFPST_REQUEST, 14, "OFPST_TABLE_DESC request", 5, 6, 0, 0),
    Kind(OFPST_REQUEST, 15, "OFPST_QUEUE_DESC request", 5, 6, 8, 0),
    Kind(OFPST_REQUEST, 16, "OFPST_FLOW_MONITOR request", 5, 6, 0, 8),
    Kind(OFPST_REPLY, 0, "OFPST_DESC reply", 1, 6, 1056, 0),
    Kind(OFPST_REPLY, 1, "OFPST_FLOW reply", 1, 6, 0, 1),
    Kind(OFPST_REPLY, 2, "OFPST_AGGREGATE reply", 1, 5, 24, 0),
    Kind(OFPST_REPLY, 2, "OFPST_AGGREGATE reply", 6, 6, 0, 1),
    Kind(OFPST_REPLY, 3, "OFPST_TABLE reply", 1, 1, 0, 64),
    Kind(OFPST_REPLY, 3, "OFPST_TABLE reply", 2, 2, 0, 88),
    Kind(OFPST_REPLY, 3, "OFPST_TABLE reply", 3, 3, 0, 128),
    Kind(OFPST_REPLY, 3, "OFPST_TABLE reply", 4, 6, 0, 24),
    Kind(OFPST_REPLY, 4, "OFPST_PORT reply", 1, 3, 0, 104),
    Kind(OFPST_REPLY, 4, "OFPST_PORT reply", 4, 4, 0, 112),
    Kind(OFPST_REPLY, 4, "OFPST_PORT reply", 5, 6, 0, 8),
    Kind(OFPST_REPLY, 5, "OFPST_QUEUE reply", 1, 3, 0, 32),
    Kind(OFPST_REPLY, 5, "OFPST_QUEUE reply", 4, 4, 0, 40),
    Kind(OFPST_REPLY, 5, "OFPST_QUEUE reply", 5, 6, 0, 8),
    Kind(OFPST_REPLY, 6, "OFPST_GROUP reply", 2, 6, 0, 8),
    Kind(OFPST_REPLY, 7, "OFPST_GROUP_DESC reply", 2, 6, 0, 8),
    Kind(OFPST_REPLY, 8, "OFPST_GROUP_FEATURES reply", 3, 6, 40, 0),
    Kind(OFPST_REPLY, 9, "OFPST_METER reply", 4, 6, 0, 8),
    Kind(OFPST_REPLY, 10, "OFPST_METER_CONFIG reply", 4, 6, 0, 8),
    Kind(OFPST_REPLY, 11, "OFPST_METER_FEATURES reply", 4, 6, 16, 0),
    Kind(OFPST_REPLY, 12, "OFPST_TABLE_FEATURES reply", 4, 6, 64, 8),
    Kind(OFPST_REPLY, 13, "OFPST_PORT_DESC reply", 1, 1, 0, 48),
    Kind(OFPST_REPLY, 13, "OFPST_PORT_DESC reply", 2, 4, 0, 64),
    Kind(OFPST_REPLY, 13, "OFPST_PORT_DESC reply", 5, 6, 0, 8),
    Kind(OFPST_REPLY, 14, "OFPST_TABLE_DESC reply", 5, 6, 8, 8),
    Kind(OFPST_REPLY, 15, "OFPST_QUEUE_DESC reply", 5, 6, 0, 8),
    Kind(OFPST_REPLY, 16, "OFPST_FLOW_MONITOR reply", 5, 6, 0, 8),
    Kind(NXST_REQUEST, 0, "NXST_FLOW request", 1, 1, 8, 8),
    Kind(NXST_REQUEST, 1, "NXST_AGGREGATE request", 1, 1, 8, 8),
    Kind(NXST_REQUEST, 2, "NXST_FLOW_MONITOR request", 1, 3, 0, 8),
    Kind(NXST_REQUEST, 3, "NXST_IPFIX_BRIDGE request", 1, 6, 0, 0),
    Kind(NXST_REQUEST, 4, "NXST_IPFIX_FLOW request", 1, 6, 0, 0),
    Kind(NXST_REQUEST, 7, "NXST_GROUP request", 1, 1, 8, 0),
    Kind(NXST_REQUEST, 8, "NXST_GROUP_DESC request", 1, 1, 8, 0),
    Kind(NXST_REQUEST, 9, "NXST_GROUP_FEATURES request", 1, 2, 0, 0),
    Kind(NXST_REPLY, 0, "NXST_FLOW reply", 1, 1, 0, 1),
    Kind(NXST_REPLY, 1, "NXST_AGGREGATE reply", 1, 1, 24, 0),
    Kind(NXST_REPLY, 2, "NXST_FLOW_MONITOR reply", 1, 3, 0, 8),
    Kind(NXST_REPLY, 3, "NXST_IPFIX_BRIDGE reply", 1, 6, 88, 0),
    Kind(NXST_REPLY, 4, "NXST_IPFIX_FLOW reply", 1, 6, 0, 88),
    Kind(NXST_REPLY, 7, "NXST_GROUP reply", 1, 1, 0, 8),
    Kind(NXST_REPLY, 8, "NXST_GROUP_DESC reply", 1, 1, 0, 8),
    Kind(NXST_REPLY, 9, "NXST_GROUP_FEATURES reply", 1, 2, 40, 0),
    Kind(ONFST_REQUEST, 1870, "ONFST_FLOW_MONITOR request", 4, 4, 0, 8),
    Kind(ONFST_REPLY, 1870, "ONFST_FLOW_MONITOR reply", 4, 4, 0, 8),
)
