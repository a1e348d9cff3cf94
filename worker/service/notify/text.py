"""Writes a notice: as a text for people, and as the JSON that Alertmanager posts to a webhook.

Every word is the program's own, apart from ids and names of accounts, channels, queues and processes. The text is
Chinese if `WORKER_LANG` says so in the process that sends it. The rest of the JSON is for programs.
"""

from __future__ import annotations

import json
from datetime import UTC, tzinfo

from worker.domain.times import write_time
from worker.language import chosen, translate
from worker.outbox.engine.clock import instant
from worker.service.notify.notices import AlertNotice

MAX_NAMES = 10
"""Accounts that one text names."""
NO_END = "0001-01-01T00:00:00Z"
"""What Alertmanager writes for an alert that has not ended."""


def text_of(notice: AlertNotice, zone: tzinfo = UTC) -> str:
    """Returns the text: which alert, about what, since when in `zone`, what it means, what to do, and the runbook."""
    kind, subjects = notice.kind, notice.subjects
    names = ", ".join(subjects[:MAX_NAMES])
    if len(subjects) > MAX_NAMES:
        names = f"{names} and {len(subjects) - MAX_NAMES} more"
    since = write_time(instant(min(row.seen_at for row in notice.rows)), zone)
    if notice.is_end:
        lines = [f"{kind.name} is over: {names}" if names else f"{kind.name} is over"]
        until = write_time(instant(max(row.gone_at or notice.at for row in notice.rows)), zone)
        lines.append(f"From {since} to {until}.")
    else:
        lines = [f"{kind.name}: {names}" if names else kind.name, f"{kind.state}; {kind.remedy}", f"Since {since}."]
        lines[2:2] = [notice.texts[name] for name in (subjects or [""])[:MAX_NAMES] if name in notice.texts]
    lines.append(f"Runbook: docs/runbooks.md#{kind.page}")
    if notice.last_number:
        lines.append(
            f"This is notice number {notice.last_number} within an hour: further notices come later; `worker"
            " lanes` shows the present state."
        )
    return translate("\n".join(lines), chosen())


def json_of(notice: AlertNotice, zone: tzinfo) -> bytes:
    """Returns the body of a POST: version 4 of Alertmanager's webhook, with the text for people added."""
    kind, status = notice.kind, "resolved" if notice.is_end else "firing"
    common = {"alertname": kind.name, "severity": kind.severity}
    alerts = [
        {
            "status": status,
            "labels": {**common, **({kind.about: row.subject} if row.subject else {})},
            "annotations": {
                "summary": notice.texts.get(row.subject, kind.state),
                "description": kind.remedy,
                "runbook": kind.runbook,
            },
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
