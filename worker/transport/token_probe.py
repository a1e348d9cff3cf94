"""The probe of accounts that are parked for a refused secret: due as soon as the token's row allows a fetch.

That row is kept by credentials, so a new secret, or an operator's `worker resume`, is found here within seconds and
tried at once. The probe itself goes the way of any other.
"""

from __future__ import annotations

from worker.channels.registry import channel
from worker.config.accounts import AccountSource
from worker.domain.errors import WorkerError
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import parked_for_token, probe_now
from worker.transport.tokens import Tokens

LOOK_S = 5.0
"""Seconds between two turns, so the longest time until a new secret is seen."""


class TokenProbe:
    """Checks the accounts whose credentials were refused, with the credentials that this process has."""

    def __init__(self, database: Database, accounts: AccountSource, tokens: Tokens):
        self._database, self._accounts, self._tokens = database, accounts, tokens

    def turn(self) -> float:
        """Makes probes due of accounts for which a token may be fetched; returns the seconds until the next turn."""
        database = self._database
        with database.reading() as connection:
            parked = parked_for_token(connection, database.now)
        for name in parked:
            if self._may_ask(name):
                database.run(lambda connection, name=name: probe_now(connection, database.now, name))  # type: ignore[misc]
        return LOOK_S

    def _may_ask(self, name: str) -> bool:
        try:
            account = self._accounts.get(name)
            return not account.staging.dry_run and self._tokens.may_ask(account, channel(account.channel))
        except WorkerError:
            # The account is not configured here, or wrongly; another process may have it right.
            return False
