"""The duplicate check's windows: who owns one, when a repeat is covered, and no equal message swallowed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.runtime import SEND, Site, an_account, answered, busy, lost, planted, refused, unsent
from worker.domain import settle
from worker.domain.job import part_id
from worker.domain.outcome import Accepted, CallReceipt, Outcome, Retry, StaleToken, Unknown, Verdict
from worker.domain.settle import Policy
from worker.outbox.commit.commands import CallEnd, Change, Mark, MarkedCall
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SECOND = 1_000_000
WINDOW_S = 4 * 3_600
LAST_S = WINDOW_S - 20 - 60
"""A repeat must have ended a minute before the vendor's window does."""
POLICY = Policy()


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def mark(site: Site, job: str, claim: int = 0, **fields: Any) -> MarkedCall | None:
    fields = {"window_id": "w", "window_us": WINDOW_S * SECOND, "body": "{}", "needs_clean_doubt": True, **fields}
    wish = Mark(part_id(job, 0), claim, "p1", 20 * SECOND, **fields)
    return commit(site.database, [wish], POLICY).calls.get(wish)


def end(site: Site, job: str, outcome: Outcome, claim: int = 1) -> None:
    commit(site.database, [CallEnd(part_id(job, 0), claim, "p1", Verdict(outcome), 5)], POLICY)


def queue_again(site: Site, job: str) -> None:
    commit(site.database, [Change(part_id(job, 0), lambda part, now: settle.repeat(part, now))], POLICY)


def in_doubt(site: Site, job: str, claim: int = 0) -> None:
    """Marked, unanswered, and queued for a repeat."""
    mark(site, job, claim)
    end(site, job, Unknown("cut"), claim + 1)
    queue_again(site, job)


def window(site: Site) -> Any:
    [row] = site.rows("select * from worker_duplicates")
    return row


def test_the_first_send_of_a_body_opens_its_window_and_goes_flagged(site: Site) -> None:
    """It owns the window until the vendor's time after its last possible end is over."""
    job = site.send()

    reply = mark(site, job)

    row = window(site)
    assert reply == MarkedCall(1, True)
    assert (part_id(job, 0), None) == (row.owner, row.others_since)
    assert site.clock.micros + (WINDOW_S + 20) * SECOND == row.until
    assert [row.body for row in site.of("bodies", job)] == ["{}"]


def test_a_second_equal_message_waits_while_the_first_is_in_flight(site: Site) -> None:
    """Overtaking the owner's flagged call could let the vendor swallow the owner's in silence."""
    first, second = site.send(), site.send()
    mark(site, first)

    reply = mark(site, second)

    assert reply is None
    assert (
        site.state(second),
        site.part(second).claim,
        site.part(second).reason,
    ) == ("queued", 0, "an equal message is in flight")
    assert site.clock.micros + SECOND // 2 == site.part(second).not_before


def test_two_equal_messages_in_one_batch_go_one_after_the_other(site: Site) -> None:
    """The same holds for two senders of one process that meet in one transaction."""
    first, second = site.send(), site.send()
    marks = [Mark(part_id(job, 0), 0, "p1", 20 * SECOND, "w", WINDOW_S * SECOND) for job in (first, second)]

    result = commit(site.database, marks, POLICY)

    assert [wish in result.calls for wish in marks] == [True, False]


def test_a_second_equal_message_goes_without_the_flag(site: Site) -> None:
    """An honest second message must be seen; the window remembers that it is shared."""
    first, second = site.send(), site.send()
    mark(site, first)
    end(site, first, Accepted(CallReceipt("m1")))

    reply = mark(site, second)

    assert reply == MarkedCall(1, False)
    assert site.clock.micros == window(site).others_since
    assert site.of("bodies", second) == []


def test_after_its_window_a_body_is_a_new_one(site: Site, driven_clock: DrivenClock) -> None:
    """The next send after the window's end owns it anew and goes flagged."""
    first, second = site.send(), site.send()
    mark(site, first)
    end(site, first, Accepted(CallReceipt("m1")))
    driven_clock.advance(WINDOW_S + 20.001)

    reply = mark(site, second)

    assert reply.flagged
    assert (part_id(second, 0), None) == (window(site).owner, window(site).others_since)


