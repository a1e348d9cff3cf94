"""The group commit: marks by compare-and-set, results matched on part, claim and incarnation, counters."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.noise import plain
from tests.support.runtime import Site, planted
from tests.support.waiting import until_waiting
from worker import To, timeline
from worker.domain import settle
from worker.domain.job import part_id
from worker.domain.outcome import Accepted, CallReceipt, Outcome, Partial, Refusal, Rejected, Retry, Unknown, Verdict
from worker.domain.pacing.lane import LaneBlock
from worker.domain.settle import Policy
from worker.outbox.commit.commands import CallEnd, Change, CommitResult, Item, Mark, MarkedCall, Tries, unless_changed
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.jobs.loading import load_parts

SECOND = 1_000_000
CHECKED = {"window_id": "w", "window_us": 4 * 3_600 * SECOND, "body": "{}"}
POLICY = Policy()
OK = Accepted(CallReceipt("m1"))
OF_DOUBTS = pytest.mark.fewer_databases("what becomes of a doubt is decided in Python")


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def do(site: Site, *items: Item, tries: Tries | None = None) -> CommitResult:
    return commit(site.database, items, POLICY, tries)


def calls(site: Site, *items: Item) -> list[int]:
    """The numbers of the calls that the marks among the items allow, all committed together."""
    done = do(site, *items).calls
    return [done[item].number if item in done else 0 for item in items if isinstance(item, Mark)]


def a_mark(job: str, claim: int = 0, who: str = "p1", n: int = 0, **fields: Any) -> Mark:
    return Mark(part_id(job, n), claim, who, 20 * SECOND, **fields)


def an_end(job: str, outcome: Outcome = OK, claim: int = 1, who: str = "p1", n: int = 0, **fields: Any) -> CallEnd:
    errcode = fields.pop("errcode", 0)
    verdict = Verdict(outcome, errcode, "said", "h1", "1.2.3.4")
    http_status = None if fields.get("nothing_sent") else 200
    return CallEnd(part_id(job, n), claim, who, verdict, 15, http_status=http_status, **fields)


def counters(site: Site, job: str) -> dict[str, int]:
    row = site.job(job)
    return {name[2:]: value for name, value in vars(row).items() if name.startswith("n_") and value}


# -- marks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("whose", ["p2", "p1"], ids=["another process", "another thread"])
def test_two_senders_mark_one_part_and_one_wins(site: Site, whose: str) -> None:
    """The mark is the claim: who read the part before somebody else marked it has lost, also in the same process."""
    job = site.send()

    first, second = calls(site, a_mark(job, who="p1")), calls(site, a_mark(job, who=whose))

    assert (first, second) == ([1], [0])
    assert (site.state(job), site.part(job).claim, site.part(job).incarnation) == ("sending", 1, "p1")


def test_two_marks_of_one_part_in_one_batch_give_one_claim(site: Site) -> None:
    """Two senders of a process with the same id: one calls."""
    job = site.send()

    done = calls(site, a_mark(job, who="p1"), a_mark(job, who="p2"))

    assert done == [1, 0]
    assert site.part(job).claim == 1


def test_a_mark_whose_answer_was_lost_is_confirmed_by_its_own_row(site: Site) -> None:
    """The same batch again finds its claim and incarnation on the row: confirmed, and nothing changes."""
    job = site.send()
    mark, tries = a_mark(job, window_id="w", window_us=4 * 3_600 * SECOND, body="{}"), Tries()
    first = do(site, mark, tries=tries).calls
    before = site.part(job)

    again = do(site, mark, tries=tries).calls

    assert first == again == {mark: MarkedCall(1, flagged=True)}
    assert vars(before) == vars(site.part(job))
    assert len(site.of("bodies", job)) == 1


@pytest.mark.parametrize(
    "column", ["state = 6", "state = 0", "incarnation = 'p2'", "claim = 2"], ids=["unknown", "queued", "other", "again"]
)
def test_a_mark_that_was_tried_is_confirmed_by_no_other(site: Site, column: str) -> None:
    """It was rolled back, or is over: a call would have no mark of its own."""
    job = site.send()
    mark, tries = a_mark(job), Tries()
    do(site, mark, tries=tries)
    site.sql(f"update worker_parts set {column}")

    assert do(site, mark, tries=tries).calls == {}


def test_a_change_whose_answer_was_lost_is_not_made_twice(site: Site) -> None:
    """The same batch again finds what it has written: a failure counts as one of the part's tries."""
    job = site.send()
    with site.database.reading() as connection:
        [part] = load_parts(connection, site.database.now, [part_id(job, 0)])
    failed = unless_changed(part, lambda row, now: settle.try_again(row, "no file", now, 30.0, POLICY))
    do(site, failed)
    before = site.part(job)
    site.advance(10)

    do(site, failed)

    assert vars(before) == vars(site.part(job))
    assert before.tries == 1


