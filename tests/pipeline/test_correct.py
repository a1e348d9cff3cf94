"""A wrong message is stopped and taken back, and the right one goes to whoever got it or would have: once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from tests.support.runtime import PNG, RECALL, Site, an_account, lost, planted, refused
from worker import AppChat, ButtonCard, Image, JobState, Text, To, replay, webhook
from worker.control import correct as correcting
from worker.control.audit import CommandResult, list_audit
from worker.control.cancel import cancel, find_open
from worker.control.correct import CorrectableJobs, correct_jobs, find_correctable
from worker.control.erase import erase, find_person
from worker.control.recall import find_sent, recall_jobs
from worker.control.replay import find_replayable
from worker.domain.account import Account, Secret
from worker.domain.content.message import File, Message
from worker.domain.content.replacement import with_replacements
from worker.domain.errors import CheckFailed, NotReplayable
from worker.domain.job_filter import JobFilter
from worker.outbox.engine.clock import DrivenClock, instant
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in the first test")

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
MAILING = JobFilter(tag="lunch", created_from=LONG_AGO)
DAY = timedelta(days=1)


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """One process."""
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def found_by(site: Site, message: Any = "right", wanted: JobFilter = MAILING, **new: Any) -> CorrectableJobs:
    return find_correctable(wanted, message, **new, accounts=site.accounts, database=site.database)


def corrected(site: Site, message: Any = "right", wanted: JobFilter = MAILING, **options: Any) -> CommandResult:
    new = {name: options.pop(name) for name in ("replace", "messages", "one_for_all") if name in options}
    found = found_by(site, message, wanted, **new)
    options = {"person": "zhang", "why": "wrong date", "accounts": site.accounts, "rate": 1_000, **options}
    return correct_jobs(found, **options, database=site.database)


def reached(site: Site, content: str = "right") -> list[str]:
    """To whom calls with this text went, sorted."""
    return sorted(body["touser"] for body in site.bodies() if body["text"]["content"] == content)


def a_robot() -> Account:
    return Account("bot", "wecom_webhook", "http://vendor", {"edition": "robot"}, Secret(lambda: "key-1"))


@pytest.mark.every_database
def test_who_got_it_or_would_have_gets_the_right_one(site: Site) -> None:
    """Not those whom the vendor refused; the old ones are cancelled or recalled, the new ones are linked to them."""
    site.vendor.says(partial(site.vendor.takes, invaliduser="bob"), refused(81013), lost())
    part = site.send("wrong", To(["ann", "bob"]), tags=["lunch"])
    nobody = site.send("wrong", "nobody", tags=["lunch"])
    doubt = site.send("wrong", "carl", tags=["lunch"], duplicate_check=False)
    for job in (part, nobody, doubt):
        site.ring(job)
    site.advance(60)
    site.recover()
    waiting = site.send("wrong", "dora", tags=["lunch"], due_at=2 * DAY, priority="bulk")
    site.send("other", "eva", tags=["dinner"], due_at=DAY)

    found = find_correctable(MAILING, "right", accounts=site.accounts, database=site.database)
    done = corrected(site)
    site.finish()

    assert {part, doubt, waiting} == {*found.ids}
    assert dict(+done.counts) == {"corrections": 3, "recalls": 2, "cancelled": 2}
    assert reached(site) == ["ann", "carl"]
    rows = {row.target_job_id: row for row in site.rows("select * from worker_jobs where kind = 'send'")}
    assert {part, doubt, waiting} == {*rows} - {None}
    assert ("bulk", site.job(waiting).due_at) == (
        ["urgent", "normal", "bulk"][rows[waiting].priority],
        rows[waiting].due_at,
    )
    assert all(json.loads(rows[job].tags) == ["lunch"] for job in (part, doubt, waiting))
    assert (site.state(waiting), len(site.calls(RECALL))) == ("cancelled", 1)
    with site.database.reading() as connection:
        entry = list_audit(connection)[0]
    assert (entry.action, entry.person, entry.why) == ("correct", "zhang", "wrong date")
    assert "right" not in json.dumps(entry.arguments)
    assert "text_hash" in entry.arguments


def personalised(site: Site) -> list[str]:
    """Three texts that differ: one was sent, one waits, and one has nothing wrong in it."""
    jobs = [
        site.send(f"Dear {who}, 10:00 at the {place}. Yours, 10:00", who, tags=["lunch"], due_at=due_at)
        for who, place, due_at in (("ann", "hall", None), ("bob", "pool", DAY))
    ]
    site.run()
    return [*jobs, site.send("Dear eva, at noon.", "eva", tags=["lunch"], due_at=DAY)]


def test_a_long_text_is_shown_where_it_differs(site: Site) -> None:
    """With a little of what stands before."""
    job = site.send("a" * 500 + "10:00" + "b" * 500, "ann", tags=["lunch"], due_at=DAY)

    [shown] = found_by(site, None, replace={"10:00": "11:30"}).samples

    before = "…" + "a" * 59 + "1"
    assert (job, before + "0:00b", before + "1:30b") == (shown.job, shown.old[:66], shown.new[:66])


@pytest.mark.every_database
def test_texts_that_differ_are_corrected_by_replacement(site: Site) -> None:
    """Each person gets the right one of their own, once; the preview says how many, and shows them."""
    sent, waiting, fine = personalised(site)
    replace = {"10:00": "10:00 sharp"}

    found = found_by(site, None, replace=replace)
    done = corrected(site, None, replace=replace)
    stopped = site.state(waiting)
    again = found_by(site, None, replace=replace)
    site.advance(2 * DAY.total_seconds())
    site.finish()

    assert [
        (sent, "Dear ann, 10:00 at the hall. Yours, 10:00", "Dear ann, 10:00 sharp at the hall. Yours, 10:00 sharp"),
        (waiting, "Dear bob, 10:00 at the pool. Yours, 10:00", "Dear bob, 10:00 sharp at the pool. Yours, 10:00 sharp"),
    ] == [(one.job, one.old, one.new) for one in found.samples]
    assert found.breakdown == {"waiting": 1, "sent": 1, "different": 2, "unchanged": 1}
    assert (done.counts, stopped) == ({"corrections": 2, "recalls": 1, "cancelled": 1}, "cancelled")
    assert (again.ids, again.breakdown) == ((), {"corrected": 2, "unchanged": 3})
    assert tuple(
        reached(site, text)
        for text in (
            "Dear ann, 10:00 sharp at the hall. Yours, 10:00 sharp",
            "Dear bob, 10:00 sharp at the pool. Yours, 10:00 sharp",
            "Dear eva, at noon.",
        )
    ) == (["ann"], ["bob"], ["eva"])
    assert fine not in {row.target_job_id for row in site.rows("select target_job_id from worker_jobs")}


def test_one_text_for_different_ones_has_to_be_said(site: Site) -> None:
    """It would take the name out of each; nothing is stopped by a refusal."""
    jobs = personalised(site)

    with pytest.raises(CheckFailed, match="is one for 3 different messages; say what to replace"):
        corrected(site)
    untouched = [site.state(job) for job in jobs]
    done = corrected(site, one_for_all=True)

    assert untouched == ["accepted", "queued", "queued"]
    assert done.counts["corrections"] == 3


def test_each_job_may_have_a_message_of_its_own(site: Site) -> None:
    """By its id; a job without one is left as it is, and a message for another job is counted."""
    sent, waiting, _ = personalised(site)
    messages = {sent: "Dear Ann", waiting: Text(content="Dear Bob"), "0" * 32: "Dear nobody"}

    found = found_by(site, None, messages=messages)
    done = corrected(site, None, messages=messages)
    site.advance(2 * DAY.total_seconds())
    site.finish()

    assert found.breakdown == {"waiting": 1, "sent": 1, "different": 2, "unchanged": 1, "unused": 1}
    assert done.counts["corrections"] == 2
    assert (reached(site, "Dear Ann"), reached(site, "Dear Bob")) == (["ann"], ["bob"])


def test_a_replacement_that_cannot_be_sent_stops_nothing(site: Site) -> None:
    """Every text is checked before the first job is cancelled, and the wrong one is named."""
    jobs = personalised(site)

    with pytest.raises(CheckFailed, match=rf"jobs.{jobs[0]}.\.text.content: is too long"):
        corrected(site, None, replace={"10:00": "x" * 3_000})

    assert [site.state(job) for job in jobs] == ["accepted", "queued", "queued"]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"message": "right", "replace": {"a": "b"}}, "message: is given in more than one way"),
        ({"replace": {}}, "replace: has nothing to replace"),
        ({"replace": {"": "b"}}, "replace: has nothing to replace"),
        ({"replace": {"a": "a"}}, "replace: has nothing to replace"),
    ],
)
def test_what_is_sent_is_said_in_one_way(site: Site, given: dict[str, Any], problem: str) -> None:
    """A slip is refused before anything is read."""
    with pytest.raises(CheckFailed, match=problem):
        found_by(site, **{"message": None, **given})


def test_only_what_people_read_is_replaced() -> None:
    """In every text of a card and its links, but not in ids, mentions and types."""
    content = {"content": "text", "mentioned_list": ["text"], "more": [{"url": "http://text", "id": "text"}]}
    document = {"type": "text", "options": {"agentid": "text"}, "body": {"text": content}}

    new = with_replacements(document, {"text": "word"})

    expected = {"content": "word", "mentioned_list": ["text"], "more": [{"url": "http://word", "id": "text"}]}
    assert {**document, "body": {"text": expected}} == new


def test_given_again_nobody_gets_two(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was cut short between two lots, or inside one, goes on with the same words."""
    jobs = [site.send("wrong", f"u{n}", tags=["lunch"]) for n in range(6)]
    for job in jobs[:3]:
        site.ring(job)
    monkeypatch.setattr(correcting, "BATCH_SIZE", 2)
    recall_all, calls = correcting.recall_all, iter(range(100))

    def dies_within_the_second(*given: Any, **options: Any) -> Any:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return recall_all(*given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(correcting, "recall_all", dies_within_the_second)
        with pytest.raises(KeyboardInterrupt):
            corrected(site)
    found = find_correctable(MAILING, "right", accounts=site.accounts, database=site.database)
    rest = corrected(site)
    site.finish()
    nothing = find_correctable(MAILING, "right", accounts=site.accounts, database=site.database)

    assert (
        found.breakdown,
        nothing.breakdown,
    ) == ({"sent": 1, "corrected": 2, "equal": 2}, {"corrected": 6, "equal": 6})
    assert (rest.counts["corrections"], nothing.ids) == (4, ())
    assert [f"u{n}" for n in range(6)] == reached(site)


def test_after_a_cancel_and_a_recall_it_goes_to_the_same(site: Site) -> None:
    """As a person does it who stops first and thinks then; what is recalled already is not recalled again."""
    sent, waiting = site.send("wrong", "ann", tags=["lunch"]), site.send("wrong", "bob", tags=["lunch"], due_at=DAY)
    site.ring(sent)
    said: dict[str, Any] = {"person": "li", "database": site.database}
    cancel(find_open(MAILING, database=site.database), **said)
    recall_jobs(find_sent(MAILING, database=site.database), **said, accounts=site.accounts)
    site.run()

    done = corrected(site)
    site.advance(DAY.total_seconds())
    site.finish()

    assert dict(+done.counts) == {"corrections": 2}
    assert (reached(site), len(site.calls(RECALL))) == (["ann", "bob"], 1)
    assert site.state(waiting) == "cancelled"


def test_what_a_recall_could_not_take_back_is_recalled_again(site: Site) -> None:
    """As when the vendor was ill; not what a recall is under way for."""
    failed, under_way = site.send("wrong", "ann", tags=["lunch"]), site.send("wrong", "bob", tags=["lunch"])
    site.run()
    site.vendor.says(refused(50009))
    site.recall(failed)
    site.run()
    site.recall(under_way)

    done = corrected(site)
    site.finish()

    assert (done.counts["corrections"], done.counts["recalls"]) == (2, 1)
    assert sorted(body["msgid"] for body in site.bodies(RECALL)) == ["m1", "m1", "m2"]


def test_a_chain_is_corrected_once(site: Site) -> None:
    """One whom a replay reached is in two jobs, and gets one correction."""
    site.vendor.says(partial(site.vendor.takes, invaliduser="bob"))
    job = site.send("wrong", To(["Ann", "bob"]), tags=["lunch"])
    site.ring(job)
    for options in ({}, {"accepted": True}):
        with site.database.writing() as connection:
            replay(connection, job, accounts=site.accounts, **options)
        site.run()

    done = corrected(site)
    site.finish()

    assert reached(site) == ["Ann", "bob"]
    assert (dict(+done.counts), len(done.notes)) == ({"corrections": 2, "recalls": 1, "refused": 1}, 1)
    assert len(site.calls(RECALL)) == 3, "a recall of the original takes back its replays too"


def test_a_robots_chain_is_corrected_once(database: Database, driven_clock: DrivenClock) -> None:
    """Its messages have no recipients, and its chat gets one correction."""
    with planted(database, driven_clock, accounts=[a_robot()]) as site:
        job = site.ask(webhook.Text(content="wrong"), None, account="bot", tags=["lunch"])
        site.run()
        site.replay(job, accepted=True)
        site.run()

        done = corrected(site)

        assert dict(+done.counts) == {"corrections": 1, "not_recallable": 2, "refused": 1}


def test_a_chain_whose_correction_cannot_be_read_gets_no_other(site: Site) -> None:
    """Nobody can say whom it reached."""
    job = site.send("wrong", "ann", tags=["lunch"])
    site.ring(job)
    again = site.replay(job, accepted=True)
    site.run()
    [correction] = corrected(site, wanted=JobFilter(ids=[job])).jobs
    site.finish()
    site.sql("update worker_parts set spec = '[' where job_id = :job", job=correction)

    done = corrected(site, wanted=JobFilter(ids=[again]))
    site.finish()

    assert ({again: True}, ["ann"]) == ({id: "cannot be read" in why for id, why in done.notes.items()}, reached(site))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("update worker_jobs set payload = 1000000", "by a newer release"),
        ("update worker_parts set spec = '['", "cannot be read"),
        ("update worker_jobs set message = replace(message, 'wrong', 'erased')", "has changed meanwhile"),
    ],
)
def test_what_has_changed_since_its_preview_is_left_out(site: Site, change: str, why: str) -> None:
    """It says why, and the others get theirs."""
    job, other = (site.send("wrong", who, tags=["lunch"]) for who in ("ann", "bob"))
    site.run()
    found = found_by(site, None, replace={"wrong": "right"})
    site.sql(f"{change} where {'job_id' if 'parts' in change else 'id'} = :job", job=job)

    done = correct_jobs(found, person="zhang", why="typo", accounts=site.accounts, database=site.database)
    site.finish()

    assert ({job: True}, ["bob"]) == ({id: why in note for id, note in done.notes.items()}, reached(site))
    assert [other] == [site.job(new).target_job_id for new in done.jobs]


