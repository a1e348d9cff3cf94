"""What was done, counted for the metrics: rows of numbers that transactions write, and their sums."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column

from worker.outbox.tables.columns import ID, Key, LongText, table

counts = table(
    "counts",
    Column("id", Key(ID), primary_key=True, doc="UUIDv7"),
    Column("counts", LongText(), nullable=False, doc="JSON of name -> how much is to be added, see `totals`"),
    Column("exemplars", LongText(), doc="JSON of name of a bucket -> a traced call in it; null: none was traced"),
)

totals = table(
    "totals",
    Column("name", Key(300), primary_key=True, doc="a counter and the values of its labels, with tabs between them"),
    Column("value", BigInteger, nullable=False, doc="the sum of what was written; times are in microseconds"),
    Column("exemplar", Key(200), doc="JSON of the newest traced call in this bucket; null: none"),
)
