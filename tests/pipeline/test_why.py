"""What a job waits for: one test for each cause, with what one could do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.runtime import Site, busy, lost, planted, refused
from worker import JobExplanation, JobNotFound, PartWait, To, WaitReason, recall_message, webhook, why
from worker.config.accounts import FixedAccounts
from worker.control.cancel import cancel, find_open, mark_jobs
from worker.control.pause import pause, pause_jobs, resume, resume_jobs
from worker.control.reschedule import find_waiting, reschedule
from worker.domain.account import Account, Secret
from worker.domain.call import CallResult, Request
from worker.domain.job import JobKind
from worker.domain.job_filter import JobFilter
from worker.domain.outcome import Penalty
from worker.domain.pacing.lane import LaneBlock, SlowStart
from worker.domain.settle import Policy
from worker.outbox.commit.commands import Mark
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.clock import DrivenClock, instant
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import change_lanes
from worker.producer.resend import skip
from worker.reporting.next_step import NextStep, next_step

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

DAY = timedelta(days=1)


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def asked(site: Site, name: str) -> JobExplanation:
    with site.database.reading() as connection:
        return why(connection, name, accounts=["hr", "it"])


def waits(site: Site, job: str) -> list[PartWait]:
    return list(asked(site, job).waits)


def causes(site: Site, job: str) -> list[WaitReason]:
    return [wait.what for wait in waits(site, job)]


def test_what_was_tried_and_is_rescheduled_is_due_later(site: Site) -> None:
    """It waits for its new time and for no retry, and nothing tells of a second call."""
    site.vendor.says(busy())
    job = site.send()
    site.ring(job)
    found = find_waiting(JobFilter(ids=[job]), database=site.database)
    reschedule(found, due_at=DAY, person="zhang", database=site.database)

    report = asked(site, job)

    assert [(wait.what, wait.text) for wait in report.waits] == [(WaitReason.DUE_AT, "it is due later")]
    assert [event.detail for event in report.timeline if event.what == "marked"] == ["claim 1"]


def test_it_is_due_later(site: Site) -> None:
    """Until when."""
    job = site.send(due_at=DAY)

    [wait] = waits(site, job)

    assert (WaitReason.DUE_AT, "it is due later", job + "-0") == (wait.what, wait.text, wait.part)
    assert wait.until is not None
    assert site.part(job).not_before == wait.until.timestamp() * 1_000_000


def test_it_is_tried_again(site: Site) -> None:
    """How often it was tried, and why it was refused; the code's meaning stands beside it."""
    job = site.send()
    site.vendor.says(busy())
    site.ring(job)

    told = asked(site, job)

    assert [wait.what for wait in told.waits if wait.what is not WaitReason.SLOW_START] == [WaitReason.RETRY]
    assert told.waits[0].text.startswith("tried 1 times: -1")
    assert told.waits[0].until is not None
    assert told.meanings[-1][0].startswith("-1  ")


def test_the_errcode_that_matters_is_told_and_who_was_refused(site: Site) -> None:
    """That of the newest call, not one that a later call made good; and what to do about it."""
    job = site.send("hello", To(["zhangsan", "lisi"]))
    site.vendor.says(busy(), refused(81013, "all invalid", invaliduser="lisi|zhangsan"))
    site.ring(job)
    site.advance(600)
    site.ring(job)

    told = asked(site, job)

    assert list(told.meanings) == [81013]
    assert told.refused == ("zhangsan", "lisi")
    assert (
        NextStep("correct the recipients; then send it to those whom it did not reach", f"worker replay {job}")
        == told.next
    )
    assert "lisi" not in repr(told)


@pytest.mark.parametrize(
    ("kind", "of_message", "again"),
    [
        (JobKind.UPLOAD, False, "upload it once more"),
        (JobKind.UPLOAD, True, "upload it once more"),
        (JobKind.UPDATE_CARD, True, "do it once more"),
        (JobKind.RECALL, False, "do it once more"),
    ],
)
def test_a_refused_job_without_recipients_is_not_said_to_have_some(
    site: Site, kind: JobKind, of_message: bool, again: str
) -> None:
    """It goes to nobody, and no other message can take its place."""
    job = site.send("hello", To(["zhangsan"]))
    site.vendor.says(refused(40004, "invalid media type"))
    site.ring(job)
    refused_job = replace(asked(site, job).job, kind=kind)

    told = next_step(refused_job, (), "give another file", of_message=of_message)

    assert NextStep(f"give another file; then {again}", f"worker replay {job}") == told


