"""`[notify]`: who is told when something is wrong, in which order.

Knows how the settings are written; what is told, and how, is `service/notify/`.
"""

from __future__ import annotations

from typing import Self
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, model_validator

from worker.config.places import SecretFrom
from worker.config.token_provider import is_web_address
from worker.domain.errors import ConfigurationError


class NotifyTarget(BaseModel):
    """One who is told: an account of ours with its recipients, or a URL that takes a POST."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)

    account: str | None = None
    """The account that sends them; or `url`."""
    recipients: tuple[str, ...] = ()
    """Members, chats or customers of the account, as its channel names them; empty: whom it reaches without any."""
    url: SecretFrom | None = None
    """The place of the URL, which is a secret: it is all that a post needs."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.account is None) == (self.url is None):
            raise ValueError('say exactly one of account = "NAME" and url = { env = "NAME" }')
        if self.url is not None and self.recipients:
            raise ValueError("recipients go with an account; leave them out beside url")
        return self

    def address(self, key: str) -> SplitResult:
        """The URL, read now; a ConfigurationError that names `key` and no value where it is none."""
        assert self.url is not None
        url = self.url.read(f"{key}.url")
        if not is_web_address(url):
            place = f"{key}.url names {self.url.place}, whose value is no web address without a user and a fragment"
            raise ConfigurationError(f"{place}; write it as https://host/path")
        return urlsplit(url)


class NotifySettings(BaseModel):
    """`[notify]`: alerts to people; without targets no alert is told."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    to: tuple[NotifyTarget, ...] = ()
    """In order: the first one that is not broken is told."""

    @model_validator(mode="after")
    def _each_account_once(self) -> Self:
        names = [one.account for one in self.to if one.account is not None]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"to names the account {twice!r} twice; put its recipients together")
        return self
