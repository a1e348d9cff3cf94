"""The console's commands do what the command line's do, to what was shown, and leave the same row in the audit."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from html import unescape
from threading import Event
from typing import Any

import pytest

from tests.pipeline.console.full_outbox import fill
from tests.pipeline.console.person import Person
from tests.support.runtime import Site, lost, planted, refused
from worker import To
from worker.config.settings import Settings
from worker.console.page import Site as ConsoleSite
from worker.console.pages.cache import cache_of
from worker.console.pages.jobs import SELECTED
from worker.console.running.background import MAX_RUNNING, MAX_WAITING, Background
from worker.console.running.preparing import CommandRequest, prepare
from worker.control import cancel, correct, recall, replay, resolve
from worker.control.audit import LOST_S, list_audit
from worker.domain.errors import CheckFailed, WorkerError
from worker.domain.job_filter import JobFilter
from worker.domain.pacing.lane import LaneBlock
from worker.drawing import Lang
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.clock import DrivenClock, instant
from worker.outbox.engine.database import Database
from worker.outbox.lanes.lanes import change_lanes

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

HOUR = 3_600_000_000


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    driven_clock.micros = time.time_ns() // 1000  # pages are bounded by ids, which hold the producer's time
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def newest(site: Site) -> tuple[str, str, str, dict[str, Any], dict[str, int], bool]:
    """The last row of the audit: action, person, why, what was asked, what was done, whether it ended."""
    with site.database.reading() as connection:
        [entry] = list_audit(connection, limit=1)
    return entry.action, entry.person, entry.why, dict(entry.arguments), dict(entry.counts), entry.ended_at is not None


def in_doubt(site: Site, content: str = "doubt", *, held: bool = True) -> str:
    site.vendor.says(lost())
    job = site.send(content, "x", on_unknown="hold")
    site.ring(job)
    if held:
        site.sql("update worker_parts set not_before = null where job_id = :job", job=job)
    return job


def wrong(site: Site, content: str = "wrong") -> str:
    site.vendor.says(refused(81013, "all users are wrong"))
    job = site.send(content, "nobody")
    site.run()
    return job


def test_a_job_is_cancelled(site: Site) -> None:
    """As `worker cancel ID` does it."""
    job = site.send()

    Person(site, name="wang").give(f"/commands/cancel?ids={job}", "a typo")

    assert site.state(job) == "cancelled"
    asked = {"filter": {"ids": [job]}, "jobs": 1}
    assert ("console.cancel", "wang", "a typo", asked, {"jobs": 1, "cancelled": 1}, True) == newest(site)


@pytest.mark.parametrize("name", SELECTED)
def test_what_is_ticked_in_a_list_is_what_a_command_is_about(site: Site, name: str) -> None:
    """The boxes of a list carry ids to the preview of the command, which names them all."""
    ticked, other = [site.send(f"{n}", due_at=60) for n in range(2)], site.send("other", due_at=60)
    person = Person(site)
    page = person.get("/jobs").text

    preview = person.get(f"/commands/{name}?" + "&".join(f"ids={job}" for job in ticked))

    assert [f'name="ids" value="{job}"' in page for job in (*ticked, other)] == [True] * 3
    assert f'formaction="/commands/{name}"' in page
    assert preview.status == 200
    assert all(job in preview.text for job in ticked)
    assert other not in preview.text


def test_ticked_jobs_are_cancelled_and_no_others(site: Site) -> None:
    """As many as were ticked; without any, nothing."""
    ticked, other = [site.send(f"{n}") for n in range(2)], site.send("other")
    person = Person(site)

    none = person.get("/commands/cancel?")
    person.give("/commands/cancel?" + "&".join(f"ids={job}" for job in ticked))

    assert "filter" in none.text.lower()
    assert "/commands/cancel" not in none.forms
    assert [site.state(job) for job in (*ticked, other)] == ["cancelled", "cancelled", "queued"]


def test_only_jobs_of_ones_own_accounts_can_be_ticked(site: Site) -> None:
    """An operator of one account sees the others' without a box; a reader sees none at all."""
    own, other = site.send("own"), site.send("other", account="it")

    page = Person(site, role="operator", accounts=frozenset({"hr"})).get("/jobs").text
    read = Person(site, role="reader").get("/jobs").text

    assert (f'value="{own}"' in page, f'value="{other}"' in page) == (True, False)
    assert 'id="selected"' not in read


def test_a_search_by_tag_can_be_paused(site: Site) -> None:
    """From the list that it filters; a search by more than a pause takes has no such button."""
    job = site.send(tags=["lunch"])
    person = Person(site)

    narrow = person.get(f"/jobs?tag=lunch&ids={job}")
    person.give(next(link for link in person.get("/jobs?tag=lunch").links if "/commands/pause" in link))

    assert not [link for link in narrow.links if "/commands/pause" in link]
    assert newest(site)[3] == {"filter": {"tag": "lunch"}}