@pytest.mark.parametrize(("errcode", "remedy"), [(45002, "correct the message"), (40123, "upload a proper file")])
def test_a_message_that_was_refused_leads_to_its_correction(site: Site, errcode: int, remedy: str) -> None:
    """And so does the recall that came too late for one that was sent."""
    wrong, sent = site.send(), site.send()
    site.vendor.says(refused(errcode), site.vendor.takes)
    site.ring(wrong)
    site.ring(sent)
    recall = site.recall(sent)
    site.vendor.says(refused(42052))
    site.ring(recall)

    assert asked(site, wrong).next == NextStep(
        f"{remedy}; then send the right message in its place", f"worker correct {wrong} --text"
    )
    assert asked(site, recall).next == NextStep(
        "send a correction: it cannot be recalled any more", f"worker correct {sent} --text"
    )


def test_a_recall_of_a_foreign_message_leads_to_no_job(site: Site) -> None:
    """Only the program that sent the message can correct it."""
    with site.database.writing() as connection:
        recall = recall_message(connection, "hr", "m-of-others", accounts=site.accounts).id
    site.vendor.says(refused(42052))
    site.ring(recall)

    assert asked(site, recall).next == NextStep("send a correction: it cannot be recalled any more")


def test_a_replay_that_was_sent_once_more_leads_there(site: Site) -> None:
    """It was refused, too, and the next one reached its recipients: they need no other message."""
    job = site.send()
    site.vendor.says(refused(40008), refused(40008))
    site.ring(job)
    first = site.replay(job)
    site.ring(first)
    second = site.replay(first)
    site.ring(second)

    commands = [asked(site, one).next.command for one in (job, first, second)]

    assert [f"worker why {second}", f"worker why {second}", None] == commands


@pytest.mark.parametrize(
    ("state", "counter", "begins", "command"),
    [
        (2, "n_accepted", "nothing", None),
        (5, "n_exhausted", "send it once more", "worker replay"),
        (7, "n_expired", "send it once more", "worker replay"),
        (8, "n_cancelled", "nothing to do; a person cancelled it", "worker audit"),
    ],
)
def test_what_to_do_about_what_has_ended(
    site: Site, state: int, counter: str, begins: str, command: str | None
) -> None:
    """Nothing, or the command that sends it again; it waits for nothing."""
    job = site.send()
    site.sql("update worker_parts set state = :state, not_before = null where job_id = :job", state=state, job=job)
    site.sql(f"update worker_jobs set state = :state, n_open = 0, {counter} = 1 where id = :job", state=state, job=job)
    site.sql("update worker_jobs set cancelled_at = 1 where id = :job and state = 8", job=job)

    told = asked(site, job)
    step = told.next

    assert told.waits == ()
    assert step.text.startswith(begins)
    assert command == (None if step.command is None else step.command.removesuffix(f" {job}"))


def test_an_upload_in_doubt_is_ended_as_not_sent(site: Site) -> None:
    """Nobody has to find out whether it was carried out: its media_id is lost with the answer, or there is none."""
    job = site.upload()
    site.sql("update worker_parts set state = 6, not_before = null, reason = 'cut' where job_id = :job", job=job)
    site.sql("update worker_jobs set state = 6, n_open = 0, n_unknown = 1 where id = :job", job=job)

    step = asked(site, job).next

    assert f'worker resolve {job}-0 --why "..." --not-sent' == step.command
    assert step.text == "its result was lost with the answer; end it as not sent, then replay it if it is still needed"


def test_no_person_is_named_who_cancelled_nothing(site: Site) -> None:
    """An application's recall came before the send; the audit has nothing about it."""
    job = site.send()
    site.recall(job)
    site.run()

    assert site.state(job) == "cancelled"
    assert asked(site, job).next == NextStep("nothing to do; nothing of it was sent, and its parts say why")


def test_a_limit_has_no_room(site: Site) -> None:
    """The member's; its name, and where its use is shown."""
    site.ring(*[site.send(f"{n}") for n in range(30)])
    job = site.send("one more")
    site.ring(job)

    wait = waits(site, job)[0]

    assert (wait.what, wait.text) == (WaitReason.LIMIT, "the limit member_minute is used up for now")
    assert wait.commands == ("worker limits --account hr",)
    assert wait.until is not None


