"""Group sends through the whole runtime, against the simulated vendor over HTTP: made, lost, followed, cancelled."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.conformance.case import calls, faults
from tests.support.control import control
from tests.support.runtime import PNG, Site, planted
from worker import (
    CampaignReport,
    Customers,
    Everyone,
    RecipientStatus,
    campaign,
    external,
    get_job,
    recipients,
    remind,
    resend_failed,
    track,
)
from worker.control.cancel import cancel, find_open
from worker.domain.account import Account, Secret
from worker.domain.content.message import File
from worker.domain.content.recipient import CustomerGroups, Recipients
from worker.domain.job import NEWEST_PAYLOAD
from worker.domain.job_filter import JobFilter
from worker.domain.state import PartState
from worker.outbox.commit import record_answer
from worker.outbox.engine.clock import SECOND, DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.upkeep.indexing import index_batch
from worker.producer.customer_months import month_of
from worker.reporting.why import why
from worker.transport.http import SocketTransport
from worker_simulator.server import running
from worker_simulator.settings import SimulatorSettings

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

CREATE = "/cgi-bin/externalcontact/add_msg_template"
MEMBERS = "/cgi-bin/externalcontact/get_groupmsg_task"
RESULTS = "/cgi-bin/externalcontact/get_groupmsg_send_result"
LIST = "/cgi-bin/externalcontact/get_groupmsg_list_v2"
HELLO = external.Campaign(text="hello")
ANN = Customers({"ann": ["wm1", "wm2", "wm3"]})
LOST = {"reset_response_after": 0}


@dataclass
class Sales:
    """A site whose one account makes group sends, and its vendor, whose clock goes with the site's."""

    site: Site
    url: str

    def ask(self, to: Recipients = ANN, message: Any = HELLO, **options: Any) -> str:
        """A campaign."""
        return self.site.ask(message, to, account="sales", **options)

    def follow_up(self, what: Any, job: str, **options: Any) -> str:
        """A track or a reminder of a campaign."""
        with self.site.database.writing() as connection:
            options = {"accounts": self.site.accounts, **options}
            return str(what(connection, job, **options).id)

    def go(self, turns: int = 12, seconds: float = 2.0) -> None:
        """Work, with time passing. Turns in which no part is due pass in one step, save for the last."""
        while turns:
            self.site.run()
            step = max(1, min(turns - 1, self._turns_until_due(seconds)))
            self.advance(step * seconds)
            self.site.recover()
            turns -= step

    def _turns_until_due(self, seconds: float) -> int:
        """Until a part is due that is open, or in doubt and not held; a million when none will ever be."""
        open_, doubted = f"state in ({PartState.QUEUED:d}, {PartState.SENDING:d})", f"state = {PartState.UNKNOWN:d}"
        parts = self.site.rows(
            f"select not_before from worker_parts where {open_} or {doubted} and not_before is not null"
        )
        due_at = min((part.not_before or 0 for part in parts), default=None)
        return 1_000_000 if due_at is None else math.ceil((due_at - self.site.clock.micros) / (seconds * SECOND))

    def advance(self, seconds: float) -> None:
        """Every clock."""
        self.site.advance(seconds)
        control(self.url, "clock", {"set": self.site.clock.micros / SECOND, "frozen": True})

    def tasks(self) -> list[dict[str, Any]]:
        """What the vendor has."""
        found: list[dict[str, Any]] = control(self.url, "groupmsg_tasks")["tasks"]
        return found

    def act(self, name: str, **given: Any) -> Any:
        """Somebody at the vendor does something."""
        return control(self.url, f"groupmsg_{name}", given)

    def seen(self, job: str) -> CampaignReport:
        """What became of a campaign."""
        with self.site.database.reading() as connection:
            return campaign(connection, job)


@pytest.fixture
def sales(database: Database, driven_clock: DrivenClock) -> Iterator[Sales]:
    """Nothing sent yet; tokens outlive every test."""
    settings = {"external": {"dispatch_s": 0}, "token": {"lifetime_s": 10_000_000}}
    with running(SimulatorSettings.model_validate(settings)) as url, closing(SocketTransport()) as transport:
        account = Account("sales", "wecom_external", url, {"corpid": "ww1"}, Secret(lambda: "s1"), allow_everyone=True)
        both = [account, replace(account, name="more")]
        with planted(database, driven_clock, accounts=both, transport=transport) as site:
            made = Sales(site, url)
            made.advance(0)
            yield made