def test_a_mark_never_touches_the_job(site: Site) -> None:
    """Queued and sending are both open: no job row is locked or written for a mark."""
    job = site.send()
    before = site.job(job)

    do(site, a_mark(job))

    assert vars(before) == vars(site.job(job))


def test_an_expired_part_is_not_marked_and_ends_there(site: Site, driven_clock: DrivenClock) -> None:
    """Past its expires_at nothing leaves, whoever still holds its id."""
    job = site.send(expires_at=timedelta(seconds=60))
    driven_clock.advance(60)

    done = calls(site, a_mark(job))

    assert done == [0]
    assert (site.state(job), site.job(job).state, site.part(job).claim) == ("expired", "expired", 0)


def test_a_part_that_does_not_exist_is_nobodys(site: Site) -> None:
    """Never committed, or purged while its call was in flight: nothing is written, the others of the batch are."""
    job = site.send()

    marked = calls(site, a_mark("f" * 32), a_mark(job))
    do(site, an_end("f" * 32), an_end(job))

    assert (marked, site.state(job)) == ([0, 1], "accepted")
    assert site.of("attempts", "f" * 32) == []


def test_a_parked_part_is_not_marked(site: Site) -> None:
    """What waits on another job does not go, even with its id in somebody's hand."""
    job, other = site.send(), site.send("other")
    do(site, Change(part_id(job, 0), lambda part, now: settle.wait_for_job(part, other, now, "waits")))

    assert calls(site, a_mark(job)) == [0]


def test_ends_come_before_marks_whatever_their_order_in_the_batch(site: Site) -> None:
    """A sender's record is in the same or an earlier transaction than its next mark, and is seen by it."""
    job, other = site.send("one"), site.send("two")
    do(site, a_mark(job))

    done = calls(site, a_mark(other), a_mark(job, claim=1), an_end(job, Retry("again")))

    assert done == [1, 2]
    assert (site.state(job), site.part(job).claim, site.part(job).tries) == ("sending", 2, 1)


# -- ends -------------------------------------------------------------------------------------------------------------


def test_an_end_writes_attempt_receipt_and_job_in_one_go(site: Site, driven_clock: DrivenClock) -> None:
    """After the commit everything the vendor said is there, and the job's state with it."""
    job = site.send()
    do(site, a_mark(job))
    driven_clock.advance(2)

    done = do(site, an_end(job, Accepted(CallReceipt("m7", warning="look"))))

    [attempt], [receipt] = site.of("attempts", job), site.of("receipts", job)
    assert (
        attempt.outcome,
        bool(attempt.doubtful),
        attempt.errcode,
        attempt.errmsg,
        attempt.hint,
        attempt.caller_ip,
        attempt.http_status,
        attempt.duration_ms,
    ) == ("accepted", False, 0, "said", "h1", "1.2.3.4", 200, 15)
    assert (driven_clock.micros - 2 * SECOND, driven_clock.micros) == (attempt.started_at, attempt.ended_at)
    assert ("m7", "look", driven_clock.micros) == (receipt.msgid, receipt.warning, receipt.accepted_at)
    assert ("accepted", driven_clock.micros) == (site.job(job).state, site.job(job).finished_at)
    assert [(said.state.label, said.text) for said in done.job_updates if said.state] == [("accepted", "accepted")]


