"""From a callback that proved right to the outbox: whose doors there are, and storing what comes through them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic_core import to_json
from uuid_utils import uuid7

from worker.channels import channel
from worker.channels.base import CallbackDoor
from worker.config.accounts import AccountSource
from worker.config.settings import Settings
from worker.domain.errors import ConfigurationError
from worker.domain.inbound import Inbound
from worker.outbox.database import Database
from worker.outbox.inbound import Delivery, store


def doors_of(accounts: AccountSource, max_age_s: float) -> Mapping[str, CallbackDoor]:
    """The callback doors of every account that has one; their secrets are read now, a wrong one is told now."""
    doors = {}
    for name in accounts.names():
        account = accounts.get(name)
        found = channel(account.channel)
        secrets = {key: secret.read() for key, secret in found.callback_secrets(account).items()}
        if secrets:
            doors[name] = found.callback_door(account, secrets, max_age_s)
    if not doors:
        raise ConfigurationError(
            "no account has a callback address; add"
            ' callback = { token = { env = "NAME" }, aes_key = { env = "NAME" } } to [accounts.NAME]'
        )
    return doors


class Receiving:
    """Stores callbacks, each once, however often it is delivered."""

    def __init__(self, database: Database, settings: Settings, new_id: Callable[[], str] = lambda: uuid7().hex):
        self._database, self._new_id = database, new_id
        self._code_ttl_s = int(settings.delivery.response_code_ttl_s)
        self._hooked = bool(settings.hooks)

    def store(self, account: str, inbound: Inbound) -> bool:
        """True when this delivery was the first; either way it is there when this returns."""
        delivery = Delivery(
            account, inbound, _document(inbound), self._new_id(), code_ttl_s=self._code_ttl_s, hooked=self._hooked
        )
        return self._database.run(lambda connection: store(connection, self._database.now, delivery))


def _document(inbound: Inbound) -> str:
    """What came, and beside it the press in our own words, so that nobody has to know the vendor to read it."""
    card = inbound.card
    press = None
    if card is not None:
        press = {
            "task_id": card.task_id,
            "button": card.button,
            "card_type": card.card_type,
            "selected": card.selected,
            "menu": card.menu,
        }
    return to_json({"press": press, "message": inbound.payload}).decode()