def test_a_lost_answer_is_found_again(sales: Sales) -> None:
    """One task, one call; its msgid is learnt from the list, and a cancel finds it."""
    faults(sales.url, CREATE, LOST)
    job = sales.ask()
    sales.go(30)
    cancel = sales.site.recall(job)
    sales.go(2)

    (task,) = sales.tasks()
    (receipt,) = sales.site.of("receipts", job)
    assert ("accepted", task["msgid"]) == (sales.site.state(job), receipt.msgid)
    assert len(calls(sales.url, CREATE)) == 1
    assert (sales.site.state(cancel), task["cancelled"]) == ("accepted", True)


@pytest.mark.fewer_databases("the search is the same on each")
def test_a_search_that_is_disturbed_goes_on(sales: Sales) -> None:
    """Its own answers are lost, come from a proxy, refuse the token or tell it to wait: it asks again and finds it."""
    control(sales.url, "settings", {"external": {"dispatch_s": 200}})
    busy = [
        LOST,
        {"status": 502},
        {"answer": {"errcode": -1}},
        {"answer": {"errcode": 42001}},
        {"answer": {"errcode": 50100}},
    ]
    faults(sales.url, CREATE, LOST)
    faults(sales.url, LIST, *busy)
    faults(sales.url, MEMBERS, *busy)
    job = sales.ask()
    sales.go(60, 20)

    (receipt,) = sales.site.of("receipts", job)
    assert ("accepted", sales.tasks()[0]["msgid"]) == (sales.site.state(job), receipt.msgid)
    assert len(calls(sales.url, CREATE)) == 1
    answers = [one["answer"] for one in calls(sales.url, MEMBERS)]
    assert 41063 in [answer["errcode"] for answer in answers if answer]


def test_a_call_that_never_arrived_is_held(sales: Sales) -> None:
    """Nothing was made, and nobody makes it a second time by itself."""
    faults(sales.url, CREATE, {"cut_request_after": 150})
    job = sales.ask()
    sales.go(12, 40)

    assert (sales.site.state(job), sales.tasks()) == ("unknown", [])
    assert "no task of those minutes" in sales.site.part(job).reason
    assert len(calls(sales.url, LIST)) == 3
    with sales.site.database.reading() as connection:
        [wait] = why(connection, job).waits
    assert wait.commands[0].endswith("--sent --msgid MSGID"), "without it the command would be refused"


@pytest.mark.fewer_databases("the search is the same on each")
@pytest.mark.every_database
def test_two_that_nobody_can_tell_apart_are_held(sales: Sales) -> None:
    """The same words of one owner to different groups: the vendor names no group before it was sent to."""
    faults(sales.url, CREATE, LOST, LOST)
    jobs = [sales.ask(CustomerGroups({"ann": [chat]})) for chat in ("wr1", "wr2")]
    sales.go(12, 40)

    assert [sales.site.state(job) for job in jobs] == ["unknown"] * 2
    assert len(sales.tasks()) == 2


@pytest.mark.parametrize(("version", "state"), [(NEWEST_PAYLOAD, "accepted"), (NEWEST_PAYLOAD + 1, "unknown")])
def test_what_a_newer_release_sends_may_be_equal(sales: Sales, version: int, state: str) -> None:
    """Its content is not compared: a search beside it is held, and takes no task that may be the other's."""
    faults(sales.url, CREATE, LOST, LOST)
    job, other = sales.ask(), sales.ask(message=external.Campaign(text="something else"))
    sales.site.run()
    sales.site.sql("update worker_jobs set payload = :version where id = :id", version=version, id=other)
    sales.go(12, 40)

    assert state == sales.site.state(job)


def test_a_search_does_not_find_what_an_equal_message_in_flight_has_made(sales: Sales) -> None:
    """One never arrived, its twin did and its answer is not written down yet: the twin keeps its task."""
    faults(sales.url, CREATE, {"cut_request_after": 150})
    first = sales.ask()
    sales.go(2, 30)
    second = sales.ask()
    looks: list[int] = []
    waits: list[Any] = []

    def look(label: str) -> None:
        if label == "before_record" and not looks:
            looks.append(1)
            looks[:] = [sales.site.ring(first)]
            waits.append(sales.site.part(first))

    sales.site.runtime.checkpoint = look
    sales.site.ring(second)
    [wait] = waits
    assert (wait.state, "an equal message is in flight" in wait.reason) == ("queued", True)
    assert wait.not_before - sales.site.clock.micros >= SECOND, "else its search is tried again and again"
    sales.go(20, 40)

    assert (sales.site.state(first), sales.site.state(second)) == ("unknown", "accepted")
    (receipt,) = sales.site.of("receipts", second)
    assert [receipt.msgid] == [task["msgid"] for task in sales.tasks()]
    assert sales.site.of("receipts", first) == []