def test_an_end_repeated_changes_nothing(site: Site) -> None:
    """A commit whose answer was lost is made again: counters, receipts and attempts stand as before."""
    job = site.send()
    do(site, a_mark(job))
    end = an_end(job, Partial(CallReceipt("m1"), (Refusal("Ghost", "user", "invaliduser"),)))
    do(site, end)
    before = (vars(site.job(job)), vars(site.part(job)), site.of("attempts", job), site.of("failures", job))

    done = do(site, end)

    assert before == (vars(site.job(job)), vars(site.part(job)), site.of("attempts", job), site.of("failures", job))
    assert done.job_updates == []


@pytest.mark.parametrize(("claim", "who"), [(2, "p1"), (0, "p1"), (1, "p2")], ids=["newer", "older", "another"])
def test_an_end_of_another_claim_or_incarnation_is_not_this_calls(site: Site, claim: int, who: str) -> None:
    """Results match on part, claim and incarnation; what fits nothing is not believed."""
    job = site.send()
    do(site, a_mark(job))

    do(site, an_end(job, claim=claim, who=who))

    assert (site.state(job), site.of("receipts", job)) == ("sending", [])


def test_the_refused_are_named_once_in_the_callers_spelling(site: Site) -> None:
    """A failure is unique per part and recipient without regard to case."""
    job = site.send(to=To("lisi|Ghost"))
    do(site, a_mark(job))
    refusals = (Refusal("Ghost", "user", "invaliduser"), Refusal("ghost", "user", "invaliduser"))

    done = do(
        site, an_end(job, Partial(CallReceipt("m1"), refusals[:1])), an_end(job, Partial(CallReceipt("m1"), refusals))
    )

    [failure] = site.of("failures", job)
    assert (failure.recipient, failure.recipient_key, failure.errcode) == ("Ghost", "ghost", 0)
    assert [said.text for said in done.job_updates] == ["partial, 1 refused"]


def test_an_answer_that_leaves_some_open_names_the_others_and_is_held(site: Site) -> None:
    """Who is named is a failure although the part is unknown; no policy for lost answers will act on it."""
    job = site.send(to=To("lisi|Ghost"))
    do(site, a_mark(job))
    outcome = Unknown("some may have it", (Refusal("Ghost", "user", "errmsg"),), held=True)

    do(site, an_end(job, outcome), an_end(job, outcome))

    part = site.part(job)
    assert (part.state, part.doubts, part.not_before) == ("unknown", 1, None)
    assert [failure.recipient for failure in site.of("failures", job)] == ["Ghost"]
    assert [(row.outcome, bool(row.doubtful)) for row in site.of("attempts", job)] == [("unknown", True)]


def test_a_refusal_beside_an_older_doubt_names_nobody(site: Site) -> None:
    """The call in doubt may have reached them: they are unknown, and not among the failures."""
    job = site.send(to=To("lisi|Ghost"))
    do(site, a_mark(job))
    do(site, an_end(job, Unknown("cut")))
    do(site, Change(f"{job}-0", settle.repeat))
    do(site, a_mark(job, claim=1, may_resend=True))

    do(site, an_end(job, Rejected("81013", (Refusal("Ghost", "user", "invaliduser"),)), claim=2))

    assert (site.state(job), site.of("failures", job)) == ("unknown", [])


def test_counters_move_by_what_moved_and_the_jobs_state_follows_each_batch(site: Site) -> None:
    """New minus old of the moved rows only; after every batch the job's state is that of its counters."""
    job = site.send(to=To([f"u{n}" for n in range(2_500)]))
    seen = [(site.job(job).state, counters(site, job))]

    do(site, a_mark(job), a_mark(job, n=1), a_mark(job, n=2))
    seen.append((site.job(job).state, counters(site, job)))
    do(site, an_end(job), an_end(job, Unknown("cut"), n=1))
    seen.append((site.job(job).state, counters(site, job)))
    do(site, an_end(job, Rejected("40003"), n=2))
    seen.append((site.job(job).state, counters(site, job)))
    do(site, an_end(job, Accepted(CallReceipt("m2")), n=1))
    seen.append((site.job(job).state, counters(site, job)))

    assert seen == [
        ("open", {"open": 3}),
        ("open", {"open": 3}),
        ("open", {"open": 1, "accepted": 1, "unknown": 1}),
        ("unknown", {"accepted": 1, "unknown": 1, "rejected": 1}),
        ("partial", {"accepted": 2, "rejected": 1}),
    ]


