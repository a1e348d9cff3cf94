"""How often a sign-in may be tried: for one name, and from one address, in all processes together."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from ipaddress import IPv6Address, ip_network

from worker.console.guard import address_of
from worker.outbox.control import sessions as rows
from worker.outbox.engine.database import Database

WITHIN_S = 900
OF_A_NAME, OF_AN_ADDRESS = 10, 30
"""Tries without success in `WITHIN_S`; a further one is refused before its password is looked at."""


class Tries:
    """The sign-ins that were tried."""

    def __init__(self, database: Database):
        self._database = database

    def begin(self, name: str, address: str) -> list[str] | None:
        """Notes a try; returns the ids of its rows, None where there were too many."""
        subjects = _subjects(name, address)
        # Looked at before anything is written, so that a flood of tries leaves no more rows than are let through.
        if not self._has_room(subjects, for_one_more=True):
            return None
        now_sql = self._database.now
        # Written before it is counted, in a transaction of its own: of tries at once each sees the others.
        noted = self._database.run(lambda connection: rows.note_tries(connection, now_sql, subjects))
        return noted if self._has_room(subjects, for_one_more=False) else None

    def _has_room(self, subjects: tuple[str, str], *, for_one_more: bool) -> bool:
        with self._database.reading() as connection:
            found = rows.count_tries(connection, self._database.now, subjects, WITHIN_S)
        of_name, of_address = (found[subject] + for_one_more for subject in subjects)
        return of_name <= OF_A_NAME and of_address <= OF_AN_ADDRESS

    def succeed(self, name: str, noted: Sequence[str]) -> None:
        """Forgets this try and all for its name.

        Others from its address stay, lest a person with a password guess those of others between two sign-ins.
        """
        subject, _ = _subjects(name, "")
        self._database.run(lambda connection: rows.forget_tries(connection, noted, subject))


def _subjects(name: str, address: str) -> tuple[str, str]:
    """Hashes: what is typed as a name may be a password."""
    return _hashed(f"name {name}"), _hashed(f"address {_network(address)}")


def _hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _network(address: str) -> str:
    """An address; of IPv6 the network of 64 bits that one customer of a provider has."""
    found = address_of(address)
    return str(ip_network((found, 64), strict=False)) if isinstance(found, IPv6Address) else str(found or address)
