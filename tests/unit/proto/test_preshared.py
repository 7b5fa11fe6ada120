"""Keys out of a pre-shared secret."""

from trunkline.base.addresses import parse_address
from trunkline.proto.preshared import KEY, association, expand


def _address(text: str) -> int:
    found = parse_address(text)
    assert found is not None
    return found


ONE, OTHER = _address("192.0.2.1"), _address("2001:db8::1")


def test_keys_are_expanded_as_in_rfc_5869() -> None:
    """Its appendix A.1."""
    key = bytes.fromhex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5")
    wanted = (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"  # 42 bytes
    )
    assert expand(key, bytes(range(0xF0, 0xFA)), 42).hex() == wanted


def test_both_ends_have_the_same_keys_and_nobody_else() -> None:
    there = association("secret", 17, 4789, ONE, OTHER)
    assert there == association("secret", 17, 4789, ONE, OTHER)
    assert there.spi >= 256
    assert len(there.encryption) == len(there.authentication) == KEY
    others = [
        association("secret", 17, 4789, OTHER, ONE),
        association("Secret", 17, 4789, ONE, OTHER),
        association("secret", 17, 6081, ONE, OTHER),
        association("secret", 47, 0, ONE, OTHER),
        association("secret", 17, 4789, ONE, ONE),
    ]
    values = [value for one in (there, *others) for value in one]
    assert len(set(values)) == len(values)