def test_a_job_that_reopens_is_not_finished(site: Site) -> None:
    """finished_at is null while a part is open, also when an unknown is queued for its repeat."""
    job = site.send()
    do(site, a_mark(job))
    do(site, an_end(job, Unknown("cut")))
    finished = site.job(job).finished_at

    do(site, Change(part_id(job, 0), lambda part, now: settle.repeat(part, now)))

    assert finished is not None
    assert (site.job(job).finished_at, site.job(job).state) == (None, "open")


def test_a_waiting_part_is_told_of_and_an_unchanged_one_is_not(site: Site) -> None:
    """Watchers hear that a job's part waits and why; a change that changes nothing is silent and writes nothing."""
    job = site.send()
    do(site, a_mark(job))

    waits = do(site, an_end(job, Retry("6000 conflict")))
    nothing = do(site, Change(part_id(job, 0), lambda part, now: None), Change("f" * 32 + "-0", lambda part, now: None))

    assert [(said.state, plain(said.text)) for said in waits.job_updates] == [(None, "0 s: 6000 conflict")]
    assert nothing.job_updates == []


def test_a_part_that_waits_by_itself_is_told_of_with_its_seconds(site: Site) -> None:
    """Where its lane is blocked for longer, that is how long it waits."""
    job, behind = site.send(), site.send()
    do(site, a_mark(job), a_mark(behind))
    block = LaneBlock("hr:x", "send text", 60.0, "45009")

    alone = do(site, an_end(job, Retry("-1"), delay_s=5.0))
    blocked = do(site, an_end(behind, Retry("-1"), delay_s=5.0, lane_changes=(block,)))

    assert [plain(said.text) for done in (alone, blocked) for said in done.job_updates] == ["5 s: -1", "60 s: -1"]


def test_a_block_is_written_with_the_result_that_caused_it(site: Site, driven_clock: DrivenClock) -> None:
    """45009 stands on the lane in the same transaction as the attempt that heard it."""
    job = site.send()
    do(site, a_mark(job))

    do(site, an_end(job, Retry("x"), lane_changes=(LaneBlock("hr:x", "send text", 60.0, "45009"),)))

    lane = site.lane("hr:x")
    assert lane is not None
    assert (driven_clock.micros + 60 * SECOND, "45009", False) == (lane.blocked_until, lane.reason, bool(lane.parked))


# -- late answers -----------------------------------------------------------------------------------------------------


def died(part: settle.PartFacts, now: int) -> None:
    settle.doubt(part, "died", POLICY)


def test_a_late_answer_counts_for_its_own_attempt(site: Site) -> None:
    """The process was called dead, but its answer was there: it is in the receipt, and the attempt in doubt no more."""
    job = site.send()
    do(site, a_mark(job))
    do(site, Change(part_id(job, 0), died, attempt_reason="died"))
    state = site.job(job).state

    do(site, an_end(job))

    assert state == "unknown"
    assert (site.state(job), site.part(job).doubts, site.job(job).state) == ("accepted", 0, "accepted")
    assert [(row.outcome, row.reason, bool(row.doubtful), row.errcode) for row in site.of("attempts", job)] == [
        ("unknown", "died", False, 0)
    ]
    assert [row.msgid for row in site.of("receipts", job)] == ["m1"]


def test_a_late_answer_clears_no_other_attempts_doubt(site: Site) -> None:
    """Two calls in doubt, the first one refused after all, however often it is said: the second may still have reached
    the vendor."""
    job = site.send()
    do(site, a_mark(job))
    do(site, Change(part_id(job, 0), died, attempt_reason="died"))
    do(site, Change(part_id(job, 0), lambda part, now: settle.repeat(part, now)))
    do(site, a_mark(job, claim=1, who="p2"))
    do(site, an_end(job, Unknown("cut"), claim=2, who="p2"))

    for _ in range(2):
        do(site, an_end(job, Rejected("40003"), claim=1))

    assert (site.state(job), site.part(job).doubts) == ("unknown", 1)
    assert [bool(row.doubtful) for row in site.of("attempts", job)] == [False, True]


