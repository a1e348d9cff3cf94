"""Django's connections are looked at where the application's functions run outside of Django's requests."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from worker.accounts.sources import ApplicationAccounts
from worker.config.application import close_old_connections
from worker.domain.errors import ConfigurationError
from worker.service.loop import Loop


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the threads that looked at Django's connections."""
    found: list[str] = []
    looks = SimpleNamespace(close_old_connections=lambda: found.append(threading.current_thread().name))
    monkeypatch.setitem(sys.modules, "django.db", looks)  # type: ignore[arg-type]
    settings = SimpleNamespace(settings=SimpleNamespace(configured=True))
    monkeypatch.setitem(sys.modules, "django.conf", settings)  # type: ignore[arg-type]
    return found


def test_a_turn_of_a_loop_begins_with_usable_connections(closed: list[str]) -> None:
    """It may call the application's function for accounts."""
    turns = threading.Semaphore(0)
    loop = Loop("accounts", lambda: turns.release() or 0.0)

    with loop.running(30):
        assert turns.acquire(timeout=30)

    assert set(closed) == {"accounts"}


def test_accounts_that_fail_are_asked_over_a_usable_connection_next(
    closed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whatever thread they were asked; what goes well leaves the caller's connections alone."""
    module: Any = ModuleType("shop_accounts")
    broken = [True]

    def accounts() -> Mapping[str, Any]:
        if broken:
            raise OSError("dropped")
        return {}

    module.accounts = accounts
    monkeypatch.setitem(sys.modules, "shop_accounts", module)
    source = ApplicationAccounts("shop_accounts:accounts")

    with pytest.raises(ConfigurationError):
        source.refresh()
    after_the_first = len(closed)
    broken.clear()

    assert source.refresh() == {}
    assert after_the_first == 1
    assert len(closed) == 1


def test_without_django_nothing_is_done(closed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor before its settings are read; and an error of Django's stops no send."""
    monkeypatch.setattr(sys.modules["django.db"], "close_old_connections", lambda: 1 / 0)
    close_old_connections()
    monkeypatch.setattr(sys.modules["django.conf"].settings, "configured", False)
    close_old_connections()
    monkeypatch.delitem(sys.modules, "django.db")
    close_old_connections()

    assert closed == []
