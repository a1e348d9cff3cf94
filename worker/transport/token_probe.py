"""When an account that is parked for its token is tried: as soon as the token's own row allows it to be asked for.

That row is kept by credentials: another secret, or a person's `worker resume`, is found here by looking, and tried at
once. Who tries, and what becomes of it, is the way of any probe.
"""

from __future__ import annotations

from worker.channels import channel
from worker.config.accounts import AccountSource
from worker.domain.errors import WorkerError
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import parked_for_token, probe_now
from worker.transport.tokens import Tokens

LOOK_S = 15.0
"""How soon a new secret is seen."""


class TokenProbe:
    """Looks at the accounts whose credentials were refused, as this process has them."""

    def __init__(self, database: Database, accounts: AccountSource, tokens: Tokens):
        self._database, self._accounts, self._tokens = database, accounts, tokens

    def turn(self) -> float:
        """One look; the seconds until the next."""
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
            return self._tokens.may_ask(account, channel(account.channel))
        except WorkerError:  # not configured here, or not rightly: another process may know better
            return False
