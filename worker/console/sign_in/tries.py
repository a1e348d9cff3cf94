"""Limits how often a sign-in may be tried, for a name and from an address, in all processes together.

A browser in which the person has signed in before has tries of its own. Exchanges with a provider are limited, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from ipaddress import IPv6Address, ip_network

from worker.console.guard import address_of
from worker.outbox.control import audit_and_sign_in as rows
from worker.outbox.engine.database import Database

WINDOW_S = 900
MAX_PER_NAME, MAX_PER_ADDRESS = 10, 30
"""Failed tries within `WINDOW_S` seconds; further ones are refused before their password is checked."""
SLOWED_S = 10
"""An address above its limit still gets one try in so many seconds, because a whole office may share it."""
TryLimits = Mapping[str, tuple[tuple[int, int], ...]]
"""What a try counts against, and pairs of a number of tries and seconds. One pair with room is enough.

The keys are hashes, because a password may be typed as a name.
"""
_PER_NAME = ((MAX_PER_NAME, WINDOW_S),)
_PER_ADDRESS = ((MAX_PER_ADDRESS, WINDOW_S), (1, SLOWED_S))


def by_password(name: str, address: str) -> TryLimits:
    """Returns the limits for a try by name and password."""
    return {_hash_of(f"name {name}"): _PER_NAME, _address(address): _PER_ADDRESS}


def by_browser(id_: str) -> TryLimits:
    """Returns the limits for a try in a browser in which this person has signed in before."""
    return {_hash_of(f"browser {id_}"): _PER_NAME}


def by_exchange(token: str, address: str) -> TryLimits:
    """Returns the limits for the exchange of a provider's code: one for each visit to the provider's page."""
    return {_hash_of(f"exchange {token}"): ((1, WINDOW_S),), _address(address): _PER_ADDRESS}


class Tries:
    """The tries of all processes, stored as rows."""

    def __init__(self, database: Database):
        self._database = database

    def begin(self, limits: TryLimits) -> list[str] | None:
        """Records a try; returns the ids of its rows, or None if there were too many."""
        # Checked before anything is written, so that a flood of tries leaves no more rows than are allowed.
        if not self._has_room(limits, for_another=True):
            return None
        now_sql = self._database.now
        # Written in a transaction of its own before it is counted, so that concurrent tries see each other.
        try_ids = self._database.run(lambda connection: rows.record_tries(connection, now_sql, list(limits)))
        return try_ids if self._has_room(limits, for_another=False) else None

    def _has_room(self, limits: TryLimits, *, for_another: bool) -> bool:
        now_sql = self._database.now
        with self._database.reading() as connection:
            return all(
                any(rows.count_tries(connection, now_sql, subject, s) + for_another <= most for most, s in pairs)
                for subject, pairs in limits.items()
            )

    def succeed(self, limits: TryLimits, try_ids: Sequence[str]) -> None:
        """Deletes this try and all of the same name or browser, the first key of the limits.

        Other tries from its address stay. Else a person with a password could guess others' between two sign-ins.
        """
        subject = next(iter(limits))
        self._database.run(lambda connection: rows.delete_tries(connection, try_ids, subject))


def _address(address: str) -> str:
    return _hash_of(f"address {_network(address)}")


def _hash_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _network(address: str) -> str:
    """Returns the address; for IPv6 its /64 network, which belongs to one customer."""
    parsed = address_of(address)
    return str(ip_network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else str(parsed or address)