def test_another_send_keeps_the_window_open(site: Site, driven_clock: DrivenClock) -> None:
    """Every send of the body extends the window, so a third one an hour after the first's end still goes unflagged."""
    first, second, third = site.send(), site.send(), site.send()
    mark(site, first)
    end(site, first, Accepted(CallReceipt("m1")))
    driven_clock.advance(3 * 3_600)
    mark(site, second)
    end(site, second, Accepted(CallReceipt("m2")))
    driven_clock.advance(2 * 3_600)

    assert not mark(site, third).flagged


def test_a_repeat_keeps_its_own_window_open(site: Site, driven_clock: DrivenClock) -> None:
    """The vendor may count from the repeat: an equal message five hours after the first call goes unflagged."""
    first, second = site.send(), site.send()
    in_doubt(site, first)
    driven_clock.advance(3 * 3_600)
    repeat = mark(site, first, 1)
    end(site, first, Accepted(CallReceipt("m")), 2)

    driven_clock.advance(2 * 3_600)
    reply = mark(site, second)

    assert repeat.flagged
    assert reply == MarkedCall(1, False)


def test_a_repeat_inside_the_window_is_covered(site: Site, driven_clock: DrivenClock) -> None:
    """Own window, nobody else, same bytes, in time: the repeat goes flagged."""
    job = site.send()
    in_doubt(site, job)
    driven_clock.advance(LAST_S - 0.001)

    reply = mark(site, job, claim=1)
    assert reply == MarkedCall(2, True)


def test_a_repeat_too_late_for_the_window_is_held(site: Site, driven_clock: DrivenClock) -> None:
    """By the window's end, less the deadline and a minute, the check may have forgotten the first call."""
    job = site.send()
    in_doubt(site, job)
    driven_clock.advance(LAST_S)

    reply = mark(site, job, claim=1)

    assert reply is None
    assert (site.state(job), site.part(job).not_before) == ("unknown", None)
    assert "would no longer catch it" in str(site.part(job).reason)


def test_a_second_repeat_counts_from_the_first_call(site: Site, driven_clock: DrivenClock) -> None:
    """Whether a suppressed repeat extends the vendor's window is not known: it is taken not to."""
    job = site.send()
    in_doubt(site, job)
    driven_clock.advance(3 * 3_600)
    in_doubt(site, job, claim=1)
    driven_clock.advance(3_600)

    assert (mark(site, job, claim=2), site.state(job)) == (None, "unknown")


def test_a_repeat_after_an_equal_message_of_another_is_held(site: Site) -> None:
    """The vendor could take the repeat for the other's message, which was honest, and say so to nobody."""
    job, other = site.send(), site.send()
    in_doubt(site, job)
    mark(site, other)

    assert (mark(site, job, claim=1), site.state(job)) == (None, "unknown")


def test_an_unflagged_calls_repeat_is_held(site: Site) -> None:
    """What went without the flag is nothing the check remembers."""
    owner, job = site.send(), site.send()
    mark(site, owner)
    end(site, owner, Accepted(CallReceipt("m1")))
    in_doubt(site, job)

    assert (mark(site, job, claim=1), site.state(job)) == (None, "unknown")


def test_a_repeat_with_a_readable_refusal_in_between_is_held(site: Site) -> None:
    """One attempt refused, one in doubt: the frozen bytes may not be what the doubtful call sent."""
    job = site.send()
    mark(site, job)
    end(site, job, Retry("6000"))
    in_doubt(site, job, claim=1)

    reply = mark(site, job, claim=2)

    assert reply is None
    assert "the vendor has refused a call since" in str(site.part(job).reason)


