"""The pytest plugin: fixtures for the tests of an application that enqueues jobs.

Imports nothing of the worker before a test uses a fixture, so other tests pay nothing for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from worker_simulator.testing import (
        KitAssertEnqueued,
        KitClock,
        KitDeliver,
        KitFaults,
        KitInbox,
        KitOutbox,
        KitPress,
    )


@pytest.fixture
def outbox_bind() -> Any:
    """The engine, connection or session of the outbox's database, or None for one of the kit. To be overridden."""
    return None


@pytest.fixture(scope="session")
def worker_settings() -> Any:
    """The worker's settings (`SettingsSource`), by default of WORKER_CONFIG or ./worker.toml. To be overridden."""
    return None


@pytest.fixture
def outbox(tmp_path_factory: pytest.TempPathFactory, outbox_bind: Any, worker_settings: Any) -> Iterator[KitOutbox]:
    """The outbox of this test, a worker and a fake vendor. From now on time stands still."""
    from worker.config.extras import naming_the_extra

    with naming_the_extra():
        from worker_simulator.testing.outbox import open_outbox

    with open_outbox(tmp_path_factory.mktemp, outbox_bind, worker_settings) as kit_outbox:
        yield kit_outbox


@pytest.fixture
def deliver(outbox: KitOutbox) -> KitDeliver:
    """Delivers all that is due; see `KitOutbox.deliver`."""
    return outbox.deliver


@pytest.fixture
def assert_enqueued(outbox: KitOutbox) -> KitAssertEnqueued:
    """Asserts that a job was enqueued; see `KitOutbox.assert_enqueued`."""
    return outbox.assert_enqueued


@pytest.fixture
def inbox(outbox: KitOutbox) -> KitInbox:
    """What a person or a chat has received; see `KitOutbox.inbox`."""
    return outbox.inbox


@pytest.fixture
def press(outbox: KitOutbox) -> KitPress:
    """Presses a button as a person; see `KitOutbox.press`."""
    return outbox.press


@pytest.fixture
def faults(outbox: KitOutbox) -> KitFaults:
    """Makes the next calls fail; see `KitOutbox.fault`."""
    return outbox.fault


@pytest.fixture
def clock(outbox: KitOutbox) -> KitClock:
    """The time of this test. It moves only when the test moves it."""
    return outbox.clock
