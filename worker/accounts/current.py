"""The accounts of a producer's process: set with `worker.configure`, or loaded on first use."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Imported by the first job, so that an application starts without loading the settings.
    from worker.config.accounts import AccountSource
    from worker.config.settings import Settings

_lock = threading.Lock()
_accounts: AccountSource | None = None


def configure(source: Settings | AccountSource | str | Path | None = None) -> None:
    """Sets where this process's accounts come from: settings, the path of a worker.toml, or your own source.

    None resets it: the next use reads WORKER_CONFIG or ./worker.toml again.
    """
    global _accounts
    loaded = None if source is None else _load(source)
    with _lock:
        _accounts = loaded


def _load(source: Settings | AccountSource | str | Path | None) -> AccountSource:
    from worker.accounts.sources import accounts_of
    from worker.config.accounts import require_source
    from worker.config.settings import Settings, load_settings

    if source is None or isinstance(source, str | Path):
        source = load_settings(source)
    return accounts_of(source) if isinstance(source, Settings) else require_source(source)


def current_accounts() -> AccountSource:
    """Returns the accounts that were set. Without `configure` the first use loads the settings."""
    global _accounts
    with _lock:
        if _accounts is None:
            _accounts = _load(None)
        return _accounts


@contextmanager
def configured(source: AccountSource) -> Iterator[None]:
    """Uses these accounts until the block ends, unless the application sets others. For an application's tests."""
    global _accounts
    with _lock:
        before, _accounts = _accounts, source
    try:
        yield
    finally:
        with _lock:
            _accounts = before