def test_the_button_that_pauses_everything_says_so(site: Site) -> None:
    """Where no account is chosen."""
    person = Person(site)

    assert ">Pause everything</a>" in person.get("/lanes").text
    assert ">Pause</a>" in person.get("/lanes?account=hr").text


def test_a_message_is_taken_back(site: Site) -> None:
    """By a recall of its own, as `worker recall` enqueues it."""
    job = site.send()
    site.run()

    Person(site, name="wang").give(f"/commands/recall?ids={job}", "a typo")
    site.run()

    [made] = site.rows("select state from worker_jobs where target_job_id = :job and kind = 'recall'", job=job)
    assert made.state == 2
    asked = {"filter": {"ids": [job]}, "jobs": 1, "accounts": ["hr"]}
    assert ("console.recall", "wang", "a typo", asked, {"recalls": 1}, True) == newest(site)


def test_a_wrong_text_is_corrected(site: Site) -> None:
    """By its tag alone, since a day ago; the text stands in no address, and what is wrong with it is said in place."""
    sent, waits = (
        site.send("wrong", tags=["lunch"]),
        site.send("wrong", "bob", tags=["lunch"], due_at=HOUR // 1_000_000),
    )
    site.ring(sent)
    person = Person(site, name="wang")
    page = person.get("/commands/correct?tag=lunch")
    none = person.submit(page, "/commands/correct", text="", why="wrong date")
    long = person.submit(none, "/commands/correct", text="x" * 3_000, why="wrong date")

    moved = person.submit(long, "/commands/correct", text="right", why="wrong date")
    site.run()

    since = instant(site.clock.micros - 24 * HOUR).isoformat(timespec="seconds")
    assert since == page.forms["/commands/correct"].fields["created_from"]
    assert "Correct 2 jobs" in page.text
    assert "give the new message" in none.text
    assert ("x" * 3_000 in long.text, "wrong date" in long.text) == (True, True)
    assert moved.location.startswith("/audit/")
    assert [body["text"]["content"] for body in site.bodies()][:2] == ["wrong", "right"]
    counts = {"corrections": 2, "recalls": 1, "cancelled": 1}
    asked = newest(site)
    assert ("console.correct", "wang", "wrong date", counts) == (*asked[:3], asked[4])
    assert site.state(waits) == "cancelled"


def test_texts_that_differ_are_corrected_by_two_fields(site: Site) -> None:
    """What would be sent is shown before it is, and each view is in the audit; one text for all has to be ticked."""
    for who in ("ann", "bob"):
        site.send(f"Dear {who}, at ten", who, tags=["lunch"], due_at=HOUR // 1_000_000)
    person = Person(site, name="wang")
    page = person.get("/commands/correct?tag=lunch")

    one = person.submit(page, "/commands/correct", text="at nine", why="wrong hour")
    shown = person.submit(one, "/commands/correct", text="", old="at ten", new="at nine", why="wrong hour")
    before, viewed = {job.state for job in jobs_of_site(site)}, newest(site)[0]
    moved = person.submit(shown, "/commands/correct", why="wrong hour")
    site.advance(2 * HOUR / 1_000_000)
    site.run()

    assert "different messages are among them" in page.text
    assert "is one for 2 different messages" in one.text
    assert ("Dear ann, at nine" in shown.text, "check the samples" in shown.text) == (True, True)
    assert "worker correct --tag lunch" in shown.text
    assert "--replace 'at ten=at nine'" in unescape(shown.text)
    assert (before, viewed) == ({"open"}, "console.view")
    assert moved.location.startswith("/audit/")
    assert sorted(body["text"]["content"] for body in site.bodies()) == ["Dear ann, at nine", "Dear bob, at nine"]


def jobs_of_site(site: Site) -> list[Any]:
    return [site.job(row.id) for row in site.rows("select id from worker_jobs")]


def test_a_correction_of_several_lines_is_the_text_of_the_command_line(site: Site) -> None:
    """A browser ends lines with CRLF; as another text, the command line would send it to the same people once more."""
    site.send("wrong", "ann", tags=["lunch"])
    site.run()

    Person(site).give("/commands/correct?tag=lunch", why="x" * 300, text="at one\r\nin the hall")
    again = correct.find_correctable(
        JobFilter(tag="lunch", created_from=instant(site.clock.micros - HOUR)),
        "at one\nin the hall",
        database=site.database,
        accounts=site.accounts,
    )

    assert (newest(site)[0].removeprefix("console."), newest(site)[4]["corrections"]) == ("correct", 1)
    assert (len(again.ids), again.breakdown) == (0, {"corrected": 1, "equal": 1})


def test_what_waits_is_put_off(site: Site) -> None:
    """By words as people type them; one that is no time is said in place, and nothing is changed by nothing."""
    job = site.send(due_at=60)
    person, path = Person(site), f"/commands/reschedule?ids={job}"
    action = "/commands/reschedule"
    wrong_time = person.submit(person.get(path), action, due_at="soon")
    nothing = person.submit(wrong_time, action, due_at="", expires_at="")

    person.submit(nothing, action, due_at="2h", priority="bulk")

    assert "is not a time" in wrong_time.text
    assert "give due_at, expires_at or priority" in nothing.text
    row = site.job(job)
    assert (site.clock.micros + 2 * HOUR, 2) == (row.due_at, row.priority)


@pytest.mark.parametrize("name", ["recall", "replay"])
def test_a_tag_alone_is_no_dead_end(site: Site, name: str) -> None:
    """It is since a day ago, which can be typed over; a way back stands beside the button."""
    site.send(tags=["lunch"])
    site.run()

    page = Person(site).get(f"/commands/{name}?tag=lunch&accepted=yes")

    narrow = page.forms[f"/commands/{name}"].fields["created_from"]
    assert instant(site.clock.micros - 24 * HOUR).isoformat(timespec="seconds") == narrow
    assert f"{name.capitalize()} 1 job<" in page.text
    assert any(link.startswith("/mailings/tag?tag=lunch") for link in page.links)


def test_refused_jobs_are_replayed(site: Site) -> None:
    """Each as a new job, linked to the first."""
    jobs = [wrong(site, f"{n}") for n in range(2)]

    Person(site, name="wang").give(f"/commands/replay?ids={' '.join(jobs)}", "they are there now")

    made = site.rows("select replay_of from worker_jobs where replay_of is not null order by replay_of")
    assert sorted(jobs) == [row.replay_of for row in made]
    action, person, why, asked, counts, is_over = newest(site)
    assert (action, person, why, is_over) == ("console.replay", "wang", "they are there now", True)
    assert counts == {"replays": 2}
    assert (asked["jobs"], asked["rate"], asked["accepted"]) == (2, None, False)


@pytest.mark.parametrize(("said", "state"), [("yes", "accepted"), ("no", "rejected")])
def test_a_word_ends_what_is_in_doubt(site: Site, said: str, state: str) -> None:
    """As sent, with the msgid that is given, or as not sent; with how the person knows."""
    job, given = in_doubt(site), {"msgid": "m-17"} if said == "yes" else {}

    Person(site, name="wang").give(f"/commands/resolve?ids={job}&sent={said}", "the vendor's log", **given)

    assert state == site.state(job)
    assert [receipt.msgid for receipt in site.of("receipts", job)] == [*given.values()]
    asked = {"filter": {"ids": [job]}, "sent": said == "yes", **given}
    assert ("console.resolve", "wang", "the vendor's log", asked, {"decided": 1}, True) == newest(site)


def test_what_settles_by_itself_is_decided_only_when_that_is_said(site: Site) -> None:
    """The job's page has no button for it; the preview says what is left out, and what including it means."""
    job, person = in_doubt(site, held=False), Person(site)
    path = f"/commands/resolve?ids={job}&sent=yes"

    offered, left_out = person.get(f"/jobs/{job}"), person.get(path)
    forced = person.give(f"{path}&force=yes", "the vendor's log")

    assert [link for link in offered.links if "/commands/resolve" in link] == []
    assert "they settle by themselves" in left_out.text
    assert "its repeat or look-up is given up" in left_out.text
    assert (forced.status, site.state(job)) == (200, "accepted")


@pytest.mark.parametrize(("lang", "reason"), [("en", "It has not ended."), ("zh", "任务尚未结束。")])
def test_a_button_that_would_do_nothing_says_why(site: Site, lang: Lang, reason: str) -> None:
    """It is grey and leads nowhere; its reason is a tooltip and stands below, for people without a mouse."""
    job = site.send(due_at=60)

    page = Person(site, lang=lang).get(f"/jobs/{job}")

    assert [link for link in page.links if "/commands/replay" in link] == []
    assert f'disabled title="{reason}" aria-describedby="idle-replay">' in page.text
    assert f'<dd id="idle-replay">{reason}</dd>' in page.text


def test_every_command_about_jobs_is_on_the_page_of_a_job(site: Site) -> None:
    """Those of the table that have something to do as links, the others grey; what people lose a message by is red."""
    page = Person(site).get(f"/jobs/{site.send(due_at=60)}")

    links = {link.split("?")[0].rpartition("/")[2] for link in page.links if link.startswith("/commands/")}
    idle = set(re.findall(r'aria-describedby="idle-(\w+)"', page.text))
    red = set(re.findall(r'class="button is-danger" href="/commands/(\w+)', page.text))
    assert links == {"cancel", "correct", "move", "recall", "reschedule", "pause_jobs"}
    assert idle == {"replay", "resolve", "resume_jobs", "skip"}
    assert red == {"cancel", "correct", "recall"}


@pytest.mark.parametrize(("said", "warns"), [("yes", False), ("no", True)])
def test_an_order_is_warned_of_before_a_part_is_called_not_sent(site: Site, said: str, warns: bool) -> None:
    """As sent, the jobs behind it go on in their order, and a replay would send it twice."""
    job = in_doubt(site)
    site.sql("update worker_parts set order_id = 'o' where job_id = :job", job=job)

    page = Person(site).get(f"/commands/resolve?ids={job}&sent={said}")

    assert warns == ("of them have an order_key" in page.text)


def test_a_box_that_an_address_says_no_to_is_not_ticked(site: Site) -> None:
    """Neither in the form, nor on the command line, nor in what is done."""
    job, person = wrong(site), Person(site)

    page = person.get(f"/commands/replay?ids={job}&accepted=no&cancelled=yes")

    assert f"<code>worker replay {job} --cancelled</code>" in page.text
    assert "accepted" not in page.forms["/commands/replay"].fields


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("resolve?ids={doubt}&sent=maybe", "choose whether the vendor carried it out"),
        ("pause?all=no", "has no scope"),
        ("pause?account=hrr", "nothing was paused"),
        ("cancel?account=hrr", "there is no account hrr; use one of hr, it"),
        ("skip?ids={waits}+{doubt}", "give this command one job at a time"),
    ],
)
def test_what_no_command_can_be_about_is_said_without_a_button(site: Site, asked: str, said: str) -> None:
    """As the command line does before it asks; nothing is pasted from beside the error that would do something."""
    jobs = {"doubt": in_doubt(site), "waits": site.send("waits", due_at=3600)}

    page = Person(site).get(f"/commands/{asked.format_map(jobs)}")

    assert said in page.text
    assert "--sent" not in page.text
    assert not any("shown" in form.fields for form in page.forms.values())
    assert site.rows("select id from worker_audit") == []


