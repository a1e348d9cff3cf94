"""Extracts the secrets of an account's table, seals them, and opens them for each use.

The sealing keys belong to the installation and are kept outside the database. A reader of only one of both learns no
secret.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from worker.config.account_settings import SECRET_KEYS
from worker.config.settings import Settings
from worker.crypto.seal import NONCE_BYTES, seal, unseal
from worker.domain.account import Secret
from worker.domain.errors import ConfigurationError

SEALED = "sealed"
DESTINATION_KEYS = ("channel", "base_url", "proxy", "ca", "token_provider")
"""The keys of a table that decide where its secrets are sent, and which server is trusted as the vendor's."""
MIN_KEY = 32
"""Characters of a key. It should be random, such as from `python -c "import secrets;
print(secrets.token_hex(32))"`.
"""


class Credential(str):
    """A text that is always sealed, whatever its key is called."""

    __slots__ = ()


class SealKeys:
    """The keys that the settings name. The first one seals, and each of them opens."""

    def __init__(self, settings: Settings):
        self._settings = settings

    def seal(self, name: str, secrets: Mapping[str, str], stored: Mapping[str, Any]) -> str | None:
        """Seals an account's secrets by path, bound to where its table sends them. Returns None if there are none."""
        if not secrets:
            return None
        key, *_ = self._keys()
        return seal(json.dumps(secrets), secret=key, context=_context(name, stored), nonce=os.urandom(NONCE_BYTES))

    def unseal(self, name: str, sealed: str | None, stored: Mapping[str, Any]) -> dict[str, str]:
        """Opens an account's secrets. Raises ConfigurationError if no key opens them, or their destination changed."""
        if sealed is None:
            return {}
        for key in self._keys():
            if (plaintext := unseal(sealed, secret=key, context=_context(name, stored))) is not None:
                return dict(json.loads(plaintext))
        *keys, last_key = DESTINATION_KEYS
        raise ConfigurationError(
            f"accounts.{name}: its secrets were sealed with another key; add that key to"
            f" {self._settings.seal_key.place} after a space, and run `worker accounts reseal`."
            f" Or its row was changed by hand in {', '.join(keys)} or"
            f" {last_key}, which decide where secrets are sent; change these with `worker"
            " accounts change`"
        )

    def _keys(self) -> list[str]:
        keys = self._settings.seal_key.read("seal_key").split()
        if any(len(key) < MIN_KEY for key in keys):
            raise ConfigurationError(
                f"seal_key: has fewer than {MIN_KEY} characters; take a random one, as"
                ' `python -c "import secrets; print(secrets.token_hex(32))"` makes it'
            )
        return keys


def _context(name: str, stored: Mapping[str, Any]) -> str:
    """Returns the context of the seal: the account, and everything that decides where its secrets are sent."""
    return " ".join(["account", name, json.dumps([stored.get(key) for key in DESTINATION_KEYS], sort_keys=True)])


def extract_secrets(table: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns a table that may be stored, and the secrets that were written in it, by their paths."""
    secrets: dict[str, str] = {}
    return _extract(table, "", secrets), secrets


def _extract(table: Mapping[str, Any], prefix: str, secrets: dict[str, str]) -> dict[str, Any]:
    stored: dict[str, Any] = {}
    for key, value in table.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and SEALED in value:
            raise ConfigurationError(
                f"{path}: write the secret itself, which is stored sealed, or its place as {{ env }} or {{ file }}"
            )
        if isinstance(value, Mapping) and not value.keys() <= {"env", "file"}:
            stored[key] = _extract(value, f"{path}.", secrets)
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
    """Returns the table with its secrets written in it again."""
    return _restore(stored, secrets.__getitem__)


def with_lazy_secrets(stored: Mapping[str, Any], open_all: Callable[[], Mapping[str, str]]) -> dict[str, Any]:
    """Returns the table with a Secret at each path of a secret. Each use of one opens it again."""
    return _restore(stored, lambda path: Secret(lambda: open_all()[path]))


def _restore(stored: Mapping[str, Any], value_at: Callable[[str], Any]) -> dict[str, Any]:
    """Returns the table with `value_at(path)` at each path of a secret."""
    table: dict[str, Any] = {}
    for key, value in stored.items():
        if isinstance(value, Mapping) and value.keys() == {SEALED}:
            table[key] = value_at(value[SEALED])
        else:
            table[key] = _restore(value, value_at) if isinstance(value, Mapping) else value
    return table
