"""`token_provider` of an account: the user's own token service, a URL with a bearer secret or a function.

Knows how the setting is written. Neither calls the URL nor imports the function.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import model_validator

from worker.config.application import FUNCTION
from worker.config.places import SecretFrom, SettingsTable
from worker.domain.account import Secret, TokenProvider

_FORMS = 'write it as { url = "https://host/path", bearer = { env = "NAME" } }, or as "package.module:function"'


class TokenProviderFrom(SettingsTable):
    """Where an account's tokens come from: `url` and `bearer`, or a function."""

    url: str | None = None
    """The address of the token service."""
    bearer: SecretFrom | None = None
    """Where its bearer secret is stored."""
    given: str | None = None
    """A function such as `shop.wecom:token`, which is written as a text instead of the table."""

    @model_validator(mode="before")
    @classmethod
    def _written_out(cls, value: Any) -> Any:
        if isinstance(value, dict | cls):
            return value
        if not isinstance(value, str) or not re.fullmatch(FUNCTION, value):
            raise ValueError(f"is not a source of tokens; {_FORMS}")
        return {"given": value}

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.given is not None:
            if self.url is not None or self.bearer is not None or not re.fullmatch(FUNCTION, self.given):
                raise ValueError(f"is not a source of tokens; {_FORMS}")
        elif self.url is None or self.bearer is None:
            raise ValueError(f"needs url and bearer; {_FORMS}")
        elif not is_web_address(self.url):
            raise ValueError("its url is not a web address, or has a user or a fragment; write it as https://host/path")
        return self

    def to_provider(self, key: str) -> TokenProvider:
        """Returns the provider in the pipeline's form. `key` names the account in errors."""
        if self.bearer is None:
            return TokenProvider(str(self.given))
        return TokenProvider(str(self.url), Secret(partial(self.bearer.read, f"{key}.token_provider.bearer")))


def is_web_address(url: str) -> bool:
    """Returns True for an http or https address that holds neither a credential nor a fragment."""
    try:
        parts = urlsplit(url)
        parsed = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    # A credential has its own setting, and a fragment is never sent.
    return parsed and "@" not in parts.netloc and not parts.fragment and url.isascii() and url.isprintable()
