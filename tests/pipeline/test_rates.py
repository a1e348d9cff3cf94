"""Calls by minute and quarter of an hour, from the counts of commits: as many as there were, at a bounded cost."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.runtime import Site, busy, lost, planted, refused, unsent
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.counting import count_row
from worker.outbox.engine.database import Database
from worker.outbox.tables import counts
from worker.outbox.upkeep.rates import MINUTE, QUARTER, CallRates, Calls, CallsBySlot, call_rates
from worker.outbox.upkeep.totals import add_up


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    # Ids of counts hold the time of their process; a minute may end meanwhile.
    driven_clock.micros = time.time_ns() // 1_000 + 120_000_000
    with planted(database, driven_clock) as site:
        yield site


def rates(site: Site) -> CallRates:
    with site.database.reading() as connection:
        return call_rates(connection, site.database.now)


def total(slots: tuple[Calls, ...]) -> Calls:
    found = Calls()
    for slot in slots:
        found.add(slot)
    return found


def test_curves_have_every_call_by_what_came_of_it(site: Site) -> None:
    """In the hour and in the day, by account; before it is added up, in part, and when all is."""
    site.vendor.says(busy(), refused(40003), lost(), unsent("reset"))
    for text in ("again", "never", "doubt", "unsent"):
        site.ring(site.send(text, duplicate_check=False))
    site.ring(site.send("well"))
    before = rates(site)
    site.database.run(add_up)
    site.ring(site.send("later", account="it"))
    partly = rates(site)
    site.database.run(add_up)
    added_up = rates(site)

    assert {"hr": Calls(1, 2, 2)} == {name: total(slots) for name, slots in before.hour.items()}
    assert {"hr": Calls(1, 2, 2), "it": Calls(1)} == {name: total(slots) for name, slots in partly.day.items()}
    assert partly == added_up
    assert (len(added_up.hour["hr"]), len(added_up.day["hr"])) == (60, 96)
    assert len(site.calls()) == sum(
        calls.accepted + calls.refused + calls.unanswered for calls in map(total, added_up.hour.values())
    )


def test_what_no_curve_reaches_back_to_is_deleted(site: Site) -> None:
    """So the table has some hundred rows an account, however long an installation runs."""
    now = site.clock.micros
    for hours in (30, 2, 0):
        row = {**count_row({"attempts\twecom_app\thr\tsend\taccepted\t0": 5}), "exemplars": None}
        row["id"] = f"{(now - hours * 3_600_000_000) // 1000:012x}{row['id'][12:]}"
        site.database.run(lambda connection, row=row: insert_rows(connection, counts, [row]))
        site.database.run(add_up)

    lengths = [row.length_us for row in site.rows("select length_us from worker_rates")]

    assert sorted([MINUTE, QUARTER, QUARTER]) == sorted(lengths)
    assert (total(rates(site).hour["hr"]).accepted, total(rates(site).day["hr"]).accepted) == (5, 10)


def test_counts_of_other_things_are_no_calls() -> None:
    """Their ids need not hold a time."""
    slots = CallsBySlot()
    slots.add_counts("no id of ours", {"parts_ended\twecom_app\thr\tsend\taccepted": 3})

    assert slots == {}
