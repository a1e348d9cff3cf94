"""What the account of a suite must say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from worker.channels.wecom.callback import secret_problems
from worker.domain.account import Account
from worker.domain.errors import Problem

KEYS = frozenset({"suite_id", "callback"})
"""Every key that is read."""
ADDRESS = 'add callback = { token = { env = "NAME" }, aes_key = { env = "NAME" } }, as typed into the suite\'s page'


def problems(account: Account) -> list[Problem]:
    """Every wrong key."""
    return list(_found(account))


def _found(account: Account) -> Iterator[Problem]:
    settings = account.settings
    suite_id = settings.get("suite_id")
    if not isinstance(suite_id, str) or not suite_id.strip():
        yield Problem("suite_id", "is missing or not a text", "add the suite's id, or that of the template (代开发)")
    callback = settings.get("callback")
    if isinstance(callback, Mapping):
        yield from secret_problems(callback)
    else:
        yield Problem(
            "callback", "is no table: without its callbacks there is no suite_ticket, and so no token", ADDRESS
        )
