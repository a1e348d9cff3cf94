"""A real receiver beside attackers who know its address and no secret, and beside connections that are silent."""

from __future__ import annotations

from bench.attackers import ATTACKERS, IDLE, attacked, idling
from rig.stacks import on_its_own

TRIES = 4
"""The vendor's, of five seconds each (page 90930)."""


@on_its_own(why="what comes before a signature is proved right reaches no database")
def test_right_callbacks_are_answered_beside_attackers() -> None:
    """Whatever twenty of them send that is wrong, each as fast as it is answered."""
    found = attacked(ATTACKERS, seconds=3, callbacks=30, tries=TRIES)

    assert found.all_answered, found.statuses


@on_its_own(why="what sends nothing reaches no database")
def test_callbacks_and_probes_are_answered_beside_idle_connections() -> None:
    """More of them than the process may open files: those that waited longest give way, and no accept fails."""
    found = idling(IDLE, seconds=3, callbacks=30, files=1_024, tries=TRIES)

    assert found.all_answered, found.statuses
    assert "accept" not in found.log
    assert "connections_wait" not in found.log
