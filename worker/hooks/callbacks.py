"""From a callback that proved right to the outbox: whose doors there are, and storing what comes through them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pydantic_core import to_json
from uuid_utils import uuid7

from worker.channels import channel
from worker.channels.base import CallbackDoor
from worker.channels.usable import alike
from worker.config.accounts import AccountSource
from worker.config.policy import policy_of
from worker.config.settings import Settings
from worker.domain.account import Account
from worker.domain.errors import ConfigurationError
from worker.domain.inbound import CardPress, ChatNews, Inbound
from worker.domain.outcome import Accepted, Taken, Verdict
from worker.domain.state import JobState
from worker.outbox.commit.commands import End
from worker.outbox.commit.ledger import commit
from worker.outbox.engine.database import Database
from worker.outbox.engine.site_keys import lane_key, lane_name
from worker.outbox.jobs.chats import ChatLanes
from worker.outbox.jobs.inbound import Delivery, callers_id, lost_call, store
from worker.outbox.lanes.chat_blocks import WAITING, gone
from worker.outbox.lanes.lanes import log_steps

PRESSED = "a press proves that it was accepted; its msgid, and whom it was refused for, are lost"


def doors_of(accounts: AccountSource, max_age_s: float) -> Mapping[str, CallbackDoor]:
    """The callback doors of every account that has one; their secrets are read now, a wrong one is told now."""
    doors = {}
    for name in accounts.names():
        door = door_of(accounts.get(name), max_age_s)
        if door is not None:
            doors[name] = door
    if not doors:
        raise ConfigurationError(
            "no account has a callback address; add"
            ' callback = { token = { env = "NAME" }, aes_key = { env = "NAME" } } to [accounts.NAME]'
        )
    return doors


def door_of(account: Account, max_age_s: float) -> CallbackDoor | None:
    """One account's door; None: it has none. A secret that cannot be read, or cannot be one, is told."""
    found = channel(account.channel)
    secrets = {key: secret.read() for key, secret in found.callback_secrets(account).items()}
    return found.callback_door(account, secrets, max_age_s) if secrets else None


class CallbackStore:
    """Stores callbacks, each once, however often it is delivered."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        accounts: AccountSource,
        new_id: Callable[[], str] = lambda: uuid7().hex,
    ):
        self._database, self._accounts, self._new_id = database, accounts, new_id
        self._code_ttl_s = int(settings.delivery.response_code_ttl_s)
        self._hooked = bool(settings.hooks)
        self._policy = policy_of(settings.delivery)
        # Which ends the hooks want to hear of is known where they are loaded; what none listens to is ignored there.
        self._reported = frozenset(JobState) - {JobState.OPEN} if self._hooked else frozenset[JobState]()

    def store(self, account: str, inbound: Inbound) -> bool:
        """True when this delivery was the first; either way it is there when this returns."""
        app, accounts = self._app(account)
        delivery = Delivery(
            account,
            app,
            accounts,
            inbound,
            _document(inbound, self._named(accounts, inbound.card)),
            self._new_id(),
            code_ttl_s=self._code_ttl_s,
            hooked=self._hooked,
            lanes=self._lanes(account, inbound.chat),
        )
        steps = self._database.run(lambda connection: store(connection, self._database.now, delivery))
        log_steps(steps or ())
        if inbound.card is not None:
            self._settle(accounts, inbound.card.task_id)
        return steps is not None

    def _settle(self, accounts: Sequence[str], task_id: str) -> None:
        """A press is a late answer to a call in doubt: its card arrived.

        After the press was stored, for an update that is woken by this wants its code; and for each delivery of it, for
        the process of the first may have ended in between.
        """
        with self._database.reading() as connection:
            lost = lost_call(connection, accounts, task_id)
        if lost is None:
            return
        verdict = Verdict(Accepted(Taken(warning=PRESSED)))
        end = End(lost.part_id, lost.claim, lost.incarnation, verdict, None, flagged=lost.flagged)
        commit(self._database, [end], self._policy, reported=self._reported)

    def _app(self, account: str) -> tuple[str, Sequence[str]]:
        """What the vendor takes the account for, and the names of all that it takes for the same."""
        own = self._accounts.get(account)
        found = channel(own.channel)
        return found.app_scope(own), alike(self._accounts, own, found.app_scope)

    def _named(self, accounts: Sequence[str], card: CardPress | None) -> str | None:
        """What the application calls what was pressed; null where nothing was."""
        if card is None or not card.own_id_at:
            return None if card is None else card.task_id
        with self._database.reading() as connection:
            return callers_id(connection, accounts, card) or card.task_id

    def _lanes(self, account: str, chat: ChatNews | None) -> ChatLanes | None:
        """What a chat's news mean for what is sent to it."""
        if chat is None:
            return None
        with self._database.reading() as connection:
            key = lane_key(connection)
        lanes = tuple(lane_name(key, account, lane) for lane in chat.lanes)
        return ChatLanes(lanes, tuple(gone(lane, account) for lane in lanes), WAITING)


def _document(inbound: Inbound, task_id: str | None) -> str:
    """What came, and beside it the press in our own words, so that nobody has to know the vendor to read it."""
    card = inbound.card
    press = None
    if card is not None:
        press = {
            "task_id": task_id,
            "button": card.button,
            "card_type": card.card_type,
            "selected": card.selected,
            "menu": card.menu,
        }
    return to_json({"press": press, "message": inbound.payload}).decode()
