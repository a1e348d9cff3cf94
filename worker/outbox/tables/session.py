"""The console's visitors: a row for each browser in which a person has signed in, and for each sign-in tried."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index

from worker.outbox.tables.columns import ID, PREFIX, Key, table

sessions = table(
    "sessions",
    Column("id", Key(64), primary_key=True, doc="SHA-256, in hex, of the token in the browser's cookie"),
    Column("person", Key(128), nullable=False, doc="who has signed in, as the audit names them"),
    Column("way", Key(20), nullable=False, doc="how: `password`, `oidc` or `link`"),
    Column("proof", Key(64), doc="SHA-256, in hex, of the stored hash of the password; null: they came another way"),
    Column("created_at", BigInteger, nullable=False, doc="when they signed in"),
    Column("seen_at", BigInteger, nullable=False, doc="when the browser asked last, to the minute"),
    Column("ends_at", BigInteger, nullable=False, doc="when it ends, however often it is used"),
)
sign_ins = table(
    "sign_ins",
    Column("id", Key(ID), primary_key=True, doc="UUIDv7"),
    Column("subject", Key(64), nullable=False, doc="SHA-256 of the name that was given, or of the address, in hex"),
    Column("tried_at", BigInteger, nullable=False, doc="before the password is looked at; the row goes if it is right"),
    Index(PREFIX + "sign_ins_subject", "subject", "tried_at"),
)