def test_a_correction_that_was_wrong_is_corrected(site: Site) -> None:
    """The old message has its correction, which is what is corrected now. One that was refused does not count."""
    site.send("wrong", "ann", tags=["lunch"])
    site.run()
    corrected(site, "wrong again")
    site.finish()
    corrected(site)
    site.finish()
    assert (reached(site), reached(site, "wrong again"), len(site.calls(RECALL))) == (["ann"], ["ann"], 2)

    site.send("bad", "bob", tags=["dinner"])
    site.run()
    dinner = JobFilter(tag="dinner", created_from=LONG_AGO)
    site.vendor.says(site.vendor.takes, refused(40008))
    corrected(site, "refused by the vendor", dinner)
    site.finish()
    corrected(site, "good", dinner)
    site.finish()
    assert reached(site, "good") == ["bob"]


def test_a_refused_message_is_corrected_where_its_job_is_named(site: Site) -> None:
    """It goes to those for whom it was refused, and not to one who was refused by name; a tag alone leaves it out."""
    site.vendor.says(refused(45002), refused(81013, invaliduser="carl"))
    bad, nobody = site.send("too long", To(["ann", "bob"]), tags=["lunch"]), site.send("hi", "carl", tags=["lunch"])
    site.ring(bad)
    site.ring(nobody)
    by_tag = find_correctable(MAILING, "right", accounts=site.accounts, database=site.database)
    done = corrected(site, wanted=JobFilter(ids=[bad, nobody]), one_for_all=True)
    site.finish()
    again = find_correctable(JobFilter(ids=[bad]), "right", accounts=site.accounts, database=site.database)

    assert by_tag.ids == ()
    assert dict(+done.counts) == {"corrections": 1, "refused": 1}
    assert reached(site) == ["ann|bob"]
    assert again.ids == ()


