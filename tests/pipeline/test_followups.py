"""Recalls and card updates find everything behind their job, wait where they must, and never miss a wake-up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.runtime import RECALL, UPDATE, Site, an_account, lost, planted, refused
from worker import CheckFailed, To, recall_message
from worker.channels.wecom_app.channel import WecomApp
from worker.delivery.resolver import Resolved
from worker.domain.call import CallResult
from worker.domain.job import part_id
from worker.domain.outcome import Accepted, CallReceipt, Verdict
from worker.domain.settle import Policy
from worker.outbox.commit.commands import CallEnd, Effects, Mark
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.jobs.loading import load_parts

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")

SECOND = 1_000_000
DAY = 86_400
MANY = To([f"u{n}" for n in range(1_500)])


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def in_flight(site: Site, job: str, *, code: str | None = None) -> None:
    commit(site.database, [Mark(part_id(job, 0), 0, "p1", 20 * SECOND, effects=Effects(code))], Policy())


def answered(site: Site, job: str, *, card: bool = False) -> None:
    taken = CallReceipt("m9", "code9" if card else None)
    end = CallEnd(
        part_id(job, 0), 1, "p1", Verdict(Accepted(taken), 0), 5, effects=Effects(code_ttl_s=259_200 if card else None)
    )
    commit(site.database, [end], Policy())


# -- recalls ----------------------------------------------------------------------------------------------------------


def test_a_recall_takes_back_every_msgid_of_its_job(site: Site) -> None:
    """1,500 recipients were two calls: two recalls, and both receipts say so."""
    job = site.send(to=MANY)
    site.run()
    recall = site.recall(job)

    site.run()

    assert sorted(site.bodies(RECALL), key=str) == [{"msgid": "m1"}, {"msgid": "m2"}]
    assert (site.job(recall).state, site.job(recall).n_accepted, site.job(recall).n_open) == ("accepted", 2, 0)
    assert [site.clock.micros] * 2 == [row.recalled_at for row in site.of("receipts", job)]


def test_a_recall_of_what_is_queued_cancels_it(site: Site) -> None:
    """Certainly never sent: the send is cancelled, the recall has nothing to call and says so."""
    job = site.send(due_at=timedelta(seconds=60))
    recall = site.recall(job)

    site.run()

    assert (site.state(job), site.part(job).reason) == ("cancelled", "recalled before it was sent")
    assert (
        site.state(recall),
        [bool(row.not_sent) for row in site.of("receipts", recall)],
        site.calls(),
    ) == ("accepted", [True], [])


def test_a_recall_of_half_sent_stops_the_rest_and_takes_back_the_other_half(site: Site) -> None:
    """One part accepted, one still queued."""
    job = site.send(to=MANY)
    site.bell.answer(site.part(job).lane, [part_id(job, 0)])
    site.settle()
    recall = site.recall(job)

    site.ring(recall)
    site.run()

    assert [site.state(job), site.state(job, 1), site.state(recall)] == ["accepted", "cancelled", "accepted"]
    assert site.bodies(RECALL) == [{"msgid": "m1"}]


def test_a_recall_of_what_is_in_flight_waits_and_is_woken(site: Site) -> None:
    """It parks without a call; the end of the send wakes it, in the same transaction."""
    job = site.send()
    recall = site.recall(job)
    in_flight(site, job)

    site.ring(recall)
    parked = site.part(recall)
    answered(site, job)
    site.ring(recall)

    assert ("queued", job, "waits for the job that it follows") == (parked.state, parked.waits_on, parked.reason)
    assert (site.state(recall), site.part(recall).waits_on) == ("accepted", None)
    assert site.bodies(RECALL) == [{"msgid": "m9"}]


@pytest.mark.parametrize("held", [False, True], ids=["waiting", "held"])
def test_a_recall_of_what_is_in_doubt_stops_its_repeats_and_says_why_it_cannot(site: Site, held: bool) -> None:
    """No msgid was learnt: the recall is rejected with that reason, and the send is not repeated any more."""
    site.vendor.says(lost())
    job = site.send(duplicate_check=not held)
    site.ring(job)
    if held:
        site.advance(26)
        site.recover()
    recall = site.recall(job)

    site.ring(recall)
    site.advance(60)
    site.recover()
    site.run()

    assert (site.state(job), site.part(job).not_before, len(site.calls())) == ("unknown", None, 1)
    assert site.state(recall) == "rejected"
    assert "in doubt and has no msgid" in site.part(recall).reason


def test_a_recall_stops_a_repeat_that_is_already_queued(site: Site) -> None:
    """In doubt and queued again: it becomes a held unknown, never cancelled."""
    site.vendor.says(lost())
    job = site.send()
    site.ring(job)
    site.advance(26)
    site.recover()
    recall = site.recall(job)

    site.ring(recall)
    site.run()

    assert (site.state(job), site.part(job).not_before, len(site.calls())) == ("unknown", None, 1)
    assert "in doubt; later cancelled" in site.part(job).reason


def test_a_recall_after_24_hours_is_refused_without_a_call(site: Site) -> None:
    """The vendor would refuse it; the deadline of the call is taken off."""
    job, kept = site.send(), site.send("kept")
    site.ring(job, kept)
    site.advance(DAY - 20)
    in_time = site.recall(kept)
    site.ring(in_time)
    site.advance(0.001)
    late = site.recall(job)

    site.ring(late)

    assert (site.state(in_time), site.state(late), len(site.calls(RECALL))) == ("accepted", "rejected", 1)
    assert "only within 24 h" in site.part(late).reason


def recall_of(site: Site, sent_at: datetime, **options: Any) -> str:
    with site.database.writing() as connection:
        options = {"accounts": site.accounts, **options}
        return recall_message(connection, "hr", "m77", sent_at=sent_at, **options).id


def test_what_something_else_sent_is_recalled_by_its_msgid(site: Site) -> None:
    """Through the account that sent it, within 24 h of its own time; no job of ours is needed."""
    sent_at = datetime.fromtimestamp(site.clock.micros / SECOND, UTC)
    early, late = recall_of(site, sent_at - timedelta(hours=23)), recall_of(site, sent_at - timedelta(hours=24))

    site.run()

    assert site.bodies(RECALL) == [{"msgid": "m77"}]
    assert (site.state(early), site.state(late)) == ("accepted", "rejected")
    assert f"that time ended at {sent_at:%Y-%m-%d %H:%M:%S}Z" in site.part(late).reason


@pytest.mark.parametrize(("said", "state"), [(refused(0), "accepted"), (refused(42052), "rejected")])
def test_a_message_whose_time_is_not_known_is_recalled_by_its_msgid_alone(
    site: Site, said: CallResult, state: str
) -> None:
    """The vendor knows whether its 24 h are over, and is asked once."""
    site.vendor.says(said)
    with site.database.writing() as connection:
        job = recall_message(connection, "hr", "m77", accounts=site.accounts).id

    site.run()

    assert ([{"msgid": "m77"}], state) == (site.bodies(RECALL), site.state(job))


@pytest.mark.parametrize(
    ("msgid", "sent_at", "field"),
    [
        ("", datetime(2026, 7, 1, tzinfo=UTC), "msgid"),
        ("m" * 513, datetime(2026, 7, 1, tzinfo=UTC), "msgid"),
        ("m1", datetime(2026, 7, 1), "sent_at"),
        ("m1", "2026-07-01", "sent_at"),
    ],
)
def test_a_recall_by_msgid_names_what_is_wrong(site: Site, msgid: str, sent_at: Any, field: str) -> None:
    """An empty or endless msgid, a time without its zone: refused at once, nothing is written."""
    with site.database.writing() as connection, pytest.raises(CheckFailed) as caught:
        recall_message(connection, "hr", msgid, sent_at=sent_at, accounts=site.accounts)

    assert [field] == [problem.field for problem in caught.value.problems]


def test_a_recall_goes_before_sends(site: Site) -> None:
    """It is urgent by default, and may be told otherwise."""
    job = site.send()

    assert [site.job(site.recall(job)).priority, site.job(site.recall(job, priority="normal")).priority] == [0, 1]


def test_a_recall_without_a_msgid_says_so(site: Site) -> None:
    """Accepted only by a repeat's 42014: taken, but nothing to name it by."""
    site.vendor.says(lost(), refused(42014))
    job = site.card()
    site.ring(job)
    site.advance(26)
    site.recover()
    site.ring(job)
    recall = site.recall(job)

    site.ring(recall)

    assert (site.state(job), site.state(recall)) == ("accepted", "rejected")
    assert "gave no msgid" in site.part(recall).reason


