"""The text of ``ovs-ofctl --help``."""

from typing import Final

HELP: Final = """\
ovs-ofctl: OpenFlow switch management utility
usage: ovs-ofctl [OPTIONS] COMMAND [ARG...]

Looking at a switch:
  show SWITCH                      features, ports and configuration
  dump-desc SWITCH                 what the switch says it is
  dump-tables SWITCH               statistics of each flow table
  dump-flows SWITCH [FLOW]         the flows (that FLOW covers)
  dump-aggregate SWITCH [FLOW]     their number and counters together
  dump-ports SWITCH [PORT]         counters of ports
  dump-ports-desc SWITCH [PORT]    what each port is
  queue-stats SWITCH [PORT [QUEUE]]  counters of queues
  queue-get-config SWITCH [PORT [QUEUE]]  what queues are set to
  dump-table-features SWITCH       what each table can do
  dump-table-desc SWITCH           eviction and vacancy of tables
  dump-groups SWITCH [GROUP]       groups; also dump-group-stats, dump-group-features
  dump-meters SWITCH [METER]       meters; also meter-stats, meter-features
  dump-tlv-map SWITCH              which tunnel options are which fields
  dump-ipfix-bridge, dump-ipfix-flow SWITCH  statistics of IPFIX
  monitor SWITCH [MISSLEN] [invalid_ttl] [watch:...]  messages as they come
  snoop SWITCH                     what switch and controller say to each other
  get-frags SWITCH                 how fragments are treated

Changing it:
  add-flow SWITCH FLOW             add a flow (- as FLOW: flows from standard input)
  add-flows SWITCH FILE            add, change and delete flows as FILE says
  mod-flows SWITCH FLOW            change the actions of flows
  del-flows SWITCH [FLOW]          delete flows
  replace-flows SWITCH FILE        make the flows those of FILE
  diff-flows SOURCE1 SOURCE2       compare the flows of two switches or files
  packet-out SWITCH PACKET-OUT     send a packet through actions
  add-group, mod-group, insert-buckets, remove-buckets SWITCH GROUP, add-groups SWITCH FILE
  del-groups SWITCH [GROUP]        delete groups
  add-meter, mod-meter SWITCH METER, del-meters SWITCH [METER]
  bundle SWITCH FILE               changes of flows and groups, and packets, as one
  add-tlv-map SWITCH MAP, del-tlv-map SWITCH [MAP]  tunnel options
  ct-flush SWITCH [zone=N] [TUPLE [TUPLE]], ct-flush-zone SWITCH ZONE
  mod-port SWITCH PORT ACTION      change how a port behaves
  mod-table SWITCH TABLE SETTING   change how a table behaves
  set-frags SWITCH MODE            normal, drop, reassemble or nx-match

Any OpenFlow peer:
  probe TARGET                     whether it answers
  ping TARGET [N]                  how long N bytes take there and back
  benchmark TARGET N COUNT         COUNT times N bytes there and back

Without a switch:
  ofp-parse FILE                   print the messages in FILE
  ofp-parse-pcap FILE [PORT...]    print the messages in a capture
  ofp-print HEX [VERBOSITY]        print a message given in hexadecimal
  parse-flow FLOW, parse-flows FILE  print the message that a flow makes

SWITCH is the name of a bridge, a socket's path, or unix:FILE, tcp:HOST[:PORT], ssl:HOST[:PORT].
`ovs-ofctl list-commands` names all commands.

Options:
  -O, --protocols=VERSIONS         allowed versions, such as OpenFlow10,OpenFlow13
  -F, --flow-format=FORMATS        allowed flow formats
  --strict                         exact matches for mod-flows and del-flows
  --read-only                      refuse commands that change something
  --readd                          replace-flows: also flows that have not changed
  --bundle                         flow changes as one atomic bundle
  --names, --no-names              names of ports and tables, or their numbers
  --stats, --no-stats              with or without counters in dump-flows
  --sort[=FIELD], --rsort[=FIELD]  order of dump-flows
  -m, --more                       more detail
  -P, --packet-in-format=FORMAT    of monitor: standard, nxt_packet_in or nxt_packet_in2
  --timestamp                      when each message came
  --may-create                     mod-group: add what is not there
  --detach, --monitor, --pidfile[=FILE], --unixctl=SOCKET  of monitor and snoop
  -t, --timeout=SECS               give up after SECS seconds
  -p, --private-key=FILE  -c, --certificate=FILE  -C, --ca-cert=FILE   for ssl:
  -vSPEC, --verbose=SPEC           logging levels
  --log-file[=FILE]                log to FILE
  -h, --help                       this text
  -V, --version                    version information
"""

# The arguments of commands in ``list-commands``; those that only tests use say none.
ARGUMENTS: Final = {
    "show": "switch",
    "monitor": "switch [misslen] [invalid_ttl] [watch:[...]]",
    "snoop": "switch",
    "dump-desc": "switch",
    "dump-tables": "switch",
    "dump-table-features": "switch",
    "dump-table-desc": "switch",
    "dump-flows": "switch",
    "dump-aggregate": "switch",
    "queue-stats": "switch [port [queue]]",
    "queue-get-config": "switch [port [queue]]",
    "add-flow": "switch flow",
    "add-flows": "switch file",
    "mod-flows": "switch flow",
    "del-flows": "switch [flow]",
    "replace-flows": "switch file",
    "diff-flows": "source1 source2",
    "add-meter": "switch meter",
    "mod-meter": "switch meter",
    "del-meter": "switch meter",
    "del-meters": "switch",
    "dump-meter": "switch meter",
    "dump-meters": "switch",
    "meter-stats": "switch [meter]",
    "meter-features": "switch",
    "packet-out": 'switch "in_port=<port> packet=<hex data> actions=..."',
    "dump-ports": "switch [port]",
    "dump-ports-desc": "switch [port]",
    "mod-port": "switch iface act",
    "mod-table": "switch mod",
    "get-frags": "switch",
    "set-frags": "switch frag_mode",
    "probe": "target",
    "ping": "target [n]",
    "benchmark": "target n count",
    "dump-ipfix-bridge": "switch",
    "dump-ipfix-flow": "switch",
    "ct-flush-zone": "switch zone",
    "ct-flush": "switch [zone=N] [ct-orig-tuple [ct-reply-tuple]]",
    "ofp-parse": "file",
    "ofp-parse-pcap": "pcap",
    "add-group": "switch group",
    "add-groups": "switch file",
    "mod-group": "switch group",
    "del-groups": "switch [group]",
    "insert-buckets": "switch [group]",
    "remove-buckets": "switch [group]",
    "dump-groups": "switch [group]",
    "dump-group-stats": "switch [group]",
    "dump-group-features": "switch",
    "bundle": "switch file",
    "add-tlv-map": "switch map",
    "del-tlv-map": "switch [map]",
    "dump-tlv-map": "switch",
}
