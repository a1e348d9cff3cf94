"""What a process says of its accounts: those that it cannot use, and the switches of staging that are on."""

from __future__ import annotations

import structlog

from worker.accounts.live import LiveAccounts
from worker.channels.registry import unusable_accounts
from worker.config.accounts import AccountSource, staging_told
from worker.config.logging import tell_staging
from worker.delivery.sender.lane_state import LaneStates

log = structlog.get_logger()

EVERY_S = 3.0


class AccountsTold:
    """Judges the accounts of one process whenever one has changed; a wrong one is kept from its senders."""

    def __init__(self, accounts: AccountSource, lane_states: LaneStates):
        self._accounts, self._lane_states = accounts, lane_states
        self._names: tuple[str, ...] | None = None
        self._wrong: dict[str, str] = {}
        self._unread: tuple[str, ...] = ()

    def turn(self) -> float:
        """Looks once; returns the seconds until the next look."""
        names = self._accounts.names()
        self._tell_unread()
        if names is not self._names:
            if self._names is not None:
                log.info("accounts_changed", count=len(names))
            self._names = names
            self._judge()
        for name, why in self._wrong.items():
            self._lane_states.do_without(name, 2 * EVERY_S, why)
        return EVERY_S

    def _tell_unread(self) -> None:
        unread = self._accounts.unread() if isinstance(self._accounts, LiveAccounts) else ()
        for text in set(unread).difference(self._unread):
            log.error("accounts_unreadable", text=text)
        self._unread = unread

    def _judge(self) -> None:
        before, self._wrong = self._wrong, unusable_accounts(self._accounts)
        for name, why in self._wrong.items():
            if before.get(name) != why:
                log.error("account_unusable", account=name, reason=why)
        for name in before.keys() - self._wrong.keys():
            self._lane_states.can_use(name)
            log.info("account_usable", account=name)
        tell_staging(staging_told(self._accounts))
