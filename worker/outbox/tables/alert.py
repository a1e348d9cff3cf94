"""What people are told of: a row for each alert and what it is about, from its first sign to an hour after its end."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column

from worker.outbox.tables.columns import ID, Key, table

alerts = table(
    "alerts",
    Column("id", Key(ID), primary_key=True, doc="UUIDv7"),
    Column("alert", Key(40), nullable=False, doc="the alert's name, such as `AccountParked`"),
    Column("subject", Key(200), nullable=False, doc="the account, channel, queue or process; empty: the installation"),
    Column("seen_at", BigInteger, nullable=False, doc="when its cause was seen first, without a gap since then"),
    Column("gone_at", BigInteger, doc="when its cause was found to be over; null: it stands"),
    Column("raised_at", BigInteger, doc="when people were told of it; null: not yet"),
    Column("ended_at", BigInteger, doc="when people were told of its end; null: not yet"),
    Column("job_id", Key(ID), doc="the job of the last notice about it; null: none, or a URL took it"),
)