@pytest.mark.parametrize("said", [refused(40003), refused(81013)], ids=["rejected", "all refused"])
def test_a_recall_of_what_was_refused_has_nothing_to_do(site: Site, said: CallResult) -> None:
    """Nobody got it: accepted, not_sent, no call."""
    site.vendor.says(said)
    job = site.send()
    site.ring(job)
    recall = site.recall(job)

    site.ring(recall)

    assert (site.state(recall), site.calls(RECALL)) == ("accepted", [])


def test_a_recall_of_a_mixed_job_calls_what_it_can_and_names_the_rest(site: Site) -> None:
    """One part accepted, one in doubt: one call, one reason, the recall is partial."""
    site.vendor.says(lambda request: site.vendor.takes(request), lost())
    job = site.send(to=MANY)
    site.ring(job)
    recall = site.recall(job)

    site.run()

    assert (site.job(recall).state, site.job(recall).n_accepted, site.job(recall).n_rejected) == ("partial", 1, 1)
    assert site.bodies(RECALL) == [{"msgid": "m1"}]


RESENT = [
    pytest.param(lambda site: site.send(on_unknown="resend", duplicate_check=False), 26, "partial", id="unprotected"),
    pytest.param(lambda site: site.send(on_unknown="resend"), 5 * 3_600, "partial", id="after its window"),
    pytest.param(lambda site: site.send(on_unknown="resend"), 26, "accepted", id="inside its window"),
    pytest.param(lambda site: site.card(on_unknown="resend"), 26, "accepted", id="a card under its task_id"),
    pytest.param(lambda site: site.card(on_unknown="resend"), 5 * 3_600, "partial", id="a card, long afterwards"),
]


