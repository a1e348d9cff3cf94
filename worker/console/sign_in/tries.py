"""How often a sign-in may be tried: for one name, and from one address, in all processes together.

A browser in which the person has signed in before has tries of its own. What a provider is asked is counted, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from ipaddress import IPv6Address, ip_network

from worker.console.guard import address_of
from worker.outbox.control import people as rows
from worker.outbox.engine.database import Database

WITHIN_S = 900
OF_A_NAME, OF_AN_ADDRESS = 10, 30
"""Tries without success in `WITHIN_S`; a further one is refused before its password is looked at."""
Counts = Mapping[str, int]
"""What a try is counted for, as hashes: what is typed as a name may be a password; and how many each may have."""


def of_password(name: str, address: str) -> Counts:
    """Returns the counts of a try by name and password."""
    return {_hashed(f"name {name}"): OF_A_NAME, _address(address): OF_AN_ADDRESS}


def of_known_browser(id_: str) -> Counts:
    """Returns the counts of a try in a browser in which this person has signed in before."""
    return {_hashed(f"browser {id_}"): OF_A_NAME}


def of_exchange(token: str, address: str) -> Counts:
    """Returns the counts of a code that a provider is asked about: once for each way through the provider's page."""
    return {_hashed(f"exchange {token}"): 1, _address(address): OF_AN_ADDRESS}


class Tries:
    """The sign-ins that were tried."""

    def __init__(self, database: Database):
        self._database = database

    def begin(self, counts: Counts) -> list[str] | None:
        """Notes a try; returns the ids of its rows, None where there were too many."""
        # Looked at before anything is written, so that a flood of tries leaves no more rows than are let through.
        if not self._has_room(counts, for_one_more=True):
            return None
        now_sql = self._database.now
        # Written before it is counted, in a transaction of its own: of tries at once each sees the others.
        noted = self._database.run(lambda connection: rows.record_tries(connection, now_sql, list(counts)))
        return noted if self._has_room(counts, for_one_more=False) else None

    def _has_room(self, counts: Counts, *, for_one_more: bool) -> bool:
        with self._database.reading() as connection:
            found = rows.count_tries(connection, self._database.now, list(counts), WITHIN_S)
        return all(found[subject] + for_one_more <= most for subject, most in counts.items())

    def succeed(self, counts: Counts, noted: Sequence[str]) -> None:
        """Forgets this try, and all of the name or browser that it was for, which stands first.

        Others from its address stay, lest a person with a password guess those of others between two sign-ins.
        """
        subject = next(iter(counts))
        self._database.run(lambda connection: rows.delete_tries(connection, noted, subject))


def _address(address: str) -> str:
    return _hashed(f"address {_network(address)}")


def _hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _network(address: str) -> str:
    """An address; of IPv6 the network of 64 bits that one customer of a provider has."""
    found = address_of(address)
    return str(ip_network((found, 64), strict=False)) if isinstance(found, IPv6Address) else str(found or address)
