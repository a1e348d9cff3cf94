"""Watches the accounts of one process, and tells its senders which of them cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import structlog

from worker.accounts.live import LiveAccounts
from worker.channels.registry import split_usable
from worker.config.accounts import AccountSource, staging_summary
from worker.config.logging import log_staging
from worker.delivery.sender.lane_states import LaneStates
from worker.domain.account import Account

log = structlog.get_logger()

EVERY_S = 5.0
REPORTS = 3
"""How many times a change is reported, because a call with the old settings may still block the account."""


class AccountUpdates:
    """Validates the accounts of one process whenever a setting has changed, and keeps senders from unusable ones.

    Calls `changed` with the names of usable accounts whose settings have changed.
    """

    def __init__(self, accounts: AccountSource, lane_states: LaneStates, changed: Callable[[Collection[str]], None]):
        self._accounts, self._lane_states, self._changed = accounts, lane_states, changed
        self.usable: Mapping[str, Account] = {}
        """The accounts that can be used. A change of any account replaces the whole mapping."""
        self._reports_left: dict[str, int] = {}
        """Changed accounts and how many more times each is passed to `changed`."""
        self._names: tuple[str, ...] | None = None
        self._unusable: dict[str, str] = {}
        self._unread: tuple[str, ...] = ()

    def turn(self) -> float:
        """Checks the accounts once, and returns the seconds until the next check."""
        names = self._accounts.names()
        self._log_unread()
        if names is not self._names:
            self._sort_accounts(names, is_first=self._names is None)
            self._names = names
        if self._reports_left:
            self._changed(self._reports_left.keys())
            self._reports_left = {name: count - 1 for name, count in self._reports_left.items() if count > 1}
        for name, problem in self._unusable.items():
            self._lane_states.mark_unusable(name, 2 * EVERY_S, problem)
        return EVERY_S

    def _log_unread(self) -> None:
        unread = self._accounts.read_errors() if isinstance(self._accounts, LiveAccounts) else ()
        for text in set(unread).difference(self._unread):
            log.error("accounts_unreadable", text=text)
        self._unread = unread

    def _sort_accounts(self, names: Sequence[str], *, is_first: bool) -> None:
        before = self._unusable
        usable, self._unusable = split_usable(self._accounts, names)
        changed = [name for name, account in usable.items() if self.usable.get(name) is not account]
        self.usable = usable
        if not is_first:
            log.info("accounts_changed", count=len(changed))
            # A call that began with the old settings may fail and block the account after the first report.
            self._reports_left |= dict.fromkeys(changed, REPORTS)
        for name in before.keys() - self._unusable.keys():
            self._lane_states.mark_usable(name)
        log_staging(staging_summary(self._accounts))
