"""Recalls and card updates of a job that was replayed: what its replays brought out is reached, or named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.runtime import RECALL, UPDATE, Site, planted, refused
from worker import To, resend_failed
from worker.domain.job import part_id
from worker.domain.outcome import Accepted, CallReceipt, Verdict
from worker.domain.settle import Policy
from worker.outbox.commit.commands import CallEnd, Mark
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SECOND = 1_000_000


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def rejected(site: Site, *, card: bool = False) -> str:
    """A send that the vendor refused for good."""
    site.vendor.says(refused(40003))
    job = site.card() if card else site.send()
    site.ring(job)
    site.advance(1)
    return job


def replayed(site: Site, job: str) -> str:
    """A replay that was sent."""
    again = site.replay(job)
    site.ring(again)
    site.advance(1)
    return again


def test_a_recall_of_the_original_takes_the_replayed_message_back(site: Site) -> None:
    """Nothing of the original was sent; its replay is on the screens, and so is the replay's own replay."""
    first = rejected(site)
    second = replayed(site, first)
    third = replayed(site, second)
    recall = site.recall(first)

    site.run()

    assert sorted(site.bodies(RECALL), key=str) == [{"msgid": "m1"}, {"msgid": "m2"}]
    assert site.job(recall).state == "accepted"
    assert [site.clock.micros] * 2 == [row.recalled_at for job in (second, third) for row in site.of("receipts", job)]


def test_a_recall_of_the_original_takes_back_what_was_resent_too(site: Site) -> None:
    """Most got the first message, those refused the second: none of them keeps it."""
    site.vendor.says(lambda request: site.vendor.takes(request, invaliduser="zhao"))
    first = site.send(to=To(["lisi", "zhao"]))
    site.ring(first)
    with site.database.writing() as connection:
        again = resend_failed(connection, first, accounts=site.accounts).id
    site.ring(again)
    recall = site.recall(first)

    site.run()

    assert sorted(site.bodies(RECALL), key=str) == [{"msgid": "m1"}, {"msgid": "m2"}]
    assert site.job(recall).state == "accepted"


def test_a_recall_of_the_original_cancels_a_replay_that_was_not_sent_yet(site: Site) -> None:
    """The message is not sent after it was taken back."""
    first = rejected(site)
    again = site.replay(first)
    recall = site.recall(first)

    site.run()

    assert (site.state(again), site.part(again).reason) == ("cancelled", "recalled before it was sent")
    assert (site.state(recall), [bool(row.not_sent) for row in site.of("receipts", recall)]) == ("accepted", [True])


def test_a_recall_of_the_original_waits_for_a_replay_in_flight(site: Site) -> None:
    """It is parked on the replay, which wakes it."""
    first = rejected(site)
    again = site.replay(first)
    commit(site.database, [Mark(part_id(again, 0), 0, "p1", 20 * SECOND)], Policy())
    recall = site.recall(first)
    site.run()
    waited_on = site.part(recall).waits_on

    commit(
        site.database,
        [CallEnd(part_id(again, 0), 1, "p1", Verdict(Accepted(CallReceipt("m9")), 0), 5)],
        Policy(),
    )
    site.run()

    assert again == waited_on
    assert site.bodies(RECALL) == [{"msgid": "m9"}]
    assert site.state(recall) == "accepted"


def test_a_recall_of_a_replay_leaves_the_original_alone(site: Site) -> None:
    """The replay was named, so it is meant."""
    first = site.send()
    site.ring(first)
    second = replayed(site, first)
    recall = site.recall(second)

    site.run()

    assert site.bodies(RECALL) == [{"msgid": "m2"}]
    assert site.job(recall).state == "accepted"


def test_a_recall_of_a_replay_that_was_replayed_itself_names_the_job_on_the_screen(site: Site) -> None:
    """Nothing of it was sent, but it does not end accepted while the later replay can be read."""
    first = rejected(site)
    site.vendor.says(refused(40003))
    second = replayed(site, first)
    third = replayed(site, second)
    recall = site.recall(second)

    site.run()

    reason = f"nothing of this replay was sent, but later replays were: name job {third}, or {first} for all of them"
    assert ("rejected", reason) == (site.state(recall), site.part(recall).reason)
    assert site.calls(RECALL) == []


def test_a_recall_of_the_last_replay_that_was_never_sent_has_nothing_to_do(site: Site) -> None:
    """No later one can be on a screen."""
    first = rejected(site)
    second = site.replay(first)
    recall = site.recall(second)

    site.run()

    assert (site.state(second), site.state(recall)) == ("cancelled", "accepted")


def test_an_update_of_the_original_reaches_the_replayed_card(site: Site) -> None:
    """By the code that the replay brought."""
    first = rejected(site, card=True)
    again = replayed(site, first)
    update = site.update(first)

    site.run()

    assert [body["response_code"] for body in site.bodies(UPDATE)] == ["code1"]
    assert (site.state(update), [row.state for row in site.of("response_codes", again)]) == ("accepted", ["spent"])


@pytest.mark.every_database
def test_an_update_for_a_person_goes_to_the_card_that_was_resent(site: Site) -> None:
    """The first call did not bring that person a card: its code stays for those who have one."""
    site.vendor.says(lambda request: site.vendor.takes(request, invaliduser="zhao"))
    first = site.card(to=To(["lisi", "Zhao"]))
    site.ring(first)
    with site.database.writing() as connection:
        again = resend_failed(connection, first, accounts=site.accounts).id
    site.ring(again)
    update = site.update(first, to="zhao")

    site.run()

    assert [(body["response_code"], body["userids"]) for body in site.bodies(UPDATE)] == [("code2", ["zhao"])]
    assert (site.job(update).state, [row.state for row in site.of("response_codes", first)]) == ("accepted", ["fresh"])
