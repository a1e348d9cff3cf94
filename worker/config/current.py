"""This process's settings and accounts: loaded when first asked for, or put in place by the application.

Producers meet them through `worker.configure`; workers and tests hand theirs over explicitly.
"""

from __future__ import annotations

import threading
from pathlib import Path

from worker.config.accounts import AccountSource, accounts_of
from worker.config.settings import Settings, load_settings

_guard = threading.Lock()
_accounts: AccountSource | None = None


def configure(source: Settings | AccountSource | str | Path | None = None) -> None:
    """Says where this process's accounts come from: settings, a path of a worker.toml, or a source of your own.

    None forgets what was said: the next use reads WORKER_CONFIG or ./worker.toml again.
    """
    global _accounts
    made = _source(source)
    with _guard:
        _accounts = made


def current_accounts() -> AccountSource:
    """The accounts in place; the first use without `configure` loads the settings."""
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
