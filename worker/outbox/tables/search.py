"""Terms: hashes by which jobs that have ended are found, and recipients to whom nothing is sent."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index

from worker.outbox.tables.columns import ID, PREFIX, Key, table

unindexed = table(
    "unindexed",
    Column("job_id", Key(ID), primary_key=True, doc="a job that ended, and whose terms are to be written"),
    Column("note", Key(ID), nullable=False, doc="names the commit that noted it last"),
)

suppressions = table(
    "suppressions",
    Column("id", Key(12), primary_key=True, doc="the recipient's term, so that the list names no person"),
    Column("person", Key(128), nullable=False, doc="who put it there: the system's user, or a name that was given"),
    Column("why", Key(300), nullable=False, doc="that person's own words"),
    Column("began_at", BigInteger, nullable=False, doc="the database's clock at the insert"),
)

terms = table(
    "terms",
    Column("term", Key(12), primary_key=True, doc="keyed hash of a field and its value, see `domain/job_terms.py`"),
    Column("job_id", Key(ID), primary_key=True, doc="a job that has ended"),
    Index(PREFIX + "terms_job", "job_id"),
)
