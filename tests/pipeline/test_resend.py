"""Sending again to those a send was refused for: exactly those, linked to the first, and never by accident."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.runtime import Site, an_account, lost, planted, refused
from worker import Everyone, NotReplayable, To, resend_failed
from worker.domain.call import Request
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

DAY = 86_400


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    accounts = [an_account(), an_account("loud", allow_everyone=True)]
    with planted(database, driven_clock, accounts=accounts) as planted_site:
        yield planted_site


def resend(site: Site, job: str, **options: Any) -> str:
    with site.database.writing() as connection:
        options = {"accounts": site.accounts, **options}
        return resend_failed(connection, job, **options).id


def touser(site: Site) -> list[set[str]]:
    return [set(body.get("touser", "").split("|")) - {""} for body in site.bodies()]


def test_it_reaches_exactly_the_refused(site: Site) -> None:
    """Users, parties and tags, each as the producer wrote it; who got it does not get it again."""
    site.vendor.says(lambda request: site.vendor.takes(request, invaliduser="zhao", invalidparty="9", invalidtag="3"))
    job = site.send(to=To(["Zhao", "lisi"], [9, 8], [3]))
    site.run()

    again = resend(site, job)
    site.run()

    second = site.bodies()[1]
    assert (second["touser"], second["toparty"], second["totag"]) == ("Zhao", "9", "3")
    assert (job, "accepted") == (site.job(again).replay_of, site.state(again))


def test_who_was_reached_since_is_left_out(site: Site) -> None:
    """By a replay that was accepted, or is under way."""
    site.vendor.says(lambda request: site.vendor.takes(request, invaliduser="ann|bob"))
    job = site.send(to=To(["ann", "bob", "lisi"]))
    site.run()
    site.vendor.says(lambda request: site.vendor.takes(request, invaliduser="bob"))
    resend(site, job)
    site.run()
    resend(site, job)
    with pytest.raises(NotReplayable, match=r"job .* has no recipient that was refused and not sent to since"):
        resend(site, job)
    site.run()

    assert touser(site) == [{"ann", "bob", "lisi"}, {"ann", "bob"}, {"bob"}]


def test_a_part_refused_as_a_whole_is_sent_again_as_a_whole(site: Site) -> None:
    """The vendor refused the call for good: all of its recipients count as refused, those of the other part do not."""
    site.vendor.says(lambda request: site.vendor.takes(request), refused(85002))
    job = site.send(to=To([f"u{n}" for n in range(1_001)]))
    site.run()

    resend(site, job)
    site.run()

    first, second, third = touser(site)
    assert (1_001, second) == (len(first | second), third)


def test_the_undetermined_are_sent_to_only_when_asked_for(site: Site) -> None:
    """Nobody can say whether they got it: without the word they are left alone, and the error says how many."""
    site.vendor.says(lost(), lost())
    job = site.send("x", to=To(["lisi", "wangwu"]), duplicate_check=False)
    site.run()
    site.advance(26)
    site.recover()

    with pytest.raises(NotReplayable, match="no recipient that was refused; unknown: 2"):
        resend(site, job)
    resend(site, job, unknown=True)
    site.run()

    assert touser(site) == [{"lisi", "wangwu"}] * 2


def test_what_is_still_to_be_repeated_is_not_asked_for_again(site: Site) -> None:
    """The repeat of a card would go beside the other: had the first call never arrived, people had two cards."""
    site.vendor.says(lost())
    job = site.card()
    site.ring(job)

    for turn in range(2):
        with pytest.raises(NotReplayable, match="wait until it has ended or is held"):
            resend(site, job, unknown=True)
        with pytest.raises(NotReplayable, match=["wait until it has ended or is held", "still open"][turn]):
            site.replay(job)
        site.advance(26)
        site.recover()
    site.recall(job)
    site.run()
    again = site.replay(job)
    site.run()

    assert (site.state(job), site.state(again)) == ("unknown", "accepted")


def test_a_broadcast_that_was_refused_is_broadcast_again(site: Site) -> None:
    """`@all` stands for everyone, also the second time."""
    site.vendor.says(refused(85002))
    job = site.send(to=Everyone(), account="loud")
    site.run()

    resend(site, job)
    site.run()

    assert touser(site) == [{"@all"}] * 2


def test_a_resend_of_a_resend_is_linked_to_the_original(site: Site) -> None:
    """A card's own task_id is taken only once: each resend has another."""

    def refuses(request: Request) -> Any:
        return site.vendor.takes(request, invaliduser="zhao")

    site.vendor.says(refuses, refuses)
    job = site.card(To(["zhao", "lisi"]), task_id="leave")
    site.run()
    again = resend(site, job)
    site.run()
    third = resend(site, again)
    site.run()

    assert [job, job] == [site.job(one).replay_of for one in (again, third)]
    ids = [body["template_card"]["task_id"] for body in site.bodies()]
    assert len(set(ids)) == 3
    assert [re.fullmatch(r"leave_r[0-9A-Za-z_-]{6}", one) is not None for one in ids[1:]] == [True, True]


