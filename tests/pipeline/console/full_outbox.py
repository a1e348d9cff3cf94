"""An outbox with something in every table that pages show, and one text in every column that may hold a text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Table

from tests.support.runtime import Site, lost, refused
from worker import To
from worker.channels.wecom.answer import ERRCODES
from worker.control.pause import pause, pause_jobs
from worker.domain.job_filter import JobFilter
from worker.domain.pacing.lane import LaneBlock
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.lanes.lanes import change_lanes
from worker.outbox.tables.columns import Key, LongText, metadata

NAMES = frozenset(
    {
        *("id", "job_id", "part_id", "inbound_id", "blob_id", "order_id", "target_job_id", "replay_of", "waits_on"),
        *("incarnation", "holder", "lease_holder", "leased_by", "stored_by", "note", "sha256", "term", "csrf"),
        *("account", "channel", "kind", "lane", "label", "limit_name", "cause", "priority", "tenant", "scope"),
        *("state", "outcome", "what", "sort", "action", "event", "field", "source", "upload_type", "on_unknown"),
        *("on_gap", "host", "version", "revision", "queues", "alert", "subject", "name", "value", "chat_type"),
        *("counts", "buckets", "lanes", "quiet_hours", "exemplar", "exemplars", "fingerprint", "way", "role"),
    }
)
"""Columns that hold ids, states and names of ours, which every viewer may see or no page shows."""
OPERATORS = frozenset({"audit.person", "pauses.person", "sessions.person"})
"""Columns that name who gave a command, which every viewer may see."""

NAME_COLUMNS = frozenset(
    {
        *("jobs.recipients", "jobs.tags", "jobs.dedupe_key", "jobs.order_key", "parts.spec", "pauses.tag"),
        *("failures.recipient", "failures.recipient_key"),
    }
)
"""Columns of recipients, tags and keys, which an observer may see."""


def _shapes(text: str) -> dict[str, Any]:
    """The columns that hold JSON, with the text wherever a text may stand."""
    return {
        "jobs.message": {"type": "text", "body": {"text": {"content": text}}},
        "jobs.recipients": {"users": [text]},
        "jobs.tags": [text],
        "jobs.warnings": [text],
        "parts.spec": {"users": [text]},
        "audit.asked": {"filter": {"recipient": text}},
        "inbound.payload": {"message": {"Content": text}, "press": {"button": text}},
        "receipts.extra": {"url": text, "chatid": text, "type": text},
        "processes.unusable": {"hr": text},
        "processes.health": [text],
        "accounts.settings": {"channel": text},
    }


@dataclass(frozen=True)
class FullOutbox:
    """Ids of what is in it."""

    accepted: str
    refused: str
    doubtful: str
    waiting: str
    held: str
    card: str
    callback: str
    event: str
    audit: str


def fill(site: Site) -> FullOutbox:
    """Jobs in every state, callbacks, events, blocked lanes, pauses, a dead process, and what people did."""
    accepted = site.send("lunch", tags=["t"], dedupe_key="d", order_key="o")
    site.run()
    site.vendor.says(refused(81013, "all users are wrong", invaliduser="nobody"))
    wrong = site.send("to nobody", "nobody")
    site.run()
    site.vendor.says(lost())
    doubtful = site.send("in doubt", "x", on_unknown="hold")
    site.ring(doubtful)
    site.sql("update worker_parts set not_before = null where job_id = :job", job=doubtful)
    card = site.card(To(["lisi"]))
    site.run()
    site.recall(accepted)
    site.replay(wrong)
    waiting = site.send("paused", account="it")
    pausing = pause(JobFilter(account="it", tag="t"), person="wang", why="why", database=site.database)
    held = site.send("held", "y")
    pause_jobs([held], person="wang", why="why", database=site.database)
    now, lane, no = site.database.read_now(), site.part(card).lane, ERRCODES.find(60020)
    assert no is not None
    blocks = [
        LaneBlock("hr", "hr", 600.0, f"60020 {no.meaning}", no.remedy, parked=True, hint="h1"),
        LaneBlock(lane, "send/template_card", 60.0, "45009 frequency limit"),
    ]
    site.database.run(lambda connection: change_lanes(connection, site.database.now, blocks))
    callback, event = "c" * 64, "e" * 32
    with site.database.writing() as connection:
        for table, row in _rows(card, callback, event, now).items():
            insert_rows(connection, metadata.tables[f"worker_{table}"], [row])
    assert pausing.audit is not None
    return FullOutbox(accepted, wrong, doubtful, waiting, held, card, callback, event, pausing.audit)


def _rows(card: str, callback: str, event: str, now: int) -> dict[str, dict[str, Any]]:
    process = {"id": "dead", "alive_until": now - 2, "started_at": now - 9, "ended_at": now - 1, "threads": 1}
    heard = {"id": callback, "account": "hr", "event": "message:text", "person": "p", "payload": "{}"}
    parked = {"id": event, "kind": "card_action", "job_id": card, "part_id": f"{card}-0", "inbound_id": callback}
    return {
        "processes": {**process, "host": "h", "pid": 1, "lanes": "{}", "health": "[]", "unusable": "{}"},
        "inbound": {**heard, "happened_at": now, "received_at": now, "stored_by": "s" * 32, "part_id": f"{card}-0"},
        "events": {**parked, "state": 3, "created_at": now, "ended_at": now, "tries": 3, "error": "ValueError"},
    }


def put_everywhere(site: Site, text: str, names: str | None = None) -> set[str]:
    """Puts the text into every column that may hold one, of every row, or `names` into those of names; returns them."""
    changed = set()
    with site.database.writing() as connection:
        for table in metadata.sorted_tables:
            for name in text_columns(table):
                column = _named(table, name)
                word = text if names is None or column not in NAME_COLUMNS else names
                shapes = _shapes(word)
                value = json.dumps(shapes[column]) if column in shapes else word
                # What is unique for an account stays so.
                own = table.c.id.concat(value) if column == "jobs.dedupe_key" else value
                connection.execute(table.update().where(table.c[name].is_not(None)).values({name: own}))
                changed.add(column)
    return changed


def text_columns(table: Table) -> list[str]:
    """The columns of a table that may hold a text, a recipient, or free words."""
    return [
        column.name
        for column in table.columns
        if isinstance(column.type, Key | LongText)
        and column.name not in NAMES
        and _named(table, column.name) not in OPERATORS
    ]


def _named(table: Table, column: str) -> str:
    return f"{table.name.removeprefix('worker_')}.{column}"
