"""Enqueues a follow-up: a job about an earlier job, on its account. A worker finds out what there is to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from worker.channels import channel
from worker.config.accounts import current_accounts
from worker.domain.content.recipient import Recipients
from worker.domain.errors import CheckFailed
from worker.domain.job import Kind
from worker.producer.insert import JobRef, ask
from worker.producer.options import CLOCK, JobOptions, Options
from worker.producer.plan import Asked
from worker.reporting.find_job import JobId, row_of


def follow_up(
    connection: Connection,
    kind: Kind,
    job_id: JobId,
    document: Mapping[str, Any],
    recipients: Recipients,
    options: Options,
    keywords: JobOptions,
    spec: Mapping[str, Any] | None = None,
) -> JobRef:
    """Enqueues a job about another one, on its account, as one part; resolve finds out what there is to do."""
    target = row_of(connection, job_id)
    if problem := channel(target["channel"]).follow_up_problem(kind, target["kind"]):
        raise CheckFailed([problem], channel=target["channel"])
    account = (keywords.get("accounts") or current_accounts()).get(target["account"])
    about = json.loads(target["message"]) if kind == Kind.UPDATE_CARD else None
    asked = Asked(kind, account, document, {}, recipients, options, target=target["id"], about=about, spec=spec or {})
    return ask(connection, asked, keywords.get("clock", CLOCK))