@pytest.mark.parametrize(
    ("outcome", "msgids", "doubts"),
    [(Accepted(CallReceipt("m2")), ["m1", "m2"], 0), (Unknown("cut"), ["m1"], 1)],
    ids=["accepted", "no answer"],
)
def test_the_end_of_a_call_in_flight_is_kept_when_a_late_answer_ended_its_part(
    site: Site, outcome: Accepted | Unknown, msgids: list[str], doubts: int
) -> None:
    """Both msgids are needed to take both back, and a recall has to say where the second one is missing."""
    job = site.send()
    do(site, a_mark(job))
    do(site, Change(part_id(job, 0), died, attempt_reason="died"))
    do(site, Change(part_id(job, 0), lambda part, now: settle.repeat(part, now)))
    do(site, a_mark(job, claim=1, who="p2"))

    do(site, an_end(job, claim=1))
    for _ in range(2):  # as by a commit that is repeated
        do(site, an_end(job, outcome, claim=2, who="p2"))

    assert ("accepted", doubts) == (site.state(job), site.part(job).doubts)
    assert msgids == [row.msgid for row in site.of("receipts", job)]
    assert [(1, 0), (2, doubts)] == [(row.claim, row.doubtful) for row in site.of("attempts", job)]


def checked_calls(site: Site, count: int = 2) -> str:
    """A job in its last call of so many, which all request the duplicate check; each before it lost its process."""
    job = site.send()
    for claim in range(count):
        if claim:
            do(site, Change(part_id(job, 0), died, attempt_reason="died"))
            do(site, Change(part_id(job, 0), lambda part, now: settle.repeat(part, now)))
        do(site, a_mark(job, claim=claim, who=f"p{claim + 1}", **CHECKED | {"window_id": job}))
        assert site.part(job).flagged
    return job


def a_checked_end(job: str, claim: int, outcome: Outcome, **fields: Any) -> CallEnd:
    return an_end(job, outcome, claim=claim, who=f"p{claim}", flagged=True, **fields)


NO_MSGID = Accepted(CallReceipt(warning="no msgid"))
NOT_SENT: dict[str, Any] = {"outcome": Retry("deadline"), "nothing_sent": True}
NOBODY = Rejected("81013", refusals=(Refusal("lisi", "user", "invaliduser"),), ends_doubt=True)


@OF_DOUBTS
@pytest.mark.parametrize("late", [Retry("45033"), NOBODY], ids=["again later", "rejected"])
@pytest.mark.parametrize("together", [False, True], ids=["two commits", "one commit"])
@pytest.mark.parametrize("calls", [2, 3])
def test_a_repeat_is_no_proof_once_a_call_before_turns_out_to_be_refused(
    site: Site, late: Outcome, together: bool, calls: int
) -> None:
    """The vendor may count what it refuses: then the repeat, which asked for the duplicate check, reached nobody.

    So also where the commit's answer is lost and it comes again. Of a third call nobody knows more.
    """
    job = checked_calls(site, calls)

    for _ in range(2):
        items = [a_checked_end(job, calls - 1, late), a_checked_end(job, calls, OK)]
        for batch in (items,) if together else ([item] for item in items):
            do(site, *batch)

    assert ("unknown", settle.SWALLOWED, calls - 1) == (site.state(job), site.part(job).reason, site.part(job).doubts)
    assert [*[True] * (calls - 2), False, True] == [bool(row.doubtful) for row in site.of("attempts", job)]
    assert [site.of("receipts", job), site.of("failures", job)] == [[], []]


@OF_DOUBTS
def test_a_late_acceptance_of_a_repeat_is_no_proof_either(site: Site) -> None:
    """Both processes counted as dead when the answers came, that of the refused call first."""
    job = checked_calls(site)
    do(site, Change(part_id(job, 0), died, attempt_reason="died"))

    do(site, a_checked_end(job, 1, Retry("45033")))
    do(site, a_checked_end(job, 2, OK))

    assert (site.state(job), site.part(job).doubts) == ("unknown", 1)


