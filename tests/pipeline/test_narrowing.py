"""One member without room never holds up the others, and nobody is dropped: the part is taken apart before its mark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import worker
from tests.pipeline.test_isolation import Refusing, with_writer
from tests.support.runtime import Site, an_account, lost, planted, refused, unsent
from worker import To
from worker.channels.registry import channel
from worker.domain.job import part_id
from worker.domain.settle import Policy
from worker.outbox.commit.commands import Deferral, Mark
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.jobs.inbound import part_of_task

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SECOND = 1_000_000
MINUTE, HOUR = 30, 1_000


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def fill(site: Site, *members: str, sends: int = MINUTE) -> None:
    """These members have had so many sends just now."""
    people = To(list(members))
    site.ring(*[site.send(f"fill {n} {members}", people) for n in range(sends)])


def told(site: Site, content: str) -> Counter[str]:
    """How often each member was sent a text."""
    return Counter(
        member for body in site.bodies() if body["text"]["content"] == content for member in body["touser"].split("|")
    )


def parts(site: Site, job: str) -> list[Any]:
    return site.rows("select * from worker_parts where job_id = :job order by n", job=job)


def counts(site: Site, job: str) -> Any:
    """The job's counts, which add up, and its counters, which are those of its parts."""
    with site.database.reading() as connection:
        found = worker.get_job(connection, job).counts
    shared = found.accepted + found.refused + found.unknown + found.never_sent + found.waiting
    assert found.asked == shared
    row = site.job(job)
    states = Counter(part.state for part in parts(site, job))
    assert row.n_open == states[0] + states[1]
    assert row.n_accepted == states[2]
    assert row.n_cancelled == states[8]
    return found


def test_those_with_room_go_at_once_and_the_others_when_they_have_some(site: Site) -> None:
    """A thousand people, two without room: 998 are sent to now, in one call, and two a minute later, in one call."""
    fill(site, "full1", "full2")
    people = [f"u{n}" for n in range(998)]
    job = site.send("news", To([*people, "full1", "full2"]))

    assert site.ring(job) == 1

    assert Counter(people) == told(site, "news")
    found = counts(site, job)
    assert (found.asked, found.accepted, found.waiting) == (1_000, 998, 2)
    later = parts(site, job)[1]
    assert 60 * SECOND <= later.not_before - site.clock.micros < 61 * SECOND
    assert (later.reason, later.tries) == ("limit member_minute is used up", 0)
    assert site.part(job).lane == later.lane
    site.advance(61)
    site.ring(job)
    assert Counter([*people, "full1", "full2"]) == told(site, "news")
    assert (site.job(job).state, counts(site, job).accepted, len(parts(site, job))) == ("accepted", 1_000, 2)


