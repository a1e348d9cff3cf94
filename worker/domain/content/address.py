"""Decides from which hosts a file may be fetched: public ones, and those that the settings name.

A URL comes from the application, perhaps from its users. Without this rule a worker would fetch what only its own
network may see, such as a cloud's metadata with its credentials.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

_NOT_PUBLIC = (
    ip_network("192.0.0.0/24"),  # protocol assignments; 192.0.0.192 is a cloud's metadata
    ip_network("192.88.99.0/24"),  # relays of 6to4
    ip_network("168.63.129.16/32"),  # a cloud's own services, under a public address
    ip_network("2001::/23"),  # protocol assignments, Teredo
    ip_network("2001:db8::/32"),
    ip_network("3fff::/20"),
)
"""Networks that some Python releases treat as public, among them those reserved for documentation."""
_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All public IPv6 addresses. Others are local, multicast or reserved."""
_TRANSLATED = IPv6Network("64:ff9b::/96")
"""NAT64: the last four bytes are the IPv4 address that is really reached."""
_HOST = re.compile(r"[0-9a-z]([0-9a-z_.-]{0,251}[0-9a-z])?")


class Allowed:
    """Public addresses, and the hosts (at any address) and networks that `delivery.fetch_allow` names."""

    def __init__(self, entries: Iterable[str] = ()):
        named = [entry.strip().lower().rstrip(".") for entry in entries]
        self._hosts = frozenset(entry for entry in named if _network(entry) is None)
        self._networks = tuple(network for entry in named if (network := _network(entry)) is not None)

    def permits(self, host: str, address: str) -> bool:
        """Returns True if this host may be reached at this address, to which its name has just resolved."""
        if host in self._hosts:
            return True
        try:
            reached = ip_address(address)
        except ValueError:
            return False
        return is_public(reached) or any(reached in network for network in self._networks)


def is_public(address: Address) -> bool:
    """Returns True if the address is public. For an address that wraps another one, the inner one decides."""
    if isinstance(address, IPv6Address):
        if (inner := _wrapped(address)) is not None:
            return is_public(inner)
        if address not in _GLOBAL_UNICAST:
            return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _NOT_PUBLIC)


def entry_problem(entry: str) -> str | None:
    """Returns what is wrong with an entry of `fetch_allow`, or None if it is valid."""
    named = entry.strip().lower().rstrip(".")
    if _network(named) is not None or (_HOST.fullmatch(named) and not named.replace(".", "").isdecimal()):
        return None
    return 'is neither a host nor a network; use "files.example.com", "10.2.0.0/16" or "192.168.7.4"'


def _wrapped(address: IPv6Address) -> IPv4Address | None:
    translated = IPv4Address(int(address) & 0xFFFFFFFF) if address in _TRANSLATED else None
    return address.ipv4_mapped or address.sixtofour or translated


def _network(entry: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(entry, strict=False)
    except ValueError:
        return None