@OF_DOUBTS
@pytest.mark.parametrize("together", [False, True], ids=["two commits", "one commit"])
def test_a_repeat_is_proof_if_the_call_before_turns_out_to_be_unsent(site: Site, together: bool) -> None:
    """A process that slept past its call's deadline says so when it wakes: the vendor knows of one call alone."""
    job = checked_calls(site)

    items = [a_checked_end(job, 1, **NOT_SENT), a_checked_end(job, 2, OK)]
    for batch in (items,) if together else ([item] for item in items):
        do(site, *batch)

    assert (site.state(job), site.part(job).doubts, site.part(job).unheard) == ("accepted", 0, 1)
    assert [row.warning for row in site.of("receipts", job)] == [None]


@OF_DOUBTS
def test_whether_a_repeat_is_proof_is_no_matter_of_another_part(site: Site) -> None:
    """Of which the first call was accepted in the same commit."""
    job, other = checked_calls(site), site.send("another")
    do(site, a_mark(other), a_checked_end(job, 1, Retry("45033")))

    do(site, an_end(other, OK), a_checked_end(job, 2, OK))

    assert ("accepted", "unknown", settle.SWALLOWED) == (site.state(other), site.state(job), site.part(job).reason)


@OF_DOUBTS
@pytest.mark.parametrize("together", [False, True], ids=["two commits", "one commit"])
@pytest.mark.parametrize(
    ("late", "warning"),
    [
        ({"outcome": Retry("45033")}, f"no msgid; {settle.SWALLOWED}"),
        ({"outcome": NOBODY}, f"no msgid; {settle.SWALLOWED}"),
        ({"outcome": OK}, "no msgid"),
        (NOT_SENT, "no msgid"),
    ],
    ids=["retry", "rejected", "accepted", "unsent"],
)
def test_the_receipt_of_a_repeat_warns_once_the_first_call_turns_out_to_be_refused(
    site: Site, late: dict[str, Any], warning: str, together: bool
) -> None:
    """The repeat that was accepted stays so, and is no longer a proof that anybody has the message."""
    job = checked_calls(site)

    items = [a_checked_end(job, 2, NO_MSGID), a_checked_end(job, 1, **late)]
    for batch in (items,) if together else ([item] for item in items):
        do(site, *batch)

    assert (site.state(job), site.part(job).doubts) == ("accepted", 0)
    assert {2: warning} == {row.claim: row.warning for row in site.of("receipts", job) if row.claim == 2}
    assert site.of("failures", job) == []


def test_a_receipt_warns_once_and_not_where_an_earlier_call_is_proof(site: Site) -> None:
    """However many of the calls before it were refused; and what a person confirmed was no answer of the vendor."""
    twice, proved, confirmed = checked_calls(site, 3), checked_calls(site, 3), checked_calls(site)
    do(site, a_checked_end(twice, 3, OK), a_checked_end(proved, 3, OK), a_checked_end(proved, 1, OK))
    person = CallReceipt(warning="sent, confirmed by a person")
    do(site, Change(part_id(confirmed, 0), died, attempt_reason="died"))
    word = Change(
        part_id(confirmed, 0),
        lambda part, now: settle.apply_decision(part, "he asked", sent=True),
        receipt=person,
        receipt_claim=2,
    )
    do(site, word)

    do(site, *(a_checked_end(twice, claim, Retry("45033")) for claim in (1, 2)))
    do(site, a_checked_end(proved, 2, Retry("45033")), a_checked_end(confirmed, 1, Retry("45033")))

    assert [settle.SWALLOWED] == [row.warning for row in site.of("receipts", twice)]
    assert [row.warning for row in site.of("receipts", proved)] == [None, None]
    assert [row.warning for row in site.of("receipts", confirmed)] == ["sent, confirmed by a person"]


def test_an_acceptance_after_the_end_warns_where_it_is_no_proof(site: Site) -> None:
    """A person ended the part, so it stays accepted."""
    job = checked_calls(site)
    do(site, Change(part_id(job, 0), died, attempt_reason="died"))
    do(site, a_checked_end(job, 1, Retry("45033")))
    do(site, Change(part_id(job, 0), lambda part, now: settle.apply_decision(part, "he asked", sent=True)))

    do(site, a_checked_end(job, 2, NO_MSGID))

    assert site.state(job) == "accepted"
    assert [f"no msgid; {settle.SWALLOWED}"] == [row.warning for row in site.of("receipts", job)]


