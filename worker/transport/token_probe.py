"""Probes accounts that are parked for a refused secret, as soon as their token's row allows a fetch.

That row belongs to the credentials. So a new secret, or an operator's `worker resume`, is noticed here within seconds
and tried at once. The probe itself is an ordinary part.
"""

from __future__ import annotations

import structlog
from sqlalchemy.exc import SQLAlchemyError

from worker.channels.registry import channel, usable
from worker.config.accounts import AccountSource
from worker.config.application import traceback_summary
from worker.domain.errors import WorkerError
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import parked_for_token, probe_account_now
from worker.transport.tokens import Tokens

log = structlog.get_logger()

POLL_S = 5.0
"""Seconds between two turns, so the longest time until a new secret is noticed."""
MAX_PER_SUITE = 20
"""Accounts in one turn whose tokens are fetched with the token of the same suite, at most."""


class TokenProbe:
    """Finds parked accounts for which a token may be fetched, and makes their probes due."""

    def __init__(self, database: Database, accounts: AccountSource, tokens: Tokens):
        self._database, self._accounts, self._tokens = database, accounts, tokens

    def turn(self) -> float:
        """Makes such probes due, and returns the seconds until the next turn."""
        database = self._database
        with database.reading() as connection:
            parked = parked_for_token(connection, database.now)
        budgets: dict[str, int] = {}
        for name in parked:
            if self._may_fetch(name, budgets):
                database.run(lambda connection, name=name: probe_account_now(connection, database.now, name))  # type: ignore[misc]
        return POLL_S

    def _may_fetch(self, name: str, budgets: dict[str, int]) -> bool:
        """`budgets` has for each suite how many of its accounts may still be tried in this turn."""
        try:
            account = usable(self._accounts, name)
            if account.staging.dry_run:
                return False
            suite = self._tokens.suite_account(account, channel(account.channel))
            if suite is None:
                return self._tokens.may_fetch(account, channel(account.channel))
            owner, suite_channel = suite
            # Checked once for all accounts of the suite, which may be thousands.
            if owner.name not in budgets:
                budgets[owner.name] = MAX_PER_SUITE if self._tokens.may_fetch(owner, suite_channel) else 0
            may_fetch = budgets[owner.name] > 0 and self._tokens.may_fetch(account, channel(account.channel))
            budgets[owner.name] -= may_fetch
        except WorkerError:
            # The account is not configured here, or wrongly. Another process may have the right settings.
            return False
        except SQLAlchemyError:
            raise
        except Exception as error:  # noqa: BLE001  one faulty account must not keep the others from their new secrets
            log.warning("account_not_probed", account=name, reason=traceback_summary(error))
            return False
        return may_fetch