def test_who_wants_twice_rather_than_never_gets_the_repeat_without_the_flag(
    site: Site, driven_clock: DrivenClock
) -> None:
    """on_unknown=resend goes where nothing makes a repeat safe; the flag would only endanger it."""
    late, shared, other, unclean = (site.send() for _ in range(4))
    in_doubt(site, late)
    driven_clock.advance(LAST_S)

    reply = mark(site, late, claim=1, may_resend=True)
    assert reply == MarkedCall(2, False)

    end(site, late, Accepted(CallReceipt("m")), 2)
    driven_clock.advance(2 * WINDOW_S)
    in_doubt(site, shared)
    mark(site, other)
    reply = mark(site, shared, claim=1, may_resend=True)
    assert reply == MarkedCall(2, False)

    end(site, shared, Accepted(CallReceipt("m")), 2)
    end(site, other, Accepted(CallReceipt("m")))
    mark(site, unclean)
    end(site, unclean, Retry("6000"))
    in_doubt(site, unclean, claim=1)
    reply = mark(site, unclean, claim=2, may_resend=True)
    assert reply == MarkedCall(3, False)


# -- through the whole attempt ----------------------------------------------------------------------------------------


def flags(site: Site) -> list[bool]:
    return ["enable_duplicate_check" in body for body in site.bodies()]


@pytest.mark.parametrize("wishes", [(False, True), (True, False)])
def test_a_message_without_the_check_takes_part_in_the_window(site: Site, wishes: tuple[bool, bool]) -> None:
    """The vendor may count it as seen: an equal message is flagged in neither order while the window is open."""
    for wish in wishes:
        site.ring(site.send("same", duplicate_check=wish))

    assert [wishes[0], False] == flags(site)
    assert site.clock.micros == window(site).others_since


def test_a_message_without_the_check_keeps_a_repeat_from_being_dropped(site: Site) -> None:
    """Sent between a lost call and its repeat, an equal body may be what the vendor compares the repeat with."""
    site.vendor.says(lost())
    doubtful, plain = site.send("same"), site.send("same", duplicate_check=False)
    site.ring(doubtful)
    site.ring(plain)

    site.advance(26)
    site.recover()
    site.ring(doubtful)

    assert flags(site) == [True, False]
    assert [site.state(doubtful), site.state(plain)] == ["unknown", "accepted"]


def test_two_accounts_of_one_app_share_its_window(database: Database, driven_clock: DrivenClock) -> None:
    """The vendor's check is the app's: it would swallow the second message, whatever our accounts are called."""
    with planted(database, driven_clock, accounts=[an_account("hr"), an_account("alerts")]) as site:
        jobs = [site.send(account="hr"), site.send(account="alerts")]

        site.run()

        assert flags(site) == [True, False]
        assert [site.state(job) for job in jobs] == ["accepted", "accepted"]


def test_other_recipients_are_another_body(site: Site) -> None:
    """The same text to somebody else has a window of its own."""
    jobs = [site.send("same", "lisi"), site.send("same", "wangwu")]

    site.ring(*jobs)

    assert flags(site) == [True, True]


def test_a_repeat_is_byte_for_byte_the_first_call(site: Site) -> None:
    """Frozen with the first mark, sent by every repeat, whatever would be rendered now."""
    site.vendor.says(lost())
    job = site.send()
    site.ring(job)
    first = site.calls()[0].body
    site.sql("update worker_jobs set message = replace(message, 'hello', 'changed') where id = :id", id=job)

    site.advance(26)
    site.recover()
    site.ring(job)

    assert [first, first] == [call.body for call in site.calls()]
    assert (site.state(job), site.part(job).repeats) == ("accepted", 1)
    assert [bool(row.from_repeat) for row in site.of("receipts", job)] == [True]


UNSEEN = [42001, 45009, 60020]
"""Refusals before the vendor looks at the message: the token, a limit of calls, the caller's address."""


def repeat_refused(site: Site, job: str, errcode: int) -> None:
    """The first call is lost, and its repeat refused."""
    site.vendor.says(lost(), refused(errcode))
    site.ring(job)
    site.advance(26)
    site.recover()
    site.ring(job)


