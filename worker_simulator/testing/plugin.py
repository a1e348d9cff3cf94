"""The pytest plugin: fixtures for the tests of an application that enqueues jobs.

Imports nothing of the worker before a test asks for a fixture, so that it costs other tests nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from worker_simulator.testing.clock import KitClock
    from worker_simulator.testing.outbox import KitOutbox


@pytest.fixture
def outbox_bind() -> Any:
    """The engine, connection or session whose database holds the outbox; None: the kit makes one. To be overridden."""
    return None


@pytest.fixture(scope="session")
def worker_settings() -> Any:
    """The worker's settings, see `Given`; None: WORKER_CONFIG or ./worker.toml, if there is one. To be overridden."""
    return None


@pytest.fixture
def outbox(tmp_path_factory: pytest.TempPathFactory, outbox_bind: Any, worker_settings: Any) -> Iterator[KitOutbox]:
    """The outbox of this test, a worker and a fake vendor; time stands still from now on."""
    from worker.config.extras import naming_the_extra

    with naming_the_extra():
        from worker_simulator.testing.outbox import opened_outbox

    with opened_outbox(tmp_path_factory.mktemp, outbox_bind, worker_settings) as found:
        yield found


@pytest.fixture
def drain(outbox: KitOutbox) -> Callable[..., Any]:
    """Delivers all that is due; see `KitOutbox.drain`."""
    return outbox.drain


@pytest.fixture
def assert_enqueued(outbox: KitOutbox) -> Callable[..., Any]:
    """Asserts that a job was enqueued; see `KitOutbox.assert_enqueued`."""
    return outbox.assert_enqueued


@pytest.fixture
def inbox(outbox: KitOutbox) -> Callable[..., Any]:
    """What a person or a chat has got; see `KitOutbox.inbox`."""
    return outbox.inbox


@pytest.fixture
def press(outbox: KitOutbox) -> Callable[..., Any]:
    """Lets a person press a button; see `KitOutbox.press`."""
    return outbox.press


@pytest.fixture
def faults(outbox: KitOutbox) -> Callable[..., None]:
    """Lets the next calls go wrong; see `KitOutbox.fault`."""
    return outbox.fault


@pytest.fixture
def clock(outbox: KitOutbox) -> KitClock:
    """The time of this test, which moves only when told."""
    return outbox.clock
