"""Quiet hours wait in SQL and end in time; to whom nothing is to be sent, nothing is sent, and it is told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.runtime import SEND, Site, an_account, busy, lost, planted, refused
from worker import CheckFailed, PartWait, RecipientStatus, Text, To, WaitFor, recipients, why
from worker.channels.registry import channel
from worker.domain.account import Account
from worker.domain.content.left_out import ALL_SUPPRESSED, SUPPRESSED, apart, outcome_for_all
from worker.domain.job import Kind, part_id
from worker.domain.outcome import Progress, Refusal
from worker.outbox.engine.clock import DrivenClock, instant
from worker.outbox.engine.database import Database
from worker.outbox.jobs import suppressions
from worker.reporting.limit_usage import usage

NIGHT = "22:00-07:00 Europe/Berlin"
URGENT_PASSES = f"{NIGHT}, urgent passes"


def clock_at(clock: DrivenClock, at: str) -> None:
    clock.micros = int(datetime.fromisoformat(at).timestamp()) * 1_000_000


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    """One process; `hr` has quiet hours, `it` has none. It is noon."""
    clock_at(driven_clock, "2026-03-28T12:00:00+01:00")
    accounts: list[Account] = [an_account(quiet_hours=NIGHT), an_account("it", settings={"agentid": 8})]
    with planted(database, driven_clock, accounts=accounts) as planted_site:
        yield planted_site


def at(site: Site, when: str) -> None:
    clock_at(site.clock, when)
    site.advance(0)


def states(site: Site, *jobs: str) -> list[str]:
    return [site.state(job) for job in jobs]


# -- quiet hours -------------------------------------------------------------------------------------------------------


def test_what_is_due_in_the_night_goes_in_the_morning(site: Site) -> None:
    """The night in which summer time begins is an hour shorter, and not a call is made in it."""
    at(site, "2026-03-28T23:00:00+01:00")
    job, other = site.send("quiet"), site.send("loud", account="it")
    site.run()
    assert (["queued", "accepted"], 1) == (states(site, job, other), len(site.calls()))
    assert "2026-03-29T05:00:00+00:00" == instant(site.part(job).not_before).isoformat()

    at(site, "2026-03-29T06:59:59+02:00")
    site.run()
    assert ["queued"] == states(site, job)
    at(site, "2026-03-29T07:00:00+02:00")
    site.run()

    assert ["accepted"] == states(site, job)
    assert 0 == site.part(job).tries, "to wait is no attempt"


def test_a_night_is_an_hour_longer_when_summer_time_ends(site: Site) -> None:
    """Seven in the morning, not eight hours after eleven."""
    at(site, "2026-10-24T23:00:00+02:00")
    job = site.send()
    site.run()
    assert datetime(2026, 10, 25, 6, tzinfo=UTC) == instant(site.part(job).not_before)


def test_a_job_has_its_own_quiet_hours_or_none(site: Site) -> None:
    """They go before its account's; a replay keeps them."""
    at(site, "2026-03-28T23:00:00+01:00")
    none, own = site.send("a", quiet_hours="none"), site.send("b", account="it", quiet_hours=NIGHT)
    site.run()
    assert ["accepted", "queued"] == states(site, none, own)
    replay = site.replay(none)
    site.run()
    assert ["accepted"] == states(site, replay)


def test_urgent_passes_only_where_it_is_said(site: Site) -> None:
    """And recalls, uploads and updates always do: they put nothing new before people."""
    card = site.card()
    site.run()
    at(site, "2026-03-28T23:00:00+01:00")
    waits = site.send("a", priority="urgent")
    passes = site.send("b", priority="urgent", quiet_hours=URGENT_PASSES)
    normal = site.send("c", quiet_hours=URGENT_PASSES)
    update, upload = site.update(card), site.upload()
    site.run()
    recall = site.recall(card)
    site.run()
    assert ["queued", "accepted", "queued"] == states(site, waits, passes, normal)
    assert ["accepted"] * 3 == states(site, update, upload, recall)


