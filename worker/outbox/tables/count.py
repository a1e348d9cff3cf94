"""What was done, counted for the metrics: rows of numbers that transactions write, and their sums; and odd answers."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column

from worker.outbox.tables.columns import ID, PART_ID, Key, LongText, table

counts = table(
    "counts",
    Column("id", Key(ID), primary_key=True, doc="UUIDv7"),
    Column("counts", LongText(), nullable=False, doc="JSON of name -> how much is to be added, see `totals`"),
    Column("exemplars", LongText(), doc="JSON of name of a bucket -> a traced call in it; null: none was traced"),
)

drift = table(
    "drift",
    Column("channel", Key(40), primary_key=True, doc="the channel of the answer"),
    Column("fact", Key(200), primary_key=True, doc="what the answer contradicts, in our words, with the vendor's page"),
    Column("sort", Key(20), nullable=False, doc="`code`, `field`, `type` or `promise`"),
    Column("account", Key(60), nullable=False, doc="the account that was answered so last"),
    Column("part_id", Key(PART_ID), nullable=False, doc="the part that was answered so last"),
    Column("sample", LongText(), nullable=False, doc="JSON of that answer's shape: names, types, lengths; no values"),
    Column("first_at", BigInteger, nullable=False, doc="when the first such answer was recorded"),
    Column("last_at", BigInteger, nullable=False, doc="when a process last stored it: once an hour"),
)

totals = table(
    "totals",
    Column("name", Key(300), primary_key=True, doc="a counter and the values of its labels, with tabs between them"),
    Column("value", BigInteger, nullable=False, doc="the sum of what was written; times are in microseconds"),
    Column("exemplar", Key(200), doc="JSON of the newest traced call in this bucket; null: none"),
)