@pytest.mark.parametrize(("send", "after_s", "state"), RESENT)
def test_a_recall_of_what_was_resent_names_the_copy_in_doubt(
    site: Site, send: Callable[[Site], str], after_s: int, state: str
) -> None:
    """Where nothing makes a repeat one with the lost call, that call's message would stay: the recall is partial."""
    site.vendor.says(lost())
    job = send(site)
    site.ring(job)
    site.advance(after_s)
    site.recover()
    site.ring(job)
    recall = site.recall(job)

    site.run()

    assert ("accepted", state) == (site.state(job), site.job(recall).state)
    assert site.bodies(RECALL) == [{"msgid": "m1"}]
    assert (state == "partial") == any(
        "cannot be recalled" in (row.reason or "") for row in site.rows("select * from worker_parts")
    )


def test_a_second_recall_leaves_when_the_first_was(site: Site) -> None:
    """What is gone already is taken back once, at the time of the first recall."""
    job = site.send()
    site.run()
    site.recall(job)
    site.run()
    [first] = [row.recalled_at for row in site.of("receipts", job)]
    site.advance(60)

    second = site.recall(job)
    site.run()

    assert site.state(second) == "accepted"
    assert [first] == [row.recalled_at for row in site.of("receipts", job)]


def test_a_recall_of_a_job_that_is_gone_is_refused(site: Site) -> None:
    """Purged between enqueue and resolve."""
    job = site.send()
    recall = site.recall(job)
    site.sql("delete from worker_parts where job_id = :job", job=job)
    site.sql("delete from worker_jobs where id = :job", job=job)

    site.ring(recall)

    assert (
        site.state(recall),
        site.part(recall).reason,
    ) == ("rejected", "the job that it follows does not exist any more")


