"""The test kit: an outbox, a worker and a fake vendor in the test's own process, loaded by pytest as a plugin.

Nothing here is imported before a test uses one of the fixtures in `plugin.py`, or one of these names for their types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worker_simulator.testing.clock import KitClock as KitClock
    from worker_simulator.testing.fixtures import (
        AsyncKitOutbox as AsyncKitOutbox,
        KitAssertEnqueued as KitAssertEnqueued,
        KitDeliver as KitDeliver,
        KitFaults as KitFaults,
        KitInbox as KitInbox,
        KitPress as KitPress,
    )
    from worker_simulator.testing.inbox import ShownMessage as ShownMessage
    from worker_simulator.testing.jobs import EnqueuedJob as EnqueuedJob
    from worker_simulator.testing.outbox import KitOutbox as KitOutbox

_MODULES = {
    **dict.fromkeys(
        ("AsyncKitOutbox", "KitAssertEnqueued", "KitDeliver", "KitFaults", "KitInbox", "KitPress"), "fixtures"
    ),
    "EnqueuedJob": "jobs",
    "KitClock": "clock",
    "KitOutbox": "outbox",
    "ShownMessage": "inbox",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from worker.config.extras import naming_the_extra

    with naming_the_extra():
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
