"""Which machines may be asked for a file: public ones, also behind every disguise an address can wear."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from tests.support.each import each
from worker.domain.content.address import Allowed, entry_problem

PUBLIC = ["8.8.8.8", "93.184.215.14", "203.0.114.1", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "2400:3200::1"]
LOCAL = [
    ("127.0.0.1", "loopback"),
    ("127.255.1.9", "loopback"),
    ("0.0.0.0", "this machine"),
    ("10.0.0.1", "private"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.168.1.1", "private"),
    ("169.254.169.254", "metadata of most clouds"),
    ("169.254.0.23", "metadata of Tencent's"),
    ("100.100.100.200", "metadata of Alibaba's"),
    ("100.64.0.1", "carrier's"),
    ("192.0.0.192", "metadata of Oracle's"),
    ("168.63.129.16", "services of Azure"),
    ("192.0.2.7", "documentation"),
    ("198.18.0.1", "benchmarks"),
    ("198.51.100.7", "documentation"),
    ("203.0.113.7", "documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.250", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("::", "this machine"),
    ("::1", "loopback"),
    ("fe80::1", "link-local"),
    ("fe80::1%eth0", "link-local"),
    ("fec0::1", "site-local"),
    ("fc00::1", "private"),
    ("fd00:ec2::254", "metadata of Amazon's"),
    ("ff02::1", "multicast"),
    ("ff0e::1", "multicast"),
    ("2001:db8::1", "documentation"),
    ("2001::1", "Teredo"),
    ("100::1", "discard"),
    ("64:ff9b:1::1", "local translation"),
    ("::ffff:127.0.0.1", "mapped loopback"),
    ("::ffff:169.254.169.254", "mapped metadata"),
    ("::ffff:10.0.0.1", "mapped private"),
    ("::127.0.0.1", "compatible loopback"),
    ("2002:7f00:1::1", "6to4 of loopback"),
    ("2002:a9fe:a9fe::1", "6to4 of metadata"),
    ("64:ff9b::127.0.0.1", "NAT64 of loopback"),
    ("64:ff9b::a9fe:a9fe", "NAT64 of metadata"),
    ("", "no address"),
    ("files.example.com", "no address"),
]


@pytest.mark.parametrize("address", [*PUBLIC, "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_a_public_address_may_be_asked(address: str) -> None:
    """Also one that is wrapped in another."""
    assert Allowed().permits("files.example.com", address)


@each(LOCAL)
def test_any_other_may_not(address: str, what: str) -> None:
    """Whatever name led there."""
    assert not Allowed().permits("files.example.com", address)


@given(st.ip_addresses(v=4))
def test_no_disguise_makes_an_address_public(address: object) -> None:
    """An IPv4 address is judged alike whether it stands for itself or inside an IPv6 address."""
    plain = Allowed().permits("h", str(address))

    assert [plain] * 2 == [Allowed().permits("h", f"{prefix}{address}") for prefix in ("::ffff:", "64:ff9b::")]


@pytest.mark.parametrize(
    ("entry", "host", "address", "permitted"),
    [
        ("files.internal", "files.internal", "10.1.2.3", True),
        ("Files.Internal.", "files.internal", "127.0.0.1", True),
        ("files.internal", "other.internal", "10.1.2.3", False),
        ("files.internal", "x.files.internal", "10.1.2.3", False),
        ("10.1.0.0/16", "any.internal", "10.1.2.3", True),
        ("10.1.0.0/16", "any.internal", "10.2.2.3", False),
        ("10.1.2.3/16", "any.internal", "10.1.7.7", True),
        ("10.1.2.3", "any.internal", "10.1.2.3", True),
        ("fd00::/8", "any.internal", "fd12::1", True),
        ("10.1.0.0/16", "any.internal", "::ffff:10.1.2.3", False),
    ],
)
def test_settings_allow_hosts_and_networks(entry: str, host: str, address: str, permitted: bool) -> None:
    """A host whatever it resolves to; a network whoever leads there; nothing beside."""
    assert permitted is Allowed([entry]).permits(host, address)


@pytest.mark.parametrize(
    "entry",
    ["files.internal", "Files.Internal.", "10.0.0.0/8", "10.0.0.1/8", "fd00::/8", "files_1.internal", "localhost"],
)
def test_what_an_entry_may_be(entry: str) -> None:
    """A host, an address or a network."""
    assert None is entry_problem(entry)


@pytest.mark.parametrize(
    "entry", ["", "http://files.internal", "files.internal:80", "*.internal", "10.0.0.0/33", "10.0.0", "300.1.1.1"]
)
def test_what_an_entry_may_not_be(entry: str) -> None:
    """A URL, a port, a pattern, half a network: said at the start."""
    assert "is neither a host nor a network" in str(entry_problem(entry))
