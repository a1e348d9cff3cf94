"""What a process says of its accounts: those that it cannot use, and the switches of staging that are on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import structlog

from worker.accounts.live import LiveAccounts
from worker.channels.registry import sorted_out
from worker.config.accounts import AccountSource, staging_told
from worker.config.logging import tell_staging
from worker.delivery.sender.lane_states import LaneStates
from worker.domain.account import Account

log = structlog.get_logger()

EVERY_S = 5.0
TURNS = 3


class AccountsTold:
    """Judges the accounts of one process whenever one has changed; a wrong one is kept from its senders.

    `changed` is told the names of accounts that are other ones than before and can be used.
    """

    def __init__(self, accounts: AccountSource, lane_states: LaneStates, changed: Callable[[Collection[str]], None]):
        self._accounts, self._lane_states, self._changed = accounts, lane_states, changed
        self.known: Mapping[str, Account] = {}
        """The accounts that can be used; another mapping whenever one has changed."""
        self._again: dict[str, int] = {}
        """Accounts that have changed -> in how many turns more that is told."""
        self._names: tuple[str, ...] | None = None
        self._wrong: dict[str, str] = {}
        self._unread: tuple[str, ...] = ()

    def turn(self) -> float:
        """Looks once; returns the seconds until the next look."""
        names = self._accounts.names()
        self._tell_unread()
        if names is not self._names:
            self._judge(names, is_first=self._names is None)
            self._names = names
        if self._again:
            self._changed(self._again.keys())
            self._again = {name: turns - 1 for name, turns in self._again.items() if turns > 1}
        for name, why in self._wrong.items():
            self._lane_states.mark_unusable(name, 2 * EVERY_S, why)
        return EVERY_S

    def _tell_unread(self) -> None:
        unread = self._accounts.unread() if isinstance(self._accounts, LiveAccounts) else ()
        for text in set(unread).difference(self._unread):
            log.error("accounts_unreadable", text=text)
        self._unread = unread

    def _judge(self, names: Sequence[str], *, is_first: bool) -> None:
        before = self._wrong
        good, self._wrong = sorted_out(self._accounts, names)
        changed = [name for name, account in good.items() if self.known.get(name) is not account]
        self.known = good
        if not is_first:
            log.info("accounts_changed", count=len(changed))
            # A call that had begun with the old settings may fail, and block the account, behind the first time.
            self._again |= dict.fromkeys(changed, TURNS)
        for name, why in self._wrong.items():
            if before.get(name) != why:
                log.error("account_unusable", account=name, reason=why)
        for name in before.keys() - self._wrong.keys():
            self._lane_states.mark_usable(name)
            log.info("account_usable", account=name)
        tell_staging(staging_told(self._accounts))