def test_its_lane_is_blocked(site: Site) -> None:
    """By a penalty of the vendor's, until an instant."""
    job = site.send()
    lane = site.part(job).lane
    write(site, LaneBlock(lane, "send/text", 60.0, "45009 called too often"))

    [wait] = waits(site, job)

    assert (wait.what, wait.text, wait.commands) == (WaitReason.BLOCK, "lane send/text: 45009 called too often", ())
    assert (wait.since, wait.until) != (None, None)
    assert wait.until is not None
    assert wait.since is not None
    assert timedelta(seconds=60) == wait.until - wait.since


def write(site: Site, block: LaneBlock) -> None:
    site.database.run(lambda connection: change_lanes(connection, site.database.now, [block]))


def test_its_account_is_parked(site: Site) -> None:
    """What a person has to do, and the command that lets it try."""
    job = site.send()
    site.vendor.says(refused(60020, "not allow to access from your ip, from ip: 203.0.113.7"))
    site.ring(job)

    [wait] = waits(site, job)

    assert (wait.what, wait.commands) == (WaitReason.PARKED, ("worker resume hr",))
    assert wait.text.startswith("account hr: 60020")


def test_its_vendor_is_ill(site: Site) -> None:
    """The breaker is open, after five failures in a row."""
    job = site.send()
    failed = LaneBlock("hr", "hr", 1.0, "no answer", failed=True)
    for _ in range(5):
        write(site, failed)
        site.advance(2)
    write(site, failed)

    assert WaitReason.BREAKER in causes(site, job)
    assert asked(site, job).next == NextStep("fix what it waits for, if it is yours to fix; it goes on by itself")


@pytest.mark.parametrize(
    ("errcode", "commands"), [(40001, ("worker resume hr",)), (45009, ())], ids=["refused", "a limit"]
)
def test_its_account_gets_no_token(site: Site, errcode: int, commands: tuple[str, ...]) -> None:
    """Whatever the vendor's reason is: the secret, or a limit of gettoken."""
    job = site.send()
    site.forget_tokens()
    site.vendor.says_for_tokens(refused(errcode, "no token"))
    site.ring(job)

    wait = waits(site, job)[0]

    assert (wait.what, wait.commands) == (WaitReason.TOKEN, commands)
    assert wait.text.startswith(f"account hr: gettoken: {errcode}")


@pytest.mark.every_database
def test_its_lane_starts_slowly(site: Site) -> None:
    """Not blocked, and not at full speed."""
    job = site.send()
    site.database.run(lambda connection: change_lanes(connection, site.database.now, [SlowStart(site.part(job).lane)]))

    assert causes(site, job) == [WaitReason.SLOW_START, WaitReason.TURN]


def test_another_is_before_it_in_its_order(site: Site) -> None:
    """Which one, and how to go on without it: whoever is taken out of the order is before nothing."""
    first = site.send("first", order_key="k", due_at=DAY)
    second = site.send("second", order_key="k", due_at=2 * DAY)

    wait = waits(site, second)[0]

    assert (WaitReason.ORDER, f"part {first}-0 has to go before it (same order_key)") == (wait.what, wait.text)
    assert (f"worker why {first}", f"worker skip {first}") == wait.commands
    assert causes(site, first) == [WaitReason.DUE_AT]
    skip(site.database, first)
    assert (causes(site, first), WaitReason.ORDER in causes(site, second)) == ([WaitReason.DUE_AT], False)


def test_it_is_in_doubt_and_then_held(site: Site) -> None:
    """First it moves by itself, at a time; then a person decides, by one of these commands."""
    job = site.send(on_unknown="hold")
    site.vendor.says(lost())
    site.ring(job)
    [doubt] = waits(site, job)
    site.advance(60)
    site.recover()
    [held] = waits(site, job)

    assert (doubt.what, doubt.until is not None) == (WaitReason.DOUBT, True)
    assert (held.what, held.until) == (WaitReason.PERSON, None)
    assert f'worker resolve {job}-0 --why "..." --sent' == held.commands[0]


def test_its_call_is_in_flight(site: Site) -> None:
    """By which process, and by when its answer must have come."""
    job = site.send()
    found: list[PartWait] = []

    def look(request: Request) -> CallResult:
        found.extend(waits(site, job))
        return site.vendor.takes(request)

    site.vendor.says(look)
    site.ring(job)

    [wait] = found
    assert wait.what == WaitReason.ANSWER
    assert site.runtime.lease.incarnation in wait.text
    assert wait.until is not None
    assert wait.since is not None
    assert wait.until > wait.since