def test_a_failed_one_of_an_open_job_may_be_sent_to_again(site: Site) -> None:
    """One part has ended, the other waits: who was refused is known already."""
    site.vendor.says(lambda request: site.vendor.takes(request, invaliduser="u5"), refused(45009))
    job = site.send(to=To([f"u{n}" for n in range(1_001)]))
    site.run()

    again = resend(site, job)

    assert (site.job(job).state, site.job(again).asked) == ("open", 1)


def test_an_open_job_names_the_ways_out(site: Site) -> None:
    """A job of any kind can be cancelled."""
    send = site.send(due_at=60)
    for job in (send, site.upload(due_at=60), site.recall(send, due_at=60)):
        with pytest.raises(NotReplayable, match=f"job {job} is still open; wait for its end, or cancel it"):
            site.replay(job)


def cancelled_early(site: Site) -> str:
    """A send that is due tomorrow and was recalled today."""
    job = site.send(due_at=DAY, expires_at=2 * DAY)
    site.recall(job)
    site.run()
    return job


def test_the_replay_of_what_was_cancelled_before_it_was_due_waits_until_then(site: Site) -> None:
    """The message was asked for tomorrow, and is not sent today because it was taken back meanwhile."""
    job = cancelled_early(site)
    site.advance(60)
    again = site.replay(job)
    site.run()
    before = site.calls()

    site.advance(DAY)
    site.run()

    assert (site.state(job), before, site.state(again)) == ("cancelled", [], "accepted")
    assert (site.job(job).due_at, site.job(job).expires_at) == (site.job(again).due_at, site.job(again).expires_at)


@pytest.mark.parametrize("due_at", [0, 3 * DAY])
def test_a_replay_is_due_when_it_is_told_to_be(site: Site, due_at: int) -> None:
    """`due_at` goes before the first job's own: now, or past the first job's own end, with which it does not expire."""
    again = site.replay(cancelled_early(site), due_at=due_at)

    site.advance(due_at)
    site.run()

    assert (site.state(again), site.job(again).expires_at) == ("accepted", None)


def test_the_replay_of_what_was_due_is_due_at_once_and_does_not_expire(site: Site) -> None:
    """When the first was due is past, and so may be when it was to expire."""
    site.vendor.says(refused(40003))
    job = site.send(due_at=10, expires_at=20)
    site.advance(11)
    site.run()
    site.advance(20)
    again = site.replay(job)

    site.run()

    assert (site.state(job), site.state(again), site.job(again).expires_at) == ("rejected", "accepted", None)


def test_what_cannot_be_sent_again_says_why(site: Site) -> None:
    """All accepted, not a send, no such job, a message that is no longer kept."""
    job = site.send()
    site.run()
    recall = site.recall(job)
    site.run()
    with pytest.raises(NotReplayable, match=r"job .* has no recipient that was refused$"):
        resend(site, job)
    with pytest.raises(NotReplayable, match="is not a send but recall"):
        resend(site, recall)
    with pytest.raises(Exception, match="no job 'nowhere'"):
        resend(site, "nowhere")

    site.vendor.says(refused(85002))
    gone = site.send("gone")
    site.run()
    site.sql("update worker_jobs set message = '{}' where id = :job", job=gone)
    with pytest.raises(NotReplayable, match="no longer kept"):
        resend(site, gone)