@pytest.mark.parametrize("rate", ["nan", "0", "-1"])
def test_a_rate_of_corrections_that_is_none_is_said_before_the_button(site: Site, rate: str) -> None:
    """In the place of a page that failed, and of a time within which nothing would become due."""
    job, person = site.send(), Person(site)

    page = person.get(f"/commands/correct?ids={job}&rate={rate}")
    answered = person.submit(page, "/commands/correct", text="right", why="x")

    assert [page.status, answered.status] == [200, 200]
    assert ["is not from 0.001 on" in shown.text for shown in (page, answered)] == [True, True]
    assert site.state(job) == "queued"


def test_the_rate_of_a_replay_is_typed_beside_its_button(site: Site) -> None:
    """Beside another button it was typed and not obeyed: all went out at once."""
    wrong(site)
    person, action = Person(site), "/commands/replay"
    page = person.get(f"{action}?tag=&account=hr&cancelled=yes")

    mistyped = person.submit(page, action, rate="ten")
    person.submit(mistyped, action, rate="0.5")

    assert page.forms[action].fields["rate"] == ""
    assert ("is not a number" in mistyped.text, "yes") == (True, mistyped.forms[action].fields["cancelled"])
    assert (newest(site)[3]["rate"], newest(site)[3]["cancelled"], newest(site)[4]) == (0.5, True, {"replays": 1})


