"""`[notify]`: who gets a notice when something is wrong, and in which order.

Knows how the settings are written. `service/notify/` decides what is sent, and sends it.
"""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from worker.config.places import SecretFrom, SettingsTable
from worker.config.token_provider import is_web_address
from worker.domain.errors import ConfigurationError


class NotifyTarget(SettingsTable):
    """A target for notices: an account of ours with its recipients, or a URL that accepts a POST."""

    account: str | None = None
    """The account that sends notices, or None with `url`."""
    recipients: tuple[str, ...] = ()
    """Members, chats or customers, as the account's channel names them. Empty for its default recipients."""
    url: SecretFrom | None = None
    """Where the URL is stored. It is a secret, because a POST needs nothing else."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.account is None) == (self.url is None):
            raise ValueError('give exactly one of account = "NAME" and url = { env = "NAME" }')
        if self.url is not None and self.recipients:
            raise ValueError("recipients go with an account; leave them out beside url")
        return self

    def address(self, key: str) -> str:
        """Reads the URL. If it is invalid, raises a ConfigurationError that names `key` and shows no value."""
        assert self.url is not None
        url = self.url.read(f"{key}.url")
        if not is_web_address(url):
            raise ConfigurationError(
                f"{key}.url names {self.url.place}, whose value is not a web address, or has a user or a fragment;"
                " write it as https://host/path"
            )
        return url


class NotifySettings(SettingsTable):
    """`[notify]`: alerts to people. Without targets no alert is sent."""

    to: tuple[NotifyTarget, ...] = ()
    """In order: the first working target gets the notice."""

    @model_validator(mode="after")
    def _each_account_once(self) -> Self:
        names = [target.account for target in self.to if target.account is not None]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"to names the account {twice!r} twice; put its recipients together")
        return self