def test_a_late_answers_msgid_is_taken_back_too(site: Site) -> None:
    """Two receipts of one part are two msgids."""
    job = site.send()
    site.ring(job)
    site.sql(
        "insert into worker_receipts (part_id, claim, msgid, accepted_at, from_repeat, not_sent)"
        " values (:part, 2, 'm2', :now, false, false)",
        part=part_id(job, 0),
        now=site.clock.micros,
    )
    recall = site.recall(job)

    site.run()

    assert sorted(site.bodies(RECALL), key=str) == [{"msgid": "m1"}, {"msgid": "m2"}]
    assert site.job(recall).state == "accepted"


def test_two_senders_plan_one_recall_once(site: Site) -> None:
    """The second finds the plan of the first, and adds no parts of its own."""
    job = site.send(to=MANY)
    site.run()
    recall = site.recall(job)
    with site.database.reading() as connection:
        [first] = load_parts(connection, site.database.now, [part_id(recall, 0)])
        [second] = load_parts(connection, site.database.now, [part_id(recall, 0)])

    first, second = (
        site.runtime.follow_ups.recall(first, WecomApp(), an_account()),
        site.runtime.follow_ups.recall(second, WecomApp(), an_account()),
    )

    assert first == second
    assert site.job(recall).n_open == 2


def test_a_recall_somebody_else_moved_is_left_alone(site: Site) -> None:
    """It was loaded, then marked or parked by another: nothing is planned."""
    job = site.send()
    site.run()
    recall = site.recall(job)
    with site.database.reading() as connection:
        [part] = load_parts(connection, site.database.now, [part_id(recall, 0)])
    site.sql("update worker_parts set state = 1 where job_id = :job", job=recall)

    assert None is site.runtime.follow_ups.recall(part, WecomApp(), an_account())


def test_an_expired_recall_ends_while_it_waits(site: Site) -> None:
    """Its own expires_at ends the wait for a send that is in flight."""
    job = site.send()
    recall = site.recall(job, expires_at=timedelta(seconds=30))
    in_flight(site, job)
    site.ring(recall)

    site.advance(31)
    site.recover()

    assert site.state(recall) == "expired"


# -- card updates -----------------------------------------------------------------------------------------------------


def test_an_update_is_one_call_for_each_call_that_sent_the_card(site: Site) -> None:
    """1,500 recipients were two cards with a code each: two updates, each code spent once."""
    card = site.card(to=MANY)
    site.run()
    update = site.update(card)

    site.run()

    assert site.job(update).state == "accepted"
    assert sorted(body["response_code"] for body in site.bodies(UPDATE)) == ["code1", "code2"]
    assert [row.state for row in site.of("response_codes", card)] == ["spent", "spent"]


def test_an_update_for_one_person_calls_only_where_that_person_is(site: Site) -> None:
    """u1200 is in the second call's card; case does not count; the first code stays fresh."""
    card = site.card(to=MANY)
    site.run()
    update = site.update(card, to="U1200")

    site.run()

    assert site.bodies(UPDATE)[0]["userids"] == ["U1200"]
    assert {row.state for row in site.of("response_codes", card)} == {"fresh", "spent"}
    assert site.job(update).state == "accepted"


def test_an_update_for_a_stranger_is_refused(site: Site) -> None:
    """Nobody named was a recipient: said without a call and without spending a code."""
    card = site.card()
    site.ring(card)
    update = site.update(card, to="nobody")

    site.ring(update)

    assert (site.state(update), site.calls(UPDATE)) == ("rejected", [])
    assert "none of the named recipients" in site.part(update).reason


def test_an_update_waits_for_its_card_and_is_woken(site: Site) -> None:
    """Enqueued before the card went out: parked, then called with the code the card brought."""
    card = site.card()
    update = site.update(card)
    in_flight(site, card)
    site.ring(update)
    parked = site.part(update).waits_on

    answered(site, card, card=True)
    site.ring(update)

    assert (card, "accepted") == (parked, site.state(update))
    assert [body["response_code"] for body in site.bodies(UPDATE)] == ["code9"]