def test_a_job_that_is_refused_is_named_with_its_reason(site: Site) -> None:
    """As on the command line: a job that reached all is not replayed, unless that is ticked."""
    job = site.send()
    site.run()

    entry = Person(site).give(f"/commands/replay?ids={job}")

    assert newest(site)[4] == {"refused": 1}
    assert f"/jobs/{job}" in entry.links
    assert "1 accepted (accepted=True, or --accepted, sends to them again)" in entry.text


def test_a_word_needs_a_reason(site: Site) -> None:
    """Nothing is changed without one, and the page says what is missing."""
    job = in_doubt(site)

    answered = Person(site).give(f"/commands/resolve?ids={job}&sent=yes", "  ")

    assert "explain in a few words how you know" in answered.text
    assert site.state(job) == "unknown"


def test_an_account_is_paused_and_resumed(site: Site) -> None:
    """As `worker pause --account` and `worker resume --account` do it."""
    person = Person(site, name="wang")

    job = site.send()
    person.give("/commands/pause?account=hr", "maintenance")
    site.ring(job)
    paused, home, accounts = newest(site), person.get("/"), person.get("/accounts").text
    assert "Nothing is wrong." not in home.text, "it stops messages, whoever wanted it"
    assert "Paused by wang since" in home.text
    assert "/commands/resume?account=hr" in home.links
    assert accounts.count(">Paused<") == 1
    for page in ("/", "/commands/resume?account=hr"):
        assert "Parts that wait for its end so far: 1" in person.get(page).text
    person.give("/commands/resume?account=hr", "over")

    assert paused == ("console.pause", "wang", "maintenance", {"filter": {"account": "hr"}}, {"pauses": 1}, True)
    assert newest(site) == ("console.resume", "wang", "over", {"filter": {"account": "hr"}}, {"pauses": 1}, True)
    assert site.rows("select id from worker_pauses where ended_at is null") == []