def test_the_instant_of_the_mark_decides(site: Site) -> None:
    """A part that was prepared a moment before ten is not called a moment after."""
    at(site, "2026-03-28T21:59:59+01:00")
    job = site.send()
    reserve = site.runtime.governor.reserve

    def later(*given: Any, **more: Any) -> Any:
        at(site, "2026-03-28T22:00:00+01:00")
        return reserve(*given, **more)

    site.runtime.governor.reserve = later  # type: ignore[method-assign]
    site.ring(job)
    assert (["queued"], []) == (states(site, job), site.calls())
    assert "quiet hours" == site.part(job).reason


def test_why_says_that_it_is_quiet(site: Site) -> None:
    """Until when, too."""
    at(site, "2026-03-28T23:00:00+01:00")
    job = site.send()
    site.run()
    with site.database.reading() as connection:
        [wait] = why(connection, job, clock=site.clock).waits
    assert ("quiet_hours", "2026-03-29T05:00:00+00:00") == (wait.what, wait.until and wait.until.isoformat())


def test_a_repeat_goes_and_a_night_loses_nothing(site: Site) -> None:
    """What was begun before ten is settled: in the morning no repeat would be safe. What expires meanwhile expires."""
    site.vendor.says(lost())
    job = site.send(duplicate_check=False, on_unknown="resend")
    ends = site.send("late", expires_at=datetime(2026, 3, 29, 1, tzinfo=UTC))
    site.ring(job)
    at(site, "2026-03-28T23:00:00+01:00")
    site.recover()
    site.run()
    assert ["accepted", "queued"] == states(site, job, ends)
    at(site, "2026-03-29T07:00:00+02:00")
    site.recover()
    site.run()
    assert ["accepted", "expired"] == states(site, job, ends)


@pytest.mark.parametrize("wrong", ["22-7", "22:00-22:00 UTC", "22:00-07:00 Nowhere/City", "x" * 90])
def test_wrong_quiet_hours_are_refused_at_enqueue(site: Site, wrong: str) -> None:
    """With how to write them."""
    with pytest.raises(CheckFailed, match=r'quiet_hours: .* write "22:00-07:00 Asia/Shanghai"'):
        site.send(quiet_hours=wrong)


# -- suppression -------------------------------------------------------------------------------------------------------


def suppress(site: Site, *names: str) -> int:
    site.ticks.advance(2)
    with site.database.writing() as connection:
        return suppressions.suppress(connection, site.database.now, names, "zhang", "asked for it")


def touser(site: Site) -> list[str]:
    return [body["touser"] for body in site.bodies()]


def who(site: Site, job: str, status: RecipientStatus) -> tuple[str, ...]:
    with site.database.reading() as connection:
        return tuple(recipients(connection, job, status))


def test_a_suppressed_recipient_is_left_out_and_told_as_refused(site: Site) -> None:
    """In another case and width than it is written on the list."""
    assert 2 == suppress(site, "ＬＩＳＩ", "nobody")
    assert 0 == suppress(site, "lisi")
    job = site.send(to=To(["wangwu", "LiSi", "zhaoliu"]))
    site.run()

    assert (["wangwu|zhaoliu"], "partial") == (touser(site), site.state(job))
    assert ("LiSi",) == who(site, job, RecipientStatus.REFUSED)
    assert ("wangwu", "zhaoliu") == who(site, job, RecipientStatus.ACCEPTED)
    assert [("LiSi", SUPPRESSED)] == [(row.recipient, row.field) for row in site.of("failures", job)]


def test_a_job_to_nobody_else_ends_without_a_call(site: Site) -> None:
    """And says why."""
    suppress(site, "lisi")
    job = site.send(to="lisi")
    site.run()
    assert ([], "rejected", ALL_SUPPRESSED) == (site.calls(), site.state(job), site.part(job).reason)
    assert ("lisi",) == who(site, job, RecipientStatus.REFUSED)


def test_who_the_vendor_refuses_too_is_told_beside(site: Site) -> None:
    """Both are failures of their own."""
    suppress(site, "lisi")
    site.vendor.says(lambda request: site.vendor.takes(request, invaliduser="ghost"))
    job = site.send(to=To(["wangwu", "lisi", "ghost"]))
    site.run()
    assert {"lisi", "ghost"} == set(who(site, job, RecipientStatus.REFUSED))


