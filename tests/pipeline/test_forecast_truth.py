"""A forecast against what then happens: the bench of 100,000 parts on a small scale."""

from __future__ import annotations

import pytest

from bench.forecast import GOAL, Scale, measure
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database


@pytest.mark.fewer_databases("the databases count alike, which the others here show; this is about what is foretold")
def test_what_is_foretold_comes_true(database: Database, driven_clock: DrivenClock) -> None:
    """Within a tenth, at the start and in the middle; `python -m bench forecast` shows it of 100,000 parts."""
    assert database.clock is driven_clock
    found = measure(database, Scale(1_000, minutes=20, idle_s=1.0))

    assert [] == [one for one in found if one.error > GOAL]
    assert [("start", "hr"), ("start", "push"), ("middle", "hr"), ("middle", "push")] == [
        (one.when, one.account) for one in found
    ]
    assert {"member_minute", "key_minute"} <= {one.binds for one in found}
