"""What nothing speaks yet is never shown as an empty listing where it is configured."""

import pytest

from trunkline.testing.site import Site, ToolError

BOND = "--id=@m get Interface m1 -- --id=@x create Interface name=x -- set Port m1 interfaces=@x,@m"
QOS = "set Port m1 qos=@q -- --id=@q create QoS type=linux-htb"
AUTO_ATTACH = "set Bridge br0 auto_attach=@a -- --id=@a create AutoAttach system_name=x"
CASES = (
    # what is set; what is refused then, with commas between; what is not
    ("set Bridge br0 stp_enable=true", "stp/show,stp/show br0,stp/tcn br0", "rstp/show"),
    ("set Bridge br0 rstp_enable=true", "rstp/show,rstp/tcn,rstp/show br0", "stp/show"),
    ("set Interface m1 cfm_mpid=5", "cfm/show,cfm/show m1,cfm/set-fault m1 true", "bfd/show"),
    ("set Interface m1 bfd:enable=true", "bfd/show,bfd/set-forwarding true", "cfm/show"),
    ("set Port m1 lacp=active", "lacp/show,lacp/show m1,lacp/show-stats m1", "bond/list"),
    (QOS, "qos/show m1,qos/show-types m1", "qos/show br0"),
    (AUTO_ATTACH, "autoattach/status,autoattach/status br0", "autoattach/status br1"),
    (BOND, "bond/list,bond/show m1,bond/migrate m1 1 x,dpif-netdev/bond-show", "lacp/show"),
)


@pytest.mark.parametrize(("setting", "refused", "other"), CASES)
def test_what_is_configured_is_refused(site: Site, setting: str, refused: str, other: str) -> None:
    site.vsctl("add-br br0")
    site.machine("m1", "10.0.0.1/24", "br0")
    site.vsctl(setting)
    for command in refused.split(","):
        name, *words = command.split()
        with pytest.raises(ToolError, match=f"{name} is not implemented yet: "):
            site.appctl(name, *words)
    name, *words = other.split()
    assert "not implemented" not in site.appctl(name, *words)


def test_a_tunnel_that_cannot_be_encrypted_is_refused(site: Site) -> None:
    """Its packets would go in clear."""
    site.vsctl("add-br br0")
    for key in ("psk=secret", "remote_cert=/x", "remote_name=peer"):
        site.vsctl(f"add-port br0 t0 -- set Interface t0 type=gre options:remote_ip=10.0.0.2 options:{key}")
        error = site.vsctl("get Interface t0 error")
        why = "asks for IPsec with certificates"
        if key.startswith("psk"):
            why = "its packets cannot be encrypted: this switch does not use the host's network"
        assert f"t0: options:{key.partition('=')[0]}" in error
        assert why in error
        assert site.vsctl("get Interface t0 ofport") == "-1\n"
        assert "t0" not in site.ofctl("show br0")
        site.vsctl(f"remove Interface t0 options {key.partition('=')[0]}")
        assert site.vsctl("get Interface t0 error") == "[]\n"
        assert "(t0)" in site.ofctl("show br0")
        site.vsctl("del-port t0")