@pytest.mark.parametrize("step", ["narrow", "limits", "request"])
def test_a_part_that_an_error_of_ours_keeps_from_being_taken_apart_keeps_no_other(
    site: Site, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """It counts a try at each time, and what is admitted beside it goes."""
    fill(site, "full")
    odd, fine = site.send("odd", To("anna|full")), site.send("fine", To("bert"))
    made = type(channel("wecom_app"))
    taken_apart, real = made.narrow, getattr(made, step)

    def narrow(self: Any, *asked: Any) -> Any:
        monkeypatch.setattr(made, step, broken)
        return broken() if step == "narrow" else taken_apart(self, *asked)

    def broken(*asked: Any, **more: Any) -> Any:
        monkeypatch.setattr(made, step, real)
        raise KeyError("users")

    monkeypatch.setattr(made, "narrow", narrow)

    site.ring(odd, fine)

    assert (site.state(fine), site.state(odd), site.part(odd).tries) == ("accepted", "queued", 1)


@pytest.mark.every_database
def test_whoever_had_a_mind_to_the_undivided_part_has_lost_it(site: Site) -> None:
    """Two workers read it: one takes it apart, and the other's mark for everybody, late, is refused."""
    job = site.send("news", To("anna|bert"))
    wish = Deferral(part_id(job, 0), 0, '{"users":["anna"]}', '{"users":["bert"]}', SECOND, "full")
    late = Mark(part_id(job, 0), 0, "p2", 20 * SECOND)

    together = commit(site.database, [wish, late], Policy())
    alone = commit(site.database, [late], Policy())

    assert (together.deferred, together.calls, alone.calls) == ({wish}, {}, {})
    assert site.job(job).n_open == 2


@pytest.mark.every_database
def test_two_workers_take_it_apart_once(site: Site) -> None:
    """The second finds another claim and leaves it alone."""
    job = site.send("news", To("anna|bert"))
    texts = ('{"users":["anna"]}', '{"users":["bert"]}')
    first, second = (Deferral(part_id(job, 0), 0, *order, SECOND, "full") for order in (texts, texts[::-1]))

    done = commit(site.database, [first, second], Policy())

    assert done.deferred == {first}
    assert texts == tuple(part.spec for part in parts(site, job))
    waits = [(row.part_id, row.reason) for row in site.rows("select part_id, reason from worker_waits")]
    assert [(part_id(job, 1), "limit full is used up")] == waits


def test_a_wish_that_was_granted_and_rolled_back_is_not_granted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the second try somebody else marks the part, so nothing of it may be called for the first."""
    job = site.send("news", To("anna|bert"))
    wish = Deferral(part_id(job, 0), 0, '{"users":["anna"]}', '{"users":["bert"]}', SECOND, "full")
    run = site.database.run

    def rolled_back_once(work: Any, **options: Any) -> Any:
        with pytest.raises(ZeroDivisionError):
            run(lambda connection: (work(connection), 1 / 0), **options)
        monkeypatch.undo()
        commit(site.database, [Mark(part_id(job, 0), 0, "p2", 20 * SECOND)], Policy())
        return run(work, **options)

    monkeypatch.setattr(site.database, "run", rolled_back_once)

    done = commit(site.database, [wish], Policy())

    assert (done.deferred, len(parts(site, job))) == (set(), 1)


def test_a_part_that_was_marked_is_not_taken_apart(site: Site) -> None:
    """It is in somebody's hand."""
    job = site.send("news", To("anna|bert"))
    commit(site.database, [Mark(part_id(job, 0), 0, "p2", 20 * SECOND)], Policy())
    wishes = [Deferral(part_id(job, 0), claim, '{"users":["anna"]}', "{}", SECOND, "full") for claim in (0, 1)]

    done = commit(site.database, wishes, Policy())

    assert done.deferred == set()
    assert len(parts(site, job)) == 1


@pytest.mark.every_database
def test_a_commit_whose_answer_was_lost_adds_one_part(site: Site) -> None:
    """Tried again, it finds its own spec on the row."""
    fill(site, "full")
    job = site.send("news", To("anna|full"))
    with_writer(site, Refusing(site.database, 1, "08006", after=True))

    site.ring(job)

    assert (told(site, "news"), len(parts(site, job)), site.job(job).n_open) == ({"anna": 1}, 2, 1)
    assert site.runtime.writer.stop(10)


def test_a_crash_right_after_leaves_two_parts_that_are_both_sent(site: Site) -> None:
    """Nothing is in flight, nobody is lost, nobody gets it twice."""
    fill(site, "full")
    job = site.send("news", To("anna|full"))

    def dies(label: str) -> None:
        if label == "before_mark":
            raise RuntimeError("killed")

    site.runtime.checkpoint = dies
    with pytest.raises(RuntimeError):
        site.ring(job)
    site.runtime.checkpoint = lambda label: None
    assert told(site, "news") == {}
    assert counts(site, job).waiting == 2

    site.advance(61)
    site.ring(job)

    assert told(site, "news") == {"anna": 1, "full": 1}
    assert counts(site, job).accepted == 2


def test_nothing_in_doubt_and_nothing_the_vendor_heard_of_is_taken_apart(site: Site) -> None:
    """Frozen bytes are for everybody: a repeat waits whole, and so does a retry."""
    people = To("anna|full")
    retried, doubted = site.send("retried", people), site.send("doubted", people)
    site.vendor.says(refused(-1), lost())
    site.ring(retried, doubted)
    site.advance(40)
    site.recover()
    fill(site, "full")

    site.ring(retried, doubted)

    assert [len(parts(site, job)) for job in (retried, doubted)] == [1, 1]
    assert {site.part(job).reason for job in (retried, doubted)} == {"limit member_minute is used up"}
    site.advance(61)
    site.ring(retried, doubted)
    assert [site.state(job) for job in (retried, doubted)] == ["accepted"] * 2
    assert {body["touser"] for body in site.bodies() if body["text"]["content"] != "fill"} >= {"anna|full"}


@pytest.mark.every_database
def test_a_part_of_which_nothing_left_is_taken_apart(site: Site) -> None:
    """The kept connection had been closed: no byte left under its mark, so its frozen body goes, too."""
    job = site.send("news", To("anna|full"))
    site.vendor.says(unsent("dropped"))
    site.ring(job)
    assert len(site.of("bodies", job)) == 1
    fill(site, "full")

    site.vendor.says(lost())
    site.ring(job)

    assert [body["touser"] for body in site.bodies() if body["text"]["content"] == "news"] == ["anna|full", "anna"]
    assert [part_id(job, 0)] == [row.part_id for row in site.of("bodies", job)]
    assert '"anna"' in site.of("bodies", job)[0].body


def test_beside_parties_and_tags_a_part_waits_whole(site: Site) -> None:
    """The full member may stand in the party, too: in two calls he could get it twice."""
    fill(site, "full")
    job = site.send("news", To("anna|full", parties="7"))

    assert site.ring(job) == 0

    assert len(parts(site, job)) == 1
    assert 60 * SECOND <= site.part(job).not_before - site.clock.micros < 61 * SECOND


def test_a_part_with_a_place_in_a_line_waits_whole(site: Site) -> None:
    """Those behind it wait for all of its members."""
    fill(site, "full")
    job = site.send("news", To("anna|full"), order_key="k")

    assert site.ring(job) == 0

    assert (len(parts(site, job)), told(site, "news")) == (1, {})


@pytest.mark.fewer_databases("when room opens is decided in Python")
def test_members_whose_room_opens_within_one_window_go_together(site: Site) -> None:
    """Eight members who fill up some seconds after each other: two calls, not eight."""
    for n in range(8):
        fill(site, f"m{n}")
        site.advance(4)
    job = site.send("news", To(["anna", *(f"m{n}" for n in range(8))]))

    site.ring(job)
    later = parts(site, job)[1]
    site.advance((later.not_before - site.clock.micros) / SECOND)
    site.ring(job)

    assert (len(parts(site, job)), site.job(job).state, sum(told(site, "news").values())) == (2, "accepted", 9)


@pytest.mark.fewer_databases("when room opens is decided in Python")
def test_who_waits_for_his_hour_does_not_keep_those_who_wait_for_their_minute(
    database: Database, driven_clock: DrivenClock
) -> None:
    """Without anybody who has room the part waits whole for the first of them, and is taken apart then."""
    with planted(database, driven_clock, accounts=[an_account(limits={"member_hour": 40})]) as site:
        fill(site, "hour", sends=30)
        site.advance(61)
        fill(site, "hour", sends=10)
        fill(site, "minute")
        job = site.send("news", To("hour|minute"))

        site.ring(job)
        assert len(parts(site, job)) == 1
        site.advance(61)
        site.ring(job)

        assert told(site, "news") == {"minute": 1}
        later = parts(site, job)[1]
        assert 3_400 * SECOND < later.not_before - site.clock.micros < 3_600 * SECOND
        assert later.reason == "limit member_hour is used up"


def test_a_card_with_an_id_of_its_own_has_another_one_in_every_part(site: Site) -> None:
    """The vendor takes each once; a callback that names it finds the part that sent it."""
    fill(site, "full1")
    job = site.card(To("anna|full1|full2"), task_id="vote")
    site.ring(job)
    fill(site, "full2")
    site.advance(30)
    fill(site, "full2")
    site.advance(31)

    site.ring(job)
    site.advance(61)
    site.ring(job)

    sent = [body["template_card"]["task_id"] for body in site.bodies() if "template_card" in body]
    assert len(set(sent)) == len(sent) == len(parts(site, job)) >= 2
    with site.database.reading() as connection:
        found = [part_of_task(connection, ["hr"], task_id) for task_id in sent]
    assert [part.id for part in parts(site, job)] == sorted(str(one) for one in found)


def test_a_recall_stops_the_later_part(site: Site) -> None:
    """It was not sent yet, so it never is; what was sent is taken back."""
    fill(site, "full")
    job = site.send("news", To("anna|full"))
    site.ring(job)

    site.recall(job)
    site.run()

    assert [site.state(job, n) for n in (0, 1)] == ["accepted", "cancelled"]
    assert len(site.calls("/cgi-bin/message/recall")) == 1
    assert (counts(site, job).accepted, counts(site, job).never_sent) == (1, 1)


def test_while_a_recall_is_on_its_way_nothing_is_taken_apart(site: Site) -> None:
    """It stops the parts it finds, and must not miss one made behind its back."""
    fill(site, "full")
    job = site.send("news", To("anna|full"))
    site.recall(job)

    site.ring(job)

    assert (len(parts(site, job)), told(site, "news")) == (1, {})


@pytest.mark.every_database
@pytest.mark.parametrize(("recalled_again", "count"), [(True, 1), (False, 2)])
def test_a_recall_of_its_original_keeps_a_replay_whole(site: Site, recalled_again: bool, count: int) -> None:
    """The recall stops the replays that exist by then, but none that is made later."""
    fill(site, "full")
    job = site.send("news", To("anna|full"))
    site.recall(job)
    site.run()
    site.advance(1)
    replay = site.replay(job)
    if recalled_again:
        site.recall(job)

    site.ring(replay)

    assert count == len(parts(site, replay))


def test_room_is_asked_for_again_when_somebody_else_took_it(site: Site) -> None:
    """Between the refusal and the narrower question bert fills up: anna alone goes, and no part is made in vain."""
    fill(site, "full")
    job = site.send("news", To("anna|bert|full"))
    reserve = site.runtime.governor.reserve
    asked: list[int] = []

    def others_first(requests: Any, **options: Any) -> Any:
        asked.append(len(requests[0]))
        if len(asked) == 2:
            for _ in range(MINUTE):
                reserve([[charge for charge in requests[0] if charge.recipient == "bert"]])
        return reserve(requests, **options)

    site.runtime.governor.reserve = others_first  # type: ignore[method-assign]
    site.ring(job)

    assert asked == [6, 4, 2]
    assert (told(site, "news"), len(parts(site, job))) == ({"anna": 1}, 2)


@pytest.mark.fewer_databases("when room opens is decided in Python")
def test_those_who_wait_for_one_member_come_back_in_turns(site: Site) -> None:
    """Thirty of seventy go, thirty come back in a minute, ten in two; an urgent one does not stand in that line."""
    jobs = [site.send(str(n)) for n in range(70)]
    site.ring(*jobs)
    urgent = site.send("urgent", priority="urgent")

    site.ring(urgent)

    waits = Counter(
        round((site.part(job).not_before - site.clock.micros) / SECOND / 60)
        for job in jobs
        if site.state(job) == "queued"
    )
    assert sum(waits.values()) == 40
    assert 30 >= waits[1] > 0
    assert 10 <= waits[2]
    assert 60 * SECOND <= site.part(urgent).not_before - site.clock.micros < 61 * SECOND
    site.advance(61)
    site.ring(urgent, *jobs)
    site.advance(61)
    site.ring(*jobs)
    assert {site.state(job) for job in [*jobs, urgent]} == {"accepted"}


def test_a_send_to_many_without_room_keeps_no_alarm(database: Database, driven_clock: DrivenClock) -> None:
    """600 person-times of the day are left: 700 at once wait for the next day, one person's message goes now."""
    with planted(database, driven_clock, accounts=[an_account(limits={"app_day": 1_000})]) as site:
        site.send("first", To([f"a{n}" for n in range(400)]))
        site.run()
        many = site.send("many", To([f"b{n}" for n in range(700)]), priority="bulk")
        site.run()
        alarm = site.send("alarm", "boss", priority="urgent")
        site.run()

        assert (site.state(many), site.state(alarm)) == ("queued", "accepted")
        assert site.part(many).reason == "limit app_day is used up"
        site.advance(86_400 + 900)
        site.run()
        assert site.state(many) == "accepted"
