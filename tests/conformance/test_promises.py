"""Every promise of the worker, asked of every channel, against its own vendor."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from tests.conformance.case import calls, faults
from tests.conformance.conftest import OTHER, OWN, TIGHT, Stand
from tests.conformance.exceptions import EXCEPTIONS
from tests.conformance.test_states import counts
from worker import CheckFailed, enqueue
from worker.channels.registry import channel
from worker.domain.job import part_id
from worker.domain.settle import Policy
from worker.outbox.commit.commands import Mark
from worker.outbox.commit.group_commit import commit
from worker.outbox.lanes.processes import renew_heartbeat

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")


def test_one_truth(stand: Stand) -> None:
    """The broker holds ids alone and may be flushed: the parts that were in it are offered again, and sent once."""
    job = stand.send()
    stand.site.runtime.lease.beat()
    stand.site.relay.lead()
    stand.site.relay.turn()
    rung = [id_ for ring in stand.site.rings for id_ in ring.ids]
    stand.site.rings.clear()
    stand.site.advance(61)
    stand.site.run()

    assert [f"{job}-0"] == rung
    assert stand.site.state(job) == "accepted"
    assert len(stand.seen()) == 1


def test_commit_means_sent_and_rollback_never(stand: Stand) -> None:
    """A job is there, and is sent, only if the transaction that enqueued it is committed."""
    message, to = stand.case.send(0)
    with stand.site.database.engine.connect() as connection:
        enqueue(connection, OWN, message, to, accounts=stand.site.accounts)
        connection.rollback()
    stand.site.run()
    before = calls(stand.url, stand.case.path)
    stand.send(1)
    stand.site.run()

    assert before == []
    assert len(stand.seen()) == 1


@pytest.mark.parametrize("fault", [{"cut_request_after": 20}, {"reset_response_after": 0}, {"status": 502}])
def test_nothing_is_lost_or_sent_twice_in_silence(stand: Stand, fault: dict[str, Any]) -> None:
    """Whatever byte a call is cut at, its message is seen at most once, and a job not accepted is in doubt."""
    faults(stand.url, stand.case.path, fault)
    job = stand.send()
    for _ in range(6):
        stand.site.run()
        stand.site.advance(40)
        stand.site.recover()
    seen = stand.seen()

    assert len(seen) <= 1
    assert stand.site.state(job) == "unknown" or (stand.site.state(job), len(seen)) == ("accepted", 1)


def test_a_worker_that_dies_after_its_mark_leaves_a_doubt(stand: Stand) -> None:
    """The marked part of a dead process is in doubt, and the channel's rule decides what becomes of it."""
    job = stand.send()
    with stand.site.database.writing() as connection:
        now = stand.site.database.now
        renew_heartbeat(connection, now, "dead", lease_us=10_000_000, threads=4, host="h", pid=1, lanes="{}")
    commit(stand.site.database, [Mark(part_id(job, 0), 0, "dead", 20_000_000)], Policy())
    for _ in range(60):
        stand.site.advance(1)
        stand.site.recover()
    for _ in range(4):  # a search of the vendor's list has pauses
        stand.site.run()
        stand.site.advance(130)

    attempts = [attempt.outcome for attempt in stand.site.of("attempts", job)]
    assert attempts[0] == "unknown"
    assert stand.site.state(job) in ("unknown", "accepted")
    assert ("accepted" in attempts) == (stand.site.state(job) == "accepted")


def test_limits_are_kept(stand: Stand) -> None:
    """With a limit of two a minute the third and fourth message wait for the next minute, and all are sent."""
    jobs = [stand.send(n, TIGHT) for n in range(4)]
    stand.site.run()
    at_once = len(calls(stand.url, stand.case.path))
    for _ in range(8):
        stand.site.advance(16)
        stand.site.run()

    assert at_once == 2
    assert [stand.site.state(job) for job in jobs] == ["accepted"] * 4


def test_nobody_waits_for_a_parked_account(stand: Stand) -> None:
    """An account that waits for an operator keeps its backlog, and another account goes on."""
    faults(stand.url, stand.case.path, {"answer": stand.case.parks})
    first = stand.send(0)
    stand.site.run()
    more = [stand.send(1), stand.send(2)]
    others = [stand.send(n, OTHER) for n in (3, 4)]
    stand.site.run()
    parked = [stand.site.state(job) for job in (first, *more)]
    stand.site.advance(700)
    stand.site.run()

    assert parked == ["queued"] * 3
    assert [stand.site.state(job) for job in others] == ["accepted"] * 2
    assert [stand.site.state(job) for job in (first, *more)] == ["accepted"] * 3


