"""Which jobs a pause applies to, one by one and by whole lanes."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product

from worker.domain.job import JobKind
from worker.domain.pause import Pause

BEGAN = datetime(2026, 11, 21, tzinfo=UTC)
ACCOUNTS, CHANNELS, KINDS = ("hr", "it"), ("wecom_app", "youdu"), (JobKind.SEND, JobKind.UPLOAD, JobKind.RECALL)
TAGS, IDS = ("[]", '["payroll"]', '["other", "payroll"]'), ("j1", "j2")
JOBS = [
    {"account": account, "channel": channel, "kind": kind, "tags": tags, "id": id}
    for account, channel, kind, tags, id in product(ACCOUNTS, CHANNELS, KINDS, TAGS, IDS)
]
PAUSES = [
    Pause("p", 1, BEGAN, "zhang", "", account=account, channel=channel, kind=kind, tag=tag)
    for account, channel, kind, tag in product((None, "hr"), (None, "youdu"), (None, *KINDS), (None, "payroll"))
]
HOLD = Pause("p", 1, BEGAN, "zhang", "", job_id="j1")


def test_a_pause_applies_to_what_meets_all_its_conditions_but_not_to_recalls() -> None:
    """One often pauses in order to recall."""
    for pause in PAUSES:
        for job in JOBS:
            meets = all(
                wanted in (None, job[name])
                for name, wanted in (("account", pause.account), ("channel", pause.channel), ("kind", pause.kind))
            )
            has_tag = pause.tag is None or pause.tag in job["tags"]
            assert (meets and has_tag and job["kind"] != JobKind.RECALL) == pause.covers(job), (pause, job)


def test_a_hold_applies_to_its_job_alone_also_to_a_recall() -> None:
    """Whatever the job is."""
    assert [job["id"] == "j1" for job in JOBS] == [HOLD.covers(job) for job in JOBS]


def test_a_pause_holds_a_lane_where_it_applies_to_whatever_may_be_in_it() -> None:
    """The relay then leaves the lane alone; of another lane, each part is looked at."""
    for pause in (*PAUSES, HOLD):
        for account, kind in product(ACCOUNTS, KINDS):
            lane = [job for job in JOBS if (job["account"], job["kind"]) == (account, kind)]
            assert all(map(pause.covers, lane)) == pause.covers_lane(account, kind), (pause, account, kind)
