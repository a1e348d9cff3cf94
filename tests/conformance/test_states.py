"""Every state a part can be in, reached with the channel's own vendor."""

from __future__ import annotations

import pytest

from tests.conformance.case import calls, faults
from tests.conformance.conftest import Stand
from worker import get_job
from worker.control.cancel import cancel, find_open
from worker.domain.job_filter import JobFilter

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")


def counts(stand: Stand, job: str) -> dict[str, int]:
    """How many recipients stand where."""
    with stand.site.database.reading() as connection:
        found = get_job(connection, job).counts
    return {name: getattr(found, name) for name in found.__slots__ if getattr(found, name)}


def test_queued(stand: Stand) -> None:
    """The job was enqueued and not sent: no call was made."""
    job = stand.send()

    assert stand.site.state(job) == "queued"
    assert calls(stand.url, stand.case.path) == []


def test_sending(stand: Stand) -> None:
    """The mark is durable before the vendor has heard of the call."""
    seen: list[tuple[str, int]] = []
    job = stand.send()

    def look(label: str) -> None:
        if label == "after_mark":
            seen.append((stand.site.state(job), len(calls(stand.url, stand.case.path))))

    stand.site.runtime.checkpoint = look
    stand.site.run()

    assert seen == [("sending", 0)]
    assert stand.site.state(job) == "accepted"


def test_accepted(stand: Stand) -> None:
    """The vendor took the message, and its recipient saw it once."""
    job = stand.send()
    stand.site.run()

    assert stand.site.state(job) == "accepted"
    assert len(stand.seen()) == 1
    assert [attempt.outcome for attempt in stand.site.of("attempts", job)] == ["accepted"]
    assert len(stand.site.of("receipts", job)) == 1


def test_partial(stand: Stand) -> None:
    """The vendor refused one recipient, who is named as a failure; no recipient is sent to twice."""
    job = stand.ask(stand.case.two())
    stand.site.run()

    _, to = stand.case.two()
    assert to is not None
    refused = [failure.recipient for failure in stand.site.of("failures", job)]
    assert stand.site.job(job).state == "partial"
    assert len(refused) == 1
    assert len(stand.seen()) == 1
    assert counts(stand, job) == {"asked": 2, "accepted": 1, "refused": 1}


def test_rejected(stand: Stand) -> None:
    """The vendor refused it for good: there is one call, no other, and the reason is stored."""
    faults(stand.url, stand.case.path, {"answer": stand.case.refused_by})
    job = stand.send()
    stand.site.run()
    stand.site.advance(3600)
    stand.site.run()

    assert stand.site.state(job) == "rejected"
    assert len(calls(stand.url, stand.case.path)) == 1
    assert str(stand.case.refused_by["errcode"]) in stand.site.part(job).reason
    assert stand.seen() == []


def test_exhausted(stand: Stand) -> None:
    """Readable transient answers end after the vendor's own number of tries; the message was never taken."""
    faults(stand.url, stand.case.path, {"answer": {"errcode": -1}}, times=None)
    job = stand.send()
    for _ in range(12):
        stand.site.run()
        stand.site.advance(600)

    assert stand.site.state(job) == "exhausted"
    assert 1 < len(calls(stand.url, stand.case.path)) <= 4
    assert stand.seen() == []


def test_unknown(stand: Stand) -> None:
    """The answer was lost: a message that arrived is not sent again in silence, nor counted as not sent."""
    faults(stand.url, stand.case.path, {"reset_response_after": 0}, times=None)
    job = stand.send()
    stand.site.run()

    assert stand.site.state(job) == "unknown"
    assert counts(stand, job) == {"asked": 1, "unknown": 1}
    assert len(stand.seen()) == 1


def test_expired(stand: Stand) -> None:
    """A job that is too late is not sent any more."""
    job = stand.send(due_at=60, expires_at=120)
    stand.site.advance(121)
    stand.site.recover()
    stand.site.run()

    assert stand.site.state(job) == "expired"
    assert counts(stand, job) == {"asked": 1, "never_sent": 1}
    assert calls(stand.url, stand.case.path) == []


def test_cancelled(stand: Stand) -> None:
    """The job was cancelled before its mark: it was certainly never sent."""
    job = stand.send()
    found = find_open(JobFilter(ids=[job]), database=stand.site.database)
    cancel(found, person="zhang", database=stand.site.database)
    stand.site.run()

    assert stand.site.state(job) == "cancelled"
    assert calls(stand.url, stand.case.path) == []