def test_a_rate_spreads_their_due_times(site: Site) -> None:
    """The command does not wait: what is still to come can be cancelled."""
    jobs = [site.send("wrong", f"u{n}", tags=["lunch"]) for n in range(4)]
    site.run()
    began = instant(site.database.read_now())
    done = corrected(site, rate=2)

    due = [instant(site.job(new).due_at) - began for new in done.jobs]
    assert [timedelta(seconds=n / 2) for n in range(4)] == due
    assert sorted(jobs) == [site.job(new).target_job_id for new in done.jobs]


def test_what_cannot_be_taken_back_is_counted(database: Database, driven_clock: DrivenClock) -> None:
    """A robot's message stays; the right one goes to the same chat."""
    robot = a_robot()
    with planted(database, driven_clock, accounts=[robot]) as site:
        job = site.ask(webhook.Text(content="wrong"), None, account="bot", tags=["lunch"])
        site.run()
        done = corrected(site)
        site.finish()

        assert dict(+done.counts) == {"corrections": 1, "not_recallable": 1}
        assert (
            site.rows("select state from worker_jobs where target_job_id = :job", job=job)[0].state == JobState.ACCEPTED
        )
        again = find_replayable(JobFilter(ids=[job]), accepted=True, database=database)
        assert (again.ids, [one.how for one in again.omitted]) == ((), ["corrected"])
        with pytest.raises(NotReplayable, match=r"corrected by zhang.*--cancelled"), database.writing() as connection:
            replay(connection, job, accepted=True, accounts=site.accounts)


