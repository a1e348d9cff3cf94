"""Fixtures of process tests: the stacks' databases, and servers of the run's own that may be restarted and flushed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from rig.databases import MARIADB, POSTGRES
from rig.servers import own_mariadb, own_pgbouncer, own_postgres, own_server
from rig.servers.own_rabbitmq import RabbitMQ, running
from rig.stacks import Stacks
from tests.process.wheel import build_wheel

CONNECTIONS = 400
"""Two dozen workers at a time, and those that watch them: more than a server has by default."""

LONG_FILES = (
    "test_crash.py",
    "test_restarts.py",
    "test_procfile.py",
    "test_pipeline_processes.py",
    "test_flower.py",
    "test_health_processes.py",
    "test_rabbitmq.py",
    "test_quickstart.py",
    "test_services_away.py",
    "test_rolling_upgrade.py",
    "test_codes_processes.py",
    "test_upload_memory.py",
    "test_drain.py",
    "test_canary.py",
    "test_leaders.py",
    "test_replay_processes.py",
)
"""They begin, so that no pytest process has a long one left while the others have none."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, in the order given; all others as they were."""
    items.sort(key=lambda item: LONG_FILES.index(item.path.name) if item.path.name in LONG_FILES else len(LONG_FILES))


@pytest.fixture(scope="session", autouse=True)
def _own_databases() -> Iterator[None]:
    """PostgreSQL and MariaDB servers of the run's own, where their programs are and no other is named."""
    with ExitStack() as scope, pytest.MonkeyPatch.context() as patch:
        for service, own in ((POSTGRES, own_postgres), (MARIADB, own_mariadb)):
            if service.variable not in os.environ and own.found():
                server = scope.enter_context(own.running(CONNECTIONS, durable=False))
                patch.setenv(service.variable, server.url)
        yield


@pytest.fixture(scope="session")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stacks]:
    """Every stack's database, for `on_stacks`."""
    with ExitStack() as scope:
        yield Stacks(tmp_path_factory.mktemp("stacks"), scope)


@pytest.fixture(scope="session")
def own_rabbitmq() -> Iterator[RabbitMQ]:
    """A RabbitMQ node of this run's own, which takes seconds to start; every test uses it alone."""
    with running() as node:
        yield node


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, which the first of several pytest processes builds for all."""
    shared = tmp_path_factory.getbasetemp()
    folder = (shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared) / "wheel"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return next(folder.glob("*.whl"), None) or build_wheel(folder)


@pytest.fixture
def pgbouncer() -> Callable[[str, own_pgbouncer.Mode, int], AbstractContextManager[str]]:
    """Puts a PgBouncer of the test's own before a database."""
    own_server.need(own_pgbouncer.PROGRAMS, found=own_pgbouncer.found())
    return own_pgbouncer.running
