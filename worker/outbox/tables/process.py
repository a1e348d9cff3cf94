"""Processes, the leases that one of them holds, and the values that are made once for an installation."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer

from worker.outbox.tables.columns import ID, Key, LongText, table

processes = table(
    "processes",
    Column("id", Key(ID), primary_key=True, doc="the incarnation, random"),
    Column("alive_until", BigInteger, nullable=False, doc="renewed every 3 s for 10 s"),
    Column("started_at", BigInteger, nullable=False, doc="its first heartbeat"),
    Column("ended_at", BigInteger, doc="clean end, or when it was found dead; null while alive"),
    Column("threads", Integer, nullable=False, doc="sender threads"),
    Column("host", Key(100), nullable=False, doc="for people"),
    Column("pid", Integer, nullable=False, doc="for people"),
    Column("lanes", LongText(), nullable=False, doc="JSON: lane -> calls in the air and latency"),
    Column(
        "queues", Key(100), doc="queues it takes from, with commas; null: all, also of a process of the release before"
    ),
)

leases = table(
    "leases",
    Column("name", Key(40), primary_key=True, doc="what is held: `relay`"),
    Column("holder", Key(ID), nullable=False, doc="the process incarnation"),
    Column("held_until", BigInteger, nullable=False, doc="renewed while held"),
)

site = table(
    "site",
    Column("name", Key(40), primary_key=True, doc="`lane_key` or `compatible_from`"),
    Column(
        "value",
        Key(200),
        nullable=False,
        doc="made by `db upgrade`: random hex that keys the hashes; the revision and the oldest that may use it",
    ),
)