@pytest.mark.parametrize(
    ("wanted", "message", "words"),
    [
        (JobFilter(tag="lunch"), "right", "give created_from"),
        (MAILING, Text(content=""), "content"),
        (MAILING, Image(file=File(PNG, "a.png")), "media_id"),
    ],
)
def test_wrong_words_are_refused(site: Site, wanted: JobFilter, message: Message, words: str) -> None:
    """Before anything is stopped."""
    job = site.send("wrong", tags=["lunch"], due_at=DAY)
    with pytest.raises(CheckFailed, match=words):
        corrected(site, message, wanted)
    assert site.state(job) == "queued"


@pytest.mark.every_database
def test_a_message_that_one_sort_of_recipients_cannot_get_stops_nothing(site: Site) -> None:
    """An account's jobs for members come first, and a job for a group chat, which takes no cards, after them."""
    jobs = [site.send("wrong", to, tags=["lunch"], due_at=DAY) for to in ("ann", To(["bob", "carl"]))]
    jobs.append(site.ask(Text(content="wrong"), AppChat("c1"), tags=["lunch"], due_at=DAY))
    card = ButtonCard(main_title={"title": "right"}, button_list=[{"text": "ok", "key": "ok"}])

    with pytest.raises(CheckFailed, match="app group chats do not take template_card"):
        corrected(site, card)

    assert [site.state(job) for job in jobs] == ["queued"] * 3


