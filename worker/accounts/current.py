"""The accounts that a producer's process works with: set with `worker.configure`, or loaded on first use."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.accounts.sources import accounts_of
from worker.config.accounts import AccountSource
from worker.config.settings import Settings, load_settings

_guard = threading.Lock()
_accounts: AccountSource | None = None


def configure(source: Settings | AccountSource | str | Path | None = None) -> None:
    """Sets where this process's accounts come from: settings, a path of a worker.toml, or a source of your own.

    None resets it: the next use reads WORKER_CONFIG or ./worker.toml again.
    """
    global _accounts
    if isinstance(source, str | Path):
        source = load_settings(source)
    made = accounts_of(source) if isinstance(source, Settings) else source
    with _guard:
        _accounts = made


def current_accounts() -> AccountSource:
    """The accounts that were set; without `configure` the first use loads the settings."""
    global _accounts
    with _guard:
        if _accounts is None:
            _accounts = accounts_of(load_settings())
        return _accounts


@contextmanager
def configured(source: AccountSource) -> Iterator[None]:
    """Meanwhile these are the process's accounts, unless the application sets others; for an application's tests."""
    global _accounts
    with _guard:
        before, _accounts = _accounts, source
    try:
        yield
    finally:
        with _guard:
            _accounts = before