def test_its_process_ended(site: Site) -> None:
    """Nothing is in flight any more; and nothing is done about it before a worker is there."""
    job = site.send()
    commit(site.database, [Mark(job + "-0", 0, "gone", 1_000_000)], Policy())
    site.clock.advance(3_600)

    answer, worker = waits(site, job)

    assert (answer.what, worker.what) == (WaitReason.ANSWER, WaitReason.WORKER)
    assert "was made by process gone, which has ended" in answer.text


def test_its_job_was_cancelled(site: Site) -> None:
    """By a command that was cut short: given again, it ends the part."""
    job = site.send(due_at=DAY)
    mark_jobs(site.database, [job])

    wait = waits(site, job)[0]

    assert (WaitReason.CANCELLED, (f"worker cancel {job}",)) == (wait.what, wait.commands)
    cancel(find_open(JobFilter(ids=[job]), database=site.database), person="zhang", database=site.database)
    happened = [event.what for event in asked(site, job).timeline]
    assert ("due" not in happened, "ended") == (True, happened[-1]), "it never came to be due"


def test_a_person_paused_it(site: Site) -> None:
    """Or holds it; each is named, with the command that ends it. What is parked on it is not told a second time."""
    job, other = site.send(tags=["lunch"]), site.send("other")
    pause(JobFilter(tag="lunch"), person="zhang", why="wrong text", database=site.database)
    pause_jobs([job], person="li", why="", database=site.database)
    before = waits(site, job)
    site.ring(job)
    parked = waits(site, job)

    assert causes(site, job) == [WaitReason.PAUSE, WaitReason.PAUSE]
    assert ["paused by zhang (tag lunch): wrong text", f"paused by li (job {job})"] == [wait.text for wait in before]
    assert [("worker resume --tag lunch",), (f"worker resume {job}",)] == [wait.commands for wait in before]
    assert (before, [WaitReason.TURN]) == (parked, causes(site, other))
    resume(JobFilter(tag="lunch"), person="zhang", why="", database=site.database)
    resume_jobs([job], person="li", why="", database=site.database)
    assert causes(site, job) == [WaitReason.TURN], "recovery wakes it"


def test_a_search_goes_on_although_its_job_was_cancelled(site: Site) -> None:
    """So it waits for what any part in doubt waits for, and not for another `worker cancel`."""
    job = site.send()
    site.vendor.says(lost())
    site.ring(job)
    mark_jobs(site.database, [job])

    [wait] = waits(site, job)

    assert (wait.what, wait.commands) == (WaitReason.DOUBT, ())
    assert wait.text.endswith("it may have been sent; next it is looked up or held")


def test_it_is_found_by_what_one_knows(site: Site) -> None:
    """Its id, its beginning, a part, a dedupe key, a task_id, a msgid; not by what several begin with."""
    sent = site.send("sent")
    site.run()
    assert sent == asked(site, site.of("receipts", sent)[0].msgid).job.id
    job = site.send(dedupe_key="order 7", due_at=DAY)
    uuid = "550e8400-e29b-41d4-a716-446655440000"
    keyed = site.send("keyed", dedupe_key=uuid, due_at=DAY)
    card = site.card(task_id="leave-1", due_at=DAY, account="it")

    for name in (job, job[:31], part := job + "-0", "order 7"):
        assert job == asked(site, name).job.id, part
    assert keyed == asked(site, uuid).job.id
    assert job == asked(site, job[:31].upper()).job.id
    for name in (card, card + "-0", "leave-1"):
        assert card == asked(site, name).job.id
    site.sql("update worker_parts set state = 8, not_before = null where job_id = :job", job=job)
    site.sql("update worker_jobs set state = 8, n_open = 0, n_cancelled = 1 where id = :job", job=job)
    new = site.replay(job)
    assert (new, job) == (asked(site, "order 7").job.id, asked(site, job).job.id), "the key goes with the replay"
    for name, text in (
        ("0" * 32, "no job"),
        (job[:7], "no job"),
        (job[:31] + "-junk", "no job"),
        ("a\0", "no job"),
        (job[:8], "matches several jobs, such as "),
    ):
        with pytest.raises(JobNotFound, match=text):
            asked(site, name)


# -- what it waited for ------------------------------------------------------------------------------------------------


def history(site: Site, job: str) -> list[str]:
    """What it waited for, and what happened to its lane and its account."""
    told = asked(site, job).timeline
    return [f"{one.what}: {one.detail}" for one in told if one.what.startswith(("put off", "lane", "account"))]