def test_a_repeat_has_the_recipients_of_its_first_call(site: Site) -> None:
    """Whoever is put on the list meanwhile may have the message: the bytes stay the same."""
    suppress(site, "lisi")
    site.vendor.says(lost(), busy())
    job = site.send(to=To(["wangwu", "lisi"]))
    site.run()
    suppress(site, "wangwu")
    site.advance(60)
    site.recover()
    site.run()
    site.advance(60)
    site.run()
    assert {"wangwu"} == set(touser(site))
    assert ("lisi",) == who(site, job, RecipientStatus.REFUSED)


def test_a_retry_leaves_out_who_was_suppressed_meanwhile(site: Site) -> None:
    """Nothing of it was taken before; and who was left out once stays so."""
    site.vendor.says(busy())
    job = site.send(to=To(["wangwu", "lisi"]))
    site.run()
    suppress(site, "lisi")
    site.advance(60)
    site.run()
    assert (["wangwu|lisi", "wangwu"], "partial") == (touser(site), site.state(job))


def test_it_ends_when_it_is_lifted(site: Site) -> None:
    """For jobs of later."""
    suppress(site, "lisi")
    with site.database.writing() as connection:
        assert 1 == suppressions.lift(connection, ["LISI", "other"])
    site.ticks.advance(2)
    job = site.send(to="lisi")
    site.run()
    assert "accepted" == site.state(job)


def test_a_recall_takes_back_whatever_the_list_says(site: Site) -> None:
    """It names a message, no person; and the list names none either."""
    job = site.send(to="lisi")
    site.run()
    suppress(site, "lisi")
    recall = site.recall(job)
    site.run()
    assert "accepted" == site.state(recall)
    assert "lisi" not in str(site.rows("select * from worker_suppressions"))


def test_what_a_whole_call_is_refused_for_is_told_of_all(site: Site) -> None:
    """Rejected: nobody got it."""
    suppress(site, "lisi")
    site.vendor.says(refused(44004))
    job = site.send(to=To(["wangwu", "lisi"]))
    site.run()
    assert "rejected" == site.state(job)
    assert {"wangwu", "lisi"} == set(who(site, job, RecipientStatus.REFUSED))


def test_a_text_to_a_department_goes_on(site: Site) -> None:
    """Its members are the vendor's to name: who is on the list and in the department gets it."""
    suppress(site, "lisi")
    job = site.ask(Text(content="x"), To(["lisi"], parties=["7"]))
    site.run()
    assert [("", "7")] == [(body.get("touser", ""), body["toparty"]) for body in site.bodies()]
    assert "partial" == site.state(job)


def test_who_has_no_room_waits_and_no_call_goes_to_nobody(database: Database, driven_clock: DrivenClock) -> None:
    """A suppressed recipient takes no room, and is no reason for a call of its own."""
    account = an_account(limits={"member_minute": 1})
    with planted(database, driven_clock, accounts=[account]) as site:
        site.send(to="wangwu")
        site.run()
        suppress(site, "lisi")
        job = site.send(to=To(["wangwu", "lisi"]))
        other = site.send(to=To(["wangwu", "lisi", "zhaoliu"]))
        site.run()
        assert ["wangwu", "zhaoliu"] == touser(site)
        for _ in range(4):
            site.advance(120)
            site.run()
        assert ["wangwu", "zhaoliu", "wangwu", "wangwu"] == touser(site)
        assert {"lisi"} == {row.recipient for row in (*site.of("failures", job), *site.of("failures", other))}
        assert ("lisi",) == who(site, other, RecipientStatus.REFUSED)
        assert {"wangwu", "zhaoliu"} == set(who(site, other, RecipientStatus.ACCEPTED))


def test_a_task_id_that_another_part_may_have_used_proves_nothing(site: Site) -> None:
    """Also where somebody was left out, which makes the answer a partial one."""
    first = site.card("lisi", task_id="leave-7")
    site.run()
    suppress(site, "zhaoliu")
    site.vendor.says(lost(), refused(42014))
    second = site.card(To(["wangwu", "zhaoliu"]), task_id="leave-7")
    site.run()
    site.advance(60)
    site.recover()
    site.run()
    assert ["accepted", "unknown"] == states(site, first, second)


