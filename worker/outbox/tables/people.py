"""What people keep, did and are told of: accounts, the audit, the console's sessions, and alerts."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index

from worker.outbox.tables.columns import ID, PREFIX, Key, LongText, table

accounts = table(
    "accounts",
    Column("name", Key(60), primary_key=True, doc="the account's name"),
    Column("version", Key(ID), nullable=False, doc="another one with each change, UUIDv7"),
    Column("settings", LongText(), nullable=False, doc='JSON, as [accounts.NAME]; {"sealed": PATH} for a secret'),
    Column("sealed", LongText(), doc="JSON of path -> secret, sealed with the site's seal key; null: no secret"),
    Column("changed_at", BigInteger, nullable=False, doc="the database's clock at that change"),
)

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