def test_a_pause_that_holds_what_a_command_enqueues_is_said_before_and_after(site: Site) -> None:
    """Who stopped a mailing to correct it has to let the corrections go."""
    site.ring(site.send("on 3 May", "ann", tags=["fair"]))
    site.send("on 3 May", "bob", tags=["fair"])
    person, page = Person(site), "/commands/correct?tag=fair&created_from=2020-01-01T00:00:00Z&account=hr"
    person.give("/commands/pause?tag=fair&account=hr")

    preview = person.get(page)
    done = person.give(page, old="3", new="4")

    for shown in (preview, done):
        assert "This pause applies to what is enqueued" in shown.text
        assert any(link.startswith("/commands/resume?") for link in shown.links)
    person.give("/commands/resume?tag=fair&account=hr")
    assert "applies to what is enqueued" not in person.get(page).text


def test_a_pause_of_more_than_an_account_is_ended_from_its_page(site: Site) -> None:
    """The page says what is paused, and has the button only for who may act on all of it."""
    person, operator = Person(site), Person(site, "operator", frozenset({"hr"}))
    entry = person.give("/commands/pause?all=yes", "the vendor is ill")
    person.give("/commands/pause?channel=youdu")

    shown, of_operator = person.get("/accounts/hr"), operator.get("/accounts/hr")
    buttons = [link for link in shown.links if link.startswith("/commands/resume")]
    for button in buttons:
        person.give(button)

    assert ("everything" in shown.text, "Channel youdu" in shown.text) == (True, True)
    assert buttons == ["/commands/resume?all=yes", "/commands/resume?channel=youdu"]
    assert [link for link in of_operator.links if link.startswith("/commands/resume")] == []
    assert site.rows("select id from worker_pauses where ended_at is null") == []
    assert "<dt>Filter</dt><dd>everything</dd>" in entry.text, "it is the widest command that there is"
    assert '<td class="wide">everything</td>' in person.get("/audit").text


def test_a_job_is_paused_and_resumed(site: Site) -> None:
    """By its id."""
    job, person = site.send(), Person(site, name="wang")

    person.give(f"/commands/pause_jobs?ids={job}", "wait for HR")
    held = newest(site)
    is_paused = f"/commands/resume_jobs?ids={job}" in person.get(f"/jobs/{job}").links
    person.give(f"/commands/resume_jobs?ids={job}", "they are fine")

    assert ("console.pause_jobs", "wang", "wait for HR", {"filter": {"ids": [job]}}, {"jobs": 1}, True) == held
    assert is_paused
    assert ("console.resume_jobs", "wang", "they are fine", {"filter": {"ids": [job]}}, {"jobs": 1}, True) == newest(
        site
    )


def test_a_time_within_a_second_is_kept(site: Site) -> None:
    """Else the jobs of that second are in the preview and not in the command: `now` is such a time."""
    site.clock.micros = site.clock.micros // 1_000_000 * 1_000_000 + 250_000
    early = site.send("early", account="it", tags=["lunch"])
    site.clock.micros += 500_000
    person = Person(site)

    entry = person.give("/commands/cancel?account=it&created_before=now")

    assert site.state(early) == "cancelled"
    assert "<dt>Jobs changed</dt><dd>1</dd>" in entry.text


@pytest.mark.parametrize("name", ["pause_jobs", "resume_jobs"])
def test_what_is_not_held_or_released_is_counted_too(site: Site, name: str) -> None:
    """The button said two jobs: of the one that had ended, or was not held, the audit says that it stays as it is."""
    ended = site.send()
    site.run()
    waiting, person = site.send("waits"), Person(site)
    person.give(f"/commands/pause_jobs?ids={waiting}") if name == "resume_jobs" else None

    person.give(f"/commands/{name}?ids={ended}+{waiting}")

    assert newest(site)[4] == {"jobs": 1, "unchanged": 1}