def test_the_recipients_add_up_at_every_moment(stand: Stand) -> None:
    """While a part is queued, in doubt and accepted, the counts of recipients add up to those asked for."""
    faults(stand.url, stand.case.path, {"reset_response_after": 0})
    job = stand.send()
    moments = [counts(stand, job)]
    for _ in range(4):
        stand.site.run()
        moments.append(counts(stand, job))
        stand.site.advance(40)
        stand.site.recover()

    assert moments[0] == {"asked": 1, "waiting": 1}
    assert {"asked": 1, "unknown": 1} in moments
    for moment in moments:
        assert moment["asked"] == sum(moment.values()) - moment["asked"]


def test_a_send_can_be_taken_back(stand: Stand) -> None:
    """A recall days later finds every id behind the job."""
    job = stand.send()
    stand.site.run()
    taken_back = stand.site.recall(job)
    stand.site.run()

    assert stand.site.state(taken_back) == "accepted"
    assert [receipt.recalled_at is not None for receipt in stand.site.of("receipts", job)] == [True]


def test_a_card_can_be_updated_once_for_each_code(stand: Stand) -> None:
    """A card's response_code is found and spent once."""
    assert stand.case.cards is not None
    job = stand.ask(stand.case.cards())
    stand.site.run()
    first, second = stand.site.update(job), stand.site.update(job)
    stand.site.run()

    assert sorted([stand.site.state(first), stand.site.state(second)]) == ["accepted", "rejected"]


def test_a_follow_up_that_can_never_be_is_refused_when_it_is_asked_for(stand: Stand) -> None:
    """The refusal gives the vendor's reason and stores nothing; a follow-up that the channel can do is taken."""
    job = stand.send()
    stand.site.run()
    before = stand.site.rows("select count(*) as n from worker_jobs")[0].n
    wanted = {"recall": stand.site.recall, "update_card": stand.site.update}
    problems = {kind: channel(stand.case.channel).follow_up_problem(kind, "send") for kind in wanted}
    for kind, problem in problems.items():
        if problem is not None:
            with pytest.raises(CheckFailed) as caught:
                wanted[kind](job)
            assert problem.text in str(caught.value)

    assert before == stand.site.rows("select count(*) as n from worker_jobs")[0].n
    left_out = {row.test for row in EXCEPTIONS if row.channel == stand.case.channel}
    assert (problems["recall"] is None) == ("test_a_send_can_be_taken_back" not in left_out)


def test_secrets_stay_out(stand: Stand) -> None:
    """After a success, refusals, a cut and a parked account no log, row, reason or exception holds a secret."""
    lines: list[str] = []
    structlog.configure(processors=[lambda logger, name, event: lines.append(repr(event)) or _dropped()])
    bad = [{"answer": stand.case.refused_by}, {"cut_request_after": 30}, {"answer": stand.case.parks}]
    faults(stand.url, stand.case.path, *bad)
    jobs = [stand.send(n) for n in range(4)]
    for _ in range(3):
        stand.site.run()
        stand.site.advance(700)
    places = {
        "logs": "\n".join(lines),
        "told": str(stand.site.told),
        "rings": str(stand.site.rings),
        "lanes": str(stand.site.rows("select lane, label, reason, remedy from worker_lanes")),
        "limits": str(stand.site.rows("select id from worker_budgets")),
        "reasons": str(stand.site.rows("select reason, errmsg, hint from worker_attempts")),
        "parts": str(stand.site.rows("select lane, reason from worker_parts")),
        "account": repr(stand.site.accounts.get(OWN)),
        "calls": repr(stand.site.runtime.accounts),
        "message": repr(stand.case.send(0)),
        "exception": _raised(stand),
    }

    assert "attempt" in places["logs"]
    assert len(jobs) <= len(stand.site.rows("select * from worker_attempts"))
    shown = [(place, canary) for place, said in places.items() for canary in stand.case.canaries if canary in said]
    assert shown == []


def _dropped() -> Any:
    raise structlog.DropEvent


def _raised(stand: Stand) -> str:
    """What enqueue says of a wrong option beside this very message."""
    with pytest.raises(CheckFailed) as caught:
        stand.send(0, priority="canary")
    return f"{caught.value!r} {caught.value}"


def test_time_waits_in_sql(stand: Stand) -> None:
    """A job that is due in an hour is in no broker before that."""
    job = stand.send(due_at=3600)
    stand.site.run()
    stand.site.advance(3590)
    stand.site.run()
    early = (stand.site.state(job), calls(stand.url, stand.case.path))
    stand.site.advance(11)
    stand.site.run()

    assert early == ("queued", [])
    assert stand.site.state(job) == "accepted"