def test_who_is_taken_off_the_list_before_the_call_gets_it(site: Site) -> None:
    """The mark notes who is left out, so nothing is told that was not so."""
    suppress(site, "lisi")
    site.forget_tokens()
    site.vendor.says_for_tokens(busy())
    job = site.send(to=To(["wangwu", "lisi"]))
    site.run()
    assert [] == site.calls()
    with site.database.writing() as connection:
        suppressions.lift(connection, ["lisi"])
    for _ in range(3):
        site.advance(120)
        site.run()
    assert (["wangwu|lisi"], "accepted", []) == (touser(site), site.state(job), site.of("failures", job))


@pytest.mark.fewer_databases("no database is asked")
def test_the_share_of_a_part_keeps_who_is_left_out() -> None:
    """Whatever of it goes on: a halved call, a page."""
    gone = (Refusal("wrC", "chat", SUPPRESSED),)
    outcome = outcome_for_all(Progress({"chats": ["wrA"]}, "halved", apart={"chats": ["wrB"]}), gone)
    assert isinstance(outcome, Progress)
    assert ({"chats": ["wrA", "wrC"]}, {"chats": ["wrB"]}) == (outcome.spec, outcome.apart)


@pytest.mark.fewer_databases("no database is asked")
@pytest.mark.parametrize("name", ["wecom_app", "wecom_webhook", "wecom_external", "youdu"])
def test_what_is_put_before_people_is_what_a_channel_sends(name: str) -> None:
    """Pop-ups and badges of Youdu, too."""
    assert Kind.SEND in channel(name).sends
    if name == "youdu":
        assert {"pop_window", "badge"} <= channel(name).sends


# -- a cap a day -------------------------------------------------------------------------------------------------------


def test_nobody_gets_more_in_a_day_than_is_said(database: Database, driven_clock: DrivenClock) -> None:
    """By all accounts together, in whatever case; the others of a call go, and the rest a day after the first."""
    accounts = [an_account(), an_account("it", settings={"agentid": 8})]
    with planted(database, driven_clock, accounts=accounts, person_day=2) as site:
        site.send("one", to="lisi")
        site.send("two", to="LiSi", account="it")
        site.run()
        job = site.send("three", to=To(["lisi", "wangwu"]))
        site.run()
        assert (["lisi", "LiSi", "wangwu"], "queued") == (touser(site), site.state(job, 1))
        wait = waits_of(site, job)[0]
        assert (WaitFor.LIMIT, "the limit person_day has no room for it") == (wait.what, wait.text)
        recall = site.recall(site.rows("select id from worker_jobs order by id limit 1")[0].id)
        for _ in range(23):
            site.advance(3_600)
            site.run()
        assert ("accepted", "queued") == (site.state(recall), site.state(job, 1))
        for _ in range(2):
            site.advance(3_600)
            site.run()
        assert (["lisi", "LiSi", "wangwu", "lisi"], "accepted") == (touser(site), site.state(job, 1))


def waits_of(site: Site, job: str) -> tuple[PartWait, ...]:
    with site.database.reading() as connection:
        return tuple(wait for wait in why(connection, job, clock=site.clock).waits if wait.part == f"{job}-1")


def test_what_cannot_be_taken_apart_waits_whole(database: Database, driven_clock: DrivenClock) -> None:
    """A part for a department, whose members are not known; without a cap nothing is counted."""
    with planted(database, driven_clock, person_day=1) as site:
        site.send(to="lisi")
        site.run()
        whole = site.ask(Text(content="x"), To(["lisi"], parties=["7"]))
        group = site.ask(Text(content="x"), To(parties=["7"]))
        site.run()
        assert ["queued", "accepted"] == states(site, whole, group)
        assert ["person_day"] == [
            row.limit_name for row in site.rows("select limit_name from worker_parts where state = 0")
        ]


def test_what_a_person_has_used_is_shown(database: Database, driven_clock: DrivenClock) -> None:
    """For the one who is named."""
    with planted(database, driven_clock, person_day=3) as site:
        site.send(to="lisi")
        site.run()
        with site.database.reading() as connection:
            found = usage(connection, site.database.now, channel("wecom_app"), an_account(), "LISI", most_a_day=3)
        [own] = [one for one in found if one.counted.limit.name == "person_day"]
        assert (1, 2) == (own.used, own.room)


