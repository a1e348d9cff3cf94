"""Fixtures of process tests: the stacks' databases, and servers of the run's own that may be restarted and flushed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.process.own_rabbitmq import RabbitMQ, running
from tests.process.stacks import Stacks


@pytest.fixture(scope="session")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stacks]:
    """Every stack's database, for `on_every_stack`."""
    with ExitStack() as scope:
        yield Stacks(tmp_path_factory.mktemp("stacks"), scope)


@pytest.fixture(scope="session")
def own_rabbitmq() -> Iterator[RabbitMQ]:
    """A RabbitMQ node of this run's own, which takes seconds to start; every test uses it alone."""
    with running() as node:
        yield node
