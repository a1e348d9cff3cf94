"""Secrets of accounts in the outbox: taken out of a table, sealed, and opened for each use.

The keys are the site's, and are kept outside the database: who reads only one of both learns no secret.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from worker.config.account_settings import SECRET_KEYS
from worker.config.settings import Settings
from worker.crypto.seal import NONCE_BYTES, seal, unseal
from worker.domain.account import Secret
from worker.domain.errors import ConfigurationError

SEALED = "sealed"
WAYS = ("channel", "base_url", "proxy", "ca", "token_provider")
"""The keys of a table that say where its secrets are sent, and which server is taken for the vendor's."""
SHORTEST_KEY = 32
"""Characters; a key is random, as `python -c "import secrets; print(secrets.token_hex(32))"` makes one."""


class Credential(str):
    """A text that is sealed, whatever key it stands under."""

    __slots__ = ()


class SealKeys:
    """The keys that the settings name: the first seals, each of them opens."""

    def __init__(self, settings: Settings):
        self._settings = settings

    def seal(self, name: str, secrets: Mapping[str, str], stored: Mapping[str, Any]) -> str | None:
        """The secrets of an account by their paths, sealed for where its table sends them; None: it has none."""
        if not secrets:
            return None
        key, *_ = self._keys()
        return seal(json.dumps(secrets), secret=key, context=_context(name, stored), nonce=os.urandom(NONCE_BYTES))

    def opened(self, name: str, sealed: str | None, stored: Mapping[str, Any]) -> dict[str, str]:
        """The secrets of an account; ConfigurationError when no key opens them, or they would go elsewhere."""
        if sealed is None:
            return {}
        for key in self._keys():
            if (plain := unseal(sealed, secret=key, context=_context(name, stored))) is not None:
                return dict(json.loads(plain))
        raise ConfigurationError(
            f"accounts.{name}: its secrets were sealed with another key; give that one too, behind a blank in"
            f" {self._settings.seal_key.place}, until `worker accounts reseal` was run. Or its row was changed by hand"
            f" in {', '.join(WAYS[:-1])} or {WAYS[-1]}, which say where they go; change these with"
            " `worker accounts change`"
        )

    def _keys(self) -> list[str]:
        keys = self._settings.seal_key.read("seal_key").split()
        if any(len(key) < SHORTEST_KEY for key in keys):
            raise ConfigurationError(
                f"seal_key: has fewer than {SHORTEST_KEY} characters; take a random one, as"
                ' `python -c "import secrets; print(secrets.token_hex(32))"` makes it'
            )
        return keys


def _context(name: str, stored: Mapping[str, Any]) -> str:
    """What the secrets are sealed for: the account, and all that says where they are sent."""
    return " ".join(["account", name, json.dumps([stored.get(key) for key in WAYS], sort_keys=True)])


def take_secrets_out(table: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """A table as it may be stored, and the secrets that were written out in it, by their paths."""
    secrets: dict[str, str] = {}
    return _taken_out(table, "", secrets), secrets


def _taken_out(table: Mapping[str, Any], within: str, secrets: dict[str, str]) -> dict[str, Any]:
    stored: dict[str, Any] = {}
    for key, value in table.items():
        path = f"{within}{key}"
        if isinstance(value, Mapping) and SEALED in value:
            raise ConfigurationError(
                f"{path}: write the secret itself, it is sealed; or where it is, {{ env }} or {{ file }}"
            )
        if isinstance(value, Mapping) and not value.keys() <= {"env", "file"}:
            stored[key] = _taken_out(value, f"{path}.", secrets)
        elif isinstance(value, str) and (
            isinstance(value, Credential) or key.lower() in SECRET_KEYS or _has_password(value)
        ):
            stored[key], secrets[path] = {SEALED: path}, str(value)
        else:
            stored[key] = value
    return stored


def _has_password(value: str) -> bool:
    try:
        return "://" in value and urlsplit(value).password is not None
    except ValueError:
        return "@" in value


def with_secrets(stored: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
    """The table as it was before its secrets were taken out."""
    return _put_back(stored, secrets.__getitem__)


def put_secrets_back(stored: Mapping[str, Any], open_all: Callable[[], Mapping[str, str]]) -> dict[str, Any]:
    """The table with a Secret in each place from which one was taken; each use of it opens it anew."""
    return _put_back(stored, lambda path: Secret(partial(_one, open_all, path)))


def _put_back(stored: Mapping[str, Any], at: Callable[[str], Any]) -> dict[str, Any]:
    """The table with what is `at` its path in each place from which a secret was taken."""
    table: dict[str, Any] = {}
    for key, value in stored.items():
        if isinstance(value, Mapping) and value.keys() == {SEALED}:
            table[key] = at(value[SEALED])
        else:
            table[key] = _put_back(value, at) if isinstance(value, Mapping) else value
    return table


def _one(open_all: Callable[[], Mapping[str, str]], path: str) -> str:
    return open_all()[path]