def test_a_late_answer_keeps_when_its_attempt_was_marked(site: Site, driven_clock: DrivenClock) -> None:
    """started_at is the mark, also when the answer is written down minutes later."""
    job = site.send()
    marked_at = driven_clock.micros
    do(site, a_mark(job))
    driven_clock.advance(30)
    do(site, Change(part_id(job, 0), died, attempt_reason="died"))
    driven_clock.advance(30)

    do(site, an_end(job))

    assert [marked_at] == [row.started_at for row in site.of("attempts", job)]


def by_a_repeat(site: Site, job: str) -> None:
    do(site, Change(part_id(job, 0), lambda part, now: settle.repeat(part, now)))
    do(site, a_mark(job, claim=1))
    do(site, an_end(job, claim=2))


def by_a_late_answer(site: Site, job: str) -> None:
    do(site, an_end(job))


@OF_DOUBTS
@pytest.mark.parametrize("settled", [by_a_repeat, by_a_late_answer])
def test_a_call_in_doubt_stays_in_the_timeline(
    site: Site, driven_clock: DrivenClock, settled: Callable[[Site, str], None]
) -> None:
    """Of a job that was unknown and is accepted by now: the doubt at its own time, and the end that it has now."""
    job = site.send()
    do(site, a_mark(job))
    driven_clock.advance(30)
    do(site, an_end(job, Unknown("cut")))
    before = told(site, job)
    driven_clock.advance(30)

    settled(site, job)

    after = told(site, job)
    assert before[-1][1:] == ("ended", "unknown: cut")
    assert after[-1][1:] == ("ended", "accepted")
    assert (before[-1][0], "unknown") in {event[:2] for event in after}
    assert before[-1][0] + timedelta(seconds=30) == after[-1][0]


def told(site: Site, job: str) -> list[tuple[datetime, str, str]]:
    with site.database.reading() as connection:
        return [(event.at, event.what, plain(event.detail)) for event in timeline(connection, job)]


# -- dependants -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [OK, Retry("busy")], ids=["ended", "queued again"])
def test_whoever_waits_on_a_job_is_due_when_it_moves(site: Site, outcome: Outcome) -> None:
    """The job's row is written and who is parked on it is woken, in one transaction; once. A send that comes back to
    the queue can be stopped now, so whoever waits for it must look."""
    job, other = site.send(), site.send("other")
    do(site, a_mark(job))
    do(site, Change(part_id(other, 0), lambda part, now: settle.wait_for_job(part, job, 2**62, "waits")))
    site.sql("update worker_jobs set awaited = true where id = :id", id=job)

    do(site, an_end(job, outcome, delay_s=60.0))

    assert (site.part(other).waits_on, site.part(other).offered_until) == (None, None)
    assert site.part(other).not_before <= site.clock.micros
    assert not site.job(job).awaited


def test_whoever_waits_on_an_unknown_hears_that_it_is_held(site: Site) -> None:
    """Held is no change of state, but nothing more will happen: who waits must look now."""
    job, other = site.send(), site.send("other")
    do(site, a_mark(job))
    do(site, an_end(job, Unknown("cut")))
    do(site, Change(part_id(other, 0), lambda part, now: settle.wait_for_job(part, job, 2**62, "waits")))
    site.sql("update worker_jobs set awaited = true where id = :id", id=job)

    do(site, Change(part_id(job, 0), lambda part, now: settle.hold(part, "held")))

    assert None is site.part(other).waits_on


@pytest.mark.fewer_databases("on SQLite one transaction writes at a time")
def test_a_mark_carries_the_instant_at_which_its_row_was_its_own(server_database: Database) -> None:
    """The clock is read under the lock: a mark that waited for its row is not older than the wait."""
    with planted(server_database, DrivenClock()) as site:
        job = site.send()
        done: list[list[int]] = []
        thread = threading.Thread(target=lambda: done.append(calls(site, a_mark(job))))
        with server_database.writing() as holder:
            holder.execute(text("select id from worker_parts for update"))
            thread.start()
            until_waiting(server_database)
            waited_until = server_database.read_now() + 1_000
            while server_database.read_now() < waited_until:
                pass
        thread.join(120)

        assert done == [[1]]
        assert waited_until <= site.part(job).marked_at
