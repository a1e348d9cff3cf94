"""A worker killed at every labelled step loses nothing and sends nothing twice (must-show 2)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.process.crash_matrix import STEPS, Cell, Place, run_all, table
from tests.support import databases
from worker.outbox.database import make_engine
from worker.outbox.migrate import upgrade

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]
SEED = int(os.environ.get("CRASH_SEED", "1"))


@pytest.fixture
def postgres_places(tmp_path: Path, redis_url: str) -> Iterator[dict[str, Place]]:
    """A fresh PostgreSQL database a step."""
    with ExitStack() as stack:
        yield {step: _postgres_place(stack, tmp_path, redis_url, step) for step in STEPS}


def _postgres_place(stack: ExitStack, folder: Path, redis_url: str, step: str) -> Place:
    url = stack.enter_context(databases.scratch_postgres(f"worker_crash_{os.getpid()}_{step}"))
    engine = make_engine(url)
    upgrade(engine)
    engine.dispose()
    return Place("postgres+redis", url, redis_url, folder / step)


@pytest.mark.postgres
@pytest.mark.redis
def test_sigkill_on_postgres_and_redis(postgres_places: dict[str, Place]) -> None:
    """Killed at any step, on PostgreSQL and Redis: once each, and what is in doubt is named."""
    cells = run_all((postgres_places[step], step, SEED) for step in STEPS)

    _assert_clean(cells)


def test_sigkill_embedded(tmp_path: Path, sqlite_url: str) -> None:
    """Killed at any step, embedded: once each, and what is in doubt is named."""
    template, plan = Path(sqlite_url.removeprefix("sqlite:///")), []
    for step in STEPS:
        copy = tmp_path / f"{step}.db"
        shutil.copyfile(template, copy)
        plan.append((Place("embedded", f"sqlite:///{copy}", "embedded", tmp_path / step), step, SEED))

    cells = run_all(plan)

    _assert_clean(cells)


def _assert_clean(cells: list[Cell]) -> None:
    print(f"\n{table(cells)}")
    assert {} == {cell.step: cell.broken for cell in cells if cell.broken}