@pytest.mark.parametrize("errcode", UNSEEN)
def test_a_doubt_whose_repeat_is_refused_unseen_is_repeated_again(site: Site, errcode: int) -> None:
    """That refusal opened no window at the vendor, and was no repeat: nobody has to decide, and the order goes on."""
    job, behind = site.send(order_key="a"), site.send("behind", order_key="a")
    repeat_refused(site, job, errcode)
    refused_as = (site.state(job), site.part(job).repeats)

    site.advance(601)
    site.ring(job, probe=True)
    site.ring(behind)

    assert refused_as == ("queued", 0)
    assert [site.state(job), site.state(behind)] == ["accepted", "accepted"]
    assert flags(site) == [True] * 4
    assert [len({call.body for call in site.calls()[:3]})] == [1]


@pytest.mark.parametrize("errcode", UNSEEN)
def test_a_retry_after_a_refusal_unseen_asks_for_the_check(site: Site, errcode: int) -> None:
    """Its own lost answer is then no matter for a person."""
    site.vendor.says(refused(errcode), lost())
    job = site.send()
    site.ring(job)
    site.advance(601)
    site.ring(job, probe=True)

    site.advance(601)
    site.recover()
    site.ring(job, probe=True)

    assert (flags(site), site.state(job)) == ([True, True, True], "accepted")


@pytest.mark.parametrize("errcode", [-1, 6000, 45035])
def test_a_doubt_whose_repeat_may_have_been_looked_at_is_held(site: Site, errcode: int) -> None:
    """The vendor may count it as the first of its equals, and would drop the next repeat."""
    job = site.send()
    repeat_refused(site, job, errcode)

    site.advance(601)
    site.run()

    assert (site.state(job), site.part(job).not_before) == ("unknown", None)
    assert "the vendor has refused a call since" in site.part(job).reason


@pytest.mark.parametrize("errcode", [*UNSEEN, -1, 45035])
def test_a_cards_task_id_stays_a_proof_after_a_refusal(site: Site, errcode: int) -> None:
    """The vendor takes a task_id only with its card, so the answer that it exists is about the call in doubt."""
    job = site.card()
    repeat_refused(site, job, errcode)
    site.vendor.says(refused(42014))

    site.advance(601)
    site.run()

    assert (site.state(job), len(site.calls())) == ("accepted", 3)


def test_a_late_refusal_unseen_does_not_question_the_repeat(site: Site) -> None:
    """The lost answer comes after all, and was about the token: the repeat that was taken was no repeat at all."""
    job = site.send()
    in_doubt(site, job)
    mark(site, job, claim=1)
    unseen = Verdict(StaleToken("42001"), 42001, unseen=True)
    late = CallEnd(part_id(job, 0), 1, "p1", unseen, 5, http_status=200)
    taken = CallEnd(part_id(job, 0), 2, "p1", Verdict(Accepted(CallReceipt("m"))), 5, http_status=200, flagged=True)

    commit(site.database, [late], POLICY)
    commit(site.database, [taken], POLICY)

    assert (site.state(job), [row.warning for row in site.of("receipts", job)]) == ("accepted", [None])


@pytest.mark.parametrize("said", [(502, {}), (503, {}), (503, {"retry_after": "7"}), (429, {"retry_after": "7"})])
def test_what_a_proxy_answered_is_repeated_with_the_check(site: Site, said: tuple[int, dict[str, str]]) -> None:
    """It may have passed the call on, so a call without the check could be a second message."""
    status, headers = said
    site.vendor.says(answered(b"<html>", status, **headers))
    job = site.send()
    site.ring(job)

    site.advance(26)
    site.recover()
    site.ring(job)

    assert (flags(site), site.state(job)) == ([True, True], "accepted")
    assert [bool(row.from_repeat) for row in site.of("receipts", job)] == [True]


def image_to_resend(site: Site) -> str:
    """An image whose file is uploaded and whose caller would rather have it twice than never."""
    job = site.image(on_unknown="resend")
    site.ring(job)
    ring_upload(site)
    return job


def ring_upload(site: Site) -> None:
    site.ring(*[row.id for row in site.rows("select id from worker_jobs where kind = 'upload'")])


def resend(site: Site, job: str) -> None:
    """What follows on a lost answer."""
    site.advance(26)
    site.recover()
    site.ring(job)


