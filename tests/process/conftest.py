"""Stacks for process tests: on PostgreSQL and Redis, and embedded."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.process import own_postgres
from tests.process.stack import Stack, Vendor
from tests.support import databases
from worker.outbox.database import make_engine
from worker.outbox.migrate import upgrade

MakeStack = Callable[..., Stack]
Restart = Callable[[], object]


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


@pytest.fixture
def restartable(tmp_path: Path, redis_url: str, request: pytest.FixtureRequest) -> Iterator[tuple[MakeStack, Restart]]:
    """A maker of stacks on a PostgreSQL that the test may restart, and how: one of its own, or the command's."""
    with ExitStack() as stack:
        url, restart = _own_server(stack) if own_postgres.found() else _the_commands_server(request)
        yield _maker(stack, tmp_path, url, redis_url), restart


def _own_server(stack: ExitStack) -> tuple[str, Restart]:
    server = stack.enter_context(own_postgres.running())
    engine = make_engine(server.url)
    upgrade(engine)
    engine.dispose()
    return server.url, server.restart


def _the_commands_server(request: pytest.FixtureRequest) -> tuple[str, Restart]:
    command = os.environ.get(own_postgres.PROGRAMS.variable)
    if not command:
        databases.missing[own_postgres.PROGRAMS.name] = own_postgres.PROGRAMS
        pytest.skip("this machine has no PostgreSQL programs to make a server of our own")
    url: str = request.getfixturevalue("postgres_url")
    return url, lambda: subprocess.run(command, shell=True, check=True)


def _maker(stack: ExitStack, folder: Path, database_url: str, broker: str) -> MakeStack:
    def make(
        vendor: dict[str, Any] | None = None, *, broker: str = broker, bare: bool = False, **options: Any
    ) -> Stack:
        started = stack.enter_context(closing(Vendor(folder, vendor, bare=bare)))
        return stack.enter_context(closing(Stack(folder / "stack", database_url, broker, started, **options)))

    return make
