"""Accounts that are kept here instead of in a file: what is no secret as it is, the secrets sealed."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column

from worker.outbox.tables.columns import ID, Key, LongText, table

accounts = table(
    "accounts",
    Column("name", Key(60), primary_key=True, doc="the account's name"),
    Column("version", Key(ID), nullable=False, doc="another one with each change, UUIDv7"),
    Column("settings", LongText(), nullable=False, doc='JSON, as [accounts.NAME]; {"sealed": PATH} for a secret'),
    Column("sealed", LongText(), doc="JSON of path -> secret, sealed with the site's seal key; null: no secret"),
    Column("changed_at", BigInteger, nullable=False, doc="the database's clock at that change"),
)
