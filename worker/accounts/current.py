"""The accounts that a producer's process works with: set with `worker.configure`, or loaded on first use."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Loaded by the first job: an application's start does not wait for what reads settings.
    from worker.config.accounts import AccountSource
    from worker.config.settings import Settings

_guard = threading.Lock()
_accounts: AccountSource | None = None


def configure(source: Settings | AccountSource | str | Path | None = None) -> None:
    """Sets where this process's accounts come from: settings, a path of a worker.toml, or a source of your own.

    None resets it: the next use reads WORKER_CONFIG or ./worker.toml again.
    """
    global _accounts
    made = None if source is None else _made(source)
    with _guard:
        _accounts = made


def _made(source: Settings | AccountSource | str | Path | None) -> AccountSource:
    from worker.accounts.sources import accounts_of
    from worker.config.settings import Settings, load_settings

    if source is None or isinstance(source, str | Path):
        source = load_settings(source)
    return accounts_of(source) if isinstance(source, Settings) else source


def current_accounts() -> AccountSource:
    """The accounts that were set; without `configure` the first use loads the settings."""
    global _accounts
    with _guard:
        if _accounts is None:
            _accounts = _made(None)
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
