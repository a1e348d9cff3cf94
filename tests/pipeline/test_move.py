"""Jobs are moved to another account of their corp: they stay the jobs that they are, and nobody gets two messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from tests.pipeline.console.person import Person
from tests.support.runtime import RECALL, SEND, UPDATE, Site, an_account, busy, lost, planted, refused
from worker import AppChat, Everyone, JobFilter, Text, To
from worker.config.accounts import FixedAccounts
from worker.control.audit import CommandResult
from worker.control.cancel import cancel, find_open
from worker.control.correct import correct_jobs, find_correctable
from worker.control.move import MovableJobs, find_movable, move_jobs
from worker.control.pause import pause, pause_jobs, resume, resume_jobs
from worker.control.recall import find_sent, recall_jobs
from worker.domain.errors import CheckFailed, ConfigurationError
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.jobs.inbound import part_of_task
from worker.producer.follow_ups import recall
from worker.reporting.why import why

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SINCE = JobFilter(created_from=datetime(2020, 1, 1, tzinfo=UTC))
ROBOT = replace(an_account("robot"), channel="wecom_webhook", settings={"edition": "robot"})
Sent = list[tuple[str, int]]


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """Two apps of one corp, `hr` (7) and `it` (8)."""
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def found(site: Site, wanted: JobFilter = SINCE, to: str | None = "it") -> MovableJobs:
    return find_movable(wanted, to_account=to, database=site.database, accounts=site.accounts)


def carry_out(site: Site, selection: MovableJobs) -> CommandResult:
    return move_jobs(selection, person="li", database=site.database, accounts=site.accounts)


def move(site: Site, wanted: JobFilter = SINCE, to: str = "it") -> CommandResult:
    return carry_out(site, found(site, wanted, to))


def only(job: str) -> JobFilter:
    return JobFilter(ids=[job])


def addressed(site: Site) -> Sent:
    """To whom the sends were, and from which app."""
    return [(body["touser"], body["agentid"]) for body in site.bodies()]


@pytest.mark.every_database
def test_what_waits_and_what_failed_goes_through_the_other_account(site: Site) -> None:
    """What was sent in part, is in doubt or was cancelled stays. A second run moves nothing."""
    site.vendor.says(partial(site.vendor.takes, invaliduser="bob"), refused(85002), lost(), lost())
    for n, to in enumerate(("ann|bob", "carl", "dora")):
        site.ring(site.send(f"{n}", to, duplicate_check=False, on_unknown="hold"))
    site.ring(site.send("repeated", "eva"))
    waits = site.send("waits", "finn", due_at=timedelta(days=1), expires_at=timedelta(days=2), dedupe_key="k")
    soon = site.send("soon", "hugo")
    gone = site.send("gone", "gil", due_at=timedelta(days=1))
    cancel(find_open(only(gone), database=site.database), person="li", database=site.database)
    before = site.job(waits)

    selection = found(site)
    result = carry_out(site, selection)
    site.run()
    first, made = addressed(site)[4:], len(site.bodies())
    site.advance(86_401)
    site.run()

    assert selection.breakdown == {"moved_waiting": 2, "moved_sent": 2}
    assert result.counts == {"moved": 2, "replays": 1}
    assert [one for one in first if one[1] == 8] == [("hugo", 8), ("carl", 8)]
    assert addressed(site)[made:] == [("finn", 8)]
    assert (site.state(waits), site.state(soon)) == ("accepted", "accepted")
    kept = ("account", "dedupe_key", "due_at", "expires_at", "replay_of")
    assert [getattr(site.job(waits), name) for name in kept] == [getattr(before, name) for name in kept]
    assert found(site).ids == ()


def test_what_was_sent_in_part_or_comes_into_doubt_stays_and_is_said(site: Site) -> None:
    """One account sends all of a job, so that one recall takes all of it back."""
    site.vendor.says(site.vendor.takes, busy())
    site.ring(site.send("half " * 500, "ann", overflow="split"), calls=2)
    doubtful = site.send("doubt", "bob", duplicate_check=False, on_unknown="hold")
    selection = found(site)
    site.vendor.says(lost())
    site.ring(doubtful)
    recalled = site.recall(doubtful)
    lane = site.part(recalled).lane

    result = carry_out(site, selection)

    assert selection.breakdown == {"moved_waiting": 1, "moved_sent": 1}
    assert list(result.notes) == [doubtful]
    assert site.part(recalled).lane == lane, "nothing of it has changed"


def test_a_message_that_the_other_account_may_not_send_stays(site: Site) -> None:
    """It is checked as if it were enqueued there."""
    limited = an_account("it", settings={"agentid": 8, "wechat_plugin_home": True})
    site.accounts.replace(an_account(), limited)
    job = site.send("a text that is longer than twenty bytes", "ann")

    result = move(site)

    assert result.counts == {"refused": 1}
    assert site.part(job).lane.startswith("hr:")


def test_what_failed_at_the_other_account_comes_back(site: Site) -> None:
    """As a replay by the first one; a replay that nobody moves goes by who sent last."""
    job = site.send("hello", "ann")
    move(site)
    site.vendor.says(refused(85002))
    site.run()
    assert move(site, to="hr").counts == {"replays": 1}
    site.vendor.says(refused(85002))
    site.run()
    [again] = move(site).jobs
    site.vendor.says(refused(85002))
    site.run()
    last = site.replay(again)
    site.run()

    assert addressed(site) == [("ann", 8), ("ann", 7), ("ann", 8), ("ann", 8)]
    by_command(site, job)
    by_command(site, last)
    site.run()
    assert len(site.bodies(RECALL)) == 1


def test_whose_first_part_was_refused_is_one_account_again(site: Site) -> None:
    """A recall of what the other one then sends starts in its lane, and it can be moved back."""
    job = site.send("many", To([f"u{n}" for n in range(1_001)]))
    site.vendor.says(refused(85002), busy())
    site.ring(job, calls=2)
    site.advance(1)

    assert move(site).counts == {"moved": 1}
    assert found(site).ids == ()
    assert found(site, to="hr").ids == (job,)
    site.run()
    back = site.recall(job)

    assert (site.state(job, 0), site.state(job, 1)) == ("rejected", "accepted")
    assert site.part(back).lane.startswith("it:")


def test_of_a_chain_the_job_goes_that_reaches_all_who_are_left(site: Site) -> None:
    """A resend to some of the recipients failed as well."""
    site.vendor.says(refused(85002, invaliduser="a"))
    site.ring(job := site.send("hello", To(["a", "b"])))
    site.advance(1)
    site.vendor.says(refused(85002))
    site.ring(again := site.replay(job))
    site.sql("update worker_jobs set asked = 1 where id = :job", job=again)

    assert found(site).ids == (job,)
    assert move(site).counts == {"replays": 1}
    site.run()
    assert addressed(site)[-1] == ("a|b", 8)


def test_the_newest_of_a_chain_is_so_by_the_databases_clock(site: Site) -> None:
    """Ids begin with the time of the host that made them, which may be ahead."""
    site.vendor.says(refused(85002))
    site.ring(job := site.send("hello", "ann"))
    late = "f" * 32
    for table, column in (("parts", "job_id"), ("jobs", "id"), ("attempts", "part_id")):
        site.sql(f"update worker_{table} set {column} = replace({column}, :job, :late)", job=job, late=late)
    site.sql("update worker_parts set id = :id where job_id = :late", id=f"{late}-0", late=late)
    site.advance(1)

    assert move(site).counts == {"replays": 1}
    site.run()
    assert addressed(site)[-1] == ("ann", 8)


def test_a_recall_of_the_original_goes_with_its_replay(site: Site) -> None:
    """Also one that was enqueued before: the first account may be parked."""
    site.vendor.says(refused(85002))
    site.ring(job := site.send("hello", "ann"))
    site.advance(1)
    replay = site.replay(job)
    back = site.recall(job, due_at=timedelta(minutes=5))

    move(site, only(replay))

    assert site.part(back).lane.startswith("it:")


@pytest.mark.every_database
def test_a_doorbell_of_its_old_lane_is_empty(site: Site) -> None:
    """Of the first account nothing is called any more."""
    job = site.send("hello", "ann")
    lane = site.part(job).lane

    move(site)
    assert site.bell.answer(lane, [f"{job}-0"]) == 0
    site.run()

    assert addressed(site) == [("ann", 8)]


def test_what_a_person_decides_before_or_after_holds(site: Site) -> None:
    """It is one job: a hold, a cancel and a recall find it by its id, whichever came first."""
    held, then_held, then_gone, back = (site.send(name, name) for name in ("held", "then", "gone", "back"))
    pause_jobs([held], person="li", database=site.database)
    selection = found(site)
    cancel_first = site.send("first", "first")
    late = found(site, only(cancel_first))
    cancel(find_open(only(cancel_first), database=site.database), person="li", database=site.database)

    carry_out(site, selection)
    pause_jobs([then_held], person="li", database=site.database)
    cancel(find_open(only(then_gone), database=site.database), person="li", database=site.database)
    site.recall(back)
    result = carry_out(site, late)
    site.run()

    assert addressed(site) == []
    assert list(result.notes) == [cancel_first]
    resume_jobs([held, then_held], person="li", database=site.database)
    site.recover()
    site.run()
    assert sorted(addressed(site)) == [("held", 8), ("then", 8)]


def test_a_pause_is_of_the_account_that_sends(site: Site) -> None:
    """That of the first one holds the job no longer, that of the other does."""
    pause(JobFilter(account="hr"), person="li", database=site.database)
    job = site.send("hello", "ann")
    site.run()
    assert addressed(site) == []

    move(site)
    site.run()
    assert addressed(site) == [("ann", 8)]

    pause(JobFilter(account="it"), person="li", database=site.database)
    second = site.send("again", "bob")
    move(site, only(second))
    site.run()
    assert addressed(site) == [("ann", 8)]
    with site.database.reading() as connection:
        assert why(connection, second).waits
    resume(JobFilter(account="it"), person="li", database=site.database)
    site.recover()
    site.run()
    assert addressed(site)[1:] == [("bob", 8)]
    assert site.state(job) == "accepted"


def test_an_order_stays_one_order(site: Site) -> None:
    """By its key, whoever sends; also behind one that stays."""
    first, second, third = (site.send(name, name, order_key="k") for name in ("first", "second", "third"))

    move(site, only(second))
    site.run()

    assert addressed(site) == [("first", 7), ("second", 8), ("third", 7)]
    assert {site.state(job) for job in (first, second, third)} == {"accepted"}


def by_code(site: Site, job: str) -> None:
    """By an application, which may know its own account alone."""
    with site.database.writing() as connection:
        recall(connection, job, accounts=FixedAccounts([an_account()]))


def by_command(site: Site, job: str) -> None:
    """By a person."""
    selection = find_sent(only(job), database=site.database)
    recall_jobs(selection, person="li", database=site.database, accounts=site.accounts)


def tokens(site: Site, path: str) -> list[tuple[str, str]]:
    """What the calls of a path were about, and with whose token: `t1` is of the first account that sent."""
    calls, bodies = site.calls(path), site.bodies(path)
    return [(body.get("msgid", ""), call.query["access_token"]) for body, call in zip(bodies, calls, strict=True)]


@pytest.mark.parametrize("taken_back", [by_code, by_command])
@pytest.mark.parametrize("waits", [True, False])
def test_a_recall_takes_the_message_back_by_the_account_that_sent_it(
    site: Site, waits: bool, taken_back: Callable[[Site, str], None]
) -> None:
    """Of a job that was moved, and of one that had failed, whose replay a person names."""
    job = site.send("hello", "ann")
    if not waits:
        site.vendor.says(refused(85002))
        site.ring(job)
        site.advance(1)
    replays = move(site).jobs
    site.run()
    sent = [("m1", tokens(site, SEND)[-1][1])]

    taken_back(site, job if taken_back is by_code else (*replays, job)[0])
    site.run()

    assert tokens(site, RECALL) == sent
    assert [row.state for row in site.rows("select state from worker_jobs where kind = 'recall'")] == [2]
    assert not find_sent(SINCE, database=site.database).ids


def test_what_waits_for_a_job_goes_with_it(site: Site) -> None:
    """A recall of a card and its update, enqueued before; the first account may be parked."""
    card = site.card("finn")
    update = site.update(card)
    before = site.part(update).lane

    move(site)
    after = site.part(update).lane
    site.run()

    assert (before.partition(":")[0], after.partition(":")[0]) == ("hr", "it")
    assert site.state(update) == "accepted"
    [(_, token)] = tokens(site, UPDATE)
    assert token == tokens(site, SEND)[0][1]


def test_a_press_below_a_moved_card_finds_it_at_the_account_that_sent_it(site: Site) -> None:
    """The vendor calls back the app that sent it."""
    card = site.card("finn")
    move(site)
    site.run()
    [body] = site.bodies()

    with site.database.reading() as connection:
        assert part_of_task(connection, ["it"], body["template_card"]["task_id"]) == f"{card}-0"
        assert part_of_task(connection, ["hr"], body["template_card"]["task_id"]) is None


def test_it_is_corrected_as_before(site: Site) -> None:
    """What waits there is cancelled, and its people get the new text once."""
    job = site.send("wrong", "ann", tags=["fair"])
    move(site)
    wanted = JobFilter(tag="fair", created_from=SINCE.created_from)
    selection = find_correctable(wanted, replace={"wrong": "right"}, database=site.database, accounts=site.accounts)
    correct_jobs(selection, person="li", database=site.database, accounts=site.accounts)
    site.run()

    assert [body["text"]["content"] for body in site.bodies()] == ["right"]
    assert site.state(job) == "cancelled"


def test_what_only_its_own_account_can_send_is_left_out_and_said(site: Site) -> None:
    """A group chat is of the app that made it; a broadcast needs its own leave; a task_id may be taken there."""
    site.ask(Text("chat"), AppChat("c1"))
    site.card("finn", task_id="mine")
    site.accounts.replace(an_account(allow_everyone=True), an_account("it", settings={"agentid": 8}))
    site.send("all", Everyone())
    site.vendor.says(refused(86008))
    site.ring(site.ask(Text("chat"), AppChat("c2")))

    selection = found(site)

    assert (selection.ids, selection.breakdown) == ((), {"bound": 4})


def test_an_account_that_cannot_send_them_is_refused_before_anything_changes(site: Site) -> None:
    """One of another channel, one of another corp, one that does not exist, and none."""
    waits = site.send("waits", To(["finn"]))
    lane = site.part(waits).lane
    site.accounts.replace(an_account(), an_account("far", settings={"corpid": "ww2"}), ROBOT)

    with pytest.raises(CheckFailed, match="is of channel wecom_webhook"):
        found(site, to="robot")
    with pytest.raises(CheckFailed, match="has other people and files than hr"):
        found(site, to="far")
    with pytest.raises(ConfigurationError, match="nowhere"):
        found(site, to="nowhere")
    with pytest.raises(CheckFailed, match="to_account: is missing"):
        move_jobs(found(site, to=None), person="li", database=site.database)
    assert site.part(waits).lane == lane


def test_it_is_moved_on_and_back(site: Site) -> None:
    """Any number of times; the last account sends, and a recall finds it."""
    job = site.send("hello", "ann")
    move(site)
    move(site, to="hr")
    move(site)
    site.run()
    by_command(site, job)
    site.run()

    assert addressed(site) == [("ann", 8)]
    assert len(site.bodies(RECALL)) == 1


def test_in_the_console_both_accounts_have_to_be_ones_own(site: Site) -> None:
    """The old one and the new one."""
    waits = site.send("waits", "finn")
    page = f"/commands/move?ids={waits}"

    assert Person(site, "operator", frozenset({"hr"})).give(page, to_account="it").status == 403
    assert Person(site, "operator", frozenset({"it"})).get(page).status == 403
    assert site.part(waits).lane.startswith("hr:")

    Person(site, "operator", frozenset({"hr", "it"})).give(page, to_account="it")
    site.run()
    assert addressed(site) == [("finn", 8)]