def test_the_jobs_behind_one_go_on(site: Site) -> None:
    """When the one before them in their order is skipped."""
    first, second = (site.send(f"{n}", order_key="o") for n in range(2))

    Person(site, name="wang").give(f"/commands/skip?ids={first}", "it is stuck")

    assert ("console.skip", "wang", "it is stuck", {"ids": [first]}, {"parts": 1}, True) == newest(site)
    assert [f"{second}-0"] == [row.part_id for row in site.rows("select part_id from worker_order_queue")]


@pytest.mark.every_database
def test_a_parked_account_is_tried_now(site: Site) -> None:
    """As `worker resume NAME` does it."""
    blocks = [LaneBlock("hr", "hr", 600.0, "60020 no", "do it", parked=True)]
    site.database.run(lambda connection: change_lanes(connection, site.database.now, blocks))

    Person(site, name="wang").give("/commands/lift?name=hr", "the IP is listed")

    assert newest(site) == ("console.resume", "wang", "the IP is listed", {"name": "hr"}, {"lifted": 1}, True)
    assert not site.lane("hr").parked  # type: ignore[union-attr]


def test_a_parked_event_is_given_to_its_hook_again(site: Site) -> None:
    """As `worker hooks --retry` does it."""
    event = fill(site).event

    Person(site, name="wang").give(f"/commands/retry?event={event}", "the hook is mended")

    assert ("console.retry", "wang", "the hook is mended", {"event": event}, {"events": 1}, True) == newest(site)
    assert [row.state for row in site.rows("select state from worker_events where id = :id", id=event)] == [0]


@pytest.mark.every_database
@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ("cancel?tag=a+b", "worker cancel --tag &#39;a b&#39;"),
        (
            "replay?account=hr&state=rejected&created_from=2026-01-01T00:00:00Z&accepted=yes&rate=2",
            "--accepted --rate 2",
        ),
        ("resolve?ids={job}&sent=no", "worker resolve {job} --not-sent"),
        ("pause_jobs?ids={job}", "worker pause {job}"),
        ("resume_jobs?ids={job}", "worker resume {job}"),
        ("skip?ids={job}", "worker skip {job}"),
        ("pause?all=yes", "worker pause --all"),
        ("resume?account=hr", "worker resume --account hr"),
        ("lift?name=hr", "worker resume hr"),
        ("retry?event=e1", "worker hooks --retry e1"),
    ],
)
def test_a_preview_says_what_to_type(site: Site, asked: str, line: str) -> None:
    """In a terminal, for the same."""
    job = site.send()

    page = Person(site).get(f"/commands/{asked.format(job=job)}")

    assert line.format(job=job) in page.text


FINDERS: dict[str, Callable[..., Any]] = {
    "cancel": cancel.find_open,
    "recall": recall.find_sent,
    "replay": replay.find_replayable,
    "resolve": resolve.find_unknown,
}


@pytest.mark.every_database
@pytest.mark.parametrize("name", FINDERS)
def test_a_preview_counts_what_the_command_counts(site: Site, name: Any) -> None:
    """In all, by account and kind or state, and what beside that is told of."""
    wrong(site)
    fill(site)
    wanted = JobFilter(account="hr", created_from=instant(site.clock.micros - HOUR))
    order = CommandRequest(name, wanted, {"sent": "no"} if name == "resolve" else {})

    shown = prepare(ConsoleSite(Settings(), site.database, site.accounts), order).preview

    found = FINDERS[name](wanted, database=site.database)
    assert len(found.ids) == shown.total > 0
    assert dict(found.counts) == {(one.account, one.what): one.count for one in shown.lines if one.account}


def test_nothing_is_done_to_what_was_not_shown(site: Site) -> None:
    """Also where one left and one came, so that the count is the same."""
    goes = site.send("goes", tags=["lunch"])
    seen = site.send("seen", tags=["lunch"])
    person = Person(site)
    form = person.get("/commands/cancel?tag=lunch")
    site.ring(goes)
    late = site.send("late", tags=["lunch"])

    shown_anew = person.submit(form, "/commands/cancel", why="x")
    untouched = [site.state(job) for job in (goes, seen, late)]
    person.submit(shown_anew, "/commands/cancel", why="x")

    assert "shown" in form.forms["/commands/cancel"].fields
    assert "What matches has changed since you were shown it" in shown_anew.text
    assert untouched == ["accepted", "queued", "queued"]
    assert [site.state(seen), site.state(late)] == ["cancelled", "cancelled"]


def test_what_left_a_filter_after_it_was_shown_is_left_out(site: Site) -> None:
    """Fewer is no surprise, and a busy outbox would never let a command pass otherwise."""
    goes, seen = (site.send(content, tags=["lunch"]) for content in ("goes", "seen"))
    person = Person(site)
    form = person.get("/commands/cancel?tag=lunch")
    site.ring(goes)

    answered = person.submit(form, "/commands/cancel", why="x")

    assert answered.status == 303
    assert [site.state(goes), site.state(seen)] == ["accepted", "cancelled"]