def test_a_message_that_was_refused_takes_no_room(database: Database, driven_clock: DrivenClock) -> None:
    """Retries and repeats of a message count once; one in doubt keeps its room, one that was rejected gives it back."""
    with planted(database, driven_clock, person_day=1) as site:
        site.vendor.says(busy(), busy())
        retried = site.send("retried")
        for _ in range(3):
            site.run()
            site.advance(120)
        site.vendor.says(lost())
        repeated = site.send("repeated", "wangwu")
        site.run()
        for _ in range(2):
            site.advance(60)
            site.recover()
            site.run()
        site.vendor.says(refused(45002))
        site.ring(site.send("too long", "zhaoliu"), shorter := site.send("shorter", "zhaoliu"))
        assert "queued" == site.state(shorter), "both were reserved at once"
        site.advance(601)
        site.run()
        more = site.send("more", "zhaoliu")
        site.run()
        assert ["accepted"] * 3 == states(site, retried, repeated, shorter)
        assert "queued" == site.state(more)


@pytest.mark.parametrize("together", [True, False], ids=["at once", "one by one"])
def test_the_pieces_of_a_text_are_one_message(database: Database, driven_clock: DrivenClock, together: bool) -> None:
    """They count once, whole; who has no room gets none of them before the day is over."""
    with planted(database, driven_clock, person_day=2) as site:
        pieces = site.send("x" * 5_000, to=To(["lisi", "wangwu"]), overflow="split")
        if not together:
            for n in range(3):
                site.bell.answer(site.part(pieces, n).lane, [part_id(pieces, n)])
                site.settle()
        site.run()
        second = site.send("second")
        third = site.send("y" * 5_000, to=To(["lisi", "wangwu"]), overflow="split")
        for _ in range(3):
            site.run()
            site.advance(700)
        third_to = [body["touser"] for body in site.bodies(SEND)[4:]]

        assert ({"accepted"}, "accepted", "open") == (
            {row.state for row in map(site.job, [pieces])},
            site.state(second),
            site.job(third).state,
        )
        assert ["wangwu"] * 3 == third_to
        site.advance(86_400)
        for _ in range(3):
            site.run()
        assert (["lisi"] * 3, "accepted") == (
            [body["touser"] for body in site.bodies(SEND)[7:]],
            site.job(third).state,
        )


def test_a_message_keeps_its_room_while_it_is_tried_again(database: Database, driven_clock: DrivenClock) -> None:
    """A later one does not go before it, and it is not put off by its own first call."""
    with planted(database, driven_clock, person_day=1) as site:
        site.vendor.says(busy())
        first = site.send("first")
        site.run()
        later = site.send("later")
        site.run()
        assert ["queued", "queued"] == states(site, first, later)
        site.advance(120)
        site.run()
        assert ["accepted", "queued"] == states(site, first, later)


def test_a_department_is_taken_apart_where_its_members_are_known(database: Database, driven_clock: DrivenClock) -> None:
    """A customer, or an address, too, on channels that do not divide a call themselves."""
    with planted(database, driven_clock, person_day=1, resolver=lambda *_: ["a1", "b1", "c1"]) as site:
        site.send(to="a1")
        site.run()
        job = site.ask(Text(content="x"), To(parties=["7"]))
        site.run()
        assert (["a1", "b1|c1"], "queued") == (touser(site), site.state(job, 1))


@pytest.mark.fewer_databases("no database is asked")
def test_what_a_channel_does_not_divide_is_divided_by_its_lists() -> None:
    """Unless more than recipients tell its calls apart."""
    spec = {"users": ["a", "b"], "emails": ["c@d"]}
    assert ({"users": ["a"], "emails": ["c@d"]}, {"users": ["b"], "emails": []}) == apart(spec, {"b"})
    others = ({"piece": 1}, {"task_id": "t"}, {"parties": ["7"]}, {"chats": ["c"]}, {"customers": ["wm1"]})
    assert [None] * 5 == [apart(spec | more, {"b"}) for more in others]
    assert None is apart(spec, {"a", "b", "c@d"}) is apart(spec, set())
