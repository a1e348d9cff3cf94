"""The index by which jobs that have ended are found: by recipient, text, msgid and the like."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index

from worker.outbox.tables.columns import ID, PREFIX, Key, table

unindexed = table(
    "unindexed",
    Column("job_id", Key(ID), primary_key=True, doc="a job that ended, and whose terms are to be written"),
    Column("ended_at", BigInteger, nullable=False, doc="when a commit noted it last"),
)

terms = table(
    "terms",
    Column("term", Key(12), primary_key=True, doc="keyed hash of a field and its value, see `domain/job_terms.py`"),
    Column("job_id", Key(ID), primary_key=True, doc="a job that has ended"),
    Index(PREFIX + "terms_job", "job_id"),
)
