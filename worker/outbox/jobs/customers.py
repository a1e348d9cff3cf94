"""Which customers the group sends of an account went to since an instant."""

from __future__ import annotations

import json
from collections.abc import Iterator

from sqlalchemy import Connection

from worker.domain.job import part_range
from worker.domain.job_terms import term
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.site_keys import lane_key
from worker.outbox.engine.sql import fetch

MOST_JOBS = 500
"""The newest jobs of an account that are read."""
OLDEST_S = 31 * 86_400
"""How much older than its receipt a job may be."""


def customers_sent_to(connection: Connection, account: str, since: int) -> Iterator[str]:
    """Yields the customers of each group send that the vendor accepted since then and that was not taken back.

    A customer of several comes several times. The search index gives the jobs, so one that has just ended may be
    missing.
    """
    first = f"{max(0, (since - OLDEST_S * SECOND) // 1000):012x}"
    query = (
        "select t.job_id from worker_terms t join worker_jobs j on j.id = t.job_id where t.term = :term"
        f" and t.job_id > :first and j.kind = 'send' order by t.job_id desc limit {MOST_JOBS}"
    )
    jobs = fetch(connection, query, {"term": term(lane_key(connection), "account", account), "first": first})
    specs = (
        "select p.spec from worker_parts p join worker_receipts r on r.part_id = p.id where p.id > :low"
        " and p.id < :high and r.accepted_at >= :since and r.recalled_at is null and not r.not_sent"
    )
    for (job_id,) in jobs:
        for (spec,) in fetch(connection, specs, {**part_range(job_id), "since": since}):
            yield from json.loads(spec).get("customers") or ()
