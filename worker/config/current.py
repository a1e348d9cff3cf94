"""This process's settings and accounts: loaded on first use, or set by the application.

Producers set them with `worker.configure`; workers and tests pass theirs explicitly.
"""

from __future__ import annotations

import threading
from pathlib import Path

from worker.config.accounts import AccountSource, accounts_of
from worker.config.settings import Settings, load_settings

_guard = threading.Lock()
_accounts: AccountSource | None = None


def configure(source: Settings | AccountSource | str | Path | None = None) -> None:
    """Sets where this process's accounts come from: settings, a path of a worker.toml, or a source of your own.

    None resets it: the next use reads WORKER_CONFIG or ./worker.toml again.
    """
    global _accounts
    made = _source(source)
    with _guard:
        _accounts = made


def current_accounts() -> AccountSource:
    """The accounts that were set; without `configure` the first use loads the settings."""
    global _accounts
    with _guard:
        if _accounts is None:
            _accounts = accounts_of(load_settings())
        return _accounts


def _source(source: Settings | AccountSource | str | Path | None) -> AccountSource | None:
    match source:
        case Settings():
            return accounts_of(source)
        case str() | Path():
            return accounts_of(load_settings(source))
    return source
