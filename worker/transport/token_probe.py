"""The probe of accounts that are parked for a refused secret: due as soon as the token's row allows a fetch.

That row is kept by credentials, so a new secret, or an operator's `worker resume`, is found here within seconds and
tried at once. The probe itself goes the way of any other.
"""

from __future__ import annotations

import structlog
from sqlalchemy.exc import SQLAlchemyError

from worker.channels.registry import channel, usable
from worker.config.accounts import AccountSource
from worker.config.application import places_of
from worker.domain.errors import WorkerError
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import parked_for_token, probe_now
from worker.transport.tokens import Tokens

log = structlog.get_logger()

LOOK_S = 5.0
"""Seconds between two turns, so the longest time until a new secret is seen."""
AT_ONCE = 20
"""Accounts in one turn whose tokens are fetched with the token of the same other account."""


class TokenProbe:
    """Checks the accounts whose credentials were refused, with the credentials that this process has."""

    def __init__(self, database: Database, accounts: AccountSource, tokens: Tokens):
        self._database, self._accounts, self._tokens = database, accounts, tokens

    def turn(self) -> float:
        """Makes probes due of accounts for which a token may be fetched; returns the seconds until the next turn."""
        database = self._database
        with database.reading() as connection:
            parked = parked_for_token(connection, database.now)
        customers: dict[str, int] = {}
        for name in parked:
            if self._may_ask(name, customers):
                database.run(lambda connection, name=name: probe_now(connection, database.now, name))  # type: ignore[misc]
        return LOOK_S

    def _may_ask(self, name: str, customers: dict[str, int]) -> bool:
        """`customers`: accounts whose token others are fetched with -> how many of these may go in this turn."""
        try:
            account = usable(self._accounts, name)
            if account.staging.dry_run:
                return False
            keeper = self._tokens.keeper(account, channel(account.channel))
            if keeper is None:
                return self._tokens.may_ask(account, channel(account.channel))
            owner, its = keeper
            # Asked once for all of its customers, which may be thousands.
            if owner.name not in customers:
                customers[owner.name] = AT_ONCE if self._tokens.may_ask(owner, its) else 0
            goes = customers[owner.name] > 0 and self._tokens.may_ask(account, channel(account.channel))
            customers[owner.name] -= goes
        except WorkerError:
            # The account is not configured here, or wrongly; another process may have it right.
            return False
        except SQLAlchemyError:
            raise
        except Exception as error:  # noqa: BLE001  one odd account must not keep the others from their new secrets
            log.warning("account_not_probed", account=name, reason=places_of(error))
            return False
        return goes
