"""How a notice reads: as a text for people, and as the JSON that Alertmanager posts to a webhook.

Every word is the program's own, but for names of accounts, channels, queues and processes. The text is Chinese where
`WORKER_LANG` says so to the process that tells it; the rest of the JSON is for programs.
"""

from __future__ import annotations

import json
from typing import Any

from worker.language import chosen, said
from worker.outbox.engine.clock import instant
from worker.outbox.upkeep.alerts import AlertRow
from worker.service.notify.judge import AN_HOUR, AlertNotice

NAMED = 10
"""Accounts that one text names."""
NO_END = "0001-01-01T00:00:00Z"
"""Alertmanager's word for an alert that has not ended."""


def text_of(notice: AlertNotice) -> str:
    """The text: which alert, of what, since when, what is the case, what to do, and the runbook's page."""
    rule = notice.rule
    named = _named(notice)
    since = _time(min(row.seen_at for row in notice.rows))
    if notice.is_end:
        what = f"{rule.name} is over: {named}" if named else f"{rule.name} is over"
        lines = [what, f"From {since} to {_time(max(row.gone_at or notice.at for row in notice.rows))}."]
    else:
        what = f"{rule.name}: {named}" if named else rule.name
        lines = [what, rule.state, f"Since {since}. {rule.remedy}."]
    lines.append(f"Runbook: docs/runbooks.md#{rule.page}")
    if notice.fills_the_hour:
        lines.append(
            f"This is notice {AN_HOUR} within an hour: what comes now is told later, and `worker lanes` has it."
        )
    return said("\n".join(lines), chosen())


def _named(notice: AlertNotice) -> str:
    subjects = notice.subjects
    first = ", ".join(subjects[:NAMED])
    return f"{first} and {len(subjects) - NAMED} more" if len(subjects) > NAMED else first


def json_of(notice: AlertNotice) -> bytes:
    """The body of a POST: version 4 of Alertmanager's webhook, with the text for people beside it."""
    status = "resolved" if notice.is_end else "firing"
    common = {"alertname": notice.rule.name, "severity": notice.rule.severity}
    alerts = [_alert(notice, row, status, common) for row in notice.rows]
    body = {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{notice.rule.name}"}}',
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "im-delivery-worker",
        "groupLabels": {"alertname": notice.rule.name},
        "commonLabels": common,
        "commonAnnotations": {"runbook": notice.rule.runbook},
        "externalURL": "",
        "alerts": alerts,
        "text": text_of(notice),
    }
    return json.dumps(body).encode()


def _alert(notice: AlertNotice, row: AlertRow, status: str, common: dict[str, str]) -> dict[str, Any]:
    rule = notice.rule
    return {
        "status": status,
        "labels": {**common, **({rule.about: row.subject} if rule.about else {})},
        "annotations": {"summary": rule.state, "description": f"{rule.remedy}.", "runbook": rule.runbook},
        "startsAt": instant(row.seen_at).isoformat(),
        "endsAt": instant(row.gone_at or notice.at).isoformat() if notice.is_end else NO_END,
        "generatorURL": "",
        "fingerprint": row.id,
    }


def _time(micros: int) -> str:
    return f"{instant(micros):%Y-%m-%d %H:%M:%S} UTC"