def test_each_wait_is_kept_when_it_is_over(site: Site) -> None:
    """The others of its order, a limit, a pause by the relay; each with the instant at which it began."""
    site.ring(*[site.send(f"{n}") for n in range(30)])
    first, job = site.send("first", "zhangsan", order_key="k"), site.send("second", order_key="k", tags=["x"])
    site.relay.lead()
    site.relay.turn()
    site.rings.clear()
    begin = instant(site.clock.micros)
    in_line = waits(site, job)[0]
    site.advance(5)
    site.ring(first)
    site.ring(job)
    limited = waits(site, job)[0]
    site.advance(120)
    pause(JobFilter(tag="x"), person="zhang", why="", database=site.database)
    site.run()
    site.advance(10)
    resume(JobFilter(tag="x"), person="zhang", why="", database=site.database)
    site.recover()
    site.ring(job)

    assert site.state(job) == "accepted"
    assert history(site, job) == [
        "put off: waits for the jobs before it in its order",
        "put off: limit member_minute is used up",
        "put off: paused by a person",
    ]
    begun = [one.at - begin for one in asked(site, job).timeline if one.what == "put off"]
    assert [since.total_seconds() for since in begun] == [0, 5, 125]
    assert [(WaitReason.ORDER, begin), (WaitReason.LIMIT, begin + timedelta(seconds=5))] == [
        (wait.what, wait.since) for wait in (in_line, limited)
    ]


def test_what_is_waited_for_again_and_again_is_kept_once(site: Site) -> None:
    """So a part has as many rows as there are things to wait for, however long it waits."""
    job = site.send()
    for _ in range(5):
        for order in (pause_jobs, resume_jobs):
            order([job], person="li", database=site.database)
            site.advance(2)
            if order is pause_jobs:
                site.ring(job)
            else:
                site.recover()
        site.vendor.says(busy())
        site.ring(job)
        site.advance(400)
    assert [row.reason for row in site.rows("select reason from worker_waits")] == ["paused by a person"]


def test_a_retry_is_told_by_its_call_alone(site: Site) -> None:
    """The call says why and since when, and the next mark when it was over."""
    site.vendor.says(busy())
    job = site.send()
    site.ring(job)
    since = instant(site.clock.micros)
    site.advance(0.01)
    assert [since] == [wait.since for wait in waits(site, job) if wait.what is WaitReason.RETRY]
    site.advance(60)
    site.ring(job)
    assert (site.state(job), history(site, job), site.rows("select * from worker_waits")) == ("accepted", [], [])


def test_a_follow_up_waits_for_its_target(site: Site) -> None:
    """Its history says so afterwards."""
    job = site.send()
    commit(site.database, [Mark(job + "-0", 0, site.runtime.lease.incarnation, 1_000_000)], Policy())
    recall = site.recall(job)
    site.ring(recall)
    [wait] = [wait for wait in waits(site, recall) if wait.what is WaitReason.JOB]
    assert instant(site.clock.micros) == wait.since
    assert wait.commands == (f"worker why {job}",)
    assert history(site, recall) == ["put off: waits for the job that it follows"]


def test_steps_after_its_end_are_none_of_its_history(site: Site) -> None:
    """However many there are; and that some are left out is said."""
    job = site.send()
    lane = site.part(job).lane
    for n in range(60):
        write(site, LaneBlock(lane, "send/text", 0.0, f"before {n}", penalty=Penalty.PARALLEL))
        site.sql("delete from worker_lanes")
    site.run()
    assert site.state(job) == "accepted"
    site.advance(60)
    for n in range(60):
        write(site, LaneBlock(lane, "send/text", 0.0, f"after {n}", penalty=Penalty.PARALLEL))
        site.sql("delete from worker_lanes")
    told = history(site, job)
    assert len(told) == 51
    assert told[0] == "lanes: earlier changes: see worker lanes --history"
    assert not [line for line in told if "after" in line]


def test_the_steps_of_its_lane_and_account_are_told(site: Site) -> None:
    """Those since it was asked for, and until it ended; of no other lane."""
    lane = site.part(site.send("before")).lane
    write(site, LaneBlock(lane, "send/text", 60.0, "45009 before", penalty=Penalty.FREQUENCY))
    site.advance(600)
    job = site.send()
    write(site, LaneBlock(lane, "send/text", 60.0, "45009 called too often", penalty=Penalty.FREQUENCY))
    write(site, LaneBlock("hr:other", "send/card", 60.0, "another", parked=True))
    write(site, LaneBlock("hr", "hr", 60.0, "60020 not trusted", parked=True))
    told = history(site, job)
    assert told == ["lane struck: send/text: 45009 called too often", "account parked: hr: 60020 not trusted"]


