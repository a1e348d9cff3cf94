"""Stacks for process tests: on PostgreSQL and Redis, and embedded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.process.stack import Stack, Vendor

MakeStack = Callable[..., Stack]


@pytest.fixture
def postgres_redis(tmp_path: Path, postgres_url: str, redis_url: str) -> Iterator[MakeStack]:
    """Makes the stack on PostgreSQL and Redis; `vendor=` are the fake vendor's settings."""
    with ExitStack() as stack:
        yield _maker(stack, tmp_path, postgres_url, redis_url)


@pytest.fixture
def embedded(tmp_path: Path, sqlite_url: str) -> Iterator[MakeStack]:
    """Makes the embedded stack."""
    with ExitStack() as stack:
        yield _maker(stack, tmp_path, sqlite_url, "embedded")


def _maker(stack: ExitStack, folder: Path, database_url: str, broker: str) -> MakeStack:
    def make(vendor: dict[str, Any] | None = None, *, broker: str = broker, **options: Any) -> Stack:
        started = stack.enter_context(closing(Vendor(folder, vendor)))
        return stack.enter_context(closing(Stack(folder / "stack", database_url, broker, started, **options)))

    return make
