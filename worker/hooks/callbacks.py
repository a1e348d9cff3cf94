"""Stores what the callbacks of vendors bring, and settles what they prove."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_core import to_json
from sqlalchemy import Connection
from uuid_utils import uuid7

from worker.channels.registry import alike, channel, split_usable, usable
from worker.config.accounts import AccountSource
from worker.config.policy import policy_of
from worker.config.settings import Settings
from worker.domain.account import Account
from worker.domain.callbacks.inbound import ChatNews, Inbound
from worker.domain.outcome import Accepted, CallReceipt, Verdict
from worker.outbox.commit.commands import CallEnd
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.database import Database
from worker.outbox.engine.site_keys import lane_key, lane_name
from worker.outbox.jobs.inbound import Delivery, store_delivery, unanswered_call
from worker.outbox.lanes.lanes import change_lanes, try_parked_lanes
from worker.transport.grants import seal_grant

PRESSED = "a press proves that it was accepted; its msgid, and whom it was refused for, are lost"


class CallbackStore:
    """Stores callbacks, each once, however often it is delivered."""

    def __init__(self, database: Database, settings: Settings, accounts: AccountSource):
        self._database, self._accounts = database, accounts
        self._code_ttl_s = int(settings.delivery.response_code_ttl_s)
        self._has_hooks = bool(settings.hooks)
        self._policy = policy_of(settings.delivery)

    def store(self, account: str, inbound: Inbound) -> bool:
        """Stores a callback durably. Returns False if an earlier delivery stored it already."""
        own = usable(self._accounts, account)
        own_channel = channel(own.channel)
        accounts = alike(self._accounts, own, own_channel.app_scope)
        delivery = Delivery(
            account,
            own_channel.app_scope(own),
            accounts,
            inbound,
            _document(inbound),
            uuid7().hex,
            code_ttl_s=self._code_ttl_s,
            hooked=self._has_hooks,
            lanes=self._lanes(account, inbound.chat),
            grant=None if inbound.grant is None else seal_grant(own, inbound.grant, inbound.happened_at),
        )
        is_first = self._store_delivery(delivery)
        if inbound.card is not None:
            self._settle(accounts, inbound.card.task_id)
        if inbound.granted_by:
            self._try_granted(account, inbound.granted_by)
        return is_first

    def _store_delivery(self, delivery: Delivery) -> bool:
        """Stores a delivery and its effect on lanes. Returns False if an earlier one was stored."""
        database = self._database

        def work(connection: Connection) -> bool:
            changes = store_delivery(connection, database.now, delivery)
            if changes is not None:
                change_lanes(connection, database.now, changes)
            return changes is not None

        return database.run(work)

    def _settle(self, accounts: Sequence[str], task_id: str) -> None:
        """Ends the call in doubt that sent a pressed card: the press proves that the card arrived."""
        # After the press was stored, because an update that this wakes needs the press's response_code. Also for later
        # deliveries of the press: the process may have ended after it stored the first.
        with self._database.reading() as connection:
            lost = unanswered_call(connection, accounts, task_id)
        if lost is None:
            return
        verdict = Verdict(Accepted(CallReceipt(warning=PRESSED)))
        end = CallEnd(lost.part_id, lost.claim, lost.incarnation, verdict, None, flagged=lost.flagged)
        commit(self._database, [end], self._policy, has_hooks=self._has_hooks)

    def _try_granted(self, suite: str, corp: str) -> None:
        """Lets parked calls of the suite's app in a corp be tried at once: the corp has changed what it grants."""
        usable_accounts, _ = split_usable(self._accounts, self._accounts.names())
        apps = [name for name, account in usable_accounts.items() if _is_of(account, suite, corp)]
        self._database.run(lambda connection: try_parked_lanes(connection, self._database.now, apps))

    def _lanes(self, account: str, chat: ChatNews | None) -> Sequence[str]:
        """Returns the lanes of the chat that a callback is about, or none if it is about no chat."""
        if chat is None:
            return ()
        with self._database.reading() as connection:
            key = lane_key(connection)
        return [lane_name(key, account, lane) for lane in chat.lanes]


def _is_of(account: Account, suite: str, corp: str) -> bool:
    steps = channel(account.channel).token_steps(account)
    return steps is not None and steps.suite == suite and account.settings.get("corpid") == corp


def _document(inbound: Inbound) -> str:
    """The callback as JSON: the vendor's message, and the press under names that are the same for all vendors."""
    card = inbound.card
    press = None
    if card is not None:
        press = {
            "task_id": card.task_id,
            "own_id_at": card.own_id_at,
            "button": card.button,
            "card_type": card.card_type,
            "selected": card.selected,
            "menu": card.menu,
        }
    return to_json({"press": press, "message": inbound.payload}).decode()