def test_no_worker_can_use_its_account(site: Site) -> None:
    """As the heartbeats of workers say; `doctor` looks at the settings here."""
    job = site.send()
    site.runtime.accounts = FixedAccounts([])
    site.ring(job)
    states = site.runtime.lane_states
    site.runtime.lease.beat(states.summary(), states.unusable())
    wait = waits(site, job)[-1]
    assert (wait.what, wait.commands) == (WaitReason.ACCOUNT, ("worker doctor",))
    assert "1 of 1 worker processes cannot use its account: account 'hr' does not exist" in wait.text
    site.advance(20)
    site.runtime.lease.beat(states.summary(), states.unusable())
    assert WaitReason.ACCOUNT not in causes(site, job)


def test_a_piece_waits_for_the_one_before_it(database: Database, driven_clock: DrivenClock) -> None:
    """It is no retry."""
    account = Account("bot", "wecom_webhook", "http://vendor", {"edition": "robot"}, Secret(lambda: "k1"))
    with planted(database, driven_clock, accounts=[account]) as site:
        job = site.ask(webhook.Markdown(content="line\n\n" * 2_000), None, account="bot", overflow="split")
        site.bell.answer(site.part(job, 1).lane, [job + "-1"])
        site.settle()
        told = [wait for wait in waits(site, job) if wait.part == job + "-1"]
        assert (told[0].what, told[0].text) == (WaitReason.ORDER, "another part of the job has to go before it")


def test_what_is_open_about_it_is_told(site: Site) -> None:
    """With the instant until which it waits; not what has ended."""
    job = site.send()
    commit(site.database, [Mark(job + "-0", 0, site.runtime.lease.incarnation, 1_000_000)], Policy())
    first = site.recall(job)
    site.ring(first)
    [waiting] = asked(site, job).follow_ups
    assert (first, "recall") == (waiting.job, waiting.kind)
    assert waiting.until is not None
    assert instant(site.clock.micros) < waiting.until
    other = site.send("other")
    site.run()
    site.recall(other)
    site.run()
    assert asked(site, other).follow_ups == ()


def test_a_follow_up_that_ended_while_it_waited_is_not_open(site: Site) -> None:
    """Another one about the same job is."""
    job = site.send()
    commit(site.database, [Mark(job + "-0", 0, site.runtime.lease.incarnation, 1_000_000)], Policy())
    first = site.recall(job)
    site.ring(first)
    mark_jobs(site.database, [first])
    site.sql("update worker_parts set state = 8, not_before = null where job_id = :job", job=first)
    site.sql(
        "update worker_jobs set state = 8, n_open = 0, n_cancelled = 1, finished_at = 1 where id = :job", job=first
    )
    second = site.recall(job)
    site.ring(second)
    assert [second] == [one.job for one in asked(site, job).follow_ups]


def test_some_parts_of_a_job_are_told_of_by_themselves(site: Site) -> None:
    """Their waits, receipts and history; the counts are those of the whole job."""
    job = site.send("hello", To([f"u{n}" for n in range(2_500)]))
    site.ring(job)
    with site.database.reading() as connection:
        whole = why(connection, job)
        some = why(connection, job, numbers=range(1, 2))

    assert len(whole.job.parts) == 3
    assert [whole.job.parts[1]] == list(some.job.parts)
    assert [one for one in whole.job.receipts if one.part == f"{job}-1"] == list(some.job.receipts)
    assert whole.job.counts == some.job.counts
    assert {f"{job}-1", None} == {event.part for event in some.timeline}


@pytest.mark.parametrize("answer", [lost(), busy()])
def test_ended_parts_of_a_job_that_has_not_ended_lead_to_the_others(site: Site, answer: CallResult) -> None:
    """The others may wait for a person: nothing is said to go on by itself, or to have been refused."""
    site.vendor.says(site.vendor.takes, answer)
    job = site.send("hello", To([f"u{n}" for n in range(1_500)]), duplicate_check=False)
    site.ring(job)
    with site.database.reading() as connection:
        told = why(connection, job, numbers=range(1)).next

    assert NextStep("see what its other parts wait for", f"worker why {job}") == told