def test_a_card_under_a_task_id_of_the_callers_takes_the_place_of_many(site: Site) -> None:
    """The vendor accepts each task_id once per app (42014), and the wrong cards are recalled by then."""
    card = ButtonCard(main_title={"title": "right"}, button_list=[{"text": "ok", "key": "ok"}], task_id="lunch-1")
    old = site.card(To("ann"), task_id="lunch-1", tags=["lunch"])
    for job in (old, site.send("wrong", "bob", tags=["lunch"])):
        site.ring(job)

    corrected(site, card, one_for_all=True)
    site.finish()

    sent = [body["template_card"]["task_id"] for body in site.bodies() if "template_card" in body]
    assert sent[0] == "lunch-1"
    assert len({*sent}) == 3
    assert all(one.startswith("lunch-1") for one in sent)


def test_jobs_of_several_channels_are_refused(database: Database, driven_clock: DrivenClock) -> None:
    """Each needs a message of its own."""
    robot = a_robot()
    with planted(database, driven_clock, accounts=[an_account(), robot]) as site:
        site.send("wrong", tags=["lunch"])
        site.ask(webhook.Text(content="wrong"), None, account="bot", tags=["lunch"])
        with pytest.raises(CheckFailed, match="several channels"):
            corrected(site)


def test_a_blank_tag_that_was_accepted_once_stops_no_new_job(site: Site) -> None:
    """Neither a correction nor a replay: nobody can take it out of the stored job."""
    job = site.send("wrong", "ann", tags=["lunch"])
    site.ring(job)
    site.sql("update worker_jobs set tags = :tags", tags='["lunch", " "]')

    done = corrected(site)
    again = site.replay(job, accepted=True, cancelled=True)

    assert [site.job(new).tags for new in (*done.jobs, again)] == ['["lunch"]', '["lunch"]']


def test_an_erased_person_stops_no_correction(site: Site) -> None:
    """Of a job with others, and of a mailing of which one job has nobody left."""
    both = site.send("wrong", To(["ann", "bob"]), tags=["lunch"])
    alone = site.send("wrong", "bob", tags=["lunch"])
    for job in (both, alone):
        site.ring(job)
    erase(find_person("bob", database=site.database), person="ops", why="asked for it", database=site.database)

    done = corrected(site)
    site.finish()

    assert done.counts["corrections"] == 1
    assert reached(site) == ["ann"]
