"""What people did: a row for each command that changes jobs."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column

from worker.outbox.tables.columns import ID, Key, LongText, table

audit = table(
    "audit",
    Column("id", Key(ID), primary_key=True, doc="UUIDv7"),
    Column("action", Key(20), nullable=False, doc="the command, such as resolve"),
    Column("person", Key(128), nullable=False, doc="who gave it: the system's user, or another name that was given"),
    Column("why", Key(300), nullable=False, doc="the person's own words"),
    Column("asked", LongText(), nullable=False, doc="JSON of the filter and of what was to be done"),
    Column("counts", LongText(), nullable=False, doc="JSON: what became of how many parts so far"),
    Column("began_at", BigInteger, nullable=False, doc="before the first change"),
    Column("ended_at", BigInteger, doc="after the last change; null: it goes on, or was cut short"),
)