def test_an_update_of_a_card_that_was_never_sent_has_nothing_to_do(site: Site) -> None:
    """Cancelled before it went: accepted, not_sent."""
    card = site.card(due_at=timedelta(seconds=60))
    site.run()
    site.run()
    site.sql("update worker_parts set state = 8 where job_id = :job", job=card)
    update = site.update(card)

    site.ring(update)

    assert (site.state(update), [bool(row.not_sent) for row in site.of("receipts", update)]) == ("accepted", [True])


def test_an_update_of_a_card_that_brought_no_code_says_so(site: Site) -> None:
    """A card whose answer carried no response_code cannot be updated."""
    site.vendor.says(refused(0, "ok", msgid="m"))
    card = site.card()
    site.ring(card)
    update = site.update(card)

    site.ring(update)

    assert site.state(update) == "rejected"
    assert "brought no response_code" in site.part(update).reason


def test_an_update_of_a_card_in_doubt_waits_until_the_card_is_decided(site: Site) -> None:
    """Its repeat may still bring a code; held, there will be none, and the update ends with that reason."""
    site.vendor.says(*[lost()] * 20)
    card = site.card()
    site.ring(card)
    update = site.update(card)
    seen = set()

    for _ in range(40):
        site.ring(card)
        site.ring(update)
        seen.add((site.state(card), site.state(update)))
        site.advance(26)
        site.recover()

    assert (site.state(card), site.part(card).not_before) == ("unknown", None)
    assert ("unknown", "queued") in seen
    assert site.state(update) == "rejected"
    assert "brought no response_code" in site.part(update).reason


def test_an_update_at_its_codes_end_is_refused(site: Site) -> None:
    """72 hours less the call's deadline."""
    card = site.card()
    site.ring(card)
    site.advance(3 * DAY - 20)
    update = site.update(card)

    site.ring(update)

    assert (site.state(update), site.calls(UPDATE)) == ("rejected", [])


# -- waiting ----------------------------------------------------------------------------------------------------------


def test_who_waits_for_what_was_never_marked_waits_without_a_deadline(site: Site) -> None:
    """A card for next week: the update waits for it, however long."""
    card = site.card(due_at=timedelta(days=7))
    update = site.update(card)
    site.ring(update)

    site.advance(6 * DAY)
    site.recover()
    waiting = site.part(update).waits_on
    site.advance(DAY + 1)
    site.run()

    assert (card, "accepted") == (waiting, site.state(update))


def test_who_waits_looks_again_before_the_vendors_time_is_over(site: Site) -> None:
    """A wake-up that never came costs a day at most, not for ever."""
    job = site.send()
    in_flight(site, job)
    recall = site.recall(job)
    site.ring(recall)
    first = site.clock.micros
    until = site.part(recall).not_before
    site.sql("update worker_jobs set awaited = false")
    answered(site, job)

    site.advance(DAY - 20)
    site.recover()
    site.ring(recall)

    assert first + (DAY - 20) * SECOND == until
    assert site.state(recall) == "accepted"


def test_looking_again_with_the_send_still_in_flight_does_not_spin(site: Site) -> None:
    """The next look is a call's deadline away."""
    job = site.send()
    in_flight(site, job)
    recall = site.recall(job)
    site.advance(2 * DAY)

    site.ring(recall)

    assert (job, site.clock.micros + 20 * SECOND) == (site.part(recall).waits_on, site.part(recall).not_before)


def test_a_wake_up_is_not_lost_to_a_sender_between_look_and_lock(site: Site) -> None:
    """The send ends after resolve has looked, before it parks: under the lock it looks again and does not park."""
    job = site.send()
    recall = site.recall(job)
    in_flight(site, job)
    planned = site.runtime.follow_ups.planned_part

    def late(*given: Any, **options: Any) -> Resolved:
        answered(site, job)
        return planned(*given, **options)

    site.runtime.follow_ups.planned_part = late  # type: ignore[method-assign]

    site.ring(recall)

    assert site.state(recall) == "accepted"
