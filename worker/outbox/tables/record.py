"""Results of calls: every attempt, and what the vendor returned or refused, which follow-ups need."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, SmallInteger

from worker.outbox.tables.columns import ID, PART_ID, PREFIX, Key, LongText, partial, table

attempts = table(
    "attempts",
    Column("part_id", Key(PART_ID), primary_key=True, doc="the part"),
    Column("claim", Integer, primary_key=True, autoincrement=False, doc="the mark this call was made under"),
    Column("incarnation", Key(ID), nullable=False, doc="the process that made it"),
    Column(
        "outcome",
        Key(20),
        nullable=False,
        doc="name of the outcome, such as accepted or unknown; a late answer leaves it unknown",
    ),
    Column("doubtful", Boolean, nullable=False, doc="no readable answer so far"),
    Column(
        "reason",
        Key(300),
        doc="class or reason in our words; null when accepted; a late answer leaves that of the doubt",
    ),
    Column("http_status", SmallInteger, doc="null without an answer"),
    Column("errcode", BigInteger, doc="the vendor's; null without a readable answer"),
    Column("errmsg", LongText(), doc="the vendor's text, cleaned and redacted; null without one"),
    Column("hint", Key(80), doc="the vendor's trace number; null without one"),
    Column("caller_ip", Key(60), doc="our address as the vendor saw it; null when not told"),
    Column("flagged", Boolean, nullable=False, doc="the duplicate check was on"),
    Column("duration_ms", Integer, doc="the call's length; null when it had no end, as in a process that died"),
    Column("started_at", BigInteger, nullable=False, doc="the mark"),
    Column(
        "ended_at",
        BigInteger,
        nullable=False,
        doc="when the result, the doubt or the process's death was recorded; no late answer moves it",
    ),
)

waits = table(
    "waits",
    Column("part_id", Key(PART_ID), primary_key=True, doc="the part"),
    Column("reason", Key(100), primary_key=True, doc="what it waits for, in our words and codes; once for each"),
    Column("began_at", BigInteger, nullable=False, doc="when it last began to wait for that"),
)

receipts = table(
    "receipts",
    Column("part_id", Key(PART_ID), primary_key=True, doc="the part"),
    Column("claim", Integer, primary_key=True, autoincrement=False, doc="the call that brought it"),
    Column("msgid", LongText(), doc="the vendor's; null where it gives none"),
    Column("media_id", LongText(), doc="of an upload; null for the others"),
    Column("accepted_at", BigInteger, nullable=False, doc="when it was recorded"),
    Column("recalled_at", BigInteger, doc="when a recall of it was accepted; null: not recalled"),
    Column("from_repeat", Boolean, nullable=False, doc="only a repeat's answer proves acceptance"),
    Column("not_sent", Boolean, nullable=False, doc="nothing had to be called"),
    Column("warning", LongText(), doc="a promised id missing, or the vendor's warning; null: none"),
    Column(
        "extra",
        LongText(),
        doc="JSON of what else it gave: `url`, `chatid`, `type` and `created_at` of an upload; null: nothing",
    ),
)

failures = table(
    "failures",
    Column("part_id", Key(PART_ID), primary_key=True, doc="the part"),
    Column("kind", Key(12), primary_key=True, doc="user, party, tag"),
    Column("recipient_key", Key(128), primary_key=True, doc="the recipient in lower case"),
    Column("recipient", Key(128), nullable=False, doc="as the producer wrote it"),
    Column("field", Key(40), nullable=False, doc="the vendor's list, such as invaliduser"),
    Column("errcode", BigInteger, nullable=False, doc="0 when the rest was taken"),
    Column("failed_at", BigInteger, nullable=False, doc="when it was recorded"),
)

response_codes = table(
    "response_codes",
    Column("id", Key(64), primary_key=True, doc="SHA-256 of the vendor's app and code"),
    Column("part_id", Key(PART_ID), nullable=False, doc="the send part whose card it is; a given one's update part"),
    Column("source", Key(12), nullable=False, doc="send, callback, or given by the application"),
    Column("code", LongText(), nullable=False, doc="the vendor's response_code"),
    Column("state", Key(8), nullable=False, doc="fresh, leased, spent, burned"),
    Column("leased_by", Key(PART_ID), doc="the update part that holds or used it; null while fresh"),
    Column("issued_at", BigInteger, nullable=False, doc="when it was recorded"),
    Column("ends_at", BigInteger, nullable=False, doc="issued_at + 72 h (a setting)"),
    Column("person", Key(128), doc="the person whose press brought it, in lower case; null: no press that we heard of"),
    Index(PREFIX + "response_codes_part", "part_id"),
    partial("response_codes_leased", "leased_by", where="state = 'leased'"),
)

task_ids = table(
    "task_ids",
    Column("account", Key(60), primary_key=True, doc="the account's name"),
    Column("task_id", Key(128), primary_key=True, doc="a card's, where the caller chose it; ours name their part"),
    Column("part_id", Key(PART_ID), primary_key=True, doc="the part that sends it; a refused one may share it"),
    Index(PREFIX + "task_ids_part", "part_id"),
)

confirmations = table(
    "confirmations",
    Column("part_id", Key(PART_ID), primary_key=True, doc="the part that created the task"),
    Column("member", Key(128), primary_key=True, doc="the member who was asked to send"),
    Column("recipient", Key(128), primary_key=True, doc="customer or customer group; empty: the member's own task"),
    Column(
        "status",
        SmallInteger,
        nullable=False,
        doc="the vendor's 0 waiting, 1 sent, 2 no friend, 3 quota spent; of a task 0 waiting, 2 done",
    ),
    Column("happened_at", BigInteger, doc="when the vendor says it was sent"),
    Column("seen_at", BigInteger, nullable=False, doc="when it was last read"),
)
