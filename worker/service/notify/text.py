"""How a notice reads: as a text for people, and as the JSON that Alertmanager posts to a webhook.

Every word is the program's own, but for names of accounts, channels, queues and processes. The text is Chinese where
`WORKER_LANG` says so to the process that tells it; the rest of the JSON is for programs.
"""

from __future__ import annotations

import json
from datetime import UTC, tzinfo

from worker.domain.times import write_time
from worker.language import chosen, said
from worker.outbox.engine.clock import instant
from worker.service.notify.notices import AN_HOUR, AlertNotice

NAMED = 10
"""Accounts that one text names."""
NO_END = "0001-01-01T00:00:00Z"
"""Alertmanager's word for an alert that has not ended."""


def text_of(notice: AlertNotice, zone: tzinfo = UTC) -> str:
    """The text: which alert, of what, since when in this zone, what is the case, what to do, and the runbook's page."""
    kind, subjects = notice.kind, notice.subjects
    named = ", ".join(subjects[:NAMED])
    if len(subjects) > NAMED:
        named = f"{named} and {len(subjects) - NAMED} more"
    since = write_time(instant(min(row.seen_at for row in notice.rows)), zone)
    if notice.is_end:
        lines = [f"{kind.name} is over: {named}" if named else f"{kind.name} is over"]
        until = write_time(instant(max(row.gone_at or notice.at for row in notice.rows)), zone)
        lines.append(f"From {since} to {until}.")
    else:
        lines = [f"{kind.name}: {named}" if named else kind.name, f"{kind.state}; {kind.remedy}", f"Since {since}."]
    lines.append(f"Runbook: docs/runbooks.md#{kind.page}")
    if notice.fills_the_hour:
        lines.append(
            f"This is notice {AN_HOUR} within an hour: what comes now is told later, and `worker lanes` has it."
        )
    return said("\n".join(lines), chosen())


def json_of(notice: AlertNotice, zone: tzinfo) -> bytes:
    """The body of a POST: version 4 of Alertmanager's webhook, with the text for people beside it."""
    kind, status = notice.kind, "resolved" if notice.is_end else "firing"
    common = {"alertname": kind.name, "severity": kind.severity}
    alerts = [
        {
            "status": status,
            "labels": {**common, **({kind.about: row.subject} if row.subject else {})},
            "annotations": {"summary": kind.state, "description": kind.remedy, "runbook": kind.runbook},
            "startsAt": instant(row.seen_at).isoformat(),
            "endsAt": instant(row.gone_at or notice.at).isoformat() if notice.is_end else NO_END,
            "generatorURL": "",
            "fingerprint": row.id,
        }
        for row in notice.rows
    ]
    body = {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{kind.name}"}}',
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "im-delivery-worker",
        "groupLabels": {"alertname": kind.name},
        "commonLabels": common,
        "commonAnnotations": {"runbook": kind.runbook},
        "externalURL": "",
        "alerts": alerts,
        "text": text_of(notice, zone),
    }
    return json.dumps(body).encode()