def test_a_repeat_of_what_was_in_doubt_is_shown_first(site: Site) -> None:
    """A person's word is about the call that they saw, not about a later one of the same part."""
    job = in_doubt(site)
    person = Person(site)
    form = person.get(f"/commands/resolve?ids={job}&sent=yes")
    site.sql("update worker_parts set claim = claim + 1 where job_id = :job", job=job)

    answered = person.submit(form, "/commands/resolve", why="the vendor's log")

    assert "What matches has changed since you were shown it" in answered.text
    assert site.state(job) == "unknown"


@pytest.mark.parametrize("role", ["reader", "support"])
def test_who_may_not_act_gives_no_command(site: Site, role: Any) -> None:
    """Neither its form nor its preview, and no page offers a link to one."""
    job, person = site.send(), Person(site, role)

    assert person.get(f"/commands/cancel?ids={job}").status == 403
    assert person.post("/commands/cancel", ids=job, shown="1").status == 403
    assert not any(link.startswith("/commands") for link in person.get(f"/jobs/{job}").links)
    assert site.state(job) == "queued"


def test_an_operator_acts_on_its_own_accounts_alone(site: Site) -> None:
    """By ids too, and by no filter that may mean others."""
    own, other = site.send(account="it"), site.send(account="hr")
    person = Person(site, "operator", frozenset({"it"}))

    statuses = {
        "own": person.get(f"/commands/cancel?ids={own}").status,
        "other": person.get(f"/commands/cancel?ids={other}").status,
        "both": person.get(f"/commands/cancel?ids={own}+{other}").status,
        "any": person.get("/commands/cancel?kind=send").status,
        "its": person.get("/commands/cancel?account=it").status,
        "all": person.get("/commands/pause?all=yes").status,
        "lane": person.get("/commands/lift?name=hr:1").status,
    }

    assert statuses == {"own": 200, "other": 403, "both": 403, "any": 403, "its": 200, "all": 403, "lane": 403}


@pytest.mark.every_database
@pytest.mark.parametrize("asked", ["lift?name=hr", f"retry?event={'e' * 32}"], ids=["a lane", "an event"])
def test_an_own_account_beside_the_name_of_anothers_gives_no_right(site: Site, asked: str) -> None:
    """What is named decides, neither a field that the command does not ask nor one of a form."""
    fill(site)
    person = Person(site, "operator", frozenset({"it"}))
    (command, _, named), fields = asked.partition("?"), {"shown": "1", "why": "mine", "account": "it"}

    shown = person.get(f"/commands/{asked}&account=it")
    given = person.post(f"/commands/{command}", **fields, **dict([named.split("=")]))

    assert (shown.status, given.status) == (403, 403)
    assert site.lane("hr").parked  # type: ignore[union-attr]
    assert [row.state for row in site.rows("select state from worker_events")] == [3]


def test_a_long_command_answers_before_its_end() -> None:
    """With its row, from which its progress is read; those behind it wait, and few of them."""
    goes_on, background = Event(), Background()

    def slow(began: Callable[[str], object]) -> str:
        began("the-row")
        goes_on.wait(60)
        return "the-row"

    first = background.begin(slow, turn_s=60, quick_s=0.0)
    rest = [background.begin(slow, turn_s=0.0) for _ in range(MAX_RUNNING + MAX_WAITING - 1)]
    with pytest.raises(CheckFailed, match="too many"):
        background.begin(slow)
    goes_on.set()

    assert first == "the-row"
    assert rest[-1] is None


def test_a_pause_waits_behind_no_long_command(site: Site) -> None:
    """Such as replays at a low rate, which may take an hour: nobody could stop anything for as long."""
    goes_on, background = Event(), cache_of(site.database).background

    def slow(began: Callable[[str], object]) -> str:
        goes_on.wait(60)
        return "the-row"

    for _ in range(MAX_RUNNING):
        background.begin(slow, turn_s=0.0)
    Person(site).give("/commands/pause?account=hr")
    paused = newest(site)
    goes_on.set()

    assert (paused[0], paused[4]) == ("console.pause", {"pauses": 1})


