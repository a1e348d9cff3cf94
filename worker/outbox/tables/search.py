"""Terms: hashes by which jobs that have ended are found."""

from __future__ import annotations

from sqlalchemy import Column, Index

from worker.outbox.tables.columns import ID, PREFIX, Key, table

unindexed = table(
    "unindexed",
    Column("job_id", Key(ID), primary_key=True, doc="a job that ended, and whose terms are to be written"),
    Column("note", Key(ID), nullable=False, doc="names the commit that noted it last"),
)

terms = table(
    "terms",
    Column("term", Key(12), primary_key=True, doc="keyed hash of a field and its value, see `domain/job_terms.py`"),
    Column("job_id", Key(ID), primary_key=True, doc="a job that has ended"),
    Index(PREFIX + "terms_job", "job_id"),
)
