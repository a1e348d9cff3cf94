"""Callbacks of vendors: chats, inbound events, and the events for the application's hooks."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, SmallInteger

from worker.outbox.tables.columns import (
    ID,
    PART_ID,
    PREFIX,
    Key,
    LongText,
    by_state,
    from_zero,
    only_partial,
    partial,
    table,
)

chats = table(
    "chats",
    Column("account", Key(60), primary_key=True),
    Column("chat_id", Key(128), primary_key=True, doc="what a send names it by"),
    Column("chat_type", Key(20), nullable=False, doc="single, group, blackboard, as the vendor says"),
    Column("person", Key(128), doc="of a single chat: its member, in lower case"),
    Column("first_seen_at", BigInteger, nullable=False),
    Column("last_seen_at", BigInteger, nullable=False),
    Column("gone_at", BigInteger, doc="when the webhook was taken out of it; null: it is there"),
    from_zero("allowance", "messages a single chat takes until its person speaks again"),
    Column("told_at", BigInteger, doc="newest news of it, by the vendor's clock; null: none yet"),
    partial("chats_person", "account", "person", where="person is not null"),
)

inbound = table(
    "inbound",
    Column("id", Key(64), primary_key=True, doc="SHA-256 of the account and what makes it this very event"),
    Column("account", Key(60), nullable=False, doc="whose callback address it came to"),
    Column("event", Key(80), nullable=False, doc="the vendor's name of the event, or `message:<MsgType>`"),
    Column("person", Key(128), nullable=False, doc="as the vendor writes it; empty when no person caused it"),
    Column("payload", LongText(), nullable=False, doc="JSON of everything that came; holds personal data"),
    Column("happened_at", BigInteger, nullable=False, doc="by the vendor's clock, in whole seconds"),
    Column("received_at", BigInteger, nullable=False, doc="when it was stored; the age that retention counts"),
    Column("stored_by", Key(ID), nullable=False, doc="id of the one delivery of it that was stored, and of its event"),
    Column("part_id", Key(PART_ID), doc="the part whose card was pressed; null: no card, or none of ours"),
    Index(PREFIX + "inbound_received", "received_at"),
)

events = table(
    "events",
    Column("id", Key(ID), primary_key=True, doc="UUIDv7"),
    Column("kind", Key(20), nullable=False, doc="card_action, job_done, message, callback"),
    Column("job_id", Key(ID), doc="the job it is about; null: none of ours"),
    Column("part_id", Key(PART_ID), doc="the part whose card was pressed; null for job_done"),
    Column("inbound_id", Key(64), doc="the callback that brought it; null for job_done"),
    Column("job_state", SmallInteger, doc="JobState in which the job ended; null for the others"),
    Column("state", SmallInteger, nullable=False, doc="EventState"),
    Column("due_at", BigInteger, doc="waiting: earliest next run; null in every other state"),
    Column("offered_until", BigInteger, doc="in the broker until then, as far as we know; null: not offered"),
    from_zero("claim", "number of the last run; its result matches on it"),
    from_zero("tries", "runs that began"),
    Column("holder", Key(ID), doc="the process incarnation that runs it; null unless running"),
    Column("error", LongText(), doc="of the last failed run: class and places, no text of it; null: none failed"),
    Column("created_at", BigInteger, nullable=False, doc="when it was written, with what it is about"),
    Column("started_at", BigInteger, doc="when the last run began; null before the first"),
    Column("ended_at", BigInteger, doc="when it was done, parked or ignored; null before"),
    Index(PREFIX + "events_job", "job_id"),
    partial("events_due", "due_at", "id", where="state = 0"),
    partial("events_first", "job_state", "due_at", "id", where="state = 0"),
    partial("events_running", "holder", where="holder is not null"),
    only_partial("events_parked", "id", where="state = 3"),
    by_state("events_parked", "id"),
)