def test_a_command_that_has_not_begun_is_not_promised(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may wait for the database, and never get it: a pause of everything is given again then."""
    monkeypatch.setattr(Background, "begin", lambda self, command: None)

    answered = Person(site).give("/commands/pause?all=yes")

    assert "has not begun yet: others are running, or the database is slow" in answered.text
    assert "If it does not come to stand there, it was not carried out" in answered.text


def test_what_a_command_raises_is_said_on_its_page() -> None:
    """Also after its row was written."""

    def refused(began: Callable[[str], object]) -> str:
        began("the-row")
        raise WorkerError("it moved on")

    with pytest.raises(WorkerError, match="it moved on"):
        Background().begin(refused, turn_s=60, quick_s=60)


@pytest.mark.every_database
def test_progress_is_read_from_the_audit(site: Site) -> None:
    """By whichever process shows it: what was done of how much, until it ends."""
    row = {"id": "a" * 32, "action": "replay", "person": "zhang", "why": "", "asked": '{"jobs": 10}', "began_at": 1}
    with site.database.writing() as connection:
        insert_rows(connection, tables.audit, [{**row, "counts": '{"replays": 4}', "seen_at": site.clock.micros}])

    page = Person(site).get(f"/audit/{row['id']}").text
    site.clock.advance(LOST_S + 1)
    later = Person(site).get(f"/audit/{row['id']}").text

    assert 'data-live="1"' in page
    assert '<progress max="10" value="4"' in page
    assert "4 of 10" in page
    assert "interrupted" not in page
    assert "data-live" not in later
    assert '<a class="button is-plain" href="/commands/replay">Go on</a>' in later


@pytest.mark.parametrize(("sent", "answer"), [(True, "yes"), (False, "no")])
def test_a_command_that_was_interrupted_goes_on_with_the_same_filter(site: Site, sent: bool, answer: str) -> None:
    """By a button that leads to its preview; on the command line it says so, too."""
    asked = json.dumps({"filter": {"account": "hr", "tag": "march"}, "sent": sent, "jobs": 4})
    row = {"id": "a" * 32, "action": "console.resolve", "person": "zhang", "why": "", "asked": asked, "counts": "{}"}
    with site.database.writing() as connection:
        insert_rows(connection, tables.audit, [{**row, "began_at": site.clock.micros, "seen_at": 0}])

    page = Person(site).get(f"/audit/{row['id']}").text

    assert f'href="/commands/resolve?account=hr&amp;tag=march&amp;sent={answer}">Go on</a>' in page


@pytest.mark.parametrize(
    "counts",
    [
        '{"corrections": 3, "refused": 1, "recalls": 3, "cancelled": 1}',
        '{"recalls": 3, "refused": 1}',
        '{"jobs": 3, "parts": 30, "unchanged": 1}',
    ],
    ids=["correct", "recall", "reschedule"],
)
def test_each_job_of_a_command_is_progress_once(site: Site, counts: str) -> None:
    """The recall of what is corrected is none beside it, and a job that stays as it is is done with, too."""
    row = {"id": "a" * 32, "action": "correct", "person": "zhang", "why": "", "asked": '{"jobs": 10}', "began_at": 1}
    with site.database.writing() as connection:
        insert_rows(connection, tables.audit, [{**row, "counts": counts, "seen_at": site.clock.micros}])

    assert "4 of 10" in Person(site).get(f"/audit/{row['id']}").text


@pytest.mark.parametrize(("action", "is_said"), [("console.resume", True), ("console.sign_in", False)])
def test_only_a_command_can_have_changed_nothing(site: Site, action: str, is_said: bool) -> None:
    """A sign-in is there to change nothing."""
    row = {"id": "a" * 32, "action": action, "person": "zhang", "why": "", "asked": "{}", "counts": "{}"}
    with site.database.writing() as connection:
        insert_rows(connection, tables.audit, [{**row, "began_at": 1, "ended_at": 2, "seen_at": 2}])

    assert is_said == ("Nothing was changed by it." in Person(site).get(f"/audit/{row['id']}").text)


def test_a_pause_leads_back_and_says_what_can_follow(site: Site) -> None:
    """To the mailing where it began; what was sent before it can be recalled, what waits cancelled."""
    site.send("sent", tags=["march"])

    page = Person(site).give("/commands/pause?account=hr&tag=march").text

    assert 'href="/mailings/tag?tag=march&amp;account=hr">Back</a>' in page
    assert "What was sent before the pause can be recalled." in page
    for name in ("recall", "cancel", "resume"):
        assert f'href="/commands/{name}?account=hr&amp;tag=march"' in page


def test_a_cancel_says_how_much_was_sent_before_it(site: Site) -> None:
    """Which it leaves, and a recall may take back; a cancel before which nothing was sent says nothing of it."""
    half = site.send("half", To([f"u{n}" for n in range(1_200)]), tags=["march"])
    site.bell.answer(site.part(half).lane, [site.part(half).id])
    site.settle()
    site.send("none", tags=["april"])

    some = Person(site).give("/commands/cancel?tag=march").text
    none = Person(site).give("/commands/cancel?tag=april").text

    assert "Parts that had been sent before: 1." in some
    assert 'href="/commands/recall?tag=march"' in some
    assert "had been sent before" not in none