@pytest.mark.parametrize("turns", [0, 1, 2, 4])
def test_a_recall_waits_for_the_search_and_cancels_what_it_finds(sales: Sales, turns: int) -> None:
    """A search sends nothing, so a recall does not stop it: else the task would stay, and be sent by its member."""
    faults(sales.url, CREATE, LOST)
    job = sales.ask()
    sales.site.run()
    sales.go(turns, 15)
    cancel = sales.site.recall(job)
    sales.go(30, 15)

    (task,) = sales.tasks()
    assert (sales.site.state(job), sales.site.state(cancel), task["cancelled"]) == ("accepted", "accepted", True)


def test_a_recall_of_what_is_not_found_says_so(sales: Sales) -> None:
    """It ends with the search."""
    faults(sales.url, CREATE, {"cut_request_after": 150})
    job = sales.ask()
    sales.go(3, 15)
    cancel = sales.site.recall(job)
    sales.go(30, 15)

    assert (sales.site.state(job), sales.site.state(cancel)) == ("unknown", "rejected")
    assert "in doubt" in sales.site.part(cancel).reason


@pytest.mark.parametrize("how", ["expires", "cancelled"])
def test_a_search_is_never_too_late(sales: Sales, how: str) -> None:
    """The call went out in time, and a search sends nothing: what became of it is found out all the same."""
    faults(sales.url, CREATE, LOST)
    job = sales.ask(expires_at=40) if how == "expires" else sales.ask()
    sales.site.run()
    if how == "cancelled":
        database = sales.site.database
        cancel(find_open(JobFilter(ids=[job]), database=database), person="zhang", database=database)
    sales.go(12, 15)

    (receipt,) = sales.site.of("receipts", job)
    assert ("accepted", sales.tasks()[0]["msgid"]) == (sales.site.state(job), receipt.msgid)


def test_what_the_search_does_not_find_stays_in_doubt_past_its_expiry(sales: Sales) -> None:
    """It is not called expired, and not made again."""
    faults(sales.url, CREATE, {"cut_request_after": 150})
    job = sales.ask(expires_at=40)
    sales.go(12, 40)

    assert (sales.site.state(job), sales.tasks()) == ("unknown", [])
    assert "no task of those minutes" in sales.site.part(job).reason


def test_a_search_takes_no_task_of_another_account_of_the_corp(sales: Sales) -> None:
    """The vendor's list is the corp's: what another account of it sent has an owner, too."""
    faults(sales.url, CREATE, {"cut_request_after": 150})
    mine = sales.ask()
    sales.site.run()
    other = sales.site.ask(HELLO, ANN, account="more")
    sales.go(20, 30)

    assert (sales.site.state(mine), sales.site.state(other), len(sales.tasks())) == ("unknown", "accepted", 1)


def test_two_accounts_in_doubt_about_the_same_are_both_held(sales: Sales) -> None:
    """One of them made the task that is there."""
    faults(sales.url, CREATE, {"cut_request_after": 150}, LOST)
    jobs = [sales.site.ask(HELLO, ANN, account=name) for name in ("sales", "more")]
    sales.go(20, 30)

    assert ([sales.site.state(job) for job in jobs], len(sales.tasks())) == (["unknown"] * 2, 1)


def test_what_was_held_last_week_does_not_hold_this_weeks(sales: Sales) -> None:
    """The same words to the same customers every week; one was lost for good. The next lost answer is found."""
    faults(sales.url, CREATE, {"cut_request_after": 150})
    held = sales.ask()
    sales.go(12, 40)
    sales.advance(7 * 86_400)
    faults(sales.url, CREATE, LOST)
    again = sales.ask()
    sales.go(30)

    assert (sales.site.state(held), sales.site.state(again)) == ("unknown", "accepted")


def test_followed_until_nothing_can_change(sales: Sales) -> None:
    """Who has sent, who left, who takes no more; the track ends by itself."""
    job = sales.ask(Customers({"ann": ["wm1", "former1", "full1"], "bob": ["wm2"]}))
    sales.act("spend", corpid="ww1", recipient="full1", count=31)
    sales.go(2)
    following = sales.follow_up(track, job, pace=60)
    sales.go(6, 20)
    waiting = sales.seen(job)
    for task in sales.tasks():
        for member in task["members"]:
            sales.act("confirm", msgid=task["msgid"], member=member)
    sales.go(12, 60)
    done = sales.seen(job)

    assert (waiting.asked, len(waiting.waiting), len(waiting.sent)) == (4, 4, 0)
    assert set(done.sent) == {"wm1", "wm2"}
    assert (done.no_contact, done.quota_spent, done.waiting) == (("former1",), ("full1",), ())
    assert sales.site.job(following).state == "accepted"


