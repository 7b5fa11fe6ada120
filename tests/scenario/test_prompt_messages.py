"""What a packet makes the switch say is said at once, not when a timer happens to be due.

Virtual time passes only when nothing else is left to do: an answer that came without a timer cost none.
"""

import struct

from trunkline.testing.site import Site, SiteMachine

_HELLO = struct.pack("!BBHI", 4, 0, 8, 1)
_CONFIGURE = struct.pack("!BBHIHH", 4, 9, 12, 2, 0, 0xFFFF)
_PACKET_IN = 10


class Listener:
    """A controller that came by itself, in OpenFlow 1.3."""

    def __init__(self, site: Site, bridge: str) -> None:
        self._site = site
        self._stream = site.run(site._network.dial(f"unix:{site._directory}/{bridge}.mgmt"))
        self._data = b""
        site.call(self._stream.write, _HELLO + _CONFIGURE)
        site.settle()

    def next_packet(self) -> bytes:
        """The next packet-in, waited for in virtual time."""
        while True:
            while len(self._data) >= 8 and len(self._data) >= (size := int.from_bytes(self._data[2:4])):
                message, self._data = self._data[:size], self._data[size:]
                if message[1] == _PACKET_IN:
                    return message
            data = self._site.run(self._stream.read())
            assert data, "the switch has hung up"
            self._data += data


def machines(site: Site) -> tuple[SiteMachine, SiteMachine]:
    site.vsctl("add-br br0 -- set bridge br0 protocols=OpenFlow13")
    one, two = (site.machine(f"m{n}", f"10.0.0.{n}/24", "br0") for n in (1, 2))
    site.ofctl("-O OpenFlow13 add-flow br0 actions=CONTROLLER:65535")
    return one, two


def frame(number: int) -> bytes:
    return bytes((2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, number)) + b"\x88\xb5" + bytes(46)


def test_packets_go_to_controllers_at_once(site: Site) -> None:
    one, _ = machines(site)
    listener = Listener(site, "br0")
    for number in range(1, 20):
        before = site.now
        site.call(one.machine.send, frame(number))
        assert listener.next_packet().endswith(frame(number))
        assert site.now == before
        site.advance(0.7 * number)  # megaflows, and none


def test_idle_flows_of_a_switch_that_was_idle_end_in_time(site: Site) -> None:
    """The first packet after a long silence sets the timers that expire what it made."""
    one, _ = machines(site)
    site.advance(3600)
    one.send(frame(1))
    assert "actions:userspace" in site.appctl("dpctl/dump-flows")
    site.advance(15)
    assert site.appctl("dpctl/dump-flows") == ""