def test_a_resend_after_a_refusal_keeps_its_file(site: Site) -> None:
    """A refused call costs the flag; the repeat says what the call in doubt said, its media_id included."""
    job = image_to_resend(site)
    site.vendor.says(busy(), lost())
    site.ring(job)
    site.advance(2)
    site.ring(job)

    resend(site, job)

    assert flags(site) == [True, False, False]
    assert site.bodies()[-1]["image"] == {"media_id": "media1"}
    assert site.state(job) == "accepted"


def test_a_resend_after_its_window_differs_by_the_flag_alone(site: Site) -> None:
    """The check covers nothing any more, so it is off; all else is byte for byte what the first call sent."""
    job = image_to_resend(site)
    site.vendor.says(lost())
    site.ring(job)
    site.advance(WINDOW_S)

    resend(site, job)

    first, again = (call.body for call in site.calls(SEND))
    assert isinstance(first, bytes)
    assert first.replace(b'"duplicate_check_interval":14400,"enable_duplicate_check":1,', b"") == again
    assert site.state(job) == "accepted"


def test_a_resend_says_what_the_call_in_doubt_said(site: Site) -> None:
    """A file that was uploaded anew after a refusal: its new media_id, not the refused one."""
    job = image_to_resend(site)
    site.vendor.says(refused(40007))
    site.ring(job)
    site.advance(2)
    site.ring(job)
    ring_upload(site)
    site.vendor.says(lost())
    site.ring(job)

    resend(site, job)

    assert [body["image"]["media_id"] for body in site.bodies()] == ["media1", "media2", "media2"]


def test_an_unflagged_retry_renders_without_the_flag(site: Site) -> None:
    """Whether a refused call counts for the check is not known, so a flagged retry could be swallowed. What the mark
    decided about the flag is what the bytes say.
    """
    site.vendor.says(refused(6000))
    job = site.send()

    site.ring(job)
    site.advance(2)
    site.ring(job)

    assert flags(site) == [True, False]
    assert [bool(row.flagged) for row in site.of("attempts", job)] == [True, False]


def test_an_images_repeat_looks_into_its_first_calls_window(site: Site) -> None:
    """An equal image of another in between: the repeat is held, as with a text. Its media_id is part of the body."""
    first, second = site.image(), site.image()
    site.run()
    assert {site.state(first), site.state(second)} == {"accepted"}
    site.advance(5 * 3_600)
    jobs = [site.image(), site.image()]
    site.vendor.says(lost())
    site.ring(jobs[0])
    site.ring(jobs[1])
    site.advance(26)
    site.recover()

    site.ring(jobs[0])

    assert site.state(jobs[0]) == "unknown"
    assert len(site.bodies()) == 4


def test_a_repeat_after_an_upgrade_looks_into_its_first_calls_window(site: Site) -> None:
    """A release that renders anew must not lose sight of who else sent the old bytes."""
    jobs = [site.send(), site.send()]
    site.vendor.says(lost())
    site.ring(jobs[0])
    site.ring(jobs[1])
    site.sql("update worker_jobs set message = replace(message, 'hello', 'changed') where id = :id", id=jobs[0])
    site.advance(26)
    site.recover()

    site.ring(jobs[0])

    assert site.state(jobs[0]) == "unknown"
    assert len(site.bodies()) == 2


@pytest.mark.parametrize("why", ["dropped", "reset"])
def test_a_first_call_that_never_left_does_not_cost_the_flag(site: Site, why: str) -> None:
    """The vendor heard nothing of it, so the next call is a first one: flagged, and safe to repeat."""
    site.vendor.says(unsent(why))
    job = site.send()
    site.ring(job)
    site.advance(2)

    site.ring(job)

    assert flags(site) == [True, True]


def test_a_repeat_that_never_left_may_be_made_again(site: Site) -> None:
    """Nothing was answered in between: the doubt is the first call's alone, and its window covers the next repeat."""
    site.vendor.says(lost(), unsent("dropped"))
    job = site.send()
    site.ring(job)
    site.advance(26)
    site.recover()
    site.ring(job)

    site.ring(job)

    assert (site.state(job), len(site.calls())) == ("accepted", 3)