def test_a_track_whose_cursor_is_lost_forgets_nobody(sales: Sales) -> None:
    """50100 on the second page, when nobody of the first waits any more: the others are read all the same."""
    job = sales.ask(Customers({"ann": [f"wm{n}" for n in range(5)]}))
    sales.go(2)
    control(sales.url, "settings", {"external": {"max_page_size": 2}})
    (task,) = sales.tasks()
    sales.act("confirm", msgid=task["msgid"], member="ann")
    lost = {
        "match": {"path": RESULTS, "body_contains": "CURSOR-2"},
        "times": 1,
        "action": {"answer": {"errcode": 50100}},
    }
    control(sales.url, "faults", [lost])
    following = sales.follow_up(track, job, pace=60)
    sales.go(12, 20)
    done = sales.seen(job)

    assert (done.asked, len(done.sent), done.waiting) == (5, 5, ())
    assert sales.site.job(following).state == "accepted"


def test_groups_that_were_never_told_of_are_closed_when_following_ends(sales: Sales) -> None:
    """Their owner has sent, to one of two: the vendor says nothing of the other, ever."""
    job = sales.ask(CustomerGroups({"ann": ["wr1", "wr2"]}))
    sales.go(2)
    following = sales.follow_up(track, job, pace=60)
    sales.go(3)
    before = sales.seen(job)
    sales.act("confirm", msgid=sales.tasks()[0]["msgid"], member="ann", recipients=["wr1"])
    sales.go(8, 60)
    after = sales.seen(job)

    assert (sales.site.job(following).state, set(before.waiting)) == ("accepted", {"wr1", "wr2"})
    assert (after.asked, after.sent, after.closed, after.waiting) == (2, ("wr1",), ("wr2",), ())


def test_everybody_of_a_sender_who_was_refused_is_asked_for_again_of_him_alone(sales: Sales) -> None:
    """All customers of two members; one call is refused. Nobody else's customers are sent to, and the counts say so."""
    own = {f"wm-{member}-1": ["etA1"] for member in ("ann", "bob", "eve")}
    control(sales.url, "settings", {"external": {"tags": own, "customers": {"eve": ["wm-eve-1"]}}})
    faults(sales.url, CREATE, {"answer": {"errcode": 40058, "errmsg": "no"}})
    body = external.Raw(body={"text": {"content": "hi"}, "tag_filter": {"group_list": [{"tag_list": ["etA1"]}]}})
    job = sales.ask(Customers({"ann": Everyone(), "bob": Everyone()}), body)
    sales.go(2)
    with sales.site.database.reading() as connection:
        report, (refused,) = get_job(connection, job), recipients(connection, job, RecipientStatus.REFUSED)
    with sales.site.database.writing() as connection:
        again = resend_failed(connection, job, accounts=sales.site.accounts).id
    sales.go(2)

    counts = report.counts
    assert (report.state.label, counts.asked, counts.accepted, counts.refused) == ("partial", 2, 1, 1)
    assert (refused[:8], sales.site.job(again).state) == ("@all of ", "accepted")
    bodies = [json.loads(call["body"]) for call in calls(sales.url, CREATE)]
    assert ["ann", "bob", refused[8:]] == [
        *sorted(one["sender"] for one in bodies[:2]),
        *(one["sender"] for one in bodies[2:]),
    ]


@pytest.mark.every_database
def test_a_track_keeps_its_last_attempts_and_those_in_doubt(sales: Sales, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads for weeks: its job would be too large to be shown."""
    monkeypatch.setattr(record_answer, "MAX_TRACK_ATTEMPTS", 5)
    job = sales.ask()
    sales.go(2)
    faults(sales.url, MEMBERS, LOST)
    following = sales.follow_up(track, job, pace=1)
    sales.go(40, 60)

    found = sales.site.of("attempts", following)
    assert 10 < sales.site.part(following).claim
    assert [bool(one.doubtful) for one in found] == [True, *[False] * 5]
    assert sales.site.part(following).claim == found[-1].claim


def test_a_clock_that_is_set_back_does_not_spoil_a_search(sales: Sales) -> None:
    """The vendor takes no list whose end is before its beginning."""
    faults(sales.url, CREATE, LOST)
    job = sales.ask()
    sales.site.run()
    sales.site.sql("update worker_parts set first_marked_at = first_marked_at + :jump", jump=700 * SECOND)
    sales.go(30, 4)

    assert sales.site.state(job) == "accepted", sales.site.part(job).reason


@pytest.mark.fewer_databases("the search is the same on each")
def test_a_search_that_begins_late_is_not_too_old_for_a_busy_vendor(sales: Sales) -> None:
    """The workers were down for two days: the age of the call that was lost says nothing of the search."""
    faults(sales.url, CREATE, LOST)
    job = sales.ask()
    sales.site.run()
    sales.advance(2 * 86_400)
    faults(sales.url, LIST, {"answer": {"errcode": -1}})
    sales.go(30, 10)

    assert sales.site.state(job) == "accepted", sales.site.part(job).reason


@pytest.mark.every_database
def test_reminders(sales: Sales) -> None:
    """Each task is reminded of; the fourth in a day is refused with the time of the next."""
    job = sales.ask()
    sales.go(1)
    jobs = []
    for _ in range(4):
        jobs.append(sales.follow_up(remind, job))
        sales.go(2, 60)

    assert [sales.site.job(one).state for one in jobs] == ["accepted"] * 3 + ["rejected"]
    assert sales.tasks()[0]["reminders"] == 3
    assert "the next reminder is possible at" in sales.site.part(jobs[-1]).reason


def test_files_become_media_ids_and_urls(sales: Sales) -> None:
    """One picture twice, as temporary material and with a URL: both uploaded before the task is made. A week later only
    the first is uploaded again.
    """
    file = File(PNG, "a.png")
    message = external.Campaign(attachments=[external.Image(file=file), external.Image(file=file, as_url=True)])
    job = sales.ask(message=message)
    sales.go(6)

    assert sales.site.state(job) == "accepted"
    first, second = (one["image"] for one in sales.tasks()[0]["attachments"])
    assert first["media_id"]
    assert second["pic_url"].startswith("http://p.qpic.cn/")
    sales.advance(7 * 86_400)
    sales.ask(message=message)
    sales.go(6)
    again = [one["image"] for one in sales.tasks()[1]["attachments"]]
    assert (True, second) == (again[0] != first, again[1])
    assert tuple(len(calls(sales.url, f"/cgi-bin/media/{name}")) for name in ("upload", "uploadimg")) == (2, 1)


def test_a_media_id_that_is_gone_costs_no_permanent_picture(sales: Sales) -> None:
    """40007 is about media_ids. The URL of a picture never ends, and a corp may upload 1000 a day."""
    file = File(PNG, "a.png")
    message = external.Campaign(attachments=[external.Image(file=file), external.Image(file=file, as_url=True)])
    faults(sales.url, CREATE, {"answer": {"errcode": 40007}})
    job = sales.ask(message=message)
    sales.go(12)

    assert sales.site.state(job) == "accepted", sales.site.part(job).reason
    assert tuple(len(calls(sales.url, f"/cgi-bin/media/{name}")) for name in ("upload", "uploadimg")) == (2, 1)


@pytest.mark.every_database
def test_a_fifth_message_in_a_month_is_warned_about(sales: Sales) -> None:
    """To whom the vendor may let none through; not before, not in the next month, and never refused."""

    def warnings(to: Recipients) -> str:
        [row] = sales.site.rows(f"select warnings from worker_jobs where id = '{sales.ask(to)}'")
        sales.go()
        while index_batch(sales.site.database):
            pass
        return str(row.warnings)

    said = [warnings(Customers({"ann": ["wm1", "wm2"]})) for _ in range(5)]
    several = warnings(Customers({"ann": ["wm1", "wm3"]}))
    sales.advance(31 * 86_400)
    later = warnings(Customers({"ann": ["wm1", "wm2"]}))

    assert ["external_userid: 2 of them had 4 messages of this account" in one for one in said] == [False] * 4 + [True]
    assert "external_userid: 1 of them had 4 messages" in several
    assert "messages of this account" not in later


def test_a_month_is_the_vendors() -> None:
    """It begins at midnight in China."""
    begun = [month_of(datetime(2026, 6, 30, hour, 59, tzinfo=UTC)) for hour in (15, 16)]

    assert [datetime(2026, 5, 31, 16, tzinfo=UTC), datetime(2026, 6, 30, 16, tzinfo=UTC)] == begun
